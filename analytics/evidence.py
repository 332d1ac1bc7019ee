"""What is learned from: the newest rewarded requests of a scope with their feature vectors, in the order of the log.

In: the tables ``outcome`` and ``outcome_plan``, inside the caller's transaction. Out: ``Seen``. Keeps for each scope the oldest
slice that it has to look at, and what the plans of the newest requests said, which never changes: only plans of requests that were
not there the last time are read. Fails as DuckDB does.

The order is that of routing, and by request where two were routed in the same microsecond: it depends on the log alone. At most
``MOST_ROWS`` are learned from, counted from the newest; so that what was worked out for the older ones can be kept, the oldest
leave ``LEAVING`` at a time. Vectors of another encoder than the newest's, or of another feature set, mean something else and are
left out; so are strategies that the catalogue no longer has.
"""

from dataclasses import dataclass
from typing import Any, Final

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from agents.deciding.features import EMBEDDED, FEATURE_SET, PLAIN
from analytics.beliefs import AUTOMATIC_SHARE
from analytics.fitting.leading import Kind
from analytics.fitting.rows import Floats, Index, Rows
from analytics.outcomes import EVIDENCE
from analytics.private_file import registered

MOST_ROWS: Final = 10_000
LEAVING: Final = 1_000
MOST_FEATURE: Final = 1e6
"""No number of a feature vector is larger; where one is, or is none, somebody else wrote the plan."""
_WIDTH: Final = PLAIN + EMBEDDED
_BY_SLICE = f"SELECT slice, count(*) FROM outcome WHERE scope = ? AND {EVIDENCE} GROUP BY slice ORDER BY slice DESC"  # noqa: S608 - ours
_NEWEST = f"""
SELECT slice, request_key::VARCHAR AS key, routed_at_us, content_type, band, strategy, reward, coalesce(rated, false) AS rated,
    cost_usd, latency_ms
FROM outcome WHERE scope = $scope AND slice >= $slice AND routed_at_us IS NOT NULL AND {EVIDENCE}
ORDER BY routed_at_us DESC, request_key DESC LIMIT $most
"""  # noqa: S608 - names of ours
_OF_PLANS = """
SELECT n.key, p.features, p.encoder,
    coalesce(list_filter(p.probabilities, lambda x: x.strategy = n.strategy)[1].probability, 0) AS propensity
FROM unread n JOIN outcome_plan p ON p.slice = n.slice AND p.request_key = n.key::UUID
WHERE p.slice >= $slice AND p.feature_set = $feature_set AND len(p.features) = $width
"""


@dataclass(frozen=True, eq=False)
class Seen:
    """``propensity`` (n,): of the strategy that answered, 1 where it was not among the eligible; ``routed_at_us``, ``kinds`` (n,):
    content type and band; ``encoder`` of the vectors.
    """

    rows: Rows
    propensity: Floats
    routed_at_us: Index
    kinds: tuple[Kind, ...]
    encoder: str


@dataclass(frozen=True, eq=False)
class _Plans:
    """What the plans of requests said, in the order of ``keys``.

    ``keys`` and ``strategies`` (who answered) are Arrow arrays; ``has_vector`` (n,) says which have ``features`` (n, features),
    ``propensity`` and ``encoder`` (n,).
    """

    keys: Any
    strategies: Any
    has_vector: Any
    features: Floats
    propensity: Floats
    encoder: Any

    @classmethod
    def unread(cls, keys: Any, strategies: Any) -> "_Plans":
        count = len(keys)
        nothing = np.zeros(count, dtype=np.bool_)
        return cls(keys, strategies, nothing, np.zeros((count, _WIDTH)), np.zeros(count), np.full(count, "", object))

    def take(self, places: Index, others: "_Plans", of_others: Index) -> None:
        """Note at ``places`` what others say at theirs."""
        self.has_vector[places] = others.has_vector[of_others]
        self.features[places] = others.features[of_others]
        self.propensity[places] = others.propensity[of_others]
        self.encoder[places] = others.encoder[of_others]


def _places(keys: Any, among: Any) -> Index:
    """Where each key is among others; -1 where it is not."""
    found: Index = pc.fill_null(pc.index_in(keys, value_set=among), -1).to_numpy(zero_copy_only=False).astype(np.intp)
    return found


