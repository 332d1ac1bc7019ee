"""Upkeep of the files: many small segments become one, text is forgotten in time, dropped files are deleted after a
grace.

In: a storage and the time. Out: fewer, larger segments with the same events. Segments have levels: what a batch
wrote is level 0, and when more than ``MOST_OF_A_LEVEL`` of one event type, level and set of columns are there, they
are merged into one of the next level. Segments that still hold text are merged within a day only, so that no text
outlives its time by more than that. The new file is written and synced first; one transaction then exchanges the
names; the old files stay ``GRACE_US`` for readers that have them open. Keeps nothing. A failure leaves the old
segments in force (the new file is an orphan) and is raised.
"""

from collections import defaultdict
from collections.abc import Sequence
from datetime import timedelta

from analytics.parquet_files import Segment, merge_segments
from analytics.private_file import transaction
from analytics.storage import Storage, add_segments, drop_segments
from streams.topics import TOPICS

MOST_OF_A_LEVEL = 32
LARGEST_BYTES = 64 * 1024 * 1024
"""Segments of this size are not merged again."""
DAY_US = timedelta(days=1) // timedelta(microseconds=1)
GRACE_US = timedelta(seconds=60) // timedelta(microseconds=1)


def maintain(storage: Storage, now_us: int) -> bool:
    """Do what is due; whether the list of segments changed."""
    changed = compact(storage, now_us)
    changed = forget_text(storage, now_us) or changed
    delete_dropped(storage, now_us)
    return changed


def compact(storage: Storage, now_us: int, most: int = MOST_OF_A_LEVEL) -> bool:
    """Merge each group of more than ``most`` small segments; whether there was one."""
    groups: dict[tuple[str, int, str, int | None], list[Segment]] = defaultdict(list)
    for segment in storage.segments():
        if segment.bytes < LARGEST_BYTES:
            day = segment.first_logged_at_us // DAY_US if segment.has_text else None
            groups[segment.event, segment.level, segment.columns, day].append(segment)
    due = [group for group in groups.values() if len(group) > most]
    for group in due:
        _exchange(storage, group, now_us, forget=False)
    return bool(due)


def forget_text(storage: Storage, now_us: int) -> bool:
    """Empty the text columns of segments whose events the topics no longer keep; whether there was one."""
    due = [
        segment
        for segment in storage.segments()
        if segment.has_text and segment.last_logged_at_us < now_us - _kept_us(segment.event)
    ]
    for segment in due:
        _exchange(storage, [segment], now_us, forget=True)
    return bool(due)


def _kept_us(event: str) -> int:
    kept = [
        topic.retention
        for topic in TOPICS.values()
        if topic.retention is not None and event in (e.__name__ for e in topic.events)
    ]
    return min(kept) // timedelta(microseconds=1)


def _exchange(storage: Storage, old: Sequence[Segment], now_us: int, *, forget: bool) -> None:
    new = merge_segments(storage.connection, storage.folder, old, forget_text=forget)
    with transaction(storage.connection):
        drop_segments(storage.connection, list(old), now_us)
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
