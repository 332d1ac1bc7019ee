"""The storage: takes a batch in, so that after any crash every event counts exactly once.

In: batches of events (``intake.Batch``). Out: Parquet segments, and in the private file offsets, segment list,
event keys, outcomes and sums. How a batch is taken in:

1. Repeats are dropped: event keys that were seen in the last seven days of log time, or the last 32 million events.
2. One segment per event type is written, synced and named, in a thread beside. Nobody knows of it yet.
3. One transaction: offsets, keys, outcomes, sums, orders, profiles read back, and, when all are written, the segments.

What a batch costs does not grow with what is stored: ``keys`` says, from memory, which events and requests are new, and which few
parts of the tables hold the others.

A crash before the commit leaves orphaned files, which the next start removes, and the old offsets, from which the
log is read again. A failure in ``take`` removes its own files, rolls back and is raised; the storage can be used
on.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import astuple, dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from analytics.intake import Batch
from analytics.keys import STRETCH, Hashes, KeyFilter, KeyIndex
from analytics.outcomes import OF_OUTCOME, merge_outcomes, request_keys
from analytics.parquet_files import SEGMENTS, Segment, path_list, remove_unlisted, write_segment
from analytics.private_file import open_private, registered, transaction
from analytics.profile_store import take_orders, take_past_profiles
from analytics.sums import follow_outcomes, recount

EXPORTS = "exports"
REPEAT_HORIZON_US = timedelta(days=7) // timedelta(microseconds=1)
"""How far back, in log time, a repeat is recognised."""
SLICE = 20_000
"""Requests in one slice of the outcomes: what is looked through for one of them, and exported together."""
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
        self._filter = KeyFilter()
        self._index = KeyIndex()
        self._requests = 0
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="segments")
        try:
            self.removed = self._remove_orphans()
            self._finish_migrations()
            self._load_keys()
        except BaseException:
            self.connection.close()
            raise

    def close(self) -> None:
        """Release the private file."""
        self._writer.shutdown()
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
        hashes = self._hashes(
            pa.chunked_array([c for t in batch.tables.values() for c in t["event_key"].chunks], pa.string())
        )
        tables, repeated = self._without_repeats(batch, hashes)
        touched, new = self._placed(tables)
        written: list[Segment] = []
        writing = self._writer.submit(self._write, tables, written)
        try:
            with transaction(self.connection):
                self._record(batch, tables, repeated, touched)
                writing.result()
                self._reached("segments_written")
                add_segments(self.connection, written)
                self._reached("before_commit")
        except BaseException:
            wait([writing])
            self._remove_unrecorded(written)
            raise
        self._remember(batch, hashes, new)
        self._expire_keys(min(batch.last_logged_at_us, now_us))
        return Taken(sum(table.num_rows for table in tables.values()), batch.repeats + len(repeated))

    def _write(self, tables: dict[str, pa.Table], written: list[Segment]) -> None:
        for event, table in tables.items():
            written.append(write_segment(self.folder, event, table))

    def _hashes(self, keys: pa.ChunkedArray) -> Hashes:
        """Give 64 bits of each key, the same at every start of a process with the same DuckDB."""
        if not len(keys):
            return np.empty(0, np.uint64)
        with registered(self.connection, {"batch_key": pa.table({"key": keys})}):
            found: Hashes = self.connection.execute("SELECT hash(key::UUID) AS h FROM batch_key").fetchnumpy()["h"]
        return found

    def _without_repeats(self, batch: Batch, hashes: Hashes) -> tuple[dict[str, pa.Table], set[str]]:
        perhaps = self._filter.perhaps(hashes)
        if not perhaps:
            return batch.tables, set()
        keys = pa.concat_arrays([c for t in batch.tables.values() for c in t["event_key"].chunks])
        repeated: set[str] = set()
        for positions, first_us, last_us in perhaps:
            with registered(self.connection, {"batch_key": pa.table({"event_key": keys.take(pa.array(positions))})}):
                rows = self.connection.execute(
                    """
                    SELECT event_key FROM batch_key WHERE event_key::UUID IN (
                        SELECT event_key FROM seen_event WHERE logged_at_us BETWEEN ? AND ?
                    )
                    """,
                    [first_us, last_us],
                ).fetchall()
            repeated.update(key for (key,) in rows)
        if not repeated:
            return batch.tables, set()
        known = pa.array(sorted(repeated), pa.string())
        tables = {}
        for event, table in batch.tables.items():
            fresh = table.filter(pc.invert(pc.is_in(table["event_key"], value_set=known)))
            if fresh.num_rows:
                tables[event] = fresh
        return tables, repeated

    def _placed(self, tables: dict[str, pa.Table]) -> tuple[pa.Table | None, tuple[Hashes, Any]]:
        """Give every touched request with its slice; and hashes and slices of those that are new."""
        nothing = (np.empty(0, np.uint64), np.empty(0, np.int64))
        if not any(event in tables for event in OF_OUTCOME):
            return None, nothing
        keys = request_keys(tables)
        hashes = self._hashes(pa.chunked_array([keys]))
        slices = self._index.find(hashes)
        if self._index.oldest_slice:
            self._look_further_back(keys, slices)
        new = np.flatnonzero(slices < 0)
        slices[new] = (self._requests + np.arange(len(new))) // SLICE
        return pa.table({"request_key": keys, "slice": slices}), (hashes[new], slices[new])

    def _look_further_back(self, keys: pa.Array, slices: Any) -> None:
        """Find requests that are older than the index, with a look through all of them; in place."""
        unknown = np.flatnonzero(slices < 0)
        with registered(
            self.connection, {"batch_key": pa.table({"place": unknown, "key": keys.take(pa.array(unknown))})}
        ):
            rows = self.connection.execute(
                "SELECT place, slice FROM batch_key JOIN outcome ON request_key = key::UUID WHERE slice < ?",
                [self._index.oldest_slice],
            ).fetchall()
        for place, number in rows:
            slices[place] = number

    def _record(
        self,
        batch: Batch,
        tables: dict[str, pa.Table],
        repeated: set[str],
        touched: pa.Table | None,
    ) -> None:
        self._advance(batch.next_offsets)
        if tables:
            keys = pa.concat_tables([table.select(["event_key", "logged_at_us"]) for table in tables.values()])
            with registered(self.connection, {"batch_key": keys}):
                self.connection.execute("INSERT INTO seen_event SELECT event_key::UUID, logged_at_us FROM batch_key")
        if touched is not None:
            merge_outcomes(self.connection, tables, touched)
            follow_outcomes(self.connection)
        take_orders(self.connection, (o for o in batch.orders if o.event_key not in repeated))
        take_past_profiles(self.connection, batch.profiles)

    def _remember(self, batch: Batch, hashes: Hashes, new: tuple[Hashes, Any]) -> None:
        """Note what was committed."""
        if len(hashes):
            logged = [pc.min_max(table["logged_at_us"]).as_py() for table in batch.tables.values()]
            self._filter.add(hashes, min(m["min"] for m in logged), max(m["max"] for m in logged))
        self._index.add(*new)
        self._requests += len(new[0])

    def _load_keys(self) -> None:
        """Build what is kept in memory from the tables."""
        (self._requests,) = self.connection.execute("SELECT count(*) FROM outcome").fetchall()[0]
        newest = self.connection.execute("SELECT max(slice) FROM outcome").fetchall()[0][0]
        if newest is not None:  # a slice may have been left unfilled
            self._requests = max(self._requests, newest * SLICE)
        found = self.connection.execute("SELECT hash(request_key) AS h, slice AS s FROM outcome").fetchnumpy()
        self._index.add(found["h"], found["s"])
        read = self.connection.sql("SELECT hash(event_key), logged_at_us FROM seen_event")
        reader = read.to_arrow_reader(STRETCH)
        for chunk in reader:
            hashes, logged = (column.to_numpy() for column in chunk.columns)
            self._filter.add(hashes, int(logged.min()), int(logged.max()))

    def _finish_migrations(self) -> None:
        """Do what migrations left to the program: what SQL alone cannot know."""
        if not self.connection.execute("SELECT step FROM unfinished_migration").fetchall():
            return
        with transaction(self.connection):
            plans = [s.path for s in self.segments() if s.event == "RequestRouted"]
            if plans:
                files = f"read_parquet({path_list(self.folder, plans)}, union_by_name = true)"
                self.connection.execute(f"""
                    INSERT INTO superseded_plan SELECT event_id FROM {files}
                    WHERE event_id NOT IN (SELECT routing_id FROM outcome WHERE routing_id IS NOT NULL)
                """)  # noqa: S608 - paths are ours, quoted
            recount(self.connection)
            self.connection.execute("DELETE FROM unfinished_migration")

    def _advance(self, next_offsets: dict[tuple[str, int], int]) -> None:
        if not next_offsets:
            return
        topics, partitions = zip(*next_offsets, strict=True)
        places = pa.table(
            {
                "topic": pa.array(topics, pa.string()),
                "partition": pa.array(partitions, pa.int32()),
                "next_offset": pa.array(next_offsets.values(), pa.int64()),
            }
        )
        with registered(self.connection, {"batch_offset": places}):
            self.connection.execute(
                """
                DELETE FROM log_offset WHERE cluster = ? AND (topic, partition) IN (SELECT (topic, partition) FROM batch_offset)
                """,
                [self._cluster],
            )
            self.connection.execute("INSERT INTO log_offset SELECT ?, * FROM batch_offset", [self._cluster])

    def _expire_keys(self, log_time_us: int) -> None:
        if log_time_us - self._expired_at_us < _EXPIRY_EVERY_US:
            return
        before_us = max(log_time_us - REPEAT_HORIZON_US, self._filter.oldest_us())
        self.connection.execute("DELETE FROM seen_event WHERE logged_at_us < ?", [before_us])
        self._filter.expire(before_us)
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
                UNION ALL SELECT path FROM export WHERE path IS NOT NULL
            """).fetchall()
        }
        return [
            *remove_unlisted(self.folder, SEGMENTS, listed),
            *remove_unlisted(self.folder, EXPORTS, listed),
        ]


def add_segments(connection: duckdb.DuckDBPyConnection, segments: Sequence[Segment]) -> None:
    """Put segments in force; inside the caller's transaction."""
    if segments:
        marks = ", ".join(["(?, ?, ?, ?, ?, ?, ?, ?, ?)"] * len(segments))
        connection.execute(
            f"INSERT INTO segment VALUES {marks}",  # noqa: S608 - marks only
            [value for segment in segments for value in astuple(segment)],
        )


def drop_segments(connection: duckdb.DuckDBPyConnection, segments: list[Segment], now_us: int) -> None:
    """Take segments out of force; their files stay for the grace. Inside the caller's transaction."""
    for segment in segments:
        connection.execute("DELETE FROM segment WHERE path = ?", [segment.path])
        connection.execute("INSERT INTO dropped_file VALUES (?, ?)", [segment.path, now_us])
