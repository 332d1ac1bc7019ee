"""The private DuckDB file: opened by one process, in one transaction at a time.

In: its path. Out: a connection with the settings and the migrations in force. Keeps the lock on the file while it
is open. Fails with ``Unconfigured``: another process has the file (its pid is named), or it is not a DuckDB file.
"""

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import duckdb
import pyarrow as pa

from analytics.migrating import FOLDER, migrate
from streams.errors import Unconfigured

NAME = "private.duckdb"
_SETTINGS = {"memory_limit": "512MB", "threads": "2", "autoinstall_known_extensions": "false"}


def open_private(folder: Path, migrations: Path = FOLDER) -> duckdb.DuckDBPyConnection:
    """Open the private file of an analytics folder for writing; both are made where they are missing."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / NAME
    try:
        connection = duckdb.connect(str(path), config={**_SETTINGS, "temp_directory": str(folder / "spill")})
    except duckdb.Error as error:
        raise _explained(path, error) from error
    try:
        migrate(connection, migrations)
    except BaseException:
        connection.close()
        raise
    return connection


def _explained(path: Path, error: duckdb.Error) -> Unconfigured:
    text = str(error)
    if "lock" in text.lower():
        holder = re.search(r"PID (\d+)", text)
        who = f"process {holder.group(1)}" if holder else "another process"
        return Unconfigured(
            f"{path} is open in {who}.",
            remedy="Only one analytics process may run on a folder: stop that one, or set PENSTOCK_VAR.",
        )
    return Unconfigured(
        f"{path} cannot be opened: {text.strip()}",
        remedy=(
            "Restore it from a copy, or move the whole analytics folder away: "
            "it is then built again from what the topics still hold."
        ),
    )


@contextmanager
def transaction(connection: duckdb.DuckDBPyConnection) -> Iterator[None]:
    """Commit what is done inside, or, on any exception, none of it."""
    connection.begin()
    try:
        yield
    except BaseException:
        connection.rollback()
        raise
    connection.commit()


@contextmanager
def registered(connection: duckdb.DuckDBPyConnection, tables: Mapping[str, pa.Table]) -> Iterator[None]:
    """Let SQL read Arrow tables by name inside."""
    names = []
    try:
        for name, table in tables.items():
            connection.register(name, table)
            names.append(name)
        yield
    finally:
        for name in names:
            connection.unregister(name)
