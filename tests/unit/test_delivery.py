"""Delivery: whatever a message is and whatever its handler does, it is handled or in the dead letters, and the stage goes on."""

from __future__ import annotations

import asyncio

import msgspec
import pytest
from aiokafka.errors import KafkaTimeoutError, MessageSizeTooLargeError, RequestTimedOutError
from faust.exceptions import ProducerSendError

from schemas import DeadLettered, Record, RequestReceived
from streams.codec import MARKER, Codec
from streams.delivery import (
    ATTEMPTS,
    DEAD_LETTER_PAUSE_S,
    FIRST_PAUSE_S,
    GIVE_UP_ATTEMPTS,
    Delivery,
    Origin,
    current_origin,
)
from streams.errors import Code, Ended, Rejected, Undeliverable
from streams.identity import event_id
from streams.limit import Limit
from streams.outbox import Outbox
from streams.passing import passes
from streams.topics import MAX_EVENT_BYTES, MAX_MESSAGE_BYTES, TOPICS
from streams.tracing import Headers
from tests.event_examples import example

CODEC = Codec()
REQUEST = example("RequestReceived")
RAW = CODEC.encode(REQUEST)
BATCH_BYTES = 128
"""More than Kafka adds to a message that is alone in its batch."""
BEGIN_US = 1_800_000_000_000_000


class Broker:
    """Takes what is sent, unless it is away for the next ``away`` sends."""

    def __init__(self) -> None:
        self.away = 0
        self.sent: list[tuple[str, bytes, Record]] = []

    async def send(self, topic: str, key: bytes, value: bytes, headers: Headers) -> None:
        if self.away:
            self.away -= 1
            raise ConnectionError("the broker is away")
        if len(key) + len(value) + BATCH_BYTES > TOPICS[topic].max_message_bytes:
            raise ValueError("too large for the topic")
        self.sent.append((topic, key, CODEC.decode(value)))


class World:
    """The router's delivery with a broker, a clock that only pauses move, and a handler that does as told."""

    def __init__(self, *outcomes: Exception | None, limit: Limit | None = None) -> None:
        self.outcomes = list(outcomes)
        self.now_us = BEGIN_US
        self.pauses_s: list[float] = []
        self.handled: list[Record] = []
        self.given_up: list[Record] = []
        self.broker = Broker()
        self.delivery = Delivery(
            "router",
            CODEC,
            Outbox("router", CODEC, self.broker.send),
            clock=lambda: self.now_us,
            pause=self.pause,
            limit=limit,
            passes=passes,
        )

    async def pause(self, seconds: float) -> None:
        self.pauses_s.append(seconds)
        assert len(self.pauses_s) < 100, "this would never end"
        self.now_us += round(seconds * 1e6)

    async def handle(self, event: Record) -> None:
        self.handled.append(event)
        outcome = self.outcomes.pop(0) if self.outcomes else None
        if outcome is not None:
            raise outcome

    async def give_up(self, event: Record) -> None:
        assert self.broker.sent, "the dead letter comes first"
        self.given_up.append(event)

    def take_in(
        self,
        value: bytes | None = RAW,
        *,
        topic: str = "requests",
        key: bytes | None = b"talk-7",
        with_give_up: bool = True,
    ) -> None:
        origin = Origin(topic, 3, 17, key, value)
        asyncio.run(self.delivery.take_in(origin, self.handle, self.give_up if with_give_up else None))

    @property
    def letter(self) -> DeadLettered:
        ((topic, _, letter),) = self.broker.sent
        assert topic == "router-dlq"
        assert isinstance(letter, DeadLettered)
        return letter


def test_an_event_is_handled_once_and_nothing_else_happens():
    world = World()
    world.take_in()
    assert world.handled == [REQUEST]
    assert world.broker.sent == []
    assert world.pauses_s == []
    assert (world.delivery.handled_total, world.delivery.retried_total, world.delivery.dead_lettered_total) == (1, 0, 0)


