"""Two releases side by side: a schema that is met for the first time is looked up, and what was refused is told by name."""

from __future__ import annotations

import asyncio
import json
from io import BytesIO
from typing import Any

import msgspec
import pytest
from fastavro import parse_schema, schemaless_writer

from schemas import EVENTS, FeedbackGiven, SchemaPublished
from schemas.generate import rendered
from streams.codec import MARKER, Codec, fingerprint_of
from streams.delivery import Delivery, Origin
from streams.errors import Code, UnknownSchema
from streams.following import NoSuchTopic
from streams.lookup import SchemaLookUp, published
from streams.outbox import Outbox
from streams.topics import STAGES, events_of
from tests.cli_world import MemoryLog
from tests.event_examples import example

FEEDBACK = example("FeedbackGiven")
NOW_US = 1_760_000_000_000_000


def newer(field: str = "mood") -> dict[str, Any]:
    """FeedbackGiven as a later release has it: one more field, and one fewer that has a default."""
    schema: dict[str, Any] = json.loads(rendered(FeedbackGiven))
    schema["fields"] = [f for f in schema["fields"] if f["name"] != "comment"]
    schema["fields"].insert(2, {"name": field, "type": "string", "default": ""})
    return schema


def written(schema: dict[str, Any]) -> bytes:
    out, parsed = BytesIO(), parse_schema(schema)
    schemaless_writer(out, parsed, msgspec.to_builtins(FEEDBACK))
    return MARKER + fingerprint_of(parsed) + out.getvalue()


def told(schema: dict[str, Any], /, **but: Any) -> SchemaPublished:
    fields: dict[str, Any] = {
        "event_id": "1",
        "occurred_at_us": NOW_US,
        "fingerprint": fingerprint_of(parse_schema(schema)).hex(),
        "event_type": "FeedbackGiven",
        "schema": json.dumps(schema),
    }
    return SchemaPublished(**{**fields, **but})


class Topic:
    """The topic in memory, and how often it was opened."""

    def __init__(self) -> None:
        self.log = MemoryLog()
        self.opened = 0

    def open(self) -> MemoryLog:
        self.opened += 1
        return self.log.another()


@pytest.fixture
def topic() -> Topic:
    return Topic()


@pytest.fixture
def codec(topic) -> Codec:
    codec = Codec()
    codec.look_up = SchemaLookUp(codec, topic.open)
    return codec


def test_the_schema_of_published_schemas_never_changes():
    """Readers of any release must understand it: whatever happens, this fingerprint stays."""
    assert Codec().written_schema(SchemaPublished)[0].hex() == "162373ecb9a77550"


def test_an_event_of_a_later_release_is_read_without_what_is_new_and_with_the_default_of_what_is_gone(topic, codec):
    topic.log.put("schemas", told(newer()))
    assert codec.decode(written(newer())) == msgspec.structs.replace(FEEDBACK, comment=None)
    assert codec.decode_fields(written(newer()))[0] == "FeedbackGiven"


def test_a_schema_that_is_known_is_never_looked_up(topic, codec):
    codec.decode(codec.encode(FEEDBACK))
    assert topic.opened == 0
    topic.log.put("schemas", told(newer()))
    for _ in range(3):
        codec.decode(written(newer()))
    assert topic.opened == 1


def test_what_nobody_published_is_unknown_until_somebody_does(topic, codec):
    with pytest.raises(UnknownSchema, match="nobody published it") as caught:
        codec.decode(written(newer()))
    assert caught.value.code is Code.UNKNOWN_SCHEMA
    topic.log.put("schemas", told(newer("other")))
    with pytest.raises(UnknownSchema):
        codec.decode(written(newer()))
    topic.log.put("schemas", told(newer()))
    assert isinstance(codec.decode(written(newer())), FeedbackGiven)
    assert isinstance(codec.decode(written(newer("other"))), FeedbackGiven)


@pytest.mark.parametrize(
    ("but", "why"),
    [
        ({"schema": rendered(EVENTS["FeedbackGiven"])}, "its fingerprint is"),
        ({"schema": "{"}, "no JSON"),
        ({"event_type": "SongSung"}, "'SongSung' and refused"),
        ({"event_type": "RequestReceived"}, "not the record penstock.RequestReceived"),
    ],
)
def test_a_published_schema_that_may_not_be_read_with_is_refused_by_name_and_a_good_one_replaces_it(
    topic, codec, but, why
):
    topic.log.put("schemas", told(newer(), **but))
    for _ in range(2):
        with pytest.raises(UnknownSchema, match=why):
            codec.decode(written(newer()))
    topic.log.put("schemas", told(newer()))
    assert isinstance(codec.decode(written(newer())), FeedbackGiven)


def test_rubbish_on_the_topic_harms_nobody(topic, codec):
    for key, value in (
        (b"k", b"rubbish"),
        (None, None),
        (b"k", b""),
        (b"k", codec.encode(FEEDBACK)),
        (b"k", written(newer())),
    ):
        topic.log.append("schemas", key, value)
    topic.log.append("schemas", b"another key", codec.encode(told(newer())))
    topic.log.append("schemas", b"x" * 16, codec.encode(told(newer(), fingerprint="x" * 16, schema="x" * 200_000)))
    topic.log.put("schemas", told(newer("other")))
    assert isinstance(codec.decode(written(newer("other"))), FeedbackGiven)
    with pytest.raises(UnknownSchema, match="nobody published it"):
        codec.decode(written(newer()))


