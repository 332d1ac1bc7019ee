"""Avro single-object encoding: two marker bytes, the schema's fingerprint, the event.

In: records of ``schemas`` or bytes. Out: bytes or records. Keeps the parsed schemas of every event: the current one to write
with, every released one to read with, and those that other releases write and that were admitted, by CRC-64-AVRO fingerprint. Fails
with ``Undecodable`` (codes not_avro, unknown_schema, invalid_event, oversized); encoding a record of ours cannot fail but
for a value that its type forbids (``ValueError``).

A fingerprint that is not known here is looked up where ``look_up`` is set, which blocks: programs that wait for nothing else set it
(analytics, the command line). The others catch ``UnknownSchema`` and look it up beside their loop (``streams.lookup``).
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import msgspec
from fastavro import parse_schema, schemaless_reader, schemaless_writer
from fastavro.schema import fingerprint, load_schema, to_parsing_canonical_form

import schemas
from schemas import EVENTS, DeadLettered, Record
from schemas.generate import snake
from streams.errors import Code, Undecodable, UnknownSchema
from streams.topics import LETTER_BYTES, MAX_EVENT_BYTES
from streams.weighing import MAX_VALUES, WEIGHED_FROM_BYTES, TooManyValues, weigh

MARKER = b"\xc3\x01"
HEADER_BYTES = 10
_FOLDER = Path(schemas.__file__).parent

LookUp = Callable[[bytes], str | None]
"""Makes a fingerprint's schema known to the codec, or says why it cannot be: None means that it is known now."""


def fingerprint_of(schema: Any) -> bytes:
    """Give the 8 bytes that name a parsed schema on the wire (CRC-64-AVRO, little-endian as the Avro specification says)."""
    return bytes.fromhex(fingerprint(to_parsing_canonical_form(schema), "CRC-64-AVRO"))


@dataclass(frozen=True)
class _Known:
    event: type[Record]
    writer: Any
    reader: Any


class Codec:
    """Encodes and decodes every event. Build one per process: it parses all schemas."""

    def __init__(self, folder: Path = _FOLDER) -> None:
        self.look_up: LookUp | None = None
        self._writers: dict[type[Record], tuple[bytes, Any]] = {}
        self._readers: dict[bytes, _Known] = {}
        self._texts: dict[type[Record], str] = {}
        for name, event in EVENTS.items():
            declared = json.loads((folder / f"{snake(name)}.avsc").read_text(encoding="utf-8"))
            current = parse_schema(declared)
            self._writers[event] = (MARKER + fingerprint_of(current), current)
            self._texts[event] = json.dumps(declared, separators=(",", ":"))
            for path in (folder / "released" / snake(name)).glob("*.avsc"):
                released = parse_schema(load_schema(str(path)))
                self._readers[fingerprint_of(released)] = _Known(event, released, current)
            self._readers[fingerprint_of(current)] = _Known(event, current, None)

    def encode(self, event: Record) -> bytes:
        """Give the bytes of an event."""
        header, schema = self._writers[type(event)]
        out = BytesIO()
        out.write(header)
        try:
            schemaless_writer(out, schema, msgspec.to_builtins(event, builtin_types=(bytes,)))
        except (OverflowError, TypeError) as error:  # an int beyond 64 bits; another type than the field's
            raise ValueError(f"{type(event).__name__}: {error}") from error
        return out.getvalue()

    def decode(self, raw: bytes | None) -> Record:
        """Give the event in ``raw``; ``Undecodable`` says what is wrong with it."""
        known, fields = self._fields(raw)
        try:
            return msgspec.convert(fields, known.event)
        except msgspec.ValidationError as error:
            raise Undecodable(f"{known.event.__name__}: {error}", code=Code.INVALID_EVENT) from error

    def decode_fields(self, raw: bytes | None) -> tuple[str, dict[str, Any]]:
        """Give the event's type name and its fields as plain values: for who wants columns, not records."""
        known, fields = self._fields(raw)
        return known.event.__name__, fields

    def knows(self, fingerprint: bytes) -> bool:
        """Say whether events in this schema can be read."""
        return fingerprint in self._readers

    def written_schema(self, event: type[Record]) -> tuple[bytes, str]:
        """Give the fingerprint and the JSON text of the schema that an event is written with."""
        return self._writers[event][0][len(MARKER) :], self._texts[event]

    def admit(self, event: type[Record], schema: Any) -> None:
        """Read events in this schema too, resolved to ours by Avro's rules; see ``schemas.admitting`` for which schemas may."""
        parsed = parse_schema(schema)
        self._readers.setdefault(fingerprint_of(parsed), _Known(event, parsed, self._writers[event][1]))

    def _fields(self, raw: bytes | None) -> tuple[_Known, dict[str, Any]]:
        if not raw:
            raise Undecodable("The message is empty.", code=Code.NOT_AVRO)
        known = self._readers.get(raw[2:HEADER_BYTES]) if raw[:2] == MARKER else None
        most = LETTER_BYTES if known is not None and known.event is DeadLettered else MAX_EVENT_BYTES
        if len(raw) > most:  # a dead letter may be larger: it carries what was too large
            raise Undecodable(
                f"The message has {len(raw):,} bytes; at most {most:,} are an event.", code=Code.OVERSIZED
            )
        if raw[:2] != MARKER or len(raw) < HEADER_BYTES:
            raise Undecodable(
                f"The message's {len(raw):,} bytes begin with {raw[:2].hex()}; Avro's single-object encoding has at least "
                f"{HEADER_BYTES} and begins with c301.",
                code=Code.NOT_AVRO,
            )
        if known is None:
            known = self._looked_up(raw[2:HEADER_BYTES])
        body = BytesIO(raw[HEADER_BYTES:])
        try:
            if len(raw) > WEIGHED_FROM_BYTES:
                weigh(known.writer, raw, HEADER_BYTES)
            fields = schemaless_reader(body, known.writer, known.reader)
        except TooManyValues as error:
            raise Undecodable(
                f"{known.event.__name__}: it consists of more than {MAX_VALUES:,} values.", code=Code.OVERSIZED
            ) from error
        except (
            Exception
        ) as error:  # fastavro raises what the bytes provoke: EOFError, IndexError, UnicodeDecodeError ...
            raise Undecodable(
                f"{known.event.__name__}: {type(error).__name__}: {error}", code=Code.INVALID_EVENT
            ) from error
        if body.read(1):
            raise Undecodable(f"{known.event.__name__}: bytes follow the event.", code=Code.INVALID_EVENT)
        return known, fields  # type: ignore[return-value]

    def _looked_up(self, fingerprint: bytes) -> _Known:
        why = self.look_up(fingerprint) if self.look_up is not None else ""
        if why is not None:
            raise UnknownSchema(fingerprint, why)
        return self._readers[fingerprint]
