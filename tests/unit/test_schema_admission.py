"""Schemas of strangers: what may be read with, and what each refusal keeps away."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from schemas import EVENTS
from schemas.admitting import MAX_DEPTH, MAX_TEXT_BYTES, Inadmissible, admitted
from schemas.generate import rendered
from streams.codec import Codec, fingerprint_of

CODEC = Codec()
Change = Callable[[dict[str, Any]], None]


def changed(name: str, change: Change) -> str:
    schema = json.loads(rendered(EVENTS[name]))
    change(schema)
    return json.dumps(schema)


def with_field(of: Any, **more: Any) -> str:
    """The schema of FeedbackGiven with one more field of this type."""
    return changed("FeedbackGiven", lambda s: s["fields"].append({"name": "mood", "type": of, "default": None, **more}))


def record(name: str, /, **fields: Any) -> dict[str, Any]:
    return {"type": "record", "name": name, "fields": [{"name": n, "type": t} for n, t in fields.items()]}


def refused(text: str, event: str = "FeedbackGiven") -> str:
    with pytest.raises(Inadmissible) as caught:
        admitted(event, text)
    return str(caught.value)


@pytest.mark.parametrize("name", EVENTS)
def test_what_this_release_writes_would_be_admitted_by_another_under_the_same_fingerprint(name):
    fingerprint, text = CODEC.written_schema(EVENTS[name])
    assert fingerprint_of(admitted(name, text)) == fingerprint
    assert len(text) * 4 < MAX_TEXT_BYTES


def test_a_new_field_a_new_symbol_and_a_new_record_are_admitted():
    mood = record("Mood", name="string", shades={"type": "map", "values": "double"})

    def change(schema: dict[str, Any]) -> None:
        kind = next(f for f in schema["fields"] if f["name"] == "kind")
        kind["type"]["symbols"].insert(0, "applause")
        schema["fields"].append({"name": "mood", "type": ["null", mood]})

    assert [f["name"] for f in admitted("FeedbackGiven", changed("FeedbackGiven", change))["fields"]][-1] == "mood"


def test_nothing_that_a_library_could_give_a_meaning_survives():
    text = with_field({"type": "long", "logicalType": "timestamp-micros"}, aliases=["value"], order="ignore")
    schema = json.loads(text) | {"__fastavro_parsed__": True, "__named_schemas": {}, "aliases": ["RequestRouted"]}
    kept = json.dumps(admitted("FeedbackGiven", json.dumps(schema)))
    for word in ("logicalType", "aliases", "fastavro", "named_schemas", "order", "default", "doc"):
        assert word not in kept


DOUBLING = record("D0", a="long", b="long")
for level in range(1, 20):
    DOUBLING = record(f"D{level}", a=DOUBLING, b=f"D{level - 1}")
DEEP: Any = "string"
for _ in range(MAX_DEPTH + 1):
    DEEP = {"type": "array", "items": DEEP}


@pytest.mark.parametrize(
    ("of", "why"),
    [
        (record("Tree", left=["null", "Tree"]), "Tree contains itself"),
        (["null", "penstock.FeedbackGiven"], "FeedbackGiven contains itself"),
        (DOUBLING, "more than 5,000 types"),
        (DEEP, "nested more than 32 deep"),
        ({"type": "array", "items": "null"}, "items take no bytes"),
        ({"type": "array", "items": record("Nothing", a="null", b=record("Less"))}, "items take no bytes"),
        ({"type": "fixed", "name": "Zeros", "size": 2**40}, "does not define"),
        ({"type": "array"}, "none of our events use"),
        ({"type": "enum", "name": "None_", "symbols": []}, "none of our events use"),
        (7, "none of our events use"),
        ([], "a union of nothing"),
        ("Nobody", "does not define"),
        (record("string", a="long"), "defines string twice"),
        (record("other.place", a="long"), "is no name"),
        ({"type": "record", "name": "Twice", "fields": [{"name": "a", "type": "long"}] * 2}, "two fields of one name"),
        ({"type": "record", "name": "Half", "fields": [{"name": "a"}]}, "without a name or a type"),
        ({"type": "enum", "name": "Odd", "symbols": ["a b"]}, "is no name"),
    ],
)
def test_a_schema_that_could_do_harm_is_refused_and_says_why(of, why):
    assert why in refused(with_field(of))


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("no json", "no JSON"),
        ("[" * 100_000, "no JSON"),
        (" " * (MAX_TEXT_BYTES + 1), "more than 131,072 bytes"),
        ('"string"', "not the record penstock.FeedbackGiven"),
        (changed("FeedbackGiven", lambda s: s.update(namespace="others")), "not the record"),
        (changed("FeedbackGiven", lambda s: s.update(fields=None)), "none of our events use"),
        (rendered(EVENTS["RequestReceived"]), "not the record"),
        (changed("FeedbackGiven", lambda s: s["fields"].pop(0)), "event_id"),
        (changed("FeedbackGiven", lambda s: s["fields"][1].update(type="string")), "long"),
    ],
)
def test_what_is_no_schema_of_the_event_or_disagrees_with_ours_is_refused_and_says_why(text, why):
    assert why in refused(text)


def test_an_event_that_this_release_does_not_know_is_refused():
    assert "no event of this release" in refused(rendered(EVENTS["FeedbackGiven"]), "SongSung")
