"""Parquet segments: append-only files of events, one event type each, named by the offsets in them.

In: Arrow tables of a batch, or the names of segments to merge. Out: files under ``segments/<event>/``, written
beside their place, synced, renamed. Keeps nothing but the files. Fails with ``OSError`` (disk full, no permission):
the caller's transaction then does not happen, and what was written is an orphan that ``remove_unlisted`` removes at
the next start.
"""

import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from analytics.columns import COLUMNS, TEXT_COLUMNS
from schemas.generate import snake

SEGMENTS = "segments"
_UNFINISHED = ".unfinished"
MERGED_FROM = "merged_from"
"""Under this name a merged file lists the files whose events it holds."""
_LOOKED_FOR = ("request_id",)
"""Columns of which a file says what is surely not in it, so that one request is found without reading them all."""
ROW_GROUP = 20_480
"""Rows that are read or passed over together."""


@dataclass(frozen=True, slots=True)
class Segment:
    """A segment in force. ``path`` is relative to the analytics folder."""

    path: str
    event: str
    level: int
    columns: str
    event_count: int
    bytes: int
    first_logged_at_us: int
    last_logged_at_us: int
    has_text: bool


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def put_in_place(unfinished: Path, target: Path) -> int:
    """Sync a finished file, give it its name, and give its size in bytes."""
    handle = os.open(unfinished, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
    size = unfinished.stat().st_size
    unfinished.replace(target)
    sync_folder(target.parent)
    return size


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def path_list(folder: Path, paths: Iterable[str]) -> str:
    """Give the SQL list of absolute paths."""
    return "[" + ", ".join(_quoted(str(folder / path)) for path in paths) + "]"


def _offset_ranges(table: pa.Table) -> list[tuple[str, int, int, int]]:
    ranges = table.group_by(["topic", "partition"]).aggregate([("log_offset", "min"), ("log_offset", "max")])
    return sorted(
        (row["topic"], row["partition"], row["log_offset_min"], row["log_offset_max"]) for row in ranges.to_pylist()
    )


def _name(origins: Sequence[object]) -> str:
    return blake2b(repr(origins).encode(), digest_size=8).hexdigest()


def write_segment(folder: Path, event: str, table: pa.Table) -> Segment:
    """Write the events of one type of a batch; ``table`` has the batch's columns and at least one row.

    The name tells the first partition with its offsets, how many other partitions there are, and a hash of all of them.
    """
    columns = COLUMNS[event]
    kept = columns.to_store(table)
    ranges = _offset_ranges(kept)
    _, partition, first, last = ranges[0]
    stem = f"{partition}.{first}-{last}+{len(ranges) - 1}.{_name([*ranges, columns.name])}"
    path = f"{SEGMENTS}/{snake(event)}/{stem}.parquet"
    target = folder / path
    target.parent.mkdir(parents=True, exist_ok=True)
    unfinished = target.with_suffix(_UNFINISHED)
    looked_for = {name: {"ndv": min(kept.num_rows, ROW_GROUP)} for name in _LOOKED_FOR if name in kept.column_names}
    with _removed_on_failure(unfinished):
        pq.write_table(
            kept, unfinished, compression="zstd", row_group_size=ROW_GROUP, bloom_filter_options=looked_for or None
        )
    logged = pc.min_max(table["logged_at_us"]).as_py()
    return Segment(
        path=path,
        event=event,
        level=0,
        columns=columns.name,
        event_count=kept.num_rows,
        bytes=put_in_place(unfinished, target),
        first_logged_at_us=logged["min"],
        last_logged_at_us=logged["max"],
        has_text=event in TEXT_COLUMNS,
    )


def merge_segments(
    connection: duckdb.DuckDBPyConnection, folder: Path, merged: Sequence[Segment], *, forget_text: bool = False
) -> Segment:
    """Write one segment with the events of ``merged`` (one event type, the same columns), the newest first.

    ``forget_text`` leaves the columns with text empty.
    """
    first = merged[0]
    emptied = TEXT_COLUMNS.get(first.event, ()) if forget_text else ()
    stem = f"{'forgotten' if forget_text else 'merged'}.{_name([s.path for s in merged])}"
    path = f"{SEGMENTS}/{snake(first.event)}/{stem}.parquet"
    target = folder / path
    unfinished = target.with_suffix(_UNFINISHED)
    replaced = (
        f" REPLACE ({', '.join(f'CASE WHEN false THEN {name} END AS {name}' for name in emptied)})" if emptied else ""
    )
    source = path_list(folder, [s.path for s in merged])
    newest_first = " ORDER BY occurred_at DESC" if first.columns == COLUMNS[first.event].name else ""
    names = "\n".join(s.path for s in merged)
    select = f"SELECT *{replaced} FROM read_parquet({source}){newest_first}"  # noqa: S608 - paths are ours, quoted
    copy_to_parquet(connection, select, unfinished, merged_from=names)
    return Segment(
        path=path,
        event=first.event,
        level=first.level if forget_text else max(s.level for s in merged) + 1,
        columns=first.columns,
        event_count=sum(s.event_count for s in merged),
        bytes=put_in_place(unfinished, target),
        first_logged_at_us=min(s.first_logged_at_us for s in merged),
        last_logged_at_us=max(s.last_logged_at_us for s in merged),
        has_text=not forget_text and any(s.has_text for s in merged),
    )


def copy_to_parquet(
    connection: duckdb.DuckDBPyConnection, select: str, target: Path, *, merged_from: str | None = None
) -> None:
    """Write the rows of a query to a file, and in it the names of the files that it takes the place of, a line each."""
    # only columns with a dictionary get a Bloom filter: so every one that fits has one
    options = f"FORMAT parquet, COMPRESSION zstd, ROW_GROUP_SIZE {ROW_GROUP}, DICTIONARY_SIZE_LIMIT {ROW_GROUP}"
    if merged_from is not None:
        options += f", KV_METADATA {{{MERGED_FROM}: {_quoted(merged_from)}}}"
    with _removed_on_failure(target):
        connection.execute(f"COPY ({select}) TO {_quoted(str(target))} ({options})")


@contextmanager
def _removed_on_failure(unfinished: Path) -> Iterator[None]:
    """Leave no half of a file behind: on a full disk it would be in the way of everything else."""
    try:
        yield
    except BaseException:
        unfinished.unlink(missing_ok=True)
        raise


def is_whole(path: Path) -> bool:
    """Say whether a file has the end of a Parquet file: a torn one has not."""
    try:
        pq.read_metadata(path)
    except (OSError, pa.ArrowException):
        return False
    return True


def can_be_read(path: Path) -> bool:
    """Say whether a segment can be read to its end."""
    try:
        with pq.ParquetFile(path) as file:
            for group in range(file.num_row_groups):
                file.read_row_group(group)
    except (OSError, pa.ArrowException):
        return False
    return True


def remove_unlisted(folder: Path, subfolder: str, listed: set[str]) -> list[str]:
    """Remove the files below ``subfolder`` that are not ``listed``; what was removed, relative to ``folder``."""
    removed = []
    for path in sorted((folder / subfolder).rglob("*")):
        relative = path.relative_to(folder).as_posix()
        if path.is_file() and relative not in listed:
            path.unlink()
            removed.append(relative)
    return removed
