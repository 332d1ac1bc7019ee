"""Large events are weighed before they are made: what was meant passes, at any shape, and what was not ends early."""

from __future__ import annotations

from io import BytesIO
from typing import Any

import pytest
from fastavro import parse_schema, schemaless_writer
from hypothesis import given
from hypothesis import strategies as st

from schemas import EVENTS
from streams import weighing
from streams.codec import HEADER_BYTES, Codec
from streams.weighing import MAX_VALUES, TooManyValues, weigh
from tests.event_examples import ALL, example

CODEC = Codec()
SHADES = {
    "type": "record",
    "name": "Shades",
    "fields": [
        {"name": "all", "type": {"type": "array", "items": {"type": "map", "values": ["null", "double", "Shades"]}}},
        {
            "name": "flat",
            "type": [{"type": "enum", "name": "Flat", "symbols": ["YES", "NO"]}, "boolean", "float", "bytes"],
        },
        {"name": "again", "type": "Flat"},
        {"name": "count", "type": {"type": "long"}},
    ],
}
LIST: dict[str, Any] = {"type": "array", "items": "string"}


def written(schema: Any, value: Any) -> bytes:
    out = BytesIO()
    schemaless_writer(out, parse_schema(schema), value)
    return out.getvalue()


@pytest.mark.parametrize(("name", "kind"), ALL)
def test_every_event_of_ours_is_stepped_over_to_its_last_byte(name, kind):
    raw = CODEC.encode(example(name, kind))
    schema = CODEC._writers[EVENTS[name]][1]
    scale = weighing._Scale(schema, raw, HEADER_BYTES)
    scale.step_over(schema)
    assert scale._at == len(raw)


def test_every_type_that_avro_has_and_names_used_again_are_stepped_over():
    inner = {"all": [], "flat": b"xyz", "again": "NO", "count": -(2**62)}
    value = {"all": [{"a": None, "b": 0.5}, {"c": inner}], "flat": "YES", "again": "YES", "count": 2**63 - 1}
    raw, schema = written(SHADES, value), parse_schema(SHADES)
    scale = weighing._Scale(schema, raw, 0)
    scale.step_over(schema)
    assert scale._at == len(raw)


def test_a_block_that_states_its_bytes_is_stepped_over_item_by_item():
    weigh(LIST, b"\x03\x06\x02a\x00\x00", 0)
    with pytest.raises(IndexError):
        weigh(LIST, b"\x03\x06\x02a", 0)


def test_as_many_values_as_are_allowed_pass_and_one_more_does_not():
    weigh(LIST, written(LIST, [""] * (MAX_VALUES - 1)), 0)
    with pytest.raises(TooManyValues):
        weigh(LIST, written(LIST, [""] * MAX_VALUES), 0)


@pytest.mark.parametrize(
    ("schema", "raw"),
    [
        ("string", b"\x06ab"),
        ("string", b"\x01"),
        ("string", b"\xfe\xff\xff\xff\xff\xff\xff\xff\xff\x01"),
        ("long", b"\x80" * 11),
        ("double", b"1234567"),
        (["null", "long"], b"\x04"),
        (LIST, b"\xfe\xff\xff\xff\xff\xff\xff\xff\xff\x01\x00"),
    ],
)
def test_bytes_that_end_early_or_state_what_cannot_be_are_an_error_at_once(schema, raw):
    with pytest.raises((IndexError, ValueError)):
        weigh(schema, raw, 0)


@given(st.binary(max_size=300))
def test_any_bytes_end(raw):
    for event in EVENTS.values():
        try:
            weigh(CODEC._writers[event][1], raw, 0)
        except (IndexError, ValueError):
            continue