class EvidenceReader:
    """Reads what a scope has seen."""

    def __init__(self, strategies: tuple[str, ...]) -> None:
        self._place = {name: place for place, name in enumerate(strategies)}
        self._slices: dict[str, tuple[int, int]] = {}
        self._plans: dict[str, _Plans] = {}

    def read(self, connection: duckdb.DuckDBPyConnection, scope: str, requests: int) -> Seen | None:
        """What a scope has seen in so many rewarded requests; None where no feature vector was logged."""
        most = MOST_ROWS if requests <= MOST_ROWS else MOST_ROWS - LEAVING + requests % LEAVING
        asked = {"scope": scope, "slice": self._oldest_slice(connection, scope), "most": most}
        newest: pa.Table = connection.sql(_NEWEST, params=asked).to_arrow_table()
        table = newest.take(pa.array(np.arange(newest.num_rows)[::-1]))
        columns: dict[str, Any] = {name: table[name].combine_chunks() for name in table.column_names}
        plans = self._plans_of(connection, scope, table)
        there = np.flatnonzero(plans.has_vector)
        if not len(there):
            return None
        encoder = str(plans.encoder[there[-1]])
        strategies = columns["strategy"].dictionary_encode()
        numbers = np.array([self._place.get(name, -1) for name in strategies.dictionary.to_pylist()], dtype=np.intp)
        places = numbers[strategies.indices.to_numpy()]
        known = plans.has_vector & (plans.encoder == encoder) & (places >= 0)
        known &= (np.abs(plans.features) <= MOST_FEATURE).all(axis=1)
        for name in ("reward", "cost_usd", "latency_ms"):
            known &= np.isfinite(columns[name].to_numpy())
        if not known.any():
            return None
        rated = columns["rated"].to_numpy(zero_copy_only=False)
        rows = Rows(
            plans.features,
            places,
            np.clip(columns["reward"].to_numpy(), 0.0, 1.0),
            np.maximum(columns["cost_usd"].to_numpy(), 0.0),
            np.maximum(columns["latency_ms"].to_numpy(), 0.0),
            np.where(rated, 1.0, AUTOMATIC_SHARE),
        )
        kinds = zip(
            *(columns[name].filter(pa.array(known)).to_pylist() for name in ("content_type", "band")), strict=True
        )
        return Seen(
            rows.part(known),
            np.where(plans.propensity > 0.0, plans.propensity, 1.0)[known],
            columns["routed_at_us"].to_numpy()[known],
            tuple(kinds),
            encoder,
        )

    def _plans_of(self, connection: duckdb.DuckDBPyConnection, scope: str, table: pa.Table) -> _Plans:
        """What the plans of these requests said, from memory where it was read before."""
        plans = _Plans.unread(table["key"].combine_chunks(), table["strategy"].combine_chunks())
        before = self._plans.get(scope)
        unread = np.arange(table.num_rows)
        if before is not None and table.num_rows:
            places = _places(plans.keys, before.keys)
            same = pc.equal(before.strategies.take(pa.array(places, mask=places < 0)), plans.strategies)
            is_known = pc.fill_null(same, fill_value=False).to_numpy(zero_copy_only=False)
            plans.take(np.flatnonzero(is_known), before, places[is_known])
            unread = np.flatnonzero(~is_known)
        if len(unread):
            self._read(connection, table.take(pa.array(unread)), plans)
        self._plans[scope] = plans
        return plans

    def _read(self, connection: duckdb.DuckDBPyConnection, unread: pa.Table, plans: _Plans) -> None:
        asked = {"slice": pc.min(unread["slice"]).as_py(), "feature_set": FEATURE_SET, "width": _WIDTH}
        with registered(connection, {"unread": unread.select(["slice", "key", "strategy"])}):
            found: Any = connection.sql(_OF_PLANS, params=asked).to_arrow_table()
        if not found.num_rows:
            return
        keys, vectors = found["key"].combine_chunks(), found["features"].combine_chunks()
        read = _Plans(
            keys,
            None,
            np.ones(found.num_rows, dtype=np.bool_),
            vectors.flatten().to_numpy(zero_copy_only=False).reshape(-1, _WIDTH),
            found["propensity"].to_numpy(),
            np.array(found["encoder"].to_pylist(), dtype=object),
        )
        plans.take(_places(keys, plans.keys), read, np.arange(found.num_rows))

    def _oldest_slice(self, connection: duckdb.DuckDBPyConnection, scope: str) -> int:
        """A slice that ``MOST_ROWS`` requests of the scope lie behind, twice: requests of an older one were routed earlier."""
        newest = connection.execute("SELECT coalesce(max(slice), 0) FROM outcome").fetchall()[0][0]
        found = self._slices.get(scope)
        if found is None or found[0] != newest:
            reached, oldest = 0, newest
            for number, count in connection.execute(_BY_SLICE, [scope]).fetchall():
                if reached >= 2 * MOST_ROWS:
                    break
                reached, oldest = reached + count, number
            found = self._slices[scope] = (newest, oldest)
        return found[1]
