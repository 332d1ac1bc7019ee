"""The learner: outcomes in, profile versions out.

In: the table ``evidence_sums`` inside the consumer's transaction; the operator's orders, the offsets. Out:
``ProfileUpdated`` for each scope that has new evidence, and for each rollback ordered. Keeps nothing that a restart
could lose: versions and holds are in the private file; the evidence of the newest profiles is remembered, so that a
step without news reads two small tables. Fails with nothing of its own.

A profile is a function of the log up to its watermark and of its parent: sums are of whole numbers (so their order
does not matter), its time is the last reward's. The first is due with ``NEW_REWARDS`` rewards; another one ``LEAST_SECONDS``
after the last at the soonest, when so many more came, or a user rated an answer (several, where there is much evidence), or
any came and ``MOST_SECONDS`` passed.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from time import perf_counter

import duckdb
import msgspec

from agents.deciding.catalogue import Catalogue
from agents.deciding.content_types import BUILT_IN_TYPES
from agents.deciding.governance import Floor, GovernanceFile, Overrides
from agents.deciding.learned import written
from agents.deciding.planning import scope_of
from agents.deciding.prior import BANDS
from agents.deciding.workflow import Workflow
from analytics.beliefs import Cell, Sums, learn
from analytics.contextual import ContextualLearner, news
from analytics.sums import COST_UNITS, LATENCY_UNITS, REWARD_UNITS
from analytics.takeover import InForce, reconsider
from schemas import Belief, Evidence, Optimization, ProfileUpdated, Record, RollbackOrdered
from streams.codec import Codec
from streams.identity import event_id
from streams.logs import logger

LEARNER = "contextual@1"
NEW_REWARDS = 20
LEAST_SECONDS = 1.0
MOST_SECONDS = 30.0
MOST_SHARE = 0.4
"""Of the time: learning waits so long that it takes no more, however fast evidence comes."""
RATING_SHARE = 20_000
"""A user's rating is worth a profile while there are fewer rewards than this; it takes one rating more for each so many."""
MAX_PROFILE_BYTES = 256 * 1024
_SUMS = """
SELECT content_type, band, strategy, requests, rated, reward_units, reward_square_units, cost_units, latency_units, last_us
FROM evidence_sums WHERE scope = ? ORDER BY content_type, band, strategy
"""
_COUNTS = """
SELECT scope, sum(requests)::BIGINT, sum(rated)::BIGINT, max(last_us) FROM evidence_sums GROUP BY scope ORDER BY scope
"""


@dataclass(frozen=True, slots=True)
class _Known:
    """What the newest profile of a scope rests on: requests, of these rated, and the last reward's time where it is known."""

    version: int = 0
    requests: int = 0
    rated: int = 0
    last_us: int | None = None


def _known_of(profile: ProfileUpdated | None) -> _Known:
    if profile is None:
        return _Known()
    last_us = profile.occurred_at_us if profile.kind == "learned" else None
    return _Known(profile.version, profile.evidence.requests, profile.evidence.rated, last_us)


def _is_due(known: _Known, requests: int, rated: int, last_us: int | None, passed_s: float) -> bool:
    # a rating of an answer that was scored automatically before is new evidence, too
    new = max(requests - known.requests, rated - known.rated)
    if known.version == 0 or passed_s < LEAST_SECONDS:
        return new >= NEW_REWARDS and passed_s >= LEAST_SECONDS
    ratings = rated - known.rated
    if new == 0 and known.last_us is not None and last_us is not None and last_us > known.last_us:
        ratings = 1  # who had rated an answer has rated it again
    wanted = 1 + known.requests // RATING_SHARE
    return new >= NEW_REWARDS or ratings >= wanted or (max(new, ratings) > 0 and passed_s >= MOST_SECONDS)


