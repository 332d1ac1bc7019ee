"""Migrations of the private file: numbered ``.sql`` files, forward only, each applied once in a transaction of its
own.

In: an open connection and a folder of ``NNN_name.sql``. Out: the tables. Keeps the table ``migration`` (number,
name, checksum). Fails with ``Unconfigured``: a migration was changed after it had been applied, or the file was
written by a newer Penstock.
"""

from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import duckdb

from streams.errors import Unconfigured

FOLDER = Path(__file__).parent / "migrations"


@dataclass(frozen=True)
class Migration:
    """One file: ``number`` from its name, counted from 1."""

    number: int
    name: str
    sql: str

    @property
    def checksum(self) -> str:
        """SHA-256 of the text."""
        return sha256(self.sql.encode()).hexdigest()


def migrations(folder: Path = FOLDER) -> list[Migration]:
    """List the migrations in order; ``ValueError`` where the numbers are not 1, 2, 3 ..."""
    found = [
        Migration(int(path.stem.split("_")[0]), path.stem, path.read_text(encoding="utf-8"))
        for path in sorted(folder.glob("*.sql"))
    ]
    if [migration.number for migration in found] != list(range(1, len(found) + 1)):
        msg = f"{folder}: migrations must be numbered 001, 002, ... without gaps"
        raise ValueError(msg)
    return found


def migrate(connection: duckdb.DuckDBPyConnection, folder: Path = FOLDER) -> list[int]:
    """Apply what is missing; the numbers applied now."""
    connection.execute("CREATE TABLE IF NOT EXISTS migration (number INTEGER, name VARCHAR, checksum VARCHAR)")
    wanted = migrations(folder)
    applied = connection.execute("SELECT number, name, checksum FROM migration ORDER BY number").fetchall()
    if len(applied) > len(wanted):
        raise Unconfigured(
            f"The analytics file has migration {applied[-1][1]}, which this Penstock does not know.",
            remedy="Run the newer Penstock that wrote it; migrations only go forward.",
        )
    for migration, (_, name, checksum) in zip(wanted, applied, strict=False):
        if checksum != migration.checksum:
            raise Unconfigured(
                f"Migration {name} was changed after it had been applied.",
                remedy="Restore the file, and put the change into a migration with the next number.",
            )
    missing = wanted[len(applied) :]
    for migration in missing:
        connection.begin()
        try:
            connection.execute(migration.sql)
            connection.execute(
                "INSERT INTO migration VALUES (?, ?, ?)",
                [migration.number, migration.name, migration.checksum],
            )
            connection.commit()
        except BaseException:
            connection.rollback()
            raise
    return [migration.number for migration in missing]
