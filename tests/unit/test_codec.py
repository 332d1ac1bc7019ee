"""The codec: what the Avro specification says about the bytes, and that no bytes whatever do harm."""

from __future__ import annotations

import json
import math
import shutil
from io import BytesIO
from pathlib import Path
from typing import Any

import avro.schema
import msgspec
import pytest
from fastavro import parse_schema, schemaless_writer
from hypothesis import given
from hypothesis import strategies as st

from schemas import EVENTS, ChunkGenerated, DeadLettered, FeedbackGiven, Record, RequestReceived
from schemas.generate import FOLDER, snake
from streams.codec import HEADER_BYTES, MARKER, Codec, fingerprint_of
from streams.errors import Code, Undecodable
from streams.topics import LETTER_BYTES, MAX_EVENT_BYTES
from tests.event_examples import ALL, example

CODEC = Codec()
VALID = [CODEC.encode(example(name, kind)) for name, kind in ALL if kind != "nasty"]
HEADERS = sorted({raw[:HEADER_BYTES] for raw in VALID})

EMPTY = 0xC15D213AA4D7A795
"""The fingerprint of nothing, which is the polynomial too (Avro specification, "Schema Fingerprints")."""


def crc_64_avro(canonical: bytes) -> int:
    """The Rabin fingerprint, bit by bit: no table, and nothing of a library."""
    state = EMPTY
    for byte in canonical:
        state ^= byte
        for _ in range(8):
            state = (state >> 1) ^ (EMPTY if state & 1 else 0)
    return state


def decoded(raw: bytes) -> Record | Undecodable:
    """The event in these bytes, or the refusal; any other exception is a failure of the test."""
    try:
        return CODEC.decode(raw)
    except Undecodable as refusal:
        return refusal


def refused(raw: bytes | None, code: Code) -> str:
    with pytest.raises(Undecodable) as caught:
        CODEC.decode(raw)
    assert caught.value.code is code
    return caught.value.what


@pytest.mark.parametrize(("schema", "published"), [("null", 0x63DD24E7CC258F8A), ("int", 0x7275D51A3F395C8F)])
def test_the_fingerprint_is_that_of_the_specification(schema, published):
    assert crc_64_avro(f'"{schema}"'.encode()) == published
    assert fingerprint_of(parse_schema(schema)) == published.to_bytes(8, "little")


@pytest.mark.parametrize("name", EVENTS)
def test_an_event_begins_with_the_marker_and_its_schemas_fingerprint_little_endian(name):
    schema = avro.schema.parse((FOLDER / f"{snake(name)}.avsc").read_text(encoding="utf-8"))
    expected = crc_64_avro(schema.canonical_form.encode())
    raw = CODEC.encode(example(name))
    assert raw[:2] == b"\xc3\x01"
    assert int.from_bytes(raw[2:10], "little") == expected


def test_no_two_events_have_the_same_header():
    assert len({CODEC.encode(example(name))[:HEADER_BYTES] for name in EVENTS}) == len(EVENTS)


def test_the_body_is_what_the_specification_says_byte_for_byte():
    event = ChunkGenerated(
        event_id="é", occurred_at_us=-65, tenant="", conversation_id="c", request_id="r", step=64, index=1, text="ab"
    )
    # strings: zigzag length, UTF-8; longs: zigzag, seven bits a byte, the lowest first
    assert CODEC.encode(event)[HEADER_BYTES:] == b"\x04\xc3\xa9\x81\x01\x00\x02c\x02r\x80\x01\x02\x04ab"


@given(st.binary(max_size=400))
def test_any_bytes_are_an_event_or_undecodable(raw):
    assert isinstance(decoded(raw), Record | Undecodable)


@given(st.sampled_from(HEADERS), st.binary(max_size=400))
def test_any_bytes_behind_a_known_header_are_an_event_or_undecodable(header, body):
    match decoded(header + body):
        case Undecodable() as refusal:
            assert refusal.code is Code.INVALID_EVENT
        case event:
            assert msgspec.msgpack.encode(decoded(CODEC.encode(event))) == msgspec.msgpack.encode(event)


