"""The facts of a log in a DuckDB file that is thrown away afterwards: so that memory is bounded, however long the log is.

In: rows, table by table. Out: answers to SQL. Keeps a file in the folder given, and at most ``MEMORY`` of memory; sorting and
joining beyond that goes to the folder too. Fails with DuckDB's errors (a full disk).
"""

from pathlib import Path
from types import TracebackType
from typing import Any, Self

import duckdb
import pyarrow as pa

MEMORY = "320MB"
_ROWS_AT_ONCE = 30_000

_EVENT = {"who": pa.int64(), "id": pa.int64(), "digest": pa.int64(), "logged_ms": pa.int64()}
_PLACE = {"part": pa.int32(), "off": pa.int64()}
TABLES: dict[str, dict[str, Any]] = {
    "request": {**_EVENT, **_PLACE, "until_us": pa.int64()},
    "plan": {**_EVENT, **_PLACE, "until_us": pa.int64(), "asked_ms": pa.int64()},
    "deferred": {**_EVENT, **_PLACE},
    "generation": {**_EVENT, **_PLACE, "cost_usd": pa.float64()},
    "response": {
        **_EVENT,
        **_PLACE,
        "asked_ms": pa.int64(),
        "answered": pa.bool_(),
        "given_up": pa.bool_(),
        "cost_usd": pa.float64(),
        "generation": pa.int64(),
    },
    "feedback": {**_EVENT, **_PLACE},
    "reward": {**_EVENT, **_PLACE},
    "letter": {"stage": pa.string(), "topic": pa.string(), **_PLACE},
    "garbage": {"topic": pa.string(), **_PLACE, "logged_ms": pa.int64()},
    "cut": {"topic": pa.string(), "part": pa.int32(), "first_ms": pa.int64()},
}
"""Every table with its columns.

``cut`` has a row for each partition whose beginning is not there: what lies before ``first_ms`` (the time of the first message that
is) was forgotten, or not asked for.
"""
_SCHEMAS = {name: pa.schema(list(columns.items())) for name, columns in TABLES.items()}


class Store:
    """A DuckDB of facts; use it as a context manager."""

    def __init__(self, folder: Path) -> None:
        self._rows: dict[str, list[tuple[Any, ...]]] = {name: [] for name in TABLES}
        self._connection = duckdb.connect(str(folder / "facts.duckdb"))
        for setting in (
            f"SET memory_limit = '{MEMORY}'",
            f"SET temp_directory = '{folder}'",
            "SET preserve_insertion_order = false",
            "SET threads = 2",
        ):
            self._connection.execute(setting)
        for name, schema in _SCHEMAS.items():
            self._connection.register("nothing", schema.empty_table())
            self._connection.execute(f"CREATE TABLE {name} AS FROM nothing")
            self._connection.unregister("nothing")

    def put(self, table: str, row: tuple[Any, ...]) -> None:
        """Take in a row."""
        rows = self._rows[table]
        rows.append(row)
        if len(rows) >= _ROWS_AT_ONCE:
            self._store(table)

    def _store(self, table: str) -> None:
        rows, schema = self._rows[table], _SCHEMAS[table]
        columns = [pa.array(column, kind.type) for column, kind in zip(zip(*rows, strict=True), schema, strict=True)]
        self._connection.register("incoming", pa.table(columns, schema=schema))
        self._connection.execute(f"INSERT INTO {table} FROM incoming")
        self._connection.unregister("incoming")
        rows.clear()

    def ask(self, sql: str) -> list[tuple[Any, ...]]:
        """Give the rows of a query; everything that was put is in it."""
        for table, rows in self._rows.items():
            if rows:
                self._store(table)
        return self._connection.execute(sql).fetchall()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._connection.close()
