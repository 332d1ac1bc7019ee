"""Outcomes: one row a request, built up by batches in whatever order its events arrive.

In: the tables of a batch without repeats, inside the caller's transaction. Out: the rows of ``outcome`` as they
stand after it, ``evidence_count`` that follows them, and the temporary table ``touched_window`` with the hours that
changed, for the sums. What holds is said in ``statements/merge_outcomes.sql``. Keeps nothing else. A failure leaves
the transaction to the caller.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import duckdb
import pyarrow as pa

from analytics.columns import COLUMNS
from schemas.generate import snake

OF_OUTCOME = (
    "RequestReceived",
    "RequestRouted",
    "GenerationCompleted",
    "GenerationFailed",
    "ResponseReady",
    "ResponseFailed",
    "RewardComputed",
)
"""The event types that an outcome is made of."""

EVIDENCE = """scope IS NOT NULL AND answered AND reward IS NOT NULL AND latency_ms IS NOT NULL
  AND content_type IS NOT NULL AND band IS NOT NULL AND strategy IS NOT NULL"""
"""What counts as a rewarded request, for what is due and for what is learned alike. ``evidence_count`` was built with
it, so a change needs a migration that builds it again."""

_COUNTED = f"""
SELECT scope, sum(requests)::BIGINT AS requests, sum(rated)::BIGINT AS rated
FROM (
    SELECT scope, requests, rated FROM evidence_count
    UNION ALL
    SELECT scope, -1, -(rated IS TRUE)::INTEGER FROM outcome
    WHERE {EVIDENCE} AND request_key IN (SELECT request_key FROM touched)
    UNION ALL
    SELECT scope, 1, (rated IS TRUE)::INTEGER FROM touched WHERE {EVIDENCE}
)
GROUP BY scope HAVING sum(requests) > 0
"""  # noqa: S608 - the condition of this module


@cache
def statement(name: str) -> str:
    """Give the text of ``statements/<name>.sql``."""
    path = Path(__file__).parent / "statements" / f"{name}.sql"
    return path.read_text(encoding="utf-8")


@contextmanager
def _registered(connection: duckdb.DuckDBPyConnection, tables: Mapping[str, pa.Table]) -> Iterator[None]:
    names = []
    try:
        for event in OF_OUTCOME:
            name = f"batch_{snake(event)}"
            table = tables.get(event)
            connection.register(name, table if table is not None else COLUMNS[event].table([]))
            names.append(name)
        yield
    finally:
        for name in names:
            connection.unregister(name)


def merge_outcomes(connection: duckdb.DuckDBPyConnection, tables: Mapping[str, pa.Table]) -> bool:
    """Bring ``outcome`` up to date; whether a row changed."""
    if not any(event in tables for event in OF_OUTCOME):
        return False
    with _registered(connection, tables):
        connection.execute(f"CREATE OR REPLACE TEMP TABLE touched AS {statement('merge_outcomes')}")
    connection.execute("""
        CREATE OR REPLACE TEMP TABLE touched_window AS
        SELECT window_start_us FROM touched
        UNION
        SELECT window_start_us FROM outcome WHERE request_key IN (SELECT request_key FROM touched)
    """)
    connection.execute(f"CREATE OR REPLACE TEMP TABLE counted AS {_COUNTED}")
    connection.execute("DELETE FROM evidence_count")
    connection.execute("INSERT INTO evidence_count BY NAME SELECT * FROM counted")
    connection.execute("DELETE FROM outcome WHERE request_key IN (SELECT request_key FROM touched)")
    connection.execute("INSERT INTO outcome BY NAME SELECT * FROM touched")
    return True
