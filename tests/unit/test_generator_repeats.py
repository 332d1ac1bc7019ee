"""The generator's shell without Faust: repeats, crashes, rebalances, ceilings shared by requests in flight."""

import asyncio

import pytest

from agents.answering.provider import CallFailed
from agents.answering.remembered import Remembered
from schemas import RequestRouted, ResponseFailed, ResponseReady
from streams.errors import Undeliverable
from tests.generator_parts import CODEC, Kept, Models, Time, World, answer, routed


def answering_world(**more: object) -> World:
    return World(Models(Time(), simple=[answer()], premium=[answer()]), **more)  # type: ignore[arg-type]


def test_an_end_is_kept_before_anything_of_it_is_published() -> None:
    world = answering_world()
    asyncio.run(world.generator.handle(routed("simple")))
    assert world.kept.log == [
        "kept spent",
        "kept finished",
        "published generation",
        "published responses",
        "noted finished",
    ]


def test_an_end_that_may_reach_its_broker_last_is_confirmed_before_it_is_published() -> None:
    world = answering_world(kept=Kept(is_first=False, unheard=True))
    with pytest.raises(ConnectionError):
        asyncio.run(world.generator.handle(routed("simple")))
    assert world.published == []


def test_an_end_that_the_broker_may_not_have_is_kept_again_with_what_is_published_again() -> None:
    world = answering_world(kept=Kept(unheard=True))

    async def away_and_back() -> None:
        with pytest.raises(ConnectionError):
            await world.generator.handle(routed("simple"))
        world.kept.unheard = False
        world.kept.log.clear()
        await world.generator.handle(routed("simple"))
        assert world.kept.log[:2] == ["kept spent", "kept finished"]
        world.kept.log.clear()
        await world.generator.handle(routed("simple"))
        assert "kept finished" not in world.kept.log, "it is known to be kept"

    asyncio.run(away_and_back())
    assert len(world.models.calls) == 1
    assert len({event.event_id for event in world.on("responses")}) == 1
    remembered = Remembered(world.kept, CODEC, window_s=86_400.0, clock=world.time)
    assert remembered.spent_usd(("acme", "c1")) == pytest.approx(0.001), "what was paid once is counted once"


def test_a_finished_request_is_answered_again_byte_for_byte_and_paid_once() -> None:
    world = answering_world()

    async def twice() -> None:
        await world.generator.handle(routed("simple"))
        world.time.passes(3_600)
        await world.generator.handle(routed("premium"))

    asyncio.run(twice())
    first, again = world.on("responses")
    assert first == again
    assert len(world.on("generation")) == 1, "what was published already is not published again"
    assert len(world.models.calls) == 1
    assert "repeats_total" in world.counted


def test_after_the_window_a_request_is_a_new_one() -> None:
    world = answering_world(window_s=60.0)

    async def twice() -> None:
        await world.generator.handle(routed("simple"))
        world.time.passes(61)
        await world.generator.handle(routed("simple", deadline_at_us=world.time() + 1_000_000))

    asyncio.run(twice())
    assert len(world.models.calls) == 2


def test_a_crash_between_keeping_and_publishing_sends_what_was_kept() -> None:
    kept = Kept()
    before = answering_world(kept=kept)
    before.refused_topics = {"generation", "responses"}
    with pytest.raises(ConnectionError):
        asyncio.run(before.generator.handle(routed("simple")))
    kept.log.clear()
    after = answering_world(kept=kept)
    asyncio.run(after.generator.handle(routed("simple")))
    assert (len(after.on("generation")), len(after.on("responses"))) == (1, 1)
    assert after.models.calls == []
    assert kept.log[:2] == ["kept spent", "kept finished"], "the broker may not have what the database had"


def test_when_keeping_fails_the_next_attempt_keeps_the_same_answer_without_paying_again() -> None:
    world = answering_world()

    async def run() -> None:
        world.kept.broken = True
        with pytest.raises(ConnectionError):
            await world.generator.handle(routed("simple"))
        assert world.published == []
        world.kept.broken = False
        await world.generator.handle(routed("simple"))

    asyncio.run(run())
    assert len(world.models.calls) == 1
    assert len(world.on("responses")) == 1


def test_the_same_request_in_flight_is_waited_for() -> None:
    world = answering_world()

    async def run() -> None:
        world.models.gate = asyncio.Event()
        first = asyncio.create_task(world.generator.handle(routed("simple")))
        second = asyncio.create_task(world.generator.handle(routed("premium")))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        world.models.gate.set()
        await asyncio.gather(first, second)

    asyncio.run(run())
    assert [tier for tier, _ in world.models.calls] == ["simple"], "the first plan holds"
    assert len({response.event_id for response in world.on("responses")}) == 1
    assert len({response.text for response in world.on("responses")}) == 1


