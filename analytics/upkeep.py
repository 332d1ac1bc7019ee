"""Upkeep of the files: many small segments become one, text is forgotten in time, dropped files are deleted after a
grace.

In: a storage and the time. Out: fewer, larger segments with the same events. Segments have levels: what a batch
wrote is level 0, and when more than ``MOST_OF_A_LEVEL`` of one event type, level and set of columns are there, the
oldest of them, up to ``FULL_BYTES`` in all, are merged into one of the next level. Segments that still hold text are
merged within a day only, so that no text outlives its time by more than that. The new file is written and synced first,
by ``Upkeep`` in a thread beside, so that taking in goes on; one transaction then exchanges the names; the old files stay
``GRACE_US`` for readers that have them open. Keeps the one piece of work under way. A failure leaves the old segments in
force (the new file is an orphan) and is raised.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from datetime import timedelta

import duckdb

from analytics.parquet_files import Segment, can_be_read, merge_segments
from analytics.private_file import REBUILT, Damaged, transaction
from analytics.room import is_full
from analytics.storage import Storage, add_segments, drop_segments
from streams.topics import TOPICS

MOST_OF_A_LEVEL = 32
FULL_BYTES = 32 * 1024 * 1024
"""Segments are merged up to this size; those of half of it and more are not merged again."""
DAY_US = timedelta(days=1) // timedelta(microseconds=1)
GRACE_US = timedelta(seconds=60) // timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class Exchange:
    """Segments that one is to take the place of, and whether it leaves their text out."""

    old: tuple[Segment, ...]
    forget: bool


class Upkeep:
    """The upkeep of a storage, beside what else its process does: every call does little and returns soon."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="upkeep")
        self._cursor: duckdb.DuckDBPyConnection | None = None
        self._under_way: tuple[Exchange, Future[Segment]] | None = None

    def maintain(self, now_us: int) -> bool:
        """Put in force what was finished, begin what is due; whether the list of segments changed."""
        changed = self._finish(now_us)
        if self._under_way is None:
            due = next(_due(self._storage, now_us), None)
            if due is not None:
                self._cursor = self._storage.connection.cursor()
                self._under_way = due, self._thread.submit(_merged, self._cursor, self._storage, due)
        delete_dropped(self._storage, now_us)
        return changed

    def _finish(self, now_us: int) -> bool:
        if self._under_way is None or not self._under_way[1].done():
            return False
        exchange, future = self._under_way
        self._under_way = None
        try:
            new = future.result()
        except (duckdb.Error, OSError) as error:
            torn = [
                s.path for s in exchange.old if not is_full(error) and not can_be_read(self._storage.folder / s.path)
            ]
            if torn:
                raise Damaged(f"The segment {torn[0]} cannot be read: {error}", remedy=REBUILT) from error
            raise
        _exchanged(self._storage, exchange, new, now_us)
        return True

    def close(self) -> None:
        """Break off what is under way; its file is an orphan."""
        if self._cursor is not None:
            self._cursor.interrupt()
        self._thread.shutdown()


def maintain(storage: Storage, now_us: int) -> bool:
    """Do at once what is due; whether the list of segments changed."""
    changed = compact(storage, now_us)
    changed = forget_text(storage, now_us) or changed
    delete_dropped(storage, now_us)
    return changed


def compact(storage: Storage, now_us: int, most: int = MOST_OF_A_LEVEL) -> bool:
    """Merge small segments of each group of more than ``most``; whether there was one."""
    return _done(storage, list(_to_merge(storage, most)), now_us)


def forget_text(storage: Storage, now_us: int) -> bool:
    """Empty the text columns of segments whose events the topics no longer keep; whether there was one."""
    return _done(storage, list(_to_forget(storage, now_us)), now_us)


def _due(storage: Storage, now_us: int) -> Iterator[Exchange]:
    yield from _to_forget(storage, now_us)
    yield from _to_merge(storage, MOST_OF_A_LEVEL)


def _to_merge(storage: Storage, most: int) -> Iterator[Exchange]:
    groups: dict[tuple[str, int, str, int | None], list[Segment]] = defaultdict(list)
    for segment in storage.segments():
        if segment.bytes < FULL_BYTES // 2:
            day = segment.first_logged_at_us // DAY_US if segment.has_text else None
            groups[segment.event, segment.level, segment.columns, day].append(segment)
    for group in groups.values():
        if len(group) > most:
            yield Exchange(tuple(_up_to_full(group)), forget=False)


def _up_to_full(group: Sequence[Segment]) -> list[Segment]:
    """Give the oldest of a group up to the full size, two at least."""
    taken: list[Segment] = []
    for segment in group:
        if len(taken) > 1 and sum(s.bytes for s in taken) + segment.bytes > FULL_BYTES:
            break
        taken.append(segment)
    return taken


def _to_forget(storage: Storage, now_us: int) -> Iterator[Exchange]:
    for segment in storage.segments():
        if segment.has_text and segment.last_logged_at_us < now_us - _kept_us(segment.event):
            yield Exchange((segment,), forget=True)


def _kept_us(event: str) -> int:
    kept = [
        topic.retention
        for topic in TOPICS.values()
        if topic.retention is not None and event in (e.__name__ for e in topic.events)
    ]
    return min(kept) // timedelta(microseconds=1)


def _done(storage: Storage, due: Sequence[Exchange], now_us: int) -> bool:
    for exchange in due:
        _exchanged(storage, exchange, _merged(storage.connection, storage, exchange), now_us)
    return bool(due)


def _merged(connection: duckdb.DuckDBPyConnection, storage: Storage, exchange: Exchange) -> Segment:
    return merge_segments(connection, storage.folder, exchange.old, forget_text=exchange.forget)


def _exchanged(storage: Storage, exchange: Exchange, new: Segment, now_us: int) -> None:
    with transaction(storage.connection):
        drop_segments(storage.connection, list(exchange.old), now_us)
        add_segments(storage.connection, [new])


def delete_dropped(storage: Storage, now_us: int) -> int:
    """Delete the files that were dropped longer ago than the grace; how many."""
    rows = storage.connection.execute(
        "SELECT path FROM dropped_file WHERE dropped_at_us <= ?", [now_us - GRACE_US]
    ).fetchall()
    for (path,) in rows:
        (storage.folder / path).unlink(missing_ok=True)
    if rows:
        storage.connection.execute("DELETE FROM dropped_file WHERE dropped_at_us <= ?", [now_us - GRACE_US])
    return len(rows)
