"""Columns of events: which fields of an event are stored, under which names and Arrow types.

In: decoded events as plain values (``Codec.decode_fields``). Out: Arrow tables, one row an event. The types come
from the records of ``schemas``; nested parts become structs, tuples lists, dictionaries maps. Every event is stored
with all its fields but one: ``RequestRouted`` is laid flat and leaves out the request's text and the prompt, which
stand in the segments of requests. Keeps nothing. Fails with ``pyarrow.ArrowException`` or ``OverflowError`` on a
value that no column can hold.

``ORIGIN`` columns come first in every segment: where in the log the event stands.
"""

import types
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import msgspec
import pyarrow as pa

from schemas import EVENTS, ChunkGenerated, DeadLettered, Plan, RequestReceived, RequestRouted

Row = dict[str, Any]

LATEST_US = 4_102_444_800_000_000
"""2100-01-01. Moments of events are held between 1970 and this, so that no clock of a caller breaks a view."""

ORIGIN = pa.schema(
    [
        pa.field("topic", pa.string()),
        pa.field("partition", pa.int32()),
        pa.field("log_offset", pa.int64()),
        pa.field("logged_at_us", pa.int64()),
    ]
)
"""Topic without prefix, partition, offset, and Kafka's own time of the message in microseconds."""

KEYS = ("event_key", "request_key")
"""Columns of a batch that no segment keeps: identities as 32 hexadecimal digits."""

TEXT_COLUMNS: dict[str, tuple[str, ...]] = {
    "RequestReceived": ("message", "history", "documents", "variables"),
    "GenerationCompleted": ("question", "passages", "text"),
    "GenerationFailed": ("error",),
    "ResponseReady": ("text", "sources", "reasoning"),
    "ResponseFailed": ("error",),
    "FeedbackGiven": ("comment",),
}
"""Columns with a person's text, or with words that may repeat it: what a provider said (``error``, and ``reasoning``
of an answer by a later step), and names that callers give to their documents (``sources``). All are forgotten when
the topics forget them. A column added here needs a migration that sets ``has_text`` of the segments in force."""

_PRIMITIVES = {
    str: pa.string(),
    int: pa.int64(),
    float: pa.float64(),
    bool: pa.bool_(),
    bytes: pa.binary(),
}
_MOMENTS = ("occurred_at_us", "requested_at_us", "deadline_at_us")
_STORED_MOMENTS = (*_MOMENTS, "logged_at_us")
_OF_REQUEST = ("tenant", "conversation_id", "request_id", "workflow", "priority", "sensitivity")
_NOT_OF_PLAN = ("prompt", "asked_at_us")
_PLAN_FIELDS = tuple(name for name in Plan.__struct_fields__ if name not in _NOT_OF_PLAN)


def arrow_type(annotation: Any) -> pa.DataType:
    """Give the Arrow type of a field's annotation; ``TypeError`` where there is none."""
    if annotation in _PRIMITIVES:
        return _PRIMITIVES[annotation]
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin in (Union, types.UnionType):
        (inner,) = [a for a in arguments if a is not type(None)]
        return arrow_type(inner)
    if origin is tuple:
        return pa.list_(arrow_type(arguments[0]))
    if origin is dict:
        return pa.map_(arrow_type(arguments[0]), arrow_type(arguments[1]))
    if origin is Literal:
        return pa.string()
    if isinstance(annotation, type) and issubclass(annotation, msgspec.Struct):
        return pa.struct(_fields(annotation))
    msg = f"no Arrow type for {annotation!r}"
    raise TypeError(msg)


def _fields(record: type[msgspec.Struct]) -> list[pa.Field]:
    hints = get_type_hints(record)
    return [pa.field(name, arrow_type(hints[name])) for name in record.__struct_fields__]


def _as_it_is(fields: Row) -> Row:
    return dict(fields)


