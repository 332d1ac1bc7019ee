"""The evaluator joins answers, scores and feedback, in whatever order they come."""

import asyncio
import itertools
import math

import pytest

from schemas import Record
from streams.identity import event_id
from streams.limit import Limit
from streams.pausing import Gate
from streams.progress import Progress
from tests.evaluator_desk import CODEC, START_US, Desk, S, failed, feedback, generation, ready


def run(scenario):
    desk = Desk()
    asyncio.run(scenario(desk))
    return desk


def summary(desk):
    return [(each.revision, each.rated, each.parts[0].name) for each in desk.rewards]


def test_an_unrated_answer_is_scored_automatically_once_its_wait_is_over():
    async def scenario(desk):
        await desk.take(generation(), ready())
        await desk.after(9)
        assert desk.rewards == []
        await desk.after(1)
        await desk.after(100)

    desk = run(scenario)
    (only,) = desk.rewards
    assert (only.revision, only.rated, only.cause_id) == (0, False, ready().event_id)
    assert only.event_id == event_id("RewardComputed", ready().event_id)
    assert only.occurred_at_us == START_US + 10 * S
    assert (only.workflow, only.strategy, only.routing_id) == ("docs_help", "simple-semantic", "plan1")
    assert desk.waiting.entries == {}
    assert desk.counts["rewards_automatic_total"] == 1


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
def test_any_order_of_generation_response_and_rating_gives_one_rated_reward(order):
    events: tuple[Record, ...] = (generation(), ready(), feedback("rating", 4))

    async def scenario(desk):
        desk.now_us += S
        await desk.take(*(events[index] for index in order))
        await desk.after(60)

    desk = run(scenario)
    (only,) = desk.rewards
    assert (only.revision, only.rated, only.reward) == (0, True, 0.75)
    assert only.cause_id == feedback("rating", 4).event_id
    assert desk.waiting.entries == {}
    assert desk.letters == []


def test_a_rating_after_the_automatic_score_replaces_it_by_a_higher_revision():
    async def scenario(desk):
        await desk.take(generation(), ready())
        await desk.after(10)
        await desk.take(feedback("rating", 2, 20))

    assert summary(run(scenario)) == [(0, False, "support"), (1, True, "rating")]


def test_feedback_that_comes_when_the_automatic_score_is_due_lets_that_go_first():
    async def scenario(desk):
        await desk.take(generation(), ready())
        desk.now_us += 11 * S
        await desk.take(feedback("rating", 2, 11))
        await desk.after(5)

    assert summary(run(scenario)) == [(0, False, "support"), (1, True, "rating")]


def test_scores_that_come_late_are_published_at_once_and_only_those_of_the_answer_count():
    async def scenario(desk):
        await desk.take(ready(step=1), generation(step=0, text="Dogs bark."))
        await desk.after(40)
        assert desk.rewards == []
        await desk.take(generation(step=1))
        await desk.after(1)

    (only,) = run(scenario).rewards
    assert only.reward == pytest.approx(
        (1.0 + 0.6 + 0.4 * 2 / 3) / 2
    )  # support 1; of three words asked, two are answered


def test_every_feedback_makes_a_revision_and_the_strongest_kind_decides():
    async def scenario(desk):
        given = (feedback("edit", 0.5, 1), feedback("retry", 1, 2), feedback("rating", 5, 3), feedback("abandon", 1, 4))
        await desk.take(generation(), ready(), *given, feedback("thumb", 0, 2.5))

    desk = run(scenario)
    assert [each.revision for each in desk.rewards] == [0, 1, 2, 3, 4]
    assert [each.reward for each in desk.rewards] == [0.5, 0.2, 1.0, 1.0, 1.0]
    assert all(each.rated for each in desk.rewards)


def test_repeats_of_any_event_are_counted_and_change_nothing():
    async def scenario(desk):
        once = (generation(), ready(), feedback("rating", 4))
        await desk.take(*once, *once)
        await desk.after(60)

    desk = run(scenario)
    assert len(desk.rewards) == 1
    assert desk.counts["feedback_repeat_total"] == 1
    assert desk.counts["repeats_total"] == 2


def test_feedback_just_in_time_counts_and_later_feedback_is_late():
    async def scenario(desk):
        await desk.take(generation(), ready())
        await desk.after(86_500)
        await desk.take(feedback("rating", 4, 86_400), feedback("rating", 4, 86_401))

    desk = run(scenario)
    assert summary(desk) == [(0, False, "support"), (1, True, "rating")]
    assert desk.codes == ["feedback_late"]
    assert desk.counts["feedback_late_total"] == 1