def test_a_schema_that_was_deleted_by_hand_is_unknown(topic, codec):
    topic.log.put("schemas", told(newer()))
    topic.log.append("schemas", told(newer()).fingerprint.encode(), None)
    with pytest.raises(UnknownSchema):
        codec.decode(written(newer()))


@pytest.mark.parametrize("role", STAGES)
def test_a_role_publishes_what_it_writes_once(topic, role):
    codec = Codec()
    first = SchemaLookUp(codec, topic.open).unpublished(role, now_us=NOW_US)
    assert {each.event_type for each in first} == {event.__name__ for event in events_of(role)} - {"SchemaPublished"}
    topic.log.put("schemas", *first)
    assert SchemaLookUp(codec, topic.open).unpublished(role, now_us=NOW_US) == []


def test_what_another_spoilt_is_published_again_and_other_words_in_the_documentation_are_not(topic):
    codec = Codec()
    good = published("FeedbackGiven", codec, NOW_US)
    reworded = msgspec.structs.replace(good, schema=good.schema.replace("A user rated", "Somebody rated"))
    assert reworded != good
    topic.log.put("schemas", reworded)
    names = [each.event_type for each in SchemaLookUp(codec, topic.open).unpublished("caller", now_us=NOW_US)]
    assert names == ["RequestReceived"]
    topic.log.put("schemas", msgspec.structs.replace(good, schema="{}"))
    names = [each.event_type for each in SchemaLookUp(codec, topic.open).unpublished("caller", now_us=NOW_US)]
    assert sorted(names) == ["FeedbackGiven", "RequestReceived"]


def test_where_there_is_no_such_topic_a_schema_is_unknown_and_a_writer_is_told(codec):
    lookup = SchemaLookUp(codec, lambda: MemoryLog(("requests",)))
    assert "no topic schemas" in str(lookup(b"12345678"))
    with pytest.raises(NoSuchTopic):
        lookup.unpublished("router", now_us=NOW_US)


def test_a_topic_that_cannot_be_read_to_its_end_in_time_is_an_error_and_not_a_refusal(topic, codec):
    class Silent(MemoryLog):
        def poll(self, wait_s: float) -> list[Any]:
            return []

    log = Silent()
    log.kept = topic.log.kept
    topic.log.put("schemas", told(newer()))
    seconds = iter(range(100))
    with pytest.raises(TimeoutError):
        SchemaLookUp(codec, lambda: log, clock_s=lambda: float(next(seconds)))(b"12345678")


def test_what_a_transaction_leaves_at_the_end_is_not_waited_for(topic, codec):
    strange = told(newer())
    topic.log.put("schemas", strange)
    for name in ("a", "b", "c", "d"):
        topic.log.append_unseen("schemas", name.encode())
    seconds = iter(range(100))
    lookup = SchemaLookUp(codec, topic.open, clock_s=lambda: float(next(seconds)))
    assert lookup(bytes.fromhex(strange.fingerprint)) is None


# In a stage


class Stage:
    """A delivery whose schemas are on the topic; the broker is away for the first look-ups."""

    def __init__(self, topic: Topic, *, away: int = 0) -> None:
        self.away = away
        self.codec = Codec()
        self.lookup = SchemaLookUp(self.codec, topic.open)
        self.sent: list[tuple[str, Any]] = []
        self.handled: list[Any] = []
        self.pauses_s: list[float] = []
        outbox = Outbox("evaluator", self.codec, self.send)
        self.delivery = Delivery("evaluator", self.codec, outbox, look_up=self.look_up, pause=self.pause)

    async def look_up(self, fingerprint: bytes) -> str | None:
        if self.away:
            self.away -= 1
            raise TimeoutError
        return await self.lookup.beside(fingerprint)

    async def pause(self, seconds: float) -> None:
        self.pauses_s.append(seconds)

    async def send(self, topic: str, key: bytes, value: bytes, headers: Any) -> None:
        self.sent.append((topic, self.codec.decode(value)))

    async def handle(self, event: Any) -> None:
        self.handled.append(event)

    def take_in(self, raw: bytes, handle: Any = None) -> None:
        asyncio.run(self.delivery.take_in(Origin("feedback", 0, 0, b"k", raw), handle or self.handle))


def test_a_stage_handles_what_a_later_release_wrote_and_waits_for_the_broker_to_say_how(topic):
    topic.log.put("schemas", told(newer()))
    stage = Stage(topic, away=3)
    stage.take_in(written(newer()))
    assert stage.handled == [msgspec.structs.replace(FEEDBACK, comment=None)]
    assert len(stage.pauses_s) == 3
    assert stage.sent == []


def test_a_stage_dead_letters_what_nobody_published_and_says_so(topic):
    stage = Stage(topic)
    stage.take_in(written(newer()))
    ((where, letter),) = stage.sent
    assert (where, letter.code) == ("evaluator-dlq", "unknown_schema")
    assert "nobody published it on the topic schemas" in letter.error
    assert stage.handled == []


def test_what_a_handler_keeps_from_another_release_is_looked_up_too_and_tried_again(topic):
    topic.log.put("schemas", told(newer()))
    stage = Stage(topic)
    read: list[Any] = []

    async def handle(event: Any) -> None:
        read.append(stage.codec.decode(written(newer())))

    stage.take_in(stage.codec.encode(FEEDBACK), handle)
    assert len(read) == 1
    assert stage.sent == []