def _flat_plan(fields: Row) -> Row:
    request, plan = fields["request"], fields["plan"]
    row = {"event_id": fields["event_id"], "occurred_at_us": fields["occurred_at_us"]}
    row.update({name: request[name] for name in _OF_REQUEST})
    row["requested_at_us"] = request["occurred_at_us"]
    row["demanded_strategy"] = request["strategy"]
    row.update({name: plan[name] for name in _PLAN_FIELDS})
    return row


def _flat_plan_fields() -> list[pa.Field]:
    request, plan = dict(_named(RequestReceived)), dict(_named(Plan))
    return [
        pa.field("event_id", pa.string()),
        pa.field("occurred_at_us", pa.int64()),
        *(request[name] for name in _OF_REQUEST),
        pa.field("requested_at_us", pa.int64()),
        pa.field("demanded_strategy", pa.string()),
        *(plan[name] for name in _PLAN_FIELDS),
    ]


def _named(record: type[msgspec.Struct]) -> list[tuple[str, pa.Field]]:
    return [(field.name, field) for field in _fields(record)]


@dataclass(frozen=True)
class Columns:
    """How one event type is stored: ``schema`` of its rows, ``stored`` of its segments, and ``row`` from its decoded fields.

    A segment holds moments as timestamps without ``_us``, for their smallest and largest values let a query pass over files.
    """

    event: str
    schema: pa.Schema
    row: Callable[[Row], Row]
    has_request: bool

    @property
    def stored(self) -> pa.Schema:
        """The columns of a segment."""
        return pa.schema([_stored(field) for field in self.schema])

    @property
    def name(self) -> str:
        """A name of this set of columns: 12 hexadecimal digits of its text."""
        return blake2b(str(self.stored).encode(), digest_size=6).hexdigest()

    def to_store(self, table: pa.Table) -> pa.Table:
        """Give a batch's table as a segment holds it."""
        kept = table.select(self.schema.names)
        return pa.table(
            [kept[name].cast(field.type) for name, field in zip(self.schema.names, self.stored, strict=True)],
            self.stored,
        )

    @property
    def batch_schema(self) -> pa.Schema:
        """The columns of a batch: the segment's, and the keys."""
        keys = [pa.field(key, pa.string()) for key in KEYS if self.has_request or key != "request_key"]
        return pa.schema([*keys, *self.schema])

    def from_store(self, table: pa.Table) -> pa.Table:
        """Give columns of a segment as a batch has them; moments that are numbers in an older segment stay."""
        moments = {name.removesuffix("_us"): name for name in _STORED_MOMENTS}
        arrays = [table[name].cast(pa.int64()) if name in moments else table[name] for name in table.column_names]
        return pa.table(arrays, [moments.get(name, name) for name in table.column_names])

    def table(self, rows: Sequence[Row]) -> pa.Table:
        """Give the batch's table of rows that ``row`` made and that have origin and keys."""
        return pa.Table.from_pylist(list(rows), schema=self.batch_schema)


def _stored(field: pa.Field) -> pa.Field:
    if field.name in _STORED_MOMENTS:
        return pa.field(field.name.removesuffix("_us"), pa.timestamp("us"))
    return field


def bounded(row: Row) -> Row:
    """Hold the moments of a row between 1970 and 2100, in place; the row."""
    for name in _MOMENTS:
        if name in row:
            row[name] = min(max(row[name], 0), LATEST_US)
    return row


def _columns(name: str) -> Columns:
    record = EVENTS[name]
    if record is RequestRouted:
        fields, row = _flat_plan_fields(), _flat_plan
    else:
        fields, row = _fields(record), _as_it_is
    has_request = any(field.name == "request_id" for field in fields)
    return Columns(name, pa.schema([*ORIGIN, *fields]), row, has_request)


COLUMNS: dict[str, Columns] = {
    name: _columns(name) for name, record in EVENTS.items() if record not in (ChunkGenerated, DeadLettered)
}
"""Every stored event type. Pieces of answers and dead letters are not stored."""
