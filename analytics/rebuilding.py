"""Builds the private file again where it, or a segment, is damaged or lost: from the segments, and from the log behind them.

In: the analytics folder, the cluster. Out: a new private file with everything that whole segments hold, and a ``Rebuilt`` that
names what was set aside and what is lost with it. Keeps nothing. Fails as the storage does: with ``Unconfigured`` where another
process has the folder, ``OSError`` or ``duckdb.Error`` where the disk is full. A rebuilding that was broken off begins anew.

1. The private file and every segment that cannot be read to its end move to ``set-aside/<time>/``; nothing is deleted.
2. Segments that a merged one took the place of are left out; the merged one names them.
3. Each segment's events go through the same merging as a batch of the log, the oldest first.
4. Offsets: an hour before the newest stored event, so that what no transaction listed is read again; from the beginning
   of what the log keeps, for the topics of a damaged segment and for the profiles, whose bytes only the log has. Repeats
   are recognised.

What a damaged segment held is lost only where the log no longer keeps it; sums older than the log come from the whole segments.
Orders to the learner count as answered; scopes are held as the newest orders say, and experiments stand as their newest steps say.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from time import monotonic
from typing import Any

import duckdb
import msgspec
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from analytics.columns import COLUMNS, TEXT_COLUMNS
from analytics.experimenting.kept import take_orders_and_steps
from analytics.intake import Batch, Message, Order
from analytics.outcomes import columns_read
from analytics.parquet_files import MERGED_FROM, SEGMENTS, Segment, can_be_read
from analytics.private_file import NAME, Damaged, open_private, transaction
from analytics.profile_store import hold_or_release
from analytics.storage import EXPORTS, REBUILDING, Storage, add_segments
from analytics.sums import mark_stale
from schemas import EVENTS, ExperimentStepped
from schemas.generate import snake
from streams.codec import Codec
from streams.identity import event_id
from streams.topics import TOPICS

SET_ASIDE = "set-aside"
READ_AGAIN_US = timedelta(hours=1) // timedelta(microseconds=1)
_GROUPS_AT_ONCE = 3
_EVENT_OF = {snake(event): event for event in COLUMNS}
_IDENTITY = ("tenant", "conversation_id", "request_id")


@dataclass(frozen=True)
class Rebuilt:
    """What a rebuilding did: the folder with what was set aside, names of lost segments, events found in the whole ones."""

    why: str
    set_aside: Path
    lost: tuple[str, ...]
    events: int


def open_storage(folder: Path, cluster: str, log: Any, now: datetime | None = None) -> Storage:
    """Open the storage; where something of it is damaged, build the private file again first, and say so."""
    try:
        return Storage(folder, cluster)
    except Damaged as error:
        why = error.what
    log.error("storage_damaged", folder=str(folder), what=why)
    done = rebuild(folder, cluster, why, now or datetime.now(UTC))
    log.warning("storage_rebuilt", set_aside=str(done.set_aside), lost_segments=list(done.lost), events=done.events)
    return Storage(folder, cluster)


def rebuild(folder: Path, cluster: str, why: str, now: datetime) -> Rebuilt:
    """Set aside what is damaged, and build the private file from the segments that are whole."""
    began = monotonic()
    aside = folder / SET_ASIDE / now.strftime("%Y%m%dT%H%M%S.%fZ")
    aside.mkdir(parents=True)
    for path in sorted(folder.glob(f"{NAME}*")):
        path.replace(aside / path.name)
    lost = _set_torn_aside(folder, aside)
    said = [why, *(f"lost, unless the log still has it: {path}" for path in lost)]
    (aside / "why.txt").write_text("\n".join(said) + "\n", encoding="utf-8")
    segments = _in_force(folder)
    with open_private(folder) as connection, transaction(connection):
        connection.execute("DELETE FROM unfinished_migration")
        connection.execute("INSERT INTO unfinished_migration VALUES (?)", [REBUILDING])
        add_segments(connection, segments)
        _keep_for_readers(connection, folder, {segment.path for segment in segments})
    storage = Storage(folder, cluster, rebuilding=True)
    try:
        events = sum(_take_in(storage, segment) for segment in segments)
        with transaction(storage.connection):
            ended_us = int((now.timestamp() + monotonic() - began) * 1_000_000)
            storage.connection.execute("UPDATE dropped_file SET dropped_at_us = ?", [ended_us])
            mark_stale(storage.connection, "SELECT 'superseded_plan' AS name, 0 AS part")
            _hold_scopes(storage, segments)
            _restore_experiments(storage, segments)
            storage.advance(_offsets(folder, segments, {Path(path).parent.name for path in lost}))
            storage.connection.execute("DELETE FROM unfinished_migration")
    finally:
        storage.close()
    return Rebuilt(why, aside, tuple(lost), events)


def _set_torn_aside(folder: Path, aside: Path) -> list[str]:
    lost = []
    for path in _files(folder):
        if not can_be_read(path):
            name = path.relative_to(folder).as_posix()
            (aside / name).parent.mkdir(parents=True, exist_ok=True)
            path.replace(aside / name)
            lost.append(name)
    return lost


def _keep_for_readers(connection: duckdb.DuckDBPyConnection, folder: Path, in_force: set[str]) -> None:
    """Keep what the public file still names, for the usual grace; new exports get other names than the old ones."""
    exports = [path for path in (folder / EXPORTS).glob("*.parquet") if path.stem.split(".")[-1].isdigit()]
    kept = [path.relative_to(folder).as_posix() for path in (*exports, *_files(folder))]
    for name in kept:
        if name not in in_force:
            connection.execute("INSERT INTO dropped_file VALUES (?, 0)", [name])
    numbers = [int(path.stem.split(".")[-1]) for path in exports]
    connection.execute(f"CREATE OR REPLACE SEQUENCE export_number START {max(numbers, default=0) + 1}")


def _files(folder: Path) -> list[Path]:
    return [path for path in sorted((folder / SEGMENTS).rglob("*.parquet")) if path.parent.name in _EVENT_OF]


def _in_force(folder: Path) -> list[Segment]:
    """Describe the segments by what is in them, the oldest first."""
    replaced: set[str] = set()
    for path in _files(folder):
        told = pq.read_metadata(path).metadata or {}
        replaced.update(told.get(MERGED_FROM.encode(), b"").decode().splitlines())
    found = [_described(folder, path) for path in _files(folder) if path.relative_to(folder).as_posix() not in replaced]
    return sorted(found, key=lambda segment: (segment.first_logged_at_us, segment.path))


def _described(folder: Path, path: Path) -> Segment:
    event = _EVENT_OF[path.parent.name]
    columns = COLUMNS[event]
    names = pq.read_schema(path).names
    logged = pc.min_max(columns.from_store(pq.read_table(path, columns=_moments(names)))["logged_at_us"]).as_py()
    kind = path.name.split(".")[0]
    return Segment(
        path=path.relative_to(folder).as_posix(),
        event=event,
        level=0 if kind.isdigit() else 1,
        columns=columns.name if names == columns.stored.names else f"found-{len(names)}",
        event_count=pq.read_metadata(path).num_rows,
        bytes=path.stat().st_size,
        first_logged_at_us=logged["min"],
        last_logged_at_us=logged["max"],
        has_text=event in TEXT_COLUMNS and kind != "forgotten",
    )


def _moments(names: list[str]) -> list[str]:
    return [name for name in names if name in ("logged_at", "logged_at_us")]


def _take_in(storage: Storage, segment: Segment) -> int:
    """Merge a segment's events as batches; how many."""
    columns = COLUMNS[segment.event]
    wanted = {"event_id", "log_offset", "partition", "logged_at", "logged_at_us", *columns_read(segment.event)}
    wanted |= {name.removesuffix("_us") for name in wanted}
    with pq.ParquetFile(storage.folder / segment.path) as file:
        names = [name for name in file.schema_arrow.names if name in wanted]
        groups = list(range(file.num_row_groups))
        if not Path(segment.path).name.split(".")[0].isdigit():
            groups.reverse()  # a merged segment holds the newest first
        for start in range(0, len(groups), _GROUPS_AT_ONCE):
            table = columns.from_store(file.read_row_groups(groups[start : start + _GROUPS_AT_ONCE], columns=names))
            table = table.sort_by([("logged_at_us", "ascending"), ("log_offset", "ascending")])
            table = _with_keys(segment.event, table)
            batch = Batch(tables={segment.event: table}, last_logged_at_us=segment.last_logged_at_us)
            storage.restore(batch)
    return segment.event_count


