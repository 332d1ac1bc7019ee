"""The private DuckDB file: opened by one process, in one transaction at a time.

In: its path. Out: a connection with the settings and the migrations in force. Keeps the lock on the file while it
is open. Fails with ``Unconfigured``: another process has the file (its pid is named), or it is a newer DuckDB's; with
``Damaged``: it is not a DuckDB file, or torn; with ``duckdb.Error`` where the disk is full or not ours to write.
"""

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

import duckdb
import pyarrow as pa

from analytics.migrating import FOLDER, migrate
from streams.errors import Unconfigured

NAME = "private.duckdb"
REBUILT = "Start analytics: it sets the file aside and builds it again from the segments and the log."
_OF_THE_DISK = ("no space left", "quota", "file too large", "permission denied", "read-only file system")
_TORN = (
    "could not read enough bytes",
    "corrupt",
    "checksum",
    "not a valid duckdb",
    "invalidated",
    "internal error",
    "serialization error",
)
SETTINGS: dict[str, str | bool | int | float | list[str]] = {
    "memory_limit": "224MB",
    "threads": "2",
    "autoinstall_known_extensions": "false",
    "allocator_flush_threshold": "16MB",
    "allocator_bulk_deallocation_flush_threshold": "32MB",
}
"""Memory is for what DuckDB reads and sorts, and is filled sooner or later; what does not fit is read again or goes to the disk."""


class Damaged(Unconfigured):
    """A file of the storage is torn or missing; ``rebuilding.rebuild`` sets it aside and builds the private file again."""


def is_torn(error: BaseException) -> bool:
    """Say whether an error of DuckDB says that a block of a file is not what was written."""
    text = str(error).lower()
    said = ("corrupt" in text and "checksum" in text) or "could not read enough bytes" in text
    return isinstance(error, duckdb.Error) and said


def is_damage(error: BaseException) -> bool:
    """Say whether an error of DuckDB means that a file is not what was written."""
    if isinstance(error, duckdb.InternalException | duckdb.FatalException):
        return not any(words in str(error).lower() for words in _OF_THE_DISK)
    return isinstance(error, duckdb.Error) and any(words in str(error).lower() for words in _TORN)


def open_private(folder: Path, migrations: Path = FOLDER) -> duckdb.DuckDBPyConnection:
    """Open the private file of an analytics folder for writing; both are made where they are missing."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / NAME
    try:
        connection = duckdb.connect(str(path), config={**SETTINGS, "temp_directory": str(folder / "spill")})
    except duckdb.Error as error:
        raise _explained(path, error) from error
    try:
        migrate(connection, migrations)
    except duckdb.Error as error:
        connection.close()
        if is_damage(error):
            raise _explained(path, error) from error
        raise
    except BaseException:
        connection.close()
        raise
    return connection


def _explained(path: Path, error: duckdb.Error) -> Exception:
    text = str(error)
    if any(words in text.lower() for words in _OF_THE_DISK):
        return error
    if "version number" in text.lower():
        return Unconfigured(
            f"{path} was written by another DuckDB: {text.strip()}",
            remedy="Run the Penstock that wrote it, or a newer one.",
        )
    if "could not set lock" in text.lower():
        holder = re.search(r"PID (\d+)", text)
        who = f"process {holder.group(1)}" if holder else "another process"
        return Unconfigured(
            f"{path} is open in {who}.",
            remedy="Only one analytics process may run on a folder: stop that one, or set PENSTOCK_VAR.",
        )
    return Damaged(
        f"{path} is damaged: {text.strip()}",
        remedy=REBUILT,
    )


@contextmanager
def transaction(connection: duckdb.DuckDBPyConnection) -> Iterator[None]:
    """Commit what is done inside, or, on any exception, none of it."""
    connection.begin()
    try:
        yield
    except BaseException:
        with suppress(duckdb.Error):  # a connection that is broken has nothing to roll back
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
