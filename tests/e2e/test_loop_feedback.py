"""All feedback comes to a defined end: a reward, a higher revision of it, or the dead letters with a code of its own."""

from __future__ import annotations

import msgspec
import pytest

from schemas import DeadLettered, FeedbackGiven, ResponseReady, RewardComputed
from streams.identity import event_id
from streams.topics import key_of
from tests.loop import CODEC, Loop
from tests.waiting import eventually


def answered(loop: Loop) -> ResponseReady:
    (answer,) = loop.ask(loop.request())
    assert isinstance(answer, ResponseReady)
    return answer


def rating(about: ResponseReady, value: float, *, name: str = "", at_us: int | None = None) -> FeedbackGiven:
    return FeedbackGiven(
        event_id=event_id("FeedbackGiven", about.request_id, repr(value), name),
        occurred_at_us=at_us if at_us is not None else about.occurred_at_us + 1,
        tenant=about.tenant,
        conversation_id=about.conversation_id,
        request_id=about.request_id,
        source="user",
        kind="rating",
        value=value,
    )


def rewards(loop: Loop, about: ResponseReady) -> list[RewardComputed]:
    return loop.events("rewards", RewardComputed, about.request_id)


def dead(loop: Loop, given: FeedbackGiven) -> DeadLettered:
    value = CODEC.encode(given)
    letter = loop.first("evaluator-dlq", DeadLettered, where=lambda each: each.value == value)
    assert (letter.topic, letter.key) == ("feedback", key_of("feedback", given))
    return letter


def test_a_rating_becomes_the_reward(loop: Loop) -> None:
    answer = answered(loop)
    loop.publish("feedback", given := rating(answer, 4))
    reward = loop.first("rewards", RewardComputed, answer.request_id, where=lambda each: each.rated)
    assert reward.cause_id == given.event_id
    assert reward.parts[0].name == "rating"
    assert reward.strategy == answer.strategy
    assert 0.5 < reward.reward <= 1


def test_an_answer_that_nobody_rates_is_scored_automatically_once(loop: Loop) -> None:
    answer = answered(loop)
    reward = loop.first("rewards", RewardComputed, answer.request_id)
    assert (reward.rated, reward.revision) == (False, 0)
    assert {part.name for part in reward.parts} == {"support", "relevance"}
    assert sum(part.share for part in reward.parts) == pytest.approx(1)


def test_a_rating_after_the_automatic_score_replaces_it_with_a_higher_revision(loop: Loop) -> None:
    answer = answered(loop)
    loop.first("rewards", RewardComputed, answer.request_id, where=lambda each: not each.rated)
    loop.publish("feedback", rating(answer, 1))
    rated = loop.first("rewards", RewardComputed, answer.request_id, where=lambda each: each.rated)
    assert rated.revision == 1
    assert rated.reward < 0.5


def test_the_same_feedback_twice_counts_once(loop: Loop) -> None:
    answer, before = answered(loop), loop.measured("evaluator", "feedback_repeat_total")
    given = rating(answer, 5)
    loop.publish("feedback", given)
    loop.publish("feedback", given)
    last = rating(answer, 4, name="last")
    loop.publish("feedback", last)
    loop.first("rewards", RewardComputed, answer.request_id, where=lambda each: each.cause_id == last.event_id)
    causes = {each.event_id: (each.cause_id, each.revision) for each in rewards(loop, answer) if each.rated}
    assert sorted(causes.values(), key=lambda each: each[1]) == [(given.event_id, 0), (last.event_id, 1)]
    eventually(lambda: loop.measured("evaluator", "feedback_repeat_total") > before, 15, describe="the repeat counted")


def test_feedback_for_a_request_that_never_was_is_an_orphan_after_its_wait(loop: Loop) -> None:
    nobody = msgspec.structs.replace(answered(loop), request_id="never-asked", conversation_id="never-asked")
    loop.publish("feedback", given := rating(nobody, 5))
    assert dead(loop, given).code == "feedback_orphan"


def test_feedback_for_a_request_that_failed_is_an_orphan(loop: Loop) -> None:
    (failed,) = loop.ask(loop.request("", conversation_id="failed-and-rated"))
    given = msgspec.structs.replace(
        rating(answered(loop), 5),
        event_id="rated-failure",
        conversation_id=failed.conversation_id,
        request_id=failed.request_id,
    )
    loop.publish("feedback", given)
    assert dead(loop, given).code == "feedback_orphan"


@pytest.mark.parametrize("value", [0, 6, float("nan")])
def test_feedback_out_of_its_range_is_dead_lettered(loop: Loop, value: float) -> None:
    answer = answered(loop)
    loop.publish("feedback", given := rating(answer, value))
    assert dead(loop, given).code == "feedback_out_of_range"
    assert not [each for each in rewards(loop, answer) if each.rated]


def test_feedback_after_its_window_is_dead_lettered_as_late(loop: Loop) -> None:
    answer = answered(loop)
    a_day_and_more_us = 25 * 3600 * 1_000_000
    loop.publish("feedback", given := rating(answer, 5, at_us=answer.occurred_at_us + a_day_and_more_us))
    assert dead(loop, given).code == "feedback_late"


def test_feedback_that_comes_before_its_answer_waits_for_it(loop: Loop) -> None:
    asked = loop.request()
    loop.rate([(asked, 5)])
    (answer,) = loop.ask(asked)
    assert isinstance(answer, ResponseReady)
    reward = loop.first("rewards", RewardComputed, asked.request_id)
    assert reward.rated
