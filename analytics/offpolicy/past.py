"""The log as it is stored: from the public views to ``Logged`` and to what was decided, request by request.

In: an open public file, a span, a workflow. Out: ``Past``. Keeps nothing. Fails with ``Unconfigured`` where there is nothing to
start from, and with ``Unusable`` where the log contradicts itself.

Quality is the reward that holds; a request that was planned and failed has 0. One that was answered and has no reward yet is left
out and counted. The outcome belongs to the strategy that was chosen, whichever of its alternatives answered in the end. Features:
the stored vector (where the feature set is not the newest one's, nothing), complexity, and the content types.
"""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import duckdb
import msgspec
import numpy as np
import numpy.typing as npt

from agents.deciding.features import FEATURE_SET
from agents.deciding.held import Profile
from agents.deciding.learned import Unusable
from agents.deciding.prior import band_of
from analytics.offpolicy.logged import COST, LATENCY, QUALITY, Floats, Logged
from analytics.offpolicy.redeciding import Decided
from schemas import Belief, Evidence, GraphSwitch, Incumbent, LearnedHeads, ProfileUpdated

_READ = """
SELECT
    o.workflow, o.scope, o.content_type, o.complexity, o.profile_version, p.priority, o.probabilities, o.chosen_strategy,
    o.features, o.encoder || '/' || o.feature_set, o.cost_usd, o.latency_ms,
    CASE WHEN o.answered THEN o.reward ELSE coalesce(o.reward, 0) END AS quality, p.quality_floor, epoch_us(o.requested_at),
    o.encoder, o.feature_set
FROM outcomes o JOIN plans p ON p.event_id = o.routing_id
WHERE o.requested_at >= make_timestamp($since_us) AND o.answered IS NOT NULL AND o.probabilities IS NOT NULL
    AND o.scope IS NOT NULL AND o.content_type IS NOT NULL AND o.complexity IS NOT NULL
    AND ($workflow IS NULL OR o.workflow = $workflow)
ORDER BY o.requested_at DESC, o.routing_id
LIMIT $most
"""
_PROFILES = (
    "SELECT scope, version, beliefs, incumbents, graph_off, heads FROM profiles WHERE scope IN (SELECT unnest($scopes))"
)


@dataclass(frozen=True)
class Past:
    """What was logged. ``floors`` (n,): the floor in force at each decision, as a reward; ``unrewarded``: left out for
    want of a reward. ``oldest_us``: when the first was asked, in microseconds since 1970-01-01 UTC.
    """

    log: Logged
    decided: tuple[Decided, ...]
    floors: Floats
    unrewarded: int
    oldest_us: int


def read_past(connection: duckdb.DuckDBPyConnection, *, since_us: int, workflow: str | None, most: int) -> Past | None:
    """The newest ``most`` requests since a moment (microseconds since 1970-01-01 UTC); None where none has an outcome."""
    found = connection.execute(_READ, {"since_us": since_us, "workflow": workflow, "most": most}).fetchall()
    rewarded = [row for row in found if row[12] is not None]
    if not rewarded:
        return None
    decided = tuple(
        Decided(
            workflow=row[0] or "",
            scope=row[1],
            content_type=row[2],
            band=band_of(row[3]),
            profile_version=row[4] or 0,
            priority=row[5],
            probabilities={each["strategy"]: each["probability"] for each in row[6]},
            features=tuple(row[8] or ()),
            encoder=row[15] or "" if row[16] == FEATURE_SET else "",
        )
        for row in rewarded
    )
    strategies = tuple(sorted({name for each in decided for name in each.probabilities}))
    place = {name: number for number, name in enumerate(strategies)}
    kinds = np.array([each.content_type for each in decided])
    probabilities = as_matrix([each.probabilities for each in decided], strategies, absent=-1.0)
    log = Logged(
        strategies=strategies,
        features=_features(rewarded, kinds),
        eligible=probabilities >= 0,
        probabilities=np.maximum(probabilities, 0.0),
        chosen=np.array([place.get(row[7], -1) for row in rewarded]),
        outcomes={
            QUALITY: np.array([row[12] for row in rewarded], dtype=np.float64),
            COST: np.array([row[10] or 0.0 for row in rewarded], dtype=np.float64),
            LATENCY: np.array([row[11] or 0.0 for row in rewarded], dtype=np.float64),
        },
        kinds=kinds,
    )
    floors = np.array([row[13] or 0.0 for row in rewarded], dtype=np.float64)
    return Past(log, decided, floors, len(found) - len(rewarded), min(int(row[14]) for row in rewarded))


def read_profiles(connection: duckdb.DuckDBPyConnection, scopes: Sequence[str]) -> dict[tuple[str, int], Profile]:
    """Every stored version of the profiles of these scopes, but for those that no router ever held."""
    found = connection.execute(_PROFILES, {"scopes": list(scopes)}).fetchall()
    profiles = {}
    for row in found:
        with suppress(Unusable):  # it is in the dead letters of every router
            profiles[row[0], row[1]] = Profile.of(_event(*row))
    return profiles


def _event(scope: str, version: int, beliefs: Any, incumbents: Any, graph_off: Any, heads: Any) -> ProfileUpdated:
    return ProfileUpdated(
        event_id="",
        occurred_at_us=0,
        scope=scope,
        version=version,
        parent=0,
        learner="",
        beliefs=tuple(Belief(**each) for each in beliefs or ()),
        incumbents=tuple(Incumbent(**each) for each in incumbents or ()),
        graph_off=tuple(GraphSwitch(**each) for each in graph_off or ()),
        evidence=Evidence(requests=0, rated=0, watermark={}),
        sentence="",
        heads=None if heads is None else msgspec.convert(heads, LearnedHeads, builtin_types=(bytes,)),
    )


def as_matrix(
    distributions: Sequence[Mapping[str, float]], strategies: tuple[str, ...], *, absent: float = 0.0
) -> Floats:
    """(n, K): probabilities by name as rows; ``absent`` for a strategy that a row does not have."""
    found = np.full((len(distributions), len(strategies)), absent)
    place = {name: number for number, name in enumerate(strategies)}
    for row, distribution in enumerate(distributions):
        for name, probability in distribution.items():
            found[row, place[name]] = probability
    return found


def _features(rows: Sequence[Any], kinds: npt.NDArray[np.str_]) -> Floats:
    newest = next((row[9] for row in rows if row[9] is not None and row[8]), None)
    width = next((len(row[8]) for row in rows if row[9] == newest and row[8]), 0)
    vectors = np.zeros((len(rows), width))
    for place, row in enumerate(rows):
        if row[9] == newest and row[8] and len(row[8]) == width:
            vectors[place] = row[8]
    complexity = np.array([row[3] for row in rows], dtype=np.float64)
    types = [(kinds == each).astype(np.float64) for each in np.unique(kinds)]
    return np.column_stack([vectors, complexity, *types])