@pytest.mark.parametrize(
    ("value", "code"),
    [
        (b"no event \x00\xff", Code.NOT_AVRO),
        (None, Code.NOT_AVRO),
        (b"", Code.NOT_AVRO),
        (MARKER + b"12345678body", Code.UNKNOWN_SCHEMA),
        (RAW[:-1], Code.INVALID_EVENT),
        (RAW + b"\x00", Code.INVALID_EVENT),
        (CODEC.encode(example("ResponseReady")), Code.UNEXPECTED_EVENT),
        (b"x" * (MAX_EVENT_BYTES + 1), Code.OVERSIZED),
        (b"\x00" * (2 * 1024 * 1024), Code.OVERSIZED),
    ],
)
def test_what_is_no_event_of_the_topic_is_dead_lettered_at_once_with_its_exact_bytes_and_origin(value, code):
    world = World()
    world.take_in(value)
    assert world.handled == world.given_up == []
    assert world.pauses_s == []
    letter = world.letter
    assert letter == DeadLettered(
        event_id=event_id("DeadLettered", "router", "requests", "3", "17"),
        occurred_at_us=BEGIN_US,
        stage="router",
        topic="requests",
        partition=3,
        offset=17,
        key=b"talk-7",
        value=value,
        code=code.value,
        error=letter.error,
        attempts=1,
    )
    assert letter.error
    assert (world.delivery.handled_total, world.delivery.dead_lettered_total) == (0, 1)


def test_an_event_of_another_topic_is_named_with_the_topic_where_it_came():
    world = World()
    world.take_in(CODEC.encode(example("ResponseReady")))
    assert world.letter.error == "ResponseReady does not belong on requests."


@pytest.mark.parametrize("key", [b"talk-7", b"\xff\x00 no text", b""])
def test_a_dead_letter_has_the_key_that_the_message_had(key):
    world = World()
    world.take_in(b"?", key=key)
    assert world.letter.key == key
    assert world.broker.sent[0][1] == key


def test_a_message_without_a_key_says_so_in_its_dead_letter():
    world = World()
    world.take_in(b"?", key=None)
    assert world.letter.key is None
    assert world.broker.sent[0][1] == b""


def test_a_handler_that_fails_twice_and_then_succeeds_has_handled_the_event():
    world = World(RuntimeError("once"), KeyError("twice"))
    world.take_in()
    assert world.handled == [REQUEST] * 3
    assert world.broker.sent == []
    assert world.given_up == []
    assert world.pauses_s == [FIRST_PAUSE_S, 2 * FIRST_PAUSE_S]
    assert (world.delivery.handled_total, world.delivery.retried_total, world.delivery.dead_lettered_total) == (1, 2, 0)


def test_a_handler_that_always_fails_is_tried_three_times_then_the_event_is_dead_lettered_once_and_given_up():
    world = World(*[RuntimeError("no luck")] * 9)
    world.take_in()
    assert world.handled == [REQUEST] * ATTEMPTS
    letter = world.letter
    assert (letter.code, letter.error, letter.attempts, letter.value) == (
        "handler_failed",
        letter.error,
        3,
        RAW,
    )
    assert letter.error.startswith("RuntimeError in streams.delivery:Delivery._take_in:")
    assert world.given_up == [REQUEST]
    assert (world.delivery.handled_total, world.delivery.retried_total, world.delivery.dead_lettered_total) == (0, 2, 1)


def test_what_a_library_says_of_a_users_text_reaches_neither_the_letters_nor_the_logs(capsys):
    try:
        raise KeyError("where is my order 4711")
    except KeyError as below:
        quoting = RuntimeError("cannot parse: where is my order 4711")
        quoting.__cause__ = below
    world = World(*[quoting] * 3)
    world.take_in()
    assert world.letter.error.startswith("RuntimeError from KeyError in ")
    assert "4711" not in world.letter.error
    logged = capsys.readouterr()
    assert "4711" not in logged.out + logged.err
    assert "test_delivery:World.handle:" in logged.out + logged.err