def test_an_answer_whose_partition_went_away_is_kept_when_its_event_comes_back() -> None:
    world = answering_world()

    async def run() -> None:
        world.kept.ours = False
        await world.generator.handle(routed("simple"))
        assert world.published == []
        assert world.kept.table == {}
        world.kept.ours = True
        await world.generator.handle(routed("simple"))

    asyncio.run(run())
    assert len(world.models.calls) == 1
    assert len(world.on("responses")) == 1


def test_when_the_first_delivery_breaks_the_one_that_waits_is_told_and_a_third_tries_anew() -> None:
    world = answering_world()

    async def run() -> None:
        world.models.gate = asyncio.Event()
        first = asyncio.create_task(world.generator.handle(routed("simple")))
        second = asyncio.create_task(world.generator.handle(routed("simple")))
        for _ in range(3):
            await asyncio.sleep(0)
        first.cancel()
        results = await asyncio.gather(first, second, return_exceptions=True)
        assert [type(result).__name__ for result in results] == ["CancelledError", "EndedWithoutOutcome"]
        world.models.gate.set()
        await world.generator.handle(routed("simple"))

    asyncio.run(run())
    assert len(world.on("responses")) == 1


def test_requests_of_one_conversation_in_flight_do_not_pass_the_ceiling_together() -> None:
    world = World(Models(Time(), simple=[answer(cost_usd=0.04)]))

    def one_of(number: int) -> RequestRouted:
        return routed("simple", costs=[0.04], request={"request_id": f"r{number}"}, cost_ceiling_usd=0.1)

    async def run() -> None:
        world.models.gate = asyncio.Event()
        tasks = [asyncio.create_task(world.generator.handle(one_of(number))) for number in range(5)]
        for _ in range(5):
            await asyncio.sleep(0)
        world.models.gate.set()
        await asyncio.gather(*tasks)
        await world.generator.handle(one_of(9))

    asyncio.run(run())
    answered = [event for event in world.on("responses") if isinstance(event, ResponseReady)]
    refused = [event for event in world.on("responses") if isinstance(event, ResponseFailed)]
    assert len(answered) == len(world.models.calls) == 2
    assert {event.code for event in refused} == {"cost_ceiling_reached"}


def test_two_tenants_with_the_same_names_share_neither_answers_nor_costs() -> None:
    world = World(Models(Time(), simple=[answer(cost_usd=0.09)]))

    async def run() -> None:
        await world.generator.handle(routed("simple", costs=[0.09]))
        await world.generator.handle(routed("simple", costs=[0.09], request={"tenant": "other"}))

    asyncio.run(run())
    assert [type(event).__name__ for event in world.on("responses")] == ["ResponseReady", "ResponseReady"]
    assert len({event.event_id for event in world.on("responses")}) == 2


def test_a_failed_request_is_finished_too() -> None:
    world = World(Models(Time(), simple=[CallFailed("rejected", "HTTP 400: no", cost_usd=0.002)]))

    async def twice() -> None:
        await world.generator.handle(routed("simple"))
        await world.generator.handle(routed("simple"))

    asyncio.run(twice())
    assert len(world.models.calls) == 1
    assert [event.code for event in world.on("responses")] == ["provider_rejected"] * 2


def test_giving_up_ends_the_request_with_an_internal_error() -> None:
    world = answering_world()
    asyncio.run(world.generator.give_up(routed("simple")))
    (response,) = world.on("responses")
    assert (response.code, response.cost_usd) == ("internal_error", 0.0)


def test_a_request_that_was_given_up_has_ended_a_repeat_pays_nothing_and_gets_the_same_end() -> None:
    world = answering_world()

    async def run() -> None:
        await world.generator.give_up(routed("simple"))
        await world.generator.handle(routed("simple"))
        await world.generator.give_up(routed("simple"))

    asyncio.run(run())
    first, *again = world.on("responses")
    assert again == [first, first]
    assert world.models.calls == []
    assert world.kept.log[:2] == ["kept finished", "published responses"]


def test_giving_up_on_a_request_that_was_answered_sends_its_answer() -> None:
    world = answering_world()
    world.refused_topics = {"responses"}

    async def run() -> None:
        with pytest.raises(ConnectionError):
            await world.generator.handle(routed("simple"))
        world.refused_topics = set()
        await world.generator.give_up(routed("simple"))

    asyncio.run(run())
    assert isinstance(world.on("responses")[-1], ResponseReady)


def test_pieces_that_the_broker_does_not_take_end_the_streaming_not_the_answer() -> None:
    world = answering_world()
    world.models.pieces = ("He", "re.")
    world.refused_topics = {"response-chunks"}
    asyncio.run(world.generator.handle(routed("simple", request={"stream": True})))
    assert len(world.models.calls) == 1
    assert isinstance(world.on("responses")[0], ResponseReady)


def test_another_event_is_refused() -> None:
    world = answering_world()
    with pytest.raises(Undeliverable):
        asyncio.run(world.generator.handle(routed("simple").request))
