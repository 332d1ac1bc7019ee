"""The examples of every event: strict, telling, and the same after a journey over the wire.

A number of an event is meant to be finite. JSON cannot say NaN or infinity, and no example does; on the wire, where Avro can,
the codec carries them, and whoever computes with a number refuses them (agents/judging/reward.py: "NaN is in no range").
"""

from __future__ import annotations

import json
import math
import types
from collections.abc import Iterator
from typing import Any, Union, get_args, get_origin, get_type_hints

import msgspec
import pytest

from schemas import EVENTS
from schemas.generate import snake
from streams.codec import Codec
from tests.event_examples import ALL, EXAMPLES, KINDS, example, path_of

CODEC = Codec()


def unknown_fields(annotation: Any, content: Any, where: str) -> list[str]:
    """The keys of ``content`` (from JSON) that the type does not have, at every level."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if content is None or annotation in (str, int, float, bool, bytes):
        return []
    if origin in (Union, types.UnionType):
        return unknown_fields(arguments[0], content, where)
    if origin is tuple:
        return [u for n, each in enumerate(content) for u in unknown_fields(arguments[0], each, f"{where}[{n}]")]
    if not (isinstance(annotation, type) and issubclass(annotation, msgspec.Struct)):
        return []
    hints = get_type_hints(annotation)
    found = [f"{where}.{key}" for key in content if key not in annotation.__struct_fields__]
    for key in content.keys() & hints.keys():
        found += unknown_fields(hints[key], content[key], f"{where}.{key}")
    return found


def leaves(content: Any) -> Iterator[Any]:
    if isinstance(content, dict):
        for key, value in content.items():
            yield key
            yield from leaves(value)
    elif isinstance(content, list | tuple):
        for value in content:
            yield from leaves(value)
    else:
        yield content


def test_every_event_has_a_minimal_a_full_and_a_nasty_example_and_nothing_else_has():
    there = {(path.parent.name, path.stem) for path in EXAMPLES.rglob("*") if path.is_file()}
    assert there == {(snake(name), kind) for name in EVENTS for kind in KINDS}


@pytest.mark.parametrize(("name", "kind"), ALL)
def test_an_example_has_no_field_that_its_event_does_not_have(name, kind):
    content = json.loads(path_of(name, kind).read_text(encoding="utf-8"))
    assert unknown_fields(EVENTS[name], content, name) == []


def test_the_search_for_unknown_fields_finds_them_at_every_level():
    content = json.loads(path_of("RequestRouted", "full").read_text(encoding="utf-8"))
    content["plan"]["steps"][1]["tire"] = "simple"
    content["wrong"] = 1
    assert set(unknown_fields(EVENTS["RequestRouted"], content, "R")) == {"R.wrong", "R.plan.steps[1].tire"}


@pytest.mark.parametrize(("name", "kind"), ALL)
def test_an_example_is_the_same_after_a_journey_over_the_wire(name, kind):
    event = example(name, kind)
    arrived = CODEC.decode(CODEC.encode(event))
    assert arrived == event
    assert type(arrived) is EVENTS[name]
    assert msgspec.msgpack.encode(arrived) == msgspec.msgpack.encode(event)  # tells -0.0 from 0.0


@pytest.mark.parametrize(("name", "kind"), ALL)
def test_the_fields_of_an_example_arrive_under_their_names(name, kind):
    event = example(name, kind)
    what, fields = CODEC.decode_fields(CODEC.encode(event))
    assert what == name
    assert msgspec.msgpack.encode(fields) == msgspec.msgpack.encode(event)


@pytest.mark.parametrize("name", EVENTS)
def test_a_minimal_example_states_only_what_has_no_default(name):
    content = json.loads(path_of(name, "minimal").read_text(encoding="utf-8"))
    assert set(content) == {field.name for field in msgspec.structs.fields(EVENTS[name]) if field.required}


@pytest.mark.parametrize("name", EVENTS)
def test_no_required_field_can_be_left_out_of_a_minimal_example(name):
    content = json.loads(path_of(name, "minimal").read_text(encoding="utf-8"))
    for key in content:
        rest = {k: v for k, v in content.items() if k != key}
        with pytest.raises(msgspec.ValidationError, match=key):
            msgspec.convert(rest, EVENTS[name])


@pytest.mark.parametrize("name", EVENTS)
def test_a_full_example_gives_every_optional_field_another_value_than_its_default(name):
    event = example(name, "full")
    silent = []
    for field in msgspec.structs.fields(EVENTS[name]):
        value = getattr(event, field.name)
        default = field.default if field.default_factory is msgspec.NODEFAULT else field.default_factory()
        if default is not msgspec.NODEFAULT and value == default:
            silent.append(field.name)
        if value in (None, ()):
            silent.append(field.name)
    assert silent == []


@pytest.mark.parametrize(("name", "kind"), ALL)
def test_every_number_of_an_example_is_finite(name, kind):
    def refuse(constant: str) -> float:
        raise AssertionError(f"{constant} is no number of an event")

    content = json.loads(path_of(name, kind).read_text(encoding="utf-8"), parse_constant=refuse)
    assert all(math.isfinite(each) for each in leaves(content) if isinstance(each, float))


def test_the_nasty_examples_hold_what_they_are_called_after():
    held = [
        leaf for name in EVENTS for leaf in leaves(msgspec.to_builtins(example(name, "nasty"), builtin_types=(bytes,)))
    ]
    texts = [leaf for leaf in held if isinstance(leaf, str)]
    numbers = {leaf for leaf in held if type(leaf) is int}
    real = {leaf for leaf in held if type(leaf) is float}
    assert "" in texts
    assert any(c >= "\N{BLACK FLAG}" for text in texts for c in text)
    assert any("\u202e" in text for text in texts), "right to left"
    assert any("\x00" in text and "\x1b" in text for text in texts), "control characters"
    assert max(map(len, texts)) == 65_536
    assert {2**63 - 1, -(2**63)} <= numbers
    assert {1.7976931348623157e308, 5e-324} <= real
    assert bytes(range(256)) in held
    assert not any("\ud800" <= c <= "\udfff" for text in texts for c in text), "UTF-8 has no lone surrogates"
