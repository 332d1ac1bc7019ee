"""What is no event ends in the dead letters of each role that read it, byte for byte; the role goes on, and a replay works."""

from __future__ import annotations

from collections.abc import Callable
from io import BytesIO
from typing import Any

import msgspec
import pytest
from fastavro import parse_schema, schemaless_writer
from fastavro.schema import load_schema

from schemas import DeadLettered, FeedbackGiven, ResponseReady, RewardComputed
from streams.codec import HEADER_BYTES, MARKER, fingerprint_of
from streams.deployment import ROOT
from streams.topics import MAX_MESSAGE_BYTES, TOPICS
from tests.loop import CODEC, Loop
from tests.waiting import eventually

MIB = 1024 * 1024
SCHEMA: Any = load_schema(str(ROOT / "schemas" / "request_received.avsc"))
ROLES_OF = {
    topic: tuple(role for role in declared.read_by if f"{role}-dlq" in TOPICS) for topic, declared in TOPICS.items()
}


def request_bytes(loop: Loop, message: str = "What is kept of a request?") -> bytes:
    return CODEC.encode(loop.request(message))


def without(loop: Loop, field: str, *, header: bytes | None = None) -> bytes:
    """A request written by somebody whose schema lacks a field, under that schema's name or under another."""
    lacking = parse_schema({**SCHEMA, "fields": [f for f in SCHEMA["fields"] if f["name"] != field]}, _force=True)
    fields = msgspec.to_builtins(loop.request("What is kept of a request?"))
    del fields[field]
    out = BytesIO()
    schemaless_writer(out, lacking, fields)
    return (header or MARKER + fingerprint_of(lacking)) + out.getvalue()


def feedback_bytes() -> bytes:
    given = FeedbackGiven(event_id="f", occurred_at_us=1, conversation_id="c", request_id="r", value=1.0)
    return CODEC.encode(given)


Bad = Callable[[Loop], bytes]
BAD: dict[str, tuple[str, Bad]] = {
    "no Avro": ("not_avro", lambda _: b"{'json': true}"),
    "nothing": ("not_avro", lambda _: b""),
    "an unknown schema": ("unknown_schema", lambda _: MARKER + b"\x01\x02\x03\x04\x05\x06\x07\x08" + b"body"),
    "another's schema": ("unknown_schema", lambda loop: without(loop, "message")),
    "a truncated body": ("invalid_event", lambda loop: request_bytes(loop)[:40]),
    "bytes after the body": ("invalid_event", lambda loop: request_bytes(loop) + b"more"),
    "a missing field": (
        "invalid_event",
        lambda loop: without(loop, "message", header=request_bytes(loop)[:HEADER_BYTES]),
    ),
    "2 MiB": ("oversized", lambda loop: request_bytes(loop, "a" * 2 * MIB)),
    "as much as a topic takes": ("oversized", lambda _: b"x" * (MAX_MESSAGE_BYTES - 200)),
    "another event": ("unexpected_event", lambda _: feedback_bytes()),
}


def letter_at(loop: Loop, role: str, topic: str, place: tuple[int, int]) -> DeadLettered:
    return loop.first(
        f"{role}-dlq", DeadLettered, where=lambda each: (each.topic, each.partition, each.offset) == (topic, *place)
    )


@pytest.mark.parametrize("name", BAD)
def test_bytes_that_are_no_request_are_kept_with_their_origin_and_the_router_answers_what_follows(
    loop: Loop, name: str
) -> None:
    code, make = BAD[name]
    value, key = make(loop), f"dead {name}".encode()
    place = loop.publish_raw("requests", key, value)
    (after,) = loop.ask(loop.request(conversation_id=key.decode()))
    assert isinstance(after, ResponseReady)
    for role in ("router", "analytics"):
        letter = letter_at(loop, role, "requests", place)
        assert (letter.value, letter.key, letter.code, letter.stage) == (value, key, code, role)
        assert letter.error


@pytest.mark.parametrize(
    ("topic", "role"),
    [(topic, role) for topic in ("routing", "generation", "responses", "feedback") for role in ROLES_OF[topic]],
)
def test_garbage_on_any_topic_is_a_dead_letter_of_each_role_that_reads_it(loop: Loop, topic: str, role: str) -> None:
    value = f"garbage on {topic} for {role}".encode()
    place = loop.publish_raw(topic, None, value)
    letter = letter_at(loop, role, topic, place)
    assert (letter.value, letter.key, letter.code) == (value, None, "not_avro")


@pytest.mark.parametrize("topic", ["controls", "profile-updates"])
def test_garbage_on_a_topic_that_is_read_whole_is_a_dead_letter_too(loop: Loop, topic: str) -> None:
    place = loop.publish_raw(topic, b"garbage", b"garbage")
    for role in ROLES_OF[topic]:
        assert letter_at(loop, role, topic, place).code == "not_avro"


def test_after_all_of_that_every_role_still_does_its_work(loop: Loop) -> None:
    for topic in ("requests", "routing", "generation", "responses", "feedback"):
        loop.publish_raw(topic, b"working", b"garbage")
    asked = loop.request(conversation_id="working")
    (answer,) = loop.ask(asked)
    loop.rate([(answer, 5)])
    loop.first("rewards", RewardComputed, asked.request_id)


def test_dead_letters_are_listed_shown_and_replayed_byte_for_byte(loop: Loop, tmp_path) -> None:
    value = b"\x00\xffreplay me\n"
    place = loop.publish_raw("requests", b"replayed", value)
    letter_at(loop, "router", "requests", place)
    (listed,) = [
        each
        for each in loop.penstock_json("dlq", "list", "router")
        if (each["topic"], each["partition"], each["offset"]) == ("requests", *place)
    ]
    assert (listed["code"], listed["key"], listed["bytes"]) == ("not_avro", "replayed", len(value))
    written = tmp_path / "value"
    loop.penstock("dlq", "show", "router", listed["place"], "--raw", str(written))
    assert written.read_bytes() == value

    loop.penstock("dlq", "replay", "router", listed["place"])

    def again() -> list[DeadLettered]:
        return [
            each for each in loop.events("router-dlq", DeadLettered) if each.value == value and each.offset != place[1]
        ]

    (second,) = eventually(again, describe="the replayed message in the dead letters again")
    assert (second.key, second.code, second.partition) == (b"replayed", "not_avro", place[0])
    assert second.offset > place[1]