@given(st.data())
def test_an_event_cut_off_anywhere_is_undecodable(data):
    raw = data.draw(st.sampled_from(VALID))
    end = data.draw(st.integers(0, len(raw) - 1))
    with pytest.raises(Undecodable):
        CODEC.decode(raw[:end])


@given(st.data())
def test_an_event_with_flipped_bits_is_an_event_or_undecodable(data):
    raw = bytearray(data.draw(st.sampled_from(VALID)))
    for bit in data.draw(st.sets(st.integers(0, len(raw) * 8 - 1), min_size=1, max_size=4)):
        raw[bit // 8] ^= 1 << bit % 8
    assert isinstance(decoded(bytes(raw)), Record | Undecodable)


@given(
    st.text(),
    st.text(),
    st.integers(-(2**63), 2**63 - 1),
    st.floats(allow_nan=False),
    st.none() | st.text(),
    st.dictionaries(st.text(), st.text(), max_size=3),
)
def test_whatever_a_field_may_hold_arrives_as_it_was(one, other, number, real, optional, mapping):
    request = RequestReceived(
        event_id=one,
        occurred_at_us=number,
        conversation_id=other,
        request_id=one,
        workflow=other,
        message=one,
        variables=mapping,
        strategy=optional,
        deadline_ms=number,
    )
    feedback = FeedbackGiven(event_id=one, occurred_at_us=number, conversation_id="", request_id="", value=real)
    assert CODEC.decode(CODEC.encode(request)) == request
    assert CODEC.decode(CODEC.encode(feedback)) == feedback


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_number_that_is_not_finite_is_carried_because_ranges_are_not_the_codecs_business(value):
    event = msgspec.structs.replace(example("FeedbackGiven"), value=value)
    arrived = CODEC.decode(CODEC.encode(event))
    assert isinstance(arrived, FeedbackGiven)
    assert arrived.value == value or (math.isnan(value) and math.isnan(arrived.value))


@pytest.mark.parametrize("nothing", [None, b""])
def test_an_empty_message_is_not_avro(nothing):
    assert refused(nothing, Code.NOT_AVRO) == "The message is empty."


@pytest.mark.parametrize(
    "raw", [b"{}", b'{"message": "hello"}', b"\xc3", MARKER, MARKER + b"1234567", b"\x01\xc3" + b"1" * 40]
)
def test_bytes_without_a_whole_header_are_not_avro(raw):
    assert raw[:2].hex() in refused(raw, Code.NOT_AVRO)


def test_a_fingerprint_of_nobody_is_named():
    assert "3132333435363738" in refused(MARKER + b"12345678" + b"body", Code.UNKNOWN_SCHEMA)


def test_bytes_behind_an_event_are_an_invalid_event():
    assert refused(CODEC.encode(example("StageMeasured")) + b"\x00", Code.INVALID_EVENT).startswith("StageMeasured")


def of_bytes(count: int, event: str, field: str) -> bytes:
    """An encoded event of exactly so many bytes."""
    empty = b"" if field == "value" else ""
    bare = len(CODEC.encode(msgspec.structs.replace(example(event), **{field: empty})))
    length = count - bare - 3  # the length of such a text takes four bytes, where an empty one takes one
    filled: Any = b"x" * length if field == "value" else "x" * length
    raw = CODEC.encode(msgspec.structs.replace(example(event), **{field: filled}))
    assert len(raw) == count
    return raw


def test_an_event_may_be_as_large_as_the_limit_and_no_byte_larger():
    assert isinstance(CODEC.decode(of_bytes(MAX_EVENT_BYTES, "RequestReceived", "message")), RequestReceived)
    said = refused(of_bytes(MAX_EVENT_BYTES + 1, "RequestReceived", "message"), Code.OVERSIZED)
    assert "1,572,865" in said
    refused(b"x" * (MAX_EVENT_BYTES + 1), Code.OVERSIZED)
    refused(MARKER + b"x" * MAX_EVENT_BYTES, Code.OVERSIZED)


def test_a_dead_letter_that_carries_an_oversized_message_can_be_read_again():
    letter = CODEC.decode(of_bytes(LETTER_BYTES, "DeadLettered", "value"))
    assert isinstance(letter, DeadLettered)
    refused(of_bytes(LETTER_BYTES + 1, "DeadLettered", "value"), Code.OVERSIZED)


@pytest.mark.parametrize(
    "change",
    [
        {"occurred_at_us": 2**63},
        {"occurred_at_us": -(2**63) - 1},
        {"comment": "\ud83d"},
        {"kind": "applause"},
        {"request_id": None},
        {"value": "good"},
    ],
)
def test_a_value_that_its_type_forbids_is_a_value_error(change):
    with pytest.raises(ValueError, match=r"."):
        CODEC.encode(msgspec.structs.replace(example("FeedbackGiven"), **change))


def test_fields_come_as_plain_values_with_the_name_of_their_event():
    name, fields = CODEC.decode_fields(CODEC.encode(example("StageMeasured")))
    assert name == "StageMeasured"
    assert fields["measures"][0] == {"name": "handled_total", "value": 250.0}


# What an older release wrote, the current reads.


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for path in FOLDER.glob("*.avsc"):
        shutil.copy(path, tmp_path)
    shutil.copytree(FOLDER / "released", tmp_path / "released")
    return tmp_path


def released_once(folder: Path, name: str, change: Any) -> dict[str, Any]:
    """Make the schema of an event, changed, an older release."""
    schema: dict[str, Any] = json.loads((FOLDER / f"{snake(name)}.avsc").read_text(encoding="utf-8"))
    change(schema)
    (folder / "released" / snake(name) / "0.avsc").write_text(json.dumps(schema), encoding="utf-8")
    return schema


def written_with(schema: dict[str, Any], fields: dict[str, Any]) -> bytes:
    out = BytesIO()
    parsed = parse_schema(schema)
    schemaless_writer(out, parsed, fields)
    return MARKER + fingerprint_of(parsed) + out.getvalue()


def fields_of(name: str, *but: str) -> dict[str, Any]:
    fields: dict[str, Any] = msgspec.to_builtins(example(name), builtin_types=(bytes,))
    return {key: value for key, value in fields.items() if key not in but}


def drop(*names: str) -> Any:
    def change(schema: dict[str, Any]) -> None:
        schema["fields"] = [f for f in schema["fields"] if f["name"] not in names]

    return change


def test_an_event_of_an_older_release_is_read_with_the_default_of_the_field_that_it_lacks(folder):
    lacking = ("documents", "sensitivity", "deadline_ms", "variables", "stream")
    old = released_once(folder, "RequestReceived", drop(*lacking))
    raw = written_with(old, fields_of("RequestReceived", *lacking))
    refused(raw, Code.UNKNOWN_SCHEMA)
    arrived = Codec(folder).decode(raw)
    assert isinstance(arrived, RequestReceived)
    assert arrived == msgspec.structs.replace(
        example("RequestReceived"), documents=(), sensitivity="internal", deadline_ms=None, variables={}, stream=False
    )


def test_a_field_that_only_an_older_release_had_is_passed_over(folder):
    old = released_once(
        folder, "FeedbackGiven", lambda s: s["fields"].insert(2, {"name": "mood", "type": "string", "default": ""})
    )
    raw = written_with(old, {**fields_of("FeedbackGiven"), "mood": "sunny"})
    assert Codec(folder).decode(raw) == example("FeedbackGiven")


def test_a_symbol_that_only_another_release_had_is_read_as_unknown(folder):
    def change(schema: dict[str, Any]) -> None:
        kind = next(f for f in schema["fields"] if f["name"] == "kind")
        kind["type"]["symbols"].append("applause")

    old = released_once(folder, "FeedbackGiven", change)
    arrived = Codec(folder).decode(written_with(old, {**fields_of("FeedbackGiven"), "kind": "applause"}))
    assert isinstance(arrived, FeedbackGiven)
    assert arrived.kind == "unknown"


def test_what_is_written_is_always_the_current_schema(folder):
    released_once(folder, "FeedbackGiven", drop("comment"))
    assert Codec(folder).encode(example("FeedbackGiven")) == CODEC.encode(example("FeedbackGiven"))
