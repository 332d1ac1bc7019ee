"""Outcomes: one row a request, built up by batches in whatever order its events arrive.

In: the tables of a batch without repeats, inside the caller's transaction. Out: the rows of ``outcome`` as they
stand after it, and the temporary table ``touched_window`` with the hours that changed, for the sums. What holds is
said in ``statements/merge_outcomes.sql``. Keeps nothing else. A failure leaves the transaction to the caller.
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
    connection.execute("DELETE FROM outcome WHERE request_key IN (SELECT request_key FROM touched)")
    connection.execute("INSERT INTO outcome BY NAME SELECT * FROM touched")
    return True