class ProfileLearner:
    """Learns every scope of a deployment's workflows."""

    def __init__(
        self,
        *,
        catalogue: Catalogue,
        governance: GovernanceFile,
        environment: str,
        workflows: Mapping[str, Workflow],
        codec: Codec,
    ) -> None:
        self._catalogue = catalogue
        self._codec = codec
        self._floors: dict[str, Floor] = {}
        self._explorations: dict[str, float] = {}
        self._priorities: dict[str, str] = {}
        for workflow in workflows.values():
            settings = governance.effective(environment, workflow.settings, Overrides()).settings
            if settings.learning_enabled:
                self._floors[scope_of(workflow.name)] = settings.quality_floor
                self._explorations[scope_of(workflow.name)] = settings.exploration
                self._priorities[scope_of(workflow.name)] = workflow.node.preferences.priority
        self._contextual = ContextualLearner(catalogue)
        self._pause_s: dict[str, float] = {}
        self._published_us: dict[str, int] = {}
        self._known: dict[str, _Known] = {}
        self._log = logger(role="analytics")

    def step(
        self,
        connection: duckdb.DuckDBPyConnection,
        watermark: dict[str, int],
        controls: Sequence[Record],
        now_us: int,
    ) -> list[ProfileUpdated]:
        """Give the profiles that are due (see ``analytics.learning.Learner``)."""
        done: list[ProfileUpdated] = []
        for order in controls:
            if isinstance(order, RollbackOrdered):
                profile = self._rolled_back(connection, watermark, order, done)
                done.extend([profile] if profile is not None else [])
        held = {scope for (scope,) in connection.execute("SELECT scope FROM held_scope").fetchall()}
        busy = held | {profile.scope for profile in done}
        for scope, requests, rated, last_us in connection.execute(_COUNTS).fetchall():
            if scope not in self._floors or scope in busy:
                continue
            known = self._evidence(connection, scope)
            passed_s = (now_us - self._published_us.get(scope, 0)) / 1e6
            if passed_s >= self._pause_s.get(scope, 0.0) and _is_due(known, requests, rated, last_us, passed_s):
                begun_s = perf_counter()
                profile = self._learned(connection, scope, self._newest(connection, scope), watermark)
                done.append(profile)
                self._known[scope] = _known_of(profile)
                self._published_us[scope] = now_us
                self._pause_s[scope] = min((perf_counter() - begun_s) / MOST_SHARE, MOST_SECONDS)
        return done

    def _evidence(self, connection: duckdb.DuckDBPyConnection, scope: str) -> "_Known":
        """The evidence of the scope's newest profile. Only learning changes it: a rollback repeats it."""
        if scope not in self._known:
            self._known[scope] = _known_of(self._newest(connection, scope))
        return self._known[scope]

    def _newest(self, connection: duckdb.DuckDBPyConnection, scope: str) -> ProfileUpdated | None:
        row = connection.execute(
            "SELECT payload FROM profile WHERE scope = ? ORDER BY version DESC LIMIT 1", [scope]
        ).fetchone()
        return self._decoded(row[0]) if row else None

    def _version(self, connection: duckdb.DuckDBPyConnection, scope: str, version: int) -> ProfileUpdated | None:
        row = connection.execute(
            "SELECT payload FROM profile WHERE scope = ? AND version = ?", [scope, version]
        ).fetchone()
        return self._decoded(row[0]) if row else None

    def _decoded(self, payload: bytes) -> ProfileUpdated:
        event = self._codec.decode(payload)
        if not isinstance(event, ProfileUpdated):
            raise TypeError(f"the table profile holds a {type(event).__name__}")
        return event

    def _sums(self, connection: duckdb.DuckDBPyConnection, scope: str) -> tuple[dict[Cell, Sums], int]:
        seen: dict[Cell, Sums] = {}
        last_us = 0
        for row in connection.execute(_SUMS, [scope]).fetchall():
            content_type, band, strategy, requests, rated, reward, square, cost, latency, at_us = row
            seen[content_type, band, strategy] = Sums(
                requests=requests,
                rated=rated,
                reward_sum=reward / REWARD_UNITS,
                reward_square_sum=square / REWARD_UNITS,
                cost_usd_sum=cost / COST_UNITS,
                latency_ms_sum=latency / LATENCY_UNITS,
            )
            last_us = max(last_us, at_us or 0)
        return seen, last_us

    def _learned(
        self,
        connection: duckdb.DuckDBPyConnection,
        scope: str,
        parent: ProfileUpdated | None,
        watermark: Mapping[str, int],
    ) -> ProfileUpdated:
        seen, last_us = self._sums(connection, scope)
        types = (*BUILT_IN_TYPES, *sorted({cell[0] for cell in seen} - set(BUILT_IN_TYPES)))
        estimates = learn(self._catalogue, types, seen)
        version = (parent.version if parent else 0) + 1
        before = InForce(
            incumbents={(i.content_type, i.band): i for i in parent.incumbents} if parent else {},
            graph_off={g.content_type: g for g in parent.graph_off} if parent else {},
        )
        requests = sum(sums.requests for sums in seen.values())
        rated = sum(sums.rated for sums in seen.values())
        contextual = self._contextual.learn(
            connection,
            scope,
            requests,
            floor=self._floors[scope],
            exploration=self._explorations[scope],
            priority=self._priorities[scope],
        )
        changed = reconsider(
            self._catalogue,
            types,
            estimates,
            seen,
            before,
            floor=self._floors[scope],
            version=version,
            priority=self._priorities[scope],
            leading=None if contextual is None else contextual.leading,
        )
        optimizations = changed.optimizations
        if contextual is not None:
            optimizations += news(contextual.learned.reopened, parent.heads if parent else None)
        profile = ProfileUpdated(
            event_id=event_id("ProfileUpdated", scope, str(version)),
            occurred_at_us=last_us,
            scope=scope,
            version=version,
            parent=version - 1,
            learner=LEARNER,
            beliefs=tuple(
                Belief(
                    content_type=t,
                    band=b,
                    strategy=s.id,
                    requests=estimates[t, b, s.id].requests,
                    quality=estimates[t, b, s.id].quality,
                    quality_sd=estimates[t, b, s.id].quality_sd,
                    gap_sd=estimates[t, b, s.id].gap_sd,
                    cost_usd=estimates[t, b, s.id].cost_usd,
                    latency_ms=estimates[t, b, s.id].latency_ms,
                )
                for t in types
                for b in BANDS
                for s in self._catalogue.strategies
            ),
            incumbents=changed.incumbents,
            graph_off=changed.graph_off,
            optimizations=optimizations,
            evidence=Evidence(requests=requests, rated=rated, watermark=dict(sorted(watermark.items()))),
            sentence=_summary(optimizations, requests, rated),
            heads=None if contextual is None else written(contextual.learned),
        )
        return self._within_limit(profile, seen)

    def _within_limit(self, profile: ProfileUpdated, seen: Mapping[Cell, Sums]) -> ProfileUpdated:
        """The profile without the users' own content types of least evidence, where it is too large for the wire.

        What is left out is answered by the built-in rules' prior, and told in the log.
        """
        own = sorted({b.content_type for b in profile.beliefs} - set(BUILT_IN_TYPES))
        by_evidence = sorted(own, key=lambda t: (sum(s.requests for cell, s in seen.items() if cell[0] == t), t))
        left_out: list[str] = []
        while by_evidence and len(self._codec.encode(profile)) > MAX_PROFILE_BYTES:
            left_out.append(by_evidence.pop(0))
            profile = msgspec.structs.replace(
                profile,
                beliefs=tuple(b for b in profile.beliefs if b.content_type not in left_out),
                incumbents=tuple(i for i in profile.incumbents if i.content_type not in left_out),
                graph_off=tuple(g for g in profile.graph_off if g.content_type not in left_out),
            )
        if left_out:
            self._log.warning("profile_too_large", scope=profile.scope, content_types_left_out=left_out)
        return profile

    def _rolled_back(
        self,
        connection: duckdb.DuckDBPyConnection,
        watermark: Mapping[str, int],
        order: RollbackOrdered,
        done: Sequence[ProfileUpdated],
    ) -> ProfileUpdated | None:
        # ``done`` are the answers to the orders before this one, which no table holds yet
        earlier = {profile.version: profile for profile in done if profile.scope == order.scope}
        newest = earlier[max(earlier)] if earlier else self._newest(connection, order.scope)
        target = None
        if order.to_version:
            target = earlier.get(order.to_version) or self._version(connection, order.scope, order.to_version)
        if newest is None or (order.to_version and target is None):
            self._log.error("rollback_impossible", scope=order.scope, to_version=order.to_version)
            return None
        goal = f"version {order.to_version}" if order.to_version else "the built-in rules"
        sentence = f"rolled back from version {newest.version} to {goal}" + (
            f": {order.reason}" if order.reason else ""
        )
        change = Optimization(
            kind="rolled_back",
            content_type="",
            before=f"version {newest.version}",
            after=goal,
            requests=newest.evidence.requests,
            sentence=sentence,
        )
        version = newest.version + 1
        return ProfileUpdated(
            event_id=event_id("ProfileUpdated", order.scope, str(version)),
            occurred_at_us=order.occurred_at_us,
            scope=order.scope,
            version=version,
            parent=newest.version,
            learner=newest.learner,
            kind="rolled_back",
            restored_version=order.to_version,
            beliefs=target.beliefs if target else (),
            incumbents=target.incumbents if target else (),
            graph_off=target.graph_off if target else (),
            heads=target.heads if target else None,
            optimizations=(change,),
            evidence=Evidence(
                requests=newest.evidence.requests,
                rated=newest.evidence.rated,
                watermark=dict(sorted(watermark.items())),
            ),
            sentence=sentence,
        )


def _summary(optimizations: Sequence[Optimization], requests: int, rated: int) -> str:
    rests = f"{requests:,} rewarded requests, {rated:,} of them rated by users"
    if not optimizations:
        return f"beliefs follow {rests}; nothing else changed"
    return f"{'; '.join(change.sentence for change in optimizations[:3])} (in all {rests})"
