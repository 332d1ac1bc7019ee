"""The evaluator dies after any effect, starts again, and neither loses a reward nor publishes another for the same cause."""

import asyncio

import msgspec
import pytest

from agents.judging.waiting import Remembered
from schemas import Record
from streams.delivery import current_origin
from tests.evaluator_desk import CODEC, START_US, Crash, Desk, S, feedback, generation, ready

RATED: tuple[Record, ...] = (
    feedback("rating", 4),
    generation(),
    ready(),
    feedback("thumb", 0, 2),
    feedback("edit", 0.1, 3),
)
MOST_EFFECTS = 40


async def story(desk, events, crash_after):
    """Deliver events and let the waits end; after ``crash_after`` effects the process dies, and the event comes again."""
    desk.steps_left = crash_after
    died = False
    topics = {"GenerationCompleted": "generation", "FeedbackGiven": "feedback"}
    for event in events:
        topic = topics.get(type(event).__name__, "responses")
        origin = desk.origin(topic, event)
        try:
            await desk.deliver(topic, event, origin=origin)
        except Crash:
            died = True
            desk.restart()
            await desk.deliver(topic, event, origin=origin)
    for seconds in (5, 5, 1, 30):
        try:
            await desk.after(seconds)
        except Crash:
            died = True
            desk.restart()
            await desk.after(1)
    desk.steps_left = None
    return died


def known_of(entries):
    """What is remembered, but for whether it was published: an event published once more has the same id."""
    decoded = {key: msgspec.msgpack.decode(raw, type=Remembered) for key, raw in entries.items()}
    return {key: msgspec.structs.replace(each, unpublished=None) for key, each in decoded.items()}


@pytest.mark.parametrize(
    "events",
    [RATED, (generation(), ready(), feedback("rating", 4)), (generation(), ready()), (ready(), generation())],
    ids=["held", "rated", "automatic", "scored late"],
)
def test_a_crash_after_any_effect_changes_nothing_but_repeats(events):
    calm = Desk()
    asyncio.run(story(calm, events, None))
    expected = {each.event_id: (each.revision, each.reward) for each in calm.rewards}
    crashes = 0
    for crash_after in range(1, MOST_EFFECTS):
        desk = Desk()
        crashes += asyncio.run(story(desk, events, crash_after))
        assert {each.event_id: (each.revision, each.reward) for each in desk.rewards} == expected
        assert len({CODEC.encode(each) for each in desk.rewards}) == len(expected)
        assert desk.letters == []
        assert desk.waiting.entries == desk.waiting.on_broker == {}
        assert known_of(desk.answered.on_broker) == known_of(desk.answered.entries), "another worker knows as much"
    assert crashes > len(expected)


def test_an_automatic_score_that_became_due_while_the_process_was_down_is_published_at_the_start():
    async def scenario():
        desk = Desk()
        await desk.take(generation(), ready())
        desk.restart()
        await desk.after(3600)
        return desk

    (only,) = asyncio.run(scenario()).rewards
    assert only.occurred_at_us == START_US + 10 * S


def test_held_feedback_waits_anew_after_a_restart_because_its_answer_may_be_in_the_backlog():
    async def scenario():
        desk = Desk()
        await desk.take(feedback("rating", 4))
        desk.restart()
        await desk.after(3600)
        await desk.take(ready())
        return desk

    desk = asyncio.run(scenario())
    assert [each.reward for each in desk.rewards] == [0.75]
    assert desk.letters == []


def test_a_reward_that_the_broker_did_not_take_goes_out_before_the_next_one():
    async def scenario():
        desk = Desk()
        await desk.take(generation(), ready())
        desk.broker_away = True
        origin = desk.origin("feedback", feedback("rating", 4))
        with pytest.raises(ConnectionError):
            await _handle(desk, feedback("rating", 4), origin)
        desk.broker_away = False
        await desk.take(feedback("thumb", 1, 2))
        await desk.deliver("feedback", feedback("rating", 4), origin=origin)
        return desk

    assert [(each.revision, each.parts[0].name) for each in asyncio.run(scenario()).rewards] == [
        (0, "rating"),
        (1, "thumb"),
    ]


async def _handle(desk, event, origin):
    token = current_origin.set(origin)
    try:
        await desk.evaluator.handle(event)
    finally:
        current_origin.reset(token)


def test_what_is_due_is_tried_again_when_the_broker_is_back():
    async def scenario():
        desk = Desk()
        await desk.take(generation(), ready())
        desk.broker_away = True
        await desk.after(10)
        await desk.after(1)
        assert desk.rewards == []
        desk.broker_away = False
        await desk.after(1)
        return desk

    assert len(asyncio.run(scenario()).rewards) == 1


def test_a_partition_of_another_worker_is_left_alone():
    async def scenario():
        desk = Desk()
        desk.ours = False
        await desk.take(generation(), ready(), feedback("rating", 4))
        assert desk.answered.entries == {}
        assert desk.sent == []
        desk.ours = True
        await desk.take(generation(), ready())
        desk.ours = False
        await desk.after(60)
        return desk

    desk = asyncio.run(scenario())
    assert desk.sent == []
    assert len(desk.waiting.entries) == 1


def test_the_timer_does_nothing_during_a_rebalance_and_reads_the_table_again_after_it():
    async def scenario():
        desk = Desk()
        await desk.take(generation(), ready())
        desk.settled = False
        desk.evaluator.forget_list()
        await desk.after(60)
        assert desk.sent == []
        desk.settled = True
        await desk.after(0)
        return desk

    assert len(asyncio.run(scenario()).rewards) == 1


def test_simultaneous_events_of_one_request_are_taken_one_after_the_other():
    async def scenario():
        desk = Desk()
        await desk.take(generation(), ready())
        await asyncio.gather(*(desk.take(feedback("rating", 1 + n % 5, n, name=str(n))) for n in range(20)))
        assert len(desk.evaluator._turns) == 0
        return desk

    assert sorted(each.revision for each in asyncio.run(scenario()).rewards) == list(range(20))
