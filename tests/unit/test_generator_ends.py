"""An accepted request ends once, however large it is, whatever is kept of it, and whatever fails on the way."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import msgspec
import pytest
from aiokafka.errors import MessageSizeTooLargeError
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from agents.answering import Passage
from agents.answering.lanes import Lanes
from agents.answering.library import Found
from agents.answering.provider import CallFailed
from agents.answering.remembered import Finished, Remembered
from agents.generator import Generator
from schemas import GenerationCompleted, RequestRouted, ResponseFailed, ResponseReady
from streams.delivery import Delivery, Origin
from streams.topics import MAX_EVENT_BYTES, MAX_MESSAGE_BYTES
from streams.tracing import Headers
from tests.generator_parts import CODEC, Models, Time, World, answer, means, routed

KIB = 1024


def searching(world: World, search: Any) -> World:
    """The same world with another search."""
    world.generator = Generator(
        world.outbox,
        Remembered(world.kept, CODEC, window_s=86_400.0, clock=world.time),
        world.kept,
        replace(means(world.models, world.counted.append), search=search),
        Lanes(256),
    )
    return world


def finding(world: World, *passages: tuple[str, str]) -> World:
    async def search(*_: Any) -> Found:
        made = [Passage(passage_id=i, document_id="d", title="D", heading="", text=text) for i, text in passages]
        return Found(tuple(made), 1.0)

    return searching(world, search)


def take_in(world: World, *events: RequestRouted, rounds: int = 50) -> None:
    """Carry events to the generator as its stage does; fails where that would not end."""
    paused = 0

    async def pause(_: float) -> None:
        nonlocal paused
        paused += 1
        assert paused < rounds, "this would never end"

    delivery = Delivery("generator", CODEC, world.outbox, clock=world.time, pause=pause)

    async def run() -> None:
        for event in events:
            origin = Origin("routing", 0, 1, b"c1", CODEC.encode(event))
            await delivery.take_in(origin, world.generator.handle, world.generator.give_up)

    asyncio.run(run())


def sizes_kept(world: World) -> list[int]:
    return [len(key) + len(value) for key, value in world.kept.table.items()]


SIZE = st.sampled_from([1, 100, 300 * KIB, 500 * KIB])


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    ids=st.lists(SIZE, max_size=6),
    texts=st.lists(SIZE, max_size=6),
    answered=st.sampled_from([1, 256 * KIB]),
    question=st.sampled_from([1, 64 * KIB, 300 * KIB]),
    request_id=st.sampled_from([1, 400 * KIB, 700 * KIB]),
    letter=st.sampled_from(["a", "é", "\U0001f6b0"]),
    failing=st.booleans(),
)
@example(
    ids=[500 * KIB] * 6,
    texts=[500 * KIB] * 6,
    answered=256 * KIB,
    question=300 * KIB,
    request_id=700 * KIB,
    letter="\U0001f6b0",
    failing=True,
)
def test_whatever_the_sizes_there_is_one_terminal_response_that_can_be_read(
    ids: list[int], texts: list[int], answered: int, question: int, request_id: int, letter: str, failing: bool
) -> None:
    refused = CallFailed("rejected", "x" * 500, cost_usd=0.001)
    first = refused if failing else answer(text=letter * answered)
    models = Models(Time(), premium=[first], simple=[answer(text=letter * answered)])
    passages = [(f"{'i' * size}#{n}", letter * text) for n, (size, text) in enumerate(zip(ids, texts, strict=False))]
    world = finding(World(models), *passages)
    asked = {"request_id": "r" * request_id, "message": "m" * question, "stream": False}
    event = routed("premium", "simple", request=asked, prompt="{{message}} {{message}}")
    take_in(world, event, event)
    ends = world.on("responses")
    assert len(ends) == 2, "one for the request and the same for its repeat"
    assert ends[0] == ends[1]
    assert world.on("generator-dlq") == []
    assert len(models.calls) == 1 + failing, "nothing is paid twice"
    assert max(sizes_kept(world)) <= MAX_MESSAGE_BYTES
    if isinstance(ends[0], ResponseFailed):
        assert ends[0].code == "internal_error"
        assert request_id > 100, "only what cannot be shortened ends without its answer"


def completed(world: World) -> GenerationCompleted:
    (event,) = world.on("generation")
    assert isinstance(event, GenerationCompleted)
    return event


def test_passages_are_cut_from_the_end_and_the_answer_is_whole() -> None:
    world = finding(
        World(Models(Time(), simple=[answer(text="a" * 256 * KIB)])), *[(f"d#{n}", "é" * 400_000) for n in (0, 1)]
    )
    take_in(world, routed("simple"))
    event = completed(world)
    assert event.passages[0].text == "é" * 400_000
    assert 0 < len(event.passages[1].text) < 400_000
    assert len(event.text) == 256 * KIB
    assert MAX_EVENT_BYTES - 16 < len(CODEC.encode(event)) <= MAX_EVENT_BYTES


def test_ids_of_passages_that_do_not_fit_are_left_out_from_the_end() -> None:
    world = finding(World(Models(Time(), simple=[answer()])), *[(f"{'i' * 600 * KIB}#{n}", "text") for n in range(4)])
    take_in(world, routed("simple"))
    (response,) = world.on("responses")
    assert isinstance(response, ResponseReady)
    assert response.text == "Here."
    assert [source[-2:] for source in response.sources] == ["#0", "#1"]
    assert [passage.passage_id for passage in completed(world).passages] == list(response.sources)


def test_an_answer_that_has_no_bytes_ends_the_request_with_an_internal_error_and_its_price() -> None:
    world = World(Models(Time(), simple=[answer(text="\ud83d", cost_usd=0.02)]))
    take_in(world, routed("simple"))
    (response,) = world.on("responses")
    assert (response.code, response.cost_usd) == ("internal_error", 0.02)
    assert len(world.models.calls) == 1


def stored(world: World, *events: bytes) -> None:
    key = msgspec.msgpack.encode(("finished", "acme", "c1", "r1"))
    kept = Finished(world.time(), [("responses", raw) for raw in events])
    world.kept.table[key] = msgspec.msgpack.encode(kept)


@pytest.mark.parametrize("raw", [b"", b"no event", b"x" * (MAX_EVENT_BYTES + 1), CODEC.encode(routed("simple"))])
def test_a_kept_end_that_cannot_be_published_is_replaced_once_and_for_all(raw: bytes) -> None:
    world = World(Models(Time(), simple=[answer()]))
    stored(world, raw)
    take_in(world, routed("simple"), routed("simple"))
    first, again = world.on("responses")
    assert first == again
    assert first.code == "internal_error"
    assert world.models.calls == []
    assert len(world.on("generator-dlq")) == 1


def test_a_kept_end_that_is_no_end_is_replaced_too() -> None:
    world = World(Models(Time(), simple=[answer()]))
    world.kept.table[msgspec.msgpack.encode(("finished", "acme", "c1", "r1"))] = b"\xc1"
    take_in(world, routed("simple"))
    assert [event.code for event in world.on("responses")] == ["internal_error"]


def test_an_end_that_the_brokers_topic_is_too_small_for_is_replaced() -> None:
    world = finding(World(Models(Time(), simple=[answer(text="a" * 200 * KIB)])))
    send = world._send

    async def small(topic: str, key: bytes, value: bytes, headers: Headers) -> None:
        if topic == "responses" and len(value) > 100 * KIB:
            raise MessageSizeTooLargeError
        await send(topic, key, value, headers)

    world.outbox._send = small
    take_in(world, routed("simple"))
    assert [event.code for event in world.on("responses")] == ["internal_error"]
    assert len(world.models.calls) == 1


def test_while_the_broker_is_away_a_kept_answer_is_not_replaced() -> None:
    world = World(Models(Time(), simple=[answer()]))

    async def run() -> None:
        world.refused_topics = {"responses"}
        ends = []
        for _ in range(2):
            with pytest.raises(ConnectionError):
                await world.generator.give_up(routed("simple"))
            ends.append(dict(world.kept.table))
        assert ends[0] == ends[1]
        world.refused_topics = set()
        await world.generator.handle(routed("simple"))

    asyncio.run(run())
    assert [event.code for event in world.on("responses")] == ["internal_error"]


def test_an_answer_that_could_not_be_kept_in_any_attempt_is_kept_when_it_is_given_up() -> None:
    world = World(Models(Time(), simple=[answer()]))

    async def run() -> None:
        world.kept.broken = True
        for _ in range(3):
            with pytest.raises(ConnectionError):
                await world.generator.handle(routed("simple"))
        world.kept.broken = False
        await world.generator.give_up(routed("simple"))

    asyncio.run(run())
    assert [type(event) for event in world.on("responses")] == [ResponseReady]
    assert len(world.models.calls) == 1


def test_a_request_whose_partition_went_away_is_not_given_up_here() -> None:
    world = World(Models(Time(), simple=[answer()]))
    world.kept.ours = False
    asyncio.run(world.generator.give_up(routed("simple")))
    assert world.published == []
    assert world.kept.table == {}


class Broken:
    """A search that fails for some tiers."""

    def __init__(self, *tiers: str) -> None:
        self.tiers = tiers
        self.searched: list[str] = []

    async def __call__(self, _: Any, __: str, step: Any) -> Found:
        self.searched.append(step.tier)
        if step.tier in self.tiers:
            raise KeyError("where is my order 4711")
        return Found((), 1.0)


def test_a_search_that_fails_ends_its_step_and_the_paid_step_before_it_is_paid_once() -> None:
    paid = CallFailed("rejected", "no text", cost_usd=0.004)
    world = searching(World(Models(Time(), premium=[paid], simple=[answer()])), Broken("simple"))
    take_in(world, routed("premium", "simple"))
    (response,) = world.on("responses")
    assert (response.code, response.cost_usd) == ("provider_rejected", 0.004)
    assert "simple-semantic failed (KeyError in agents.answering.carrying_out:" in response.error
    assert "4711" not in response.error
    assert [tier for tier, _ in world.models.calls] == ["premium"]
    assert [event.step for event in world.on("generation")] == [0], "a step that called nobody has no event"


def test_after_a_search_that_fails_the_alternative_answers() -> None:
    world = searching(World(Models(Time(), premium=[answer()], simple=[answer()])), Broken("premium"))
    take_in(world, routed("premium", "simple"))
    (response,) = world.on("responses")
    assert isinstance(response, ResponseReady)
    assert response.strategy == "simple-semantic"


def test_when_every_search_fails_the_request_ends_with_an_internal_error_after_one_attempt() -> None:
    search = Broken("simple")
    world = searching(World(Models(Time(), simple=[answer()])), search)
    take_in(world, routed("simple"))
    (response,) = world.on("responses")
    assert response.code == "internal_error"
    assert "step_failed" in response.remedy
    assert search.searched == ["simple"]


def test_what_attempts_paid_that_failed_outside_a_step_counts_to_the_conversation() -> None:
    time = Time()
    world = World(Models(time, simple=[answer(cost_usd=0.03)]))
    broken = replace(means(world.models, world.counted.append), count=_counting_breaks("fallbacks_total"))
    world.generator = Generator(
        world.outbox,
        remembered := Remembered(world.kept, CODEC, window_s=86_400.0, clock=time),
        world.kept,
        broken,
        Lanes(256),
    )
    world.models.behaviours["premium"] = [CallFailed("rejected", "no text", cost_usd=0.01)]
    plan = routed("premium", "simple", cost_ceiling_usd=1.0)
    take_in(world, plan)
    (response,) = world.on("responses")
    assert response.code == "internal_error"
    assert response.cost_usd == pytest.approx(0.12)
    assert remembered.spent_usd(("acme", "c1")) == pytest.approx(0.12)
    calls = len(world.models.calls)
    take_in(world, plan)
    assert len(world.models.calls) == calls
    assert remembered.spent_usd(("acme", "c1")) == pytest.approx(0.12)


def _counting_breaks(on: str) -> Any:
    def count(name: str) -> None:
        if name == on:
            raise RuntimeError("no such metric")

    return count