def _with_keys(event: str, table: pa.Table) -> pa.Table:
    ids = table["event_id"].to_pylist()
    table = table.append_column("event_key", pa.array([event_id(event, each) for each in ids], pa.string()))
    if COLUMNS[event].has_request:
        of = zip(*(table[name].to_pylist() for name in _IDENTITY), strict=True)
        table = table.append_column("request_key", pa.array([event_id("request", *each) for each in of], pa.string()))
    return table


def _hold_scopes(storage: Storage, segments: list[Segment]) -> None:
    for order in _rows(storage, segments, "RollbackOrdered", "LearningResumed"):
        hold_or_release(storage.connection, order["scope"], order.get("to_version"), order["occurred_at_us"])


def _restore_experiments(storage: Storage, segments: list[Segment]) -> None:
    """Put the steps of experiments back, and the orders that no step has answered."""
    rows = _rows(storage, segments, "ExperimentOrdered", "ExperimentStepped")
    if not rows:
        return
    codec, found = Codec(), []
    for row in rows:
        event = msgspec.convert(row, EVENTS[row["event"]], strict=False)
        message = Message(
            "controls", row["partition"], row["log_offset"], row["logged_at_us"], None, codec.encode(event)
        )
        found.append(Order(message, event, ""))
    answered = {each.event.cause_id for each in found if isinstance(each.event, ExperimentStepped)}
    take_orders_and_steps(storage.connection, (each for each in found if each.event.event_id not in answered))


