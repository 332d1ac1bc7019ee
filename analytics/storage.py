"""The storage: takes a batch in, so that after any crash every event counts exactly once.

In: batches of events (``intake.Batch``). Out: Parquet segments, and in the private file offsets, segment list,
event keys, outcomes and sums. How a batch is taken in:

1. Repeats are dropped: event keys that the last seven days of log time have seen.
2. One segment per event type is written, synced and named. Nobody knows of it yet.
3. One transaction: offsets, segment list, keys, outcomes, evidence counts, sums, orders, profiles read back.

A crash before the commit leaves orphaned files, which the next start removes, and the old offsets, from which the
log is read again. A failure in ``take`` removes its own files, rolls back and is raised; the storage can be used
on.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.compute as pc

from analytics.intake import Batch
from analytics.outcomes import merge_outcomes
from analytics.parquet_files import SEGMENTS, Segment, remove_unlisted, write_segment
from analytics.private_file import open_private, transaction
from analytics.profile_store import take_orders, take_past_profiles
from analytics.sums import recompute_sums

EXPORTS = "exports"
REPEAT_HORIZON_US = timedelta(days=7) // timedelta(microseconds=1)
"""How far back, in log time, a repeat is recognised."""
_EXPIRY_EVERY_US = timedelta(minutes=10) // timedelta(microseconds=1)

Moment = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Taken:
    """What became of a batch."""

    ingested: int
    repeats: int


def _nothing(_moment: str) -> None:
    return


class Storage:
    """The storage of one analytics folder, for the one process that writes it.

    ``cluster`` names the broker's cluster: each has its own offsets. ``reached`` is called with ``segments_written`` and
    ``before_commit`` inside ``take``, for tests of crashes.
    """

    def __init__(self, folder: Path, cluster: str, *, reached: Moment = _nothing) -> None:
        self.folder = folder.resolve()
        self.connection = open_private(self.folder)
        self._cluster = cluster
        self._reached = reached
        self._expired_at_us = 0
        try:
            self.removed = self._remove_orphans()
        except BaseException:
            self.connection.close()
            raise

    def close(self) -> None:
        """Release the private file."""
        self.connection.close()

    def next_offsets(self) -> dict[tuple[str, int], int]:
        """Give (topic, partition) to the offset to read next; what is missing begins at the beginning."""
        rows = self.connection.execute(
            "SELECT topic, partition, next_offset FROM log_offset WHERE cluster = ? ORDER BY ALL",
            [self._cluster],
        ).fetchall()
        return {(topic, partition): offset for topic, partition, offset in rows}

    def watermark(self) -> dict[str, int]:
        """Give ``topic/partition`` to the next offset."""
        return {f"{topic}/{partition}": offset for (topic, partition), offset in self.next_offsets().items()}

    def segments(self) -> list[Segment]:
        """List the segments in force, oldest first."""
        rows = self.connection.execute("SELECT * FROM segment ORDER BY first_logged_at_us, path").fetchall()
        return [Segment(*row) for row in rows]

    def take(self, batch: Batch, now_us: int) -> Taken:
        """Take a batch in, and advance the offsets; whatever is raised, nothing of it happened."""
        tables, repeated = self._without_repeats(batch)
        written: list[Segment] = []
        try:
            for event, table in tables.items():
                written.append(write_segment(self.folder, event, table))
            self._reached("segments_written")
            with transaction(self.connection):
                self._record(batch, tables, written, repeated, now_us)
                self._reached("before_commit")
        except Exception:
            self._remove_unrecorded(written)
            raise
        return Taken(sum(table.num_rows for table in tables.values()), batch.repeats + len(repeated))

    def _without_repeats(self, batch: Batch) -> tuple[dict[str, pa.Table], set[str]]:
        if not batch.tables:
            return {}, set()
        keys = pa.concat_tables([table.select(["event_key"]) for table in batch.tables.values()])
        self.connection.register("batch_key", keys)
        try:
            rows = self.connection.execute("""
                SELECT event_key FROM batch_key
                WHERE event_key::UUID IN (SELECT event_key FROM seen_event)
            """).fetchall()
        finally:
            self.connection.unregister("batch_key")
        if not rows:
            return batch.tables, set()
        repeated = {key for (key,) in rows}
        known = pa.array(sorted(repeated), pa.string())
        tables = {}
        for event, table in batch.tables.items():
            fresh = table.filter(pc.invert(pc.is_in(table["event_key"], value_set=known)))
            if fresh.num_rows:
                tables[event] = fresh
        return tables, repeated

    def _record(
        self,
        batch: Batch,
        tables: dict[str, pa.Table],
        written: list[Segment],
        repeated: set[str],
        now_us: int,
    ) -> None:
        for (topic, partition), offset in batch.next_offsets.items():
            self._advance(topic, partition, offset)
        for segment in written:
            add_segment(self.connection, segment)
        for table in tables.values():
            self.connection.register("batch_key", table.select(["event_key", "logged_at_us"]))
            try:
                self.connection.execute("INSERT INTO seen_event SELECT event_key::UUID, logged_at_us FROM batch_key")
            finally:
                self.connection.unregister("batch_key")
        if merge_outcomes(self.connection, tables):
            recompute_sums(self.connection)
        take_orders(self.connection, (o for o in batch.orders if o.event_key not in repeated))
        take_past_profiles(self.connection, batch.profiles)
        self._expire_keys(min(batch.last_logged_at_us, now_us))

    def _advance(self, topic: str, partition: int, offset: int) -> None:
        where = "cluster = ? AND topic = ? AND partition = ?"
        place = [self._cluster, topic, partition]
        self.connection.execute(f"DELETE FROM log_offset WHERE {where}", place)  # noqa: S608 - a constant
        self.connection.execute("INSERT INTO log_offset VALUES (?, ?, ?, ?)", [*place, offset])

    def _expire_keys(self, log_time_us: int) -> None:
        if log_time_us - self._expired_at_us < _EXPIRY_EVERY_US:
            return
        self.connection.execute("DELETE FROM seen_event WHERE logged_at_us < ?", [log_time_us - REPEAT_HORIZON_US])
        self._expired_at_us = log_time_us

    def _remove_unrecorded(self, written: list[Segment]) -> None:
        listed = {segment.path for segment in self.segments()}
        for segment in written:
            if segment.path not in listed:
                (self.folder / segment.path).unlink(missing_ok=True)

    def _remove_orphans(self) -> list[str]:
        listed = {
            path
            for (path,) in self.connection.execute("""
                SELECT path FROM segment
                UNION ALL SELECT path FROM dropped_file
                UNION ALL SELECT path FROM outcome_slice WHERE path IS NOT NULL
                UNION ALL SELECT path FROM exported_sums
            """).fetchall()
        }
        return [
            *remove_unlisted(self.folder, SEGMENTS, listed),
            *remove_unlisted(self.folder, EXPORTS, listed),
        ]


def add_segment(connection: duckdb.DuckDBPyConnection, segment: Segment) -> None:
    """Put a segment in force; inside the caller's transaction."""
    connection.execute(
        "INSERT INTO segment VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        [
            segment.path,
            segment.event,
            segment.level,
            segment.columns,
            segment.event_count,
            segment.bytes,
            segment.first_logged_at_us,
            segment.last_logged_at_us,
            segment.has_text,
        ],
    )


def drop_segments(connection: duckdb.DuckDBPyConnection, segments: list[Segment], now_us: int) -> None:
    """Take segments out of force; their files stay for the grace. Inside the caller's transaction."""
    for segment in segments:
        connection.execute("DELETE FROM segment WHERE path = ?", [segment.path])
        connection.execute("INSERT INTO dropped_file VALUES (?, ?)", [segment.path, now_us])