@pytest.mark.parametrize(
    ("kind", "value"), [("rating", 7), ("rating", math.nan), ("thumb", 0.5), ("edit", -math.inf), ("unknown", 1)]
)
def test_impossible_feedback_is_dead_lettered_as_out_of_range(kind, value):
    async def scenario(desk):
        await desk.take(generation(), ready(), feedback(kind, value))

    desk = run(scenario)
    assert desk.codes == ["feedback_out_of_range"]
    assert desk.rewards == []
    assert desk.counts["feedback_out_of_range_total"] == 1


def test_feedback_for_nobody_is_held_and_then_dead_lettered_as_it_came():
    async def scenario(desk):
        origin = desk.origin("feedback", feedback("rating", 4))
        await desk.deliver("feedback", feedback("rating", 4), origin=origin)
        await desk.after(29)
        assert desk.sent == []
        await desk.after(1)
        (letter,) = desk.letters
        assert (letter.code, letter.topic, letter.offset) == ("feedback_orphan", "feedback", origin.offset)
        assert (letter.key, letter.value) == (origin.key, origin.value)

    desk = run(scenario)
    assert desk.waiting.entries == {}
    assert desk.counts["feedback_orphan_total"] == 1


def test_feedback_for_nobody_stays_while_the_dead_letters_are_closed_to_it_and_responses_go_on():
    async def scenario(desk):
        await desk.take(feedback("rating", 4))
        desk.delivery.gate = Gate(Limit(most=0, share=0.0), lambda: desk.now_us)
        await desk.after(30)
        await desk.after(30)
        assert desk.letters == []
        assert list(desk.delivery.gate.paused) == ["feedback"]
        await desk.take(ready(), generation())  # held up by nothing
        assert desk.waiting.entries
        assert desk.counts["feedback_orphan_total"] == 1
        desk.delivery.gate.resume()
        await desk.after(1)

    desk = run(scenario)
    assert desk.rewards[-1].reward == 0.75
    assert desk.letters == []
    assert desk.waiting.entries == {}


def test_feedback_is_held_for_as_long_as_responses_have_a_backlog():
    async def scenario(desk):
        await desk.take(feedback("rating", 4))
        desk.responses = Progress(end=500, read=10)
        await desk.after(30)
        desk.responses = Progress(end=600, read=499)
        await desk.after(60)
        assert desk.letters == []
        await desk.take(ready())

    assert [each.reward for each in run(scenario).rewards] == [0.75]


def test_feedback_for_nobody_does_not_wait_for_responses_that_came_after_its_time():
    async def scenario(desk):
        await desk.take(feedback("rating", 4))
        desk.responses = Progress(end=500, read=499)
        await desk.after(30)
        desk.responses = Progress(end=900, read=500)
        await desk.after(1)

    assert run(scenario).codes == ["feedback_orphan"]


def test_feedback_for_a_failed_request_is_an_orphan_at_once_also_where_it_was_held():
    async def scenario(desk):
        await desk.take(feedback("rating", 4), failed(), feedback("rating", 5), generation())
        await desk.after(60)

    desk = run(scenario)
    assert desk.codes == ["feedback_orphan", "feedback_orphan"]
    assert desk.rewards == []
    assert desk.waiting.entries == {}


def test_feedback_for_all_that_a_provider_left_unanswered_does_not_pause_feedback():
    async def scenario(desk):
        await desk.take(failed(), *(feedback("rating", 4, second) for second in range(150)))

    desk = run(scenario)
    assert desk.codes == ["feedback_orphan"] * 150
    assert desk.delivery.gate.paused == {}


def test_nothing_that_is_kept_contains_text():
    async def scenario(desk):
        await desk.take(generation(), ready(), feedback("rating", 4))

    kept = b"".join(run(scenario).answered.entries.values())
    assert b"hours" not in kept
    assert b"accepted" not in kept


def test_the_same_request_id_of_another_tenant_is_another_request():
    other = CODEC.decode(CODEC.encode(feedback("rating", 4)).replace(b"acme", b"evil"))

    async def scenario(desk):
        await desk.take(generation(), ready(), other)
        await desk.after(31)

    desk = run(scenario)
    assert [each.tenant for each in desk.rewards] == ["acme"]
    assert desk.codes == ["feedback_orphan"]
