"""The storage: takes a batch in, so that after any crash every event counts exactly once.

In: batches of events (``intake.Batch``). Out: Parquet segments, and in the private file offsets, segment list,
event keys, outcomes and sums. How a batch is taken in:

1. Repeats are dropped: event keys that were seen in the last seven days of log time, or the last 32 million events.
2. One segment per event type is written, synced and named, in a thread beside. Nobody knows of it yet.
3. One transaction: offsets, keys, outcomes, sums, orders, profiles read back, and, when all are written, the segments.

What a batch costs does not grow with what is stored: ``known`` says, from memory, which events and requests are new,
and which few parts of the tables hold the others.

A crash before the commit leaves orphaned files, which the next start removes, and the old offsets, from which the
log is read again. A failure in ``take`` removes its own files, rolls back and is raised; the storage can be used
on.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import astuple, dataclass
from pathlib import Path

import duckdb
import pyarrow as pa

from analytics.experimenting.kept import follow_experiments, take_orders_and_steps
from analytics.intake import Batch
from analytics.known import Known
from analytics.outcomes import merge_outcomes
from analytics.parquet_files import SEGMENTS, Segment, is_whole, path_list, remove_unlisted, write_segment
from analytics.private_file import NAME as PRIVATE
from analytics.private_file import REBUILT, Damaged, is_damage, open_private, registered, transaction
from analytics.profile_store import take_orders, take_past_profiles
from analytics.sums import follow_outcomes, recount

EXPORTS = "exports"
REBUILDING = "rebuild"
"""A step in ``unfinished_migration`` for as long as the private file is being built from the segments."""

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

    ``cluster`` names the broker's cluster: each has its own offsets. ``rebuilding`` is for the module of that name.
    ``reached`` is called with ``segments_written`` and
    ``before_commit`` inside ``take``, for tests of crashes.
    """

    def __init__(self, folder: Path, cluster: str, *, reached: Moment = _nothing, rebuilding: bool = False) -> None:
        self.folder = folder.resolve()
        self._cluster = cluster
        self._reached = reached
        self._rebuilding = rebuilding
        self._open()
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="segments")

    def _open(self) -> None:
        refuse_if_lost(self.folder)
        self.connection = open_private(self.folder)
        try:
            refuse_if_torn(self.folder, self.segments())
            self.removed = self._remove_orphans()
            self._finish_migrations()
            self._export_again_what_is_torn()
            self._known = Known(self.connection)
            self._next_offsets = self._stored_offsets()
        except duckdb.Error as error:
            self.connection.close()
            if is_damage(error):
                raise Damaged(f"{self.folder / PRIVATE} is damaged: {error}", remedy=REBUILT) from error
            raise
        except BaseException:
            self.connection.close()
            raise

    def close(self) -> None:
        """Release the private file."""
        self._writer.shutdown()
        self.connection.close()

    def disown(self) -> None:
        """Close the private file, which is damaged, and take its name: the next start sets it aside and builds it again."""
        self.close()
        (self.folder / PRIVATE).replace(self.folder / f"{PRIVATE}.damaged")

    def recover(self) -> None:
        """After a failure that may have broken the connection: open the private file again if it did. May fail in the same way."""
        try:
            self.connection.execute("SELECT count(*) FROM log_offset").fetchall()
        except duckdb.Error:
            self.connection.close()
            self._open()

    def next_offsets(self) -> dict[tuple[str, int], int]:
        """Give (topic, partition) to the offset to read next; what is missing begins at the beginning."""
        return dict(sorted(self._next_offsets.items()))

    def _stored_offsets(self) -> dict[tuple[str, int], int]:
        rows = self.connection.execute(
            "SELECT topic, partition, next_offset FROM log_offset WHERE cluster = ?", [self._cluster]
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
        hashes = self._known.event_hashes(batch)
        tables, repeated = self._known.without_repeats(batch, hashes)
        touched, new = self._known.placed(tables)
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
        self._next_offsets |= batch.next_offsets
        self._known.remember(batch, hashes, new)
        self._known.expire(min(batch.last_logged_at_us, now_us))
        return Taken(sum(table.num_rows for table in tables.values()), batch.repeats + len(repeated))

    def restore(self, batch: Batch) -> None:
        """Take events in that a segment in force holds already, each once."""
        hashes = self._known.event_hashes(batch)
        touched, new = self._known.placed(batch.tables)
        with transaction(self.connection):
            self._record(batch, batch.tables, set(), touched)
        self._known.remember(batch, hashes, new)
        self._known.expire(batch.last_logged_at_us)

    def _write(self, tables: dict[str, pa.Table], written: list[Segment]) -> None:
        for event, table in tables.items():
            written.append(write_segment(self.folder, event, table))

    def _record(
        self,
        batch: Batch,
        tables: dict[str, pa.Table],
        repeated: set[str],
        touched: pa.Table | None,
    ) -> None:
        self.advance(batch.next_offsets)
        if tables:
            keys = pa.concat_tables([table.select(["event_key", "logged_at_us"]) for table in tables.values()])
            with registered(self.connection, {"batch_key": keys}):
                self.connection.execute("INSERT INTO seen_event SELECT event_key::UUID, logged_at_us FROM batch_key")
        if touched is not None:
            change = merge_outcomes(self.connection, tables, touched)
            follow_outcomes(self.connection, change)
            follow_experiments(self.connection, tables, change)
        take_orders(self.connection, (o for o in batch.orders if o.event_key not in repeated))
        take_orders_and_steps(self.connection, (o for o in batch.experiments if o.event_key not in repeated))
        take_past_profiles(self.connection, batch.profiles)

    def _export_again_what_is_torn(self) -> None:
        """Mark exports for writing whose files are not whole: they hold nothing that the private file has not."""
        rows = self.connection.execute("SELECT name, part, path FROM export WHERE path IS NOT NULL").fetchall()
        torn = [(name, part) for name, part, path in rows if not is_whole(self.folder / path)]
        for name, part in torn:
            self.connection.execute(
                "UPDATE export SET path = NULL, stale = true WHERE name = ? AND part = ?", [name, part]
            )

    def _finish_migrations(self) -> None:
        """Do what migrations left to the program: what SQL alone cannot know."""
        steps = {step for (step,) in self.connection.execute("SELECT step FROM unfinished_migration").fetchall()}
        if REBUILDING in steps and not self._rebuilding:
            raise Damaged(f"{self.folder / PRIVATE} was not built to its end.", remedy=REBUILT)
        if not steps or self._rebuilding:
            return
        with transaction(self.connection):
            plans = [s.path for s in self.segments() if s.event == "RequestRouted"]
            if plans:
                files = f"read_parquet({path_list(self.folder, plans)}, union_by_name = true)"
                self.connection.execute(f"""
                    INSERT INTO superseded_plan BY NAME SELECT event_id FROM {files}
                    WHERE event_id NOT IN (SELECT routing_id FROM outcome WHERE routing_id IS NOT NULL)
                """)  # noqa: S608 - paths are ours, quoted
            recount(self.connection)
            self.connection.execute("DELETE FROM unfinished_migration")

    def advance(self, next_offsets: dict[tuple[str, int], int]) -> None:
        """Note where to read on; inside the caller's transaction."""
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
                MERGE INTO log_offset o USING (SELECT ? AS cluster, * FROM batch_offset) b USING (cluster, topic, partition)
                WHEN MATCHED THEN UPDATE SET next_offset = b.next_offset
                WHEN NOT MATCHED THEN INSERT BY NAME *
                """,
                [self._cluster],
            )

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


def refuse_if_lost(folder: Path) -> None:
    """Raise ``Damaged`` where there are segments, and no private file that lists them."""
    if not (folder / PRIVATE).exists() and next((folder / SEGMENTS).rglob("*.parquet"), None) is not None:
        raise Damaged(f"{folder / PRIVATE} is missing, and there are segments that it listed.", remedy=REBUILT)


def refuse_if_torn(folder: Path, segments: Sequence[Segment]) -> None:
    """Raise ``Damaged`` where a segment in force is missing or not as long as it was written."""
    torn = [segment.path for segment in segments if _size(folder / segment.path) != segment.bytes]
    if torn:
        raise Damaged(f"{len(torn)} segments are missing or torn, the first {folder / torn[0]}.", remedy=REBUILT)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return -1
