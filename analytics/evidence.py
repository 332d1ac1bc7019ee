"""What is learned from: the newest rewarded requests of a scope with their feature vectors, in the order of the log.

In: the tables ``outcome`` and ``outcome_plan``, inside the caller's transaction. Out: ``Seen``. Keeps for each scope the oldest
slice that it has to look at. Fails as DuckDB does.

The order is that of routing, and by request where two were routed in the same microsecond: it depends on the log alone. At most
``MOST_ROWS`` are learned from, counted from the newest; so that what was worked out for the older ones can be kept, the oldest
leave ``LEAVING`` at a time. Vectors of another encoder than the newest's, or of another feature set, mean something else and are
left out; so are strategies that the catalogue no longer has.
"""

from dataclasses import dataclass
from typing import Any, Final

import duckdb
import numpy as np

from agents.deciding.features import EMBEDDED, FEATURE_SET, PLAIN
from analytics.beliefs import AUTOMATIC_SHARE
from analytics.fitting.leading import Kind
from analytics.fitting.rows import Floats, Index, Rows
from analytics.outcomes import EVIDENCE

MOST_ROWS: Final = 10_000
LEAVING: Final = 1_000
MOST_FEATURE: Final = 1e6
"""No number of a feature vector is larger; where one is, or is none, somebody else wrote the plan."""
_WIDTH: Final = PLAIN + EMBEDDED
_BY_SLICE = f"SELECT slice, count(*) FROM outcome WHERE scope = ? AND {EVIDENCE} GROUP BY slice ORDER BY slice DESC"  # noqa: S608 - ours
_NEWEST = f"""
WITH newest AS (
    SELECT slice, request_key, routed_at_us, content_type, band, strategy, reward, rated, cost_usd, latency_ms
    FROM outcome WHERE scope = $scope AND slice >= $slice AND routed_at_us IS NOT NULL AND {EVIDENCE}
    ORDER BY routed_at_us DESC, request_key DESC LIMIT $most
)
SELECT o.routed_at_us, o.content_type, o.band, o.strategy, o.reward, coalesce(o.rated, false) AS rated, o.cost_usd, o.latency_ms,
    p.features, p.encoder,
    coalesce(list_filter(p.probabilities, lambda x: x.strategy = o.strategy)[1].probability, 0) AS propensity
FROM newest o JOIN outcome_plan p ON p.slice = o.slice AND p.request_key = o.request_key
WHERE p.slice >= $slice AND p.feature_set = $feature_set AND len(p.features) = $width
ORDER BY o.routed_at_us, o.request_key
"""  # noqa: S608 - names of ours


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


class EvidenceReader:
    """Reads what a scope has seen."""

    def __init__(self, strategies: tuple[str, ...]) -> None:
        self._place = {name: place for place, name in enumerate(strategies)}
        self._slices: dict[str, tuple[int, int]] = {}

    def read(self, connection: duckdb.DuckDBPyConnection, scope: str, requests: int) -> Seen | None:
        """What a scope has seen in so many rewarded requests; None where no feature vector was logged."""
        most = MOST_ROWS if requests <= MOST_ROWS else MOST_ROWS - LEAVING + requests % LEAVING
        asked = {
            "scope": scope,
            "slice": self._oldest_slice(connection, scope),
            "most": most,
            "feature_set": FEATURE_SET,
            "width": _WIDTH,
        }
        table: Any = connection.sql(_NEWEST, params=asked).to_arrow_table()
        if not table.num_rows:
            return None
        columns: dict[str, Any] = {name: table[name].combine_chunks() for name in table.column_names}
        encoders = np.array(columns["encoder"].to_pylist())
        places = np.array([self._place.get(name, -1) for name in columns["strategy"].to_pylist()], dtype=np.intp)
        features = columns["features"].flatten().to_numpy(zero_copy_only=False).reshape(-1, _WIDTH)
        known = (encoders == encoders[-1]) & (places >= 0) & (np.abs(features) <= MOST_FEATURE).all(axis=1)
        for name in ("reward", "cost_usd", "latency_ms"):
            known &= np.isfinite(columns[name].to_numpy())
        if not known.any():
            return None
        rated = columns["rated"].to_numpy(zero_copy_only=False)
        rows = Rows(
            features,
            places,
            np.clip(columns["reward"].to_numpy(), 0.0, 1.0),
            np.maximum(columns["cost_usd"].to_numpy(), 0.0),
            np.maximum(columns["latency_ms"].to_numpy(), 0.0),
            np.where(rated, 1.0, AUTOMATIC_SHARE),
        )
        propensity = columns["propensity"].to_numpy()
        kinds = zip(columns["content_type"].to_pylist(), columns["band"].to_pylist(), known.tolist(), strict=True)
        return Seen(
            rows.part(known),
            np.where(propensity > 0.0, propensity, 1.0)[known],
            columns["routed_at_us"].to_numpy()[known],
            tuple((content_type, band) for content_type, band, is_known in kinds if is_known),
            str(encoders[-1]),
        )

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