@pytest.mark.parametrize("key", [None, b"talk-7", b"k" * 4096, b"k" * (MAX_MESSAGE_BYTES // 2)])
@pytest.mark.parametrize("less", [0, 1, 100])
def test_the_largest_message_that_a_topic_lets_through_fits_into_the_dead_letters(key, less):
    world = World()
    value = b"x" * (MAX_MESSAGE_BYTES - less - len(key or b""))
    world.take_in(value, key=key)
    assert (world.letter.value, world.letter.key) == (value, key)
    assert world.pauses_s == []


def test_the_largest_message_fits_whatever_is_said_of_it():
    world = World()
    value = b"x" * MAX_MESSAGE_BYTES
    error = Undeliverable("\U0001f6b0" * 3_000, code=Code.FEEDBACK_ORPHAN)
    asyncio.run(world.delivery.dead_letter(Origin("requests", 3, 17, None, value), error, attempts=1))
    assert world.letter.value == value


def test_a_message_that_was_larger_than_its_topic_before_compression_is_left_where_it_is_and_said_to_be():
    world = World()
    world.take_in(b"x" * (MAX_MESSAGE_BYTES + 1), key=None)
    letter = world.letter
    assert (letter.value, letter.code, letter.offset) == (None, "oversized", 17)
    assert letter.error.startswith("Left where it is: 4,194,305 bytes")
    assert world.pauses_s == []


def test_an_event_may_be_given_up_without_telling_anybody():
    world = World(*[RuntimeError("no luck")] * 3)
    world.take_in(with_give_up=False)
    assert world.letter.attempts == 3


def test_an_error_of_ours_keeps_its_code_and_remedy_after_the_last_attempt():
    world = World(*[Rejected("The key is refused.", code=Code.PROVIDER_REJECTED, remedy="Check it.")] * 3)
    world.take_in()
    assert (world.letter.code, world.letter.error) == ("provider_rejected", "The key is refused. Check it.")


def test_an_undeliverable_event_is_dead_lettered_at_once_and_not_given_up():
    world = World(Undeliverable("Feedback for nobody.", code=Code.FEEDBACK_ORPHAN))
    world.take_in()
    assert len(world.handled) == 1
    assert (world.letter.code, world.letter.attempts) == ("feedback_orphan", 1)
    assert world.given_up == []
    assert world.pauses_s == []


def test_an_event_that_turns_out_undeliverable_in_a_second_attempt_says_so():
    world = World(RuntimeError("once"), Undeliverable("No.", code=Code.FEEDBACK_LATE))
    world.take_in()
    assert (world.letter.code, world.letter.attempts) == ("feedback_late", 2)


def test_a_dead_letter_is_published_until_the_broker_has_it():
    world = World()
    world.broker.away = 2
    world.take_in(b"no event")
    assert world.letter.value == b"no event"
    assert world.pauses_s == [DEAD_LETTER_PAUSE_S] * 2
    assert world.delivery.dead_lettered_total == 1


def test_giving_up_is_tried_until_it_succeeds():
    world = World(*[RuntimeError("no luck")] * 3)
    failures = [ConnectionError("the broker is away")] * 2

    async def give_up(event: Record) -> None:
        if failures:
            raise failures.pop()
        world.given_up.append(event)

    asyncio.run(world.delivery.take_in(Origin("requests", 0, 0, b"k", RAW), world.handle, give_up))
    assert world.given_up == [REQUEST]
    assert world.pauses_s[-2:] == [DEAD_LETTER_PAUSE_S] * 2
    assert len(world.broker.sent) == 1


def test_nothing_is_lost_while_the_broker_is_away_for_half_of_all_sends():
    world = World()
    values = [b"bad %d" % n for n in range(40)]
    for n, value in enumerate(values):
        world.broker.away = n % 2
        world.take_in(value)
    assert [letter.value for _, _, letter in world.broker.sent if isinstance(letter, DeadLettered)] == values


@pytest.mark.parametrize("error", ["\ud83d is half of a pair", "x" * 3_000, "\x00", "\U0001f6b0" * 3_000])
def test_an_error_with_any_text_whatever_reaches_the_dead_letters(error):
    world = World(*[Rejected(error, code=Code.PROVIDER_REJECTED)] * 3)
    world.take_in()
    assert world.letter.error
    assert len(world.letter.error) <= 2_000
    assert world.pauses_s == [FIRST_PAUSE_S, 2 * FIRST_PAUSE_S]


def test_a_repeat_of_a_message_gives_a_dead_letter_with_the_same_id_and_another_message_another():
    ids = []
    for offset in (17, 17, 18):
        world = World()
        asyncio.run(world.delivery.take_in(Origin("requests", 3, offset, b"k", b"?"), world.handle))
        ids.append(world.letter.event_id)
    assert ids[0] == ids[1] != ids[2]


def test_an_exception_that_ends_the_worker_is_not_swallowed():
    world = World()

    async def cancelled(event: Record) -> None:
        raise asyncio.CancelledError

    async def run() -> None:
        with pytest.raises(asyncio.CancelledError):
            await world.delivery.take_in(Origin("requests", 0, 0, b"k", RAW), cancelled)

    asyncio.run(run())
    assert world.broker.sent == []
    assert world.delivery.in_flight == 0


def test_a_handler_may_ask_where_its_event_came_from_and_nobody_else_can():
    world = World()
    seen = []

    async def handle(event: Record) -> None:
        seen.append(current_origin.get())

    async def run() -> None:
        await world.delivery.take_in(Origin("requests", 5, 99, None, RAW), handle)
        with pytest.raises(LookupError):
            current_origin.get()

    asyncio.run(run())
    assert seen == [Origin("requests", 5, 99, None, RAW)]


def test_events_in_flight_at_the_same_time_each_know_their_own_origin():
    world = World()
    seen: dict[str, int] = {}
    all_in = asyncio.Barrier(5)

    async def handle(event: Record) -> None:
        assert isinstance(event, RequestReceived)
        await all_in.wait()
        seen[event.request_id] = current_origin.get().offset

    async def run() -> None:
        events = [msgspec.structs.replace(REQUEST, request_id=str(n)) for n in range(5)]
        taking = [
            asyncio.create_task(world.delivery.take_in(Origin("requests", 0, n, b"k", CODEC.encode(event)), handle))
            for n, event in enumerate(events)
        ]
        await asyncio.gather(*taking)

    asyncio.run(run())
    assert seen == {str(n): n for n in range(5)}
    assert world.delivery.in_flight == 0
    assert world.delivery.handled_total == 5


def test_the_time_to_handle_counts_pauses_and_dead_letters():
    world = World(RuntimeError("once"))
    world.take_in()
    world.broker.away = 1
    world.take_in(b"?")
    assert world.delivery.handling_ms_max == 1_000.0
    assert world.delivery.handling_ms_sum == 1_100.0


def origin_at(offset: int, value: bytes = RAW, topic: str = "requests") -> Origin:
    return Origin(topic, 3, offset, b"talk-7", value)


async def settled() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


def test_the_event_that_would_break_the_limit_is_held_and_tried_anew_when_its_topic_is_resumed():
    world = World(*[RuntimeError("a bad deploy")] * 9, limit=Limit(most=2, share=0.5))

    async def run() -> None:
        for offset in range(2):
            await world.delivery.take_in(origin_at(offset), world.handle, world.give_up)
        held = asyncio.create_task(world.delivery.take_in(origin_at(2), world.handle, world.give_up))
        await settled()
        assert not held.done()
        assert [letter.offset for _, _, letter in world.broker.sent if isinstance(letter, DeadLettered)] == [0, 1]
        assert len(world.given_up) == 2
        assert world.delivery.in_flight == 0, "what is held is not being handled"
        world.delivery.gate.resume()
        await held

    asyncio.run(run())
    assert len(world.handled) == 10, "three attempts each, and one more after the cause was mended"
    assert len(world.broker.sent) == 2
    assert world.delivery.handled_total == 1


def test_what_comes_while_its_topic_is_paused_waits_unseen_and_another_topic_goes_on():
    world = World(limit=Limit(most=0, share=0.0))

    async def run() -> None:
        waiting = [asyncio.create_task(world.delivery.take_in(origin_at(0, b"no event"), world.handle))]
        await settled()
        waiting += [asyncio.create_task(world.delivery.take_in(origin_at(n), world.handle)) for n in (1, 2)]
        await settled()
        assert world.handled == []
        await world.delivery.take_in(origin_at(0, CODEC.encode(example("RewardComputed")), "rewards"), world.handle)
        assert len(world.handled) == 1
        for each in waiting:
            each.cancel()
        for each in waiting:
            with pytest.raises(asyncio.CancelledError):
                await each

    asyncio.run(run())
    assert world.broker.sent == []


def test_a_compacted_topic_has_no_limit_because_the_order_to_resume_comes_by_one():
    world = World(limit=Limit(most=0, share=0.0))
    for offset in range(3):
        asyncio.run(world.delivery.dead_letter(origin_at(offset, b"?", "controls"), ValueError(), attempts=1))
    assert len(world.broker.sent) == 3


def test_what_is_about_something_that_has_ended_counts_against_no_limit():
    world = World(limit=Limit(most=0, share=0.0))
    for offset in range(3):
        asyncio.run(world.delivery.dead_letter(origin_at(offset), Ended("It has ended."), attempts=1))
    assert (len(world.broker.sent), world.delivery.gate.paused) == (3, {})


def test_giving_up_that_never_works_is_tried_a_few_times_then_the_last_words_end_the_request():
    world = World(*[RuntimeError("no luck")] * 3)
    end = msgspec.structs.replace(example("ResponseFailed"), event_id="the end")
    tried = []

    async def give_up(event: Record) -> None:
        tried.append(event)
        raise KeyError("a mistake of ours")

    asyncio.run(world.delivery.take_in(origin_at(0), world.handle, give_up, lambda _: ("responses", end)))
    assert len(tried) == GIVE_UP_ATTEMPTS
    assert [(topic, event.event_id) for topic, _, event in world.broker.sent[1:]] == [("responses", "the end")]
    assert world.delivery.ended_in_letters_total == 0


def test_a_request_whose_last_words_fail_too_ends_in_the_dead_letters_and_is_counted():
    world = World(*[RuntimeError("no luck")] * 3)

    async def give_up(event: Record) -> None:
        raise KeyError("a mistake of ours")

    wrong = example("RequestRouted")
    asyncio.run(world.delivery.take_in(origin_at(0), world.handle, give_up, lambda _: ("responses", wrong)))
    assert world.letter.offset == 0
    assert world.delivery.ended_in_letters_total == 1
    assert world.delivery.in_flight == 0


def test_giving_up_waits_for_the_broker_however_long_it_is_away():
    world = World(*[RuntimeError("no luck")] * 3)
    failures: list[Exception] = [
        ProducerSendError(),
        KafkaTimeoutError(),
        RequestTimedOutError(),
        OSError(),
        TimeoutError(),
    ]
    failures *= GIVE_UP_ATTEMPTS

    async def give_up(event: Record) -> None:
        if failures:
            raise failures.pop()
        world.given_up.append(event)

    asyncio.run(world.delivery.take_in(origin_at(0), world.handle, give_up))
    assert world.given_up == [REQUEST]


def test_what_the_broker_will_never_take_does_not_pass():
    assert not passes(MessageSizeTooLargeError())
    wrapped = ProducerSendError()
    wrapped.__cause__ = MessageSizeTooLargeError()
    assert not passes(wrapped)
    assert not passes(ValueError())


@pytest.mark.parametrize("where", ["dead-lettering", "giving up", "held"])
def test_a_stop_in_the_middle_leaves_the_event_to_be_read_again(where):
    world = World(*[RuntimeError("no luck")] * 3, limit=Limit(most=0, share=0.0) if where == "held" else None)

    async def for_ever(*_: object) -> None:
        await asyncio.Event().wait()

    async def run() -> None:
        if where == "dead-lettering":
            world.delivery._outbox._send = for_ever
        taking = asyncio.create_task(world.delivery.take_in(origin_at(0), world.handle, for_ever))
        await settled()
        assert not taking.done()
        taking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await taking

    asyncio.run(run())
    assert len(world.broker.sent) == (where == "giving up")
    assert world.delivery.in_flight == 0
