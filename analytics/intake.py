"""From messages to a batch: decode, refuse what does not belong, drop repeats inside the batch, lay out as columns.

In: messages of the log in the order of their partitions. Out: a ``Batch``: one Arrow table an event type, the
messages that were refused with a code, the offsets that follow. Keeps nothing. A message can always be refused, so
nothing fails here.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import pyarrow as pa

from analytics.columns import COLUMNS, Columns, Row, bounded
from schemas import Record, ResumeOrdered
from streams.codec import Codec
from streams.errors import Code, Undecodable
from streams.identity import event_id
from streams.topics import TOPICS

_ORDERS = ("RollbackOrdered", "LearningResumed")
_EXPERIMENTS = ("ExperimentOrdered", "ExperimentStepped")


@dataclass(frozen=True, slots=True)
class Message:
    """A message of the log. ``topic`` is without the deployment's prefix; ``logged_at_us`` is Kafka's time of it."""

    topic: str
    partition: int
    offset: int
    logged_at_us: int
    key: bytes | None
    value: bytes | None


@dataclass(frozen=True, slots=True)
class Refused:
    """A message that goes to the dead letters, and why."""

    message: Message
    code: Code
    error: str


@dataclass(frozen=True, slots=True)
class Order:
    """An operator's order to the learner, or an event about an experiment, with its bytes and its key among the events."""

    message: Message
    event: Record
    event_key: str


@dataclass(frozen=True, slots=True)
class PastProfile:
    """A profile read back from the history, with its bytes."""

    scope: str
    version: int
    parent: int
    event_id: str
    created_at_us: int
    payload: bytes


@dataclass
class Batch:
    """What one transaction takes in."""

    tables: dict[str, pa.Table] = field(default_factory=dict)
    """Event type to its rows, with the columns ``Columns.batch_schema``."""
    refused: list[Refused] = field(default_factory=list)
    orders: list[Order] = field(default_factory=list)
    experiments: list[Order] = field(default_factory=list)
    """Orders about experiments, and their steps, in the order of the log."""
    resumptions: list[ResumeOrdered] = field(default_factory=list)
    """Operator's orders to read on what was paused, of any role."""
    profiles: list[PastProfile] = field(default_factory=list)
    next_offsets: dict[tuple[str, int], int] = field(default_factory=dict)
    """(topic, partition) to the offset that follows the batch."""
    repeats: int = 0
    """Events dropped because the batch has them already."""
    last_logged_at_us: int = 0
    """The latest log time in the batch."""

    @property
    def event_count(self) -> int:
        """How many events the tables hold."""
        return sum(table.num_rows for table in self.tables.values())


def read_batch(messages: Iterable[Message], codec: Codec) -> Batch:
    """Give the batch of ``messages``."""
    batch = Batch()
    rows: dict[str, list[tuple[Message, Row]]] = defaultdict(list)
    known: set[str] = set()
    for message in messages:
        batch.next_offsets[message.topic, message.partition] = message.offset + 1
        batch.last_logged_at_us = max(batch.last_logged_at_us, message.logged_at_us)
        try:
            name, fields = codec.decode_fields(message.value)
            _check_topic(name, message.topic)
            event: Record | None = codec.decode(message.value) if name in (*_ORDERS, *_EXPERIMENTS) else None
        except Undecodable as error:
            batch.refused.append(Refused(message, error.code, error.what))
            continue
        key = event_id(name, fields["event_id"])
        if key in known:
            batch.repeats += 1
            continue
        known.add(key)
        rows[name].append((message, _row(name, fields, message, key)))
        if event is not None:
            (batch.orders if name in _ORDERS else batch.experiments).append(Order(message, event, key))
        if name == "ResumeOrdered":
            order = codec.decode(message.value)
            if isinstance(order, ResumeOrdered):
                batch.resumptions.append(order)
        if name == "ProfileUpdated" and message.value is not None:
            batch.profiles.append(_past_profile(fields, message.value))
    for name, found in rows.items():
        _lay_out(name, found, batch)
    return batch


def _check_topic(name: str, topic: str) -> None:
    allowed = [event.__name__ for event in TOPICS[topic].events]
    if name not in allowed or name not in COLUMNS:
        raise Undecodable(
            f"{name} does not belong on {topic}; its events are {', '.join(allowed)}.",
            code=Code.UNEXPECTED_EVENT,
        )


def _row(name: str, fields: Row, message: Message, key: str) -> Row:
    columns = COLUMNS[name]
    row = bounded(columns.row(fields))
    row["topic"] = message.topic
    row["partition"] = message.partition
    row["log_offset"] = message.offset
    row["logged_at_us"] = message.logged_at_us
    row["event_key"] = key
    if columns.has_request:
        row["request_key"] = event_id("request", row["tenant"], row["conversation_id"], row["request_id"])
    return row


def _past_profile(fields: Row, payload: bytes) -> PastProfile:
    return PastProfile(
        fields["scope"],
        fields["version"],
        fields["parent"],
        fields["event_id"],
        fields["occurred_at_us"],
        payload,
    )


def _lay_out(name: str, found: Sequence[tuple[Message, Row]], batch: Batch) -> None:
    columns = COLUMNS[name]
    try:
        batch.tables[name] = columns.table([row for _, row in found])
    except (pa.ArrowException, OverflowError):  # one value spoils a whole column
        _lay_out_what_fits(columns, found, batch)


def _lay_out_what_fits(columns: Columns, found: Sequence[tuple[Message, Row]], batch: Batch) -> None:
    fitting = []
    for message, row in found:
        try:
            columns.table([row])
        except (pa.ArrowException, OverflowError) as error:
            batch.refused.append(Refused(message, Code.INVALID_EVENT, f"{columns.event}: {error}"))
        else:
            fitting.append(row)
    if fitting:
        batch.tables[columns.event] = columns.table(fitting)
