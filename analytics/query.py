"""Reading the public file: any number of processes, while analytics writes.

In: a deployment, or a connection, and SQL. Out: columns and rows. Keeps nothing; a connection sees the state at the
moment it was opened, and after a minute the files of that state may be gone, so open, ask, close. Fails with
``Unconfigured`` (nothing was written yet; not a file of ours) and ``QueryFailed`` (DuckDB's message about the SQL).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import duckdb

from analytics.public import NAME
from streams.deployment import Deployment
from streams.errors import Code, PenstockError, Unconfigured

SETTINGS: dict[str, str | bool | int | float | list[str]] = {
    "threads": "2",
    "memory_limit": "1GB",
    "late_materialization_max_rows": "1000",
}
"""The newest so many rows of a view are found by their time alone; only then are their other columns read."""


class QueryFailed(PenstockError):
    """DuckDB refused a query, or it failed on the way."""

    code = Code.INVALID_REQUEST


@dataclass(frozen=True, slots=True)
class Answer:
    """What a query gave: column names, and rows as tuples of Python values."""

    columns: tuple[str, ...]
    rows: list[tuple[Any, ...]]


def open_public(deployment: Deployment) -> duckdb.DuckDBPyConnection:
    """Open the public file read-only. All times in it are UTC."""
    path = deployment.analytics_folder / NAME
    if not path.exists():
        raise Unconfigured(
            f"There is no {path} yet.",
            remedy="It appears as soon as analytics runs: `penstock up` or `penstock worker analytics`.",
        )
    try:
        return duckdb.connect(str(path), read_only=True, config=SETTINGS)
    except duckdb.Error as error:
        raise Unconfigured(
            f"{path} cannot be opened: {str(error).strip()}",
            remedy="Start analytics once (`penstock worker analytics`): it writes the file anew.",
        ) from error


def rows(deployment: Deployment, sql: str, parameters: Sequence[object] = ()) -> Answer:
    """Answer one query from the newest state."""
    with open_public(deployment) as connection:
        try:
            cursor = connection.execute(sql, list(parameters))
            columns = tuple(column[0] for column in cursor.description or ())
            return Answer(columns, cursor.fetchall() if columns else [])
        except duckdb.Error as error:
            raise QueryFailed(
                str(error).strip(),
                remedy="`SHOW TABLES` lists the views, `DESCRIBE outcomes` the columns of one.",
            ) from error