def _rows(storage: Storage, segments: list[Segment], *events: str) -> list[dict[str, Any]]:
    """The events of these kinds as plain values, in the order of the log."""
    rows: list[dict[str, Any]] = []
    for segment in segments:
        if segment.event in events:
            table = COLUMNS[segment.event].from_store(pq.read_table(storage.folder / segment.path))
            rows += [{**row, "event": segment.event} for row in table.to_pylist()]
    return sorted(rows, key=lambda row: (row["logged_at_us"], row["partition"], row["log_offset"]))


def _offsets(folder: Path, segments: list[Segment], lost: set[str]) -> dict[tuple[str, int], int]:
    """Give where to read on; a topic that is missing is read from the beginning of what the log keeps."""
    from_us = max((segment.last_logged_at_us for segment in segments), default=0) - READ_AGAIN_US
    begin = {topic.name for topic in TOPICS.values() if lost & {snake(event.__name__) for event in topic.events}}
    begin.add("profile-history")
    after: dict[tuple[str, int], int] = {}
    again: dict[tuple[str, int], int] = {}
    for segment in segments:
        path = folder / segment.path
        names = ["topic", "partition", "log_offset", *_moments(pq.read_schema(path).names)]
        table = COLUMNS[segment.event].from_store(pq.read_table(path, columns=names))
        for least, found in ((after, table), (again, table.filter(pc.greater_equal(table["logged_at_us"], from_us)))):
            ranges = found.group_by(["topic", "partition"]).aggregate([("log_offset", "min"), ("log_offset", "max")])
            for row in ranges.to_pylist():
                place = row["topic"], row["partition"]
                if least is after:
                    after[place] = max(after.get(place, 0), row["log_offset_max"] + 1)
                else:
                    again[place] = min(again.get(place, row["log_offset_min"]), row["log_offset_min"])
    return {place: again.get(place, offset) for place, offset in after.items() if place[0] not in begin}
