"""The public file: a DuckDB file that holds only views, replaced as a whole, for any number of readers.

In: the storage. Out: ``penstock.duckdb`` with the views of ``views/*.sql``, over segments and over two exports of
the private file: the outcomes, one Parquet file an hour (only hours that changed are written again), and the sums.
The new file is built in a folder beside and takes the old one's place by a rename, so that who has the old one open
keeps what it saw, and who opens it next sees the new. Files that the old one names are deleted after a grace
(``upkeep``). Keeps nothing else. A failure leaves the old public file in place and is raised.

The views name their files by absolute path: they can be read from any working directory, on the machine that wrote
them.
"""

from collections import defaultdict
from functools import cache
from pathlib import Path

import duckdb

from analytics.columns import COLUMNS
from analytics.parquet_files import copy_to_parquet, path_list, put_in_place, sync_folder
from analytics.private_file import transaction
from analytics.storage import EXPORTS, Storage
from schemas.generate import snake

NAME = "penstock.duckdb"
VIEWS = Path(__file__).parent / "views"
_BUILDING = "building"
_EVENTS = "events"
_NOT_PUBLIC = ("request_key",)


def publish(storage: Storage, now_us: int) -> Path:
    """Export what changed and replace the public file; its path."""
    (storage.folder / EXPORTS).mkdir(exist_ok=True)
    _export_outcomes(storage, now_us)
    _export_sums(storage, now_us)
    return _replace(storage)


def _export(storage: Storage, name: str, select: str) -> str:
    (number,) = storage.connection.execute("SELECT nextval('export_number')").fetchall()[0]
    path = f"{EXPORTS}/{name}.{number}.parquet"
    target = storage.folder / path
    unfinished = target.with_suffix(".unfinished")
    copy_to_parquet(storage.connection, select, unfinished)
    put_in_place(unfinished, target)
    return path


def _drop(storage: Storage, path: str | None, now_us: int) -> None:
    if path is not None:
        storage.connection.execute("INSERT INTO dropped_file VALUES (?, ?)", [path, now_us])


def _export_outcomes(storage: Storage, now_us: int) -> None:
    stale = storage.connection.execute(
        "SELECT window_start_us, path FROM outcome_slice WHERE stale ORDER BY window_start_us"
    ).fetchall()
    for window, old in stale:
        select = f"SELECT * EXCLUDE ({', '.join(_NOT_PUBLIC)}) FROM outcome WHERE window_start_us = {window:d}"  # noqa: S608 - names and numbers of ours
        path = _export(storage, f"outcomes.{window // 3_600_000_000}", select)
        with transaction(storage.connection):
            _drop(storage, old, now_us)
            storage.connection.execute(
                "UPDATE outcome_slice SET path = ?, stale = false WHERE window_start_us = ?",
                [path, window],
            )


def _export_sums(storage: Storage, now_us: int) -> None:
    path = _export(storage, "sums", "SELECT * FROM strategy_sums")
    with transaction(storage.connection):
        for (old,) in storage.connection.execute("SELECT path FROM exported_sums").fetchall():
            _drop(storage, old, now_us)
        storage.connection.execute("DELETE FROM exported_sums")
        storage.connection.execute("INSERT INTO exported_sums VALUES (?)", [path])


@cache
def _typed_nothing(event: str) -> str:
    """Give a query without rows whose columns are an event's, so that a view is right before the first event."""
    with duckdb.connect(":memory:") as connection:
        connection.register("nothing", COLUMNS[event].schema.empty_table())
        described = connection.execute("DESCRIBE nothing").fetchall()
    return _nothing([(row[0], row[1]) for row in described])


def _nothing(columns: list[tuple[str, str]]) -> str:
    nulls = ", ".join(f'CAST(NULL AS {kind}) AS "{name}"' for name, kind in columns)
    return f"SELECT {nulls} WHERE false"


def _over_files(nothing: str, folder: Path, groups: list[list[str]]) -> str:
    parts = [nothing, *(f"SELECT * FROM read_parquet({path_list(folder, group)})" for group in groups)]  # noqa: S608 - names and numbers of ours
    return " UNION ALL BY NAME ".join(f"({part})" for part in parts)


def _sources(storage: Storage) -> dict[str, str]:
    """Give the query behind each table that the views stand on."""
    by_columns: dict[str, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for segment in storage.segments():
        by_columns[segment.event][segment.columns].append(segment.path)
    sources = {
        snake(event): _over_files(_typed_nothing(event), storage.folder, list(by_columns[event].values()))
        for event in COLUMNS
    }
    for name, table, query in (
        ("outcome", "outcome", "SELECT path FROM outcome_slice WHERE path IS NOT NULL ORDER BY window_start_us"),
        ("strategy_sums", "strategy_sums", "SELECT path FROM exported_sums"),
    ):
        described = storage.connection.execute(f"DESCRIBE {table}").fetchall()
        nothing = _nothing([(row[0], row[1]) for row in described if row[0] not in _NOT_PUBLIC])
        paths = [path for (path,) in storage.connection.execute(query).fetchall()]
        sources[name] = _over_files(nothing, storage.folder, [paths] if paths else [])
    return sources


def _replace(storage: Storage) -> Path:
    # The same file name in another folder: DuckDB calls a database by its file's name.
    building = storage.folder / _BUILDING / NAME
    building.parent.mkdir(exist_ok=True)
    for leftover in building.parent.iterdir():
        leftover.unlink()
    with duckdb.connect(str(building), config={"threads": "1", "memory_limit": "256MB"}) as connection:
        connection.execute(f"CREATE SCHEMA {_EVENTS}")
        for name, query in _sources(storage).items():
            connection.execute(f"CREATE VIEW {_EVENTS}.{name} AS {query}")
        for path in sorted(VIEWS.glob("*.sql")):
            connection.execute(path.read_text(encoding="utf-8"))
    target = storage.folder / NAME
    building.replace(target)
    sync_folder(storage.folder)
    return target
