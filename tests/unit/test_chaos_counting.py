"""The fault suite's counting, on made topics and ledgers: what it must find, it finds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from tests.chaos_parts.counting import NOTICED_US, Ended, Identity, Verdict, judge, longest_gap_s
from tests.chaos_parts.provider import Call
from tests.chaos_parts.reading import Entry

ONE: Identity = ("tenant", "conversation", "one")
S = 1_000_000


def entry(topic: str, kind: str, at_us: int = S, identity: Identity = ONE, partition: int = 0, **fields: Any) -> Entry:
    tenant, conversation, request = identity
    known = {"tenant": tenant, "conversation_id": conversation, "request_id": request, "event_id": f"{kind} {request}"}
    return Entry(topic, partition, 0, at_us, kind, {**known, **fields})


def response(at_us: int = S, **fields: Any) -> Entry:
    said = {"text": "yes", "routing_id": "plan", "cost_usd": 0.1, "event_id": "response", **fields}
    return entry("responses", fields.pop("kind", "ResponseReady"), at_us, **said)


REQUEST = entry("requests", "RequestReceived")
REWARD = entry("rewards", "RewardComputed", cause_id="response")


def judged(
    *entries: Entry,
    calls: Sequence[Call] = (),
    faults_us: Sequence[int] = (),
    rated: Sequence[str] = (),
) -> Verdict:
    topics: dict[str, list[Entry]] = {"requests": [], "responses": [], "rewards": []}
    for each in entries:
        topics[each.topic].append(each)
    return judge([ONE], rated, topics, calls, faults_us)


def test_a_request_with_one_response_and_a_reward_is_in_order() -> None:
    verdict = judged(REQUEST, response(), REWARD, calls=[Call("/".join(ONE), "answer", 0)])
    assert verdict.figures() == {
        "requests": 1, "lost": 0, "answered_twice": 0, "paid_twice": 0, "max_recovery_s": 0.0
    }  # fmt: skip
    assert (verdict.repeats, verdict.unrewarded, verdict.feedback_lost) == (0, [], [])


def test_a_confirmed_request_without_a_response_is_lost() -> None:
    assert judged(REQUEST).lost == [ONE]


def test_a_response_that_comes_again_is_a_repeat_and_no_second_answer() -> None:
    verdict = judged(REQUEST, response(), response(2 * S), REWARD)
    assert (verdict.repeats, verdict.answered_twice) == (1, [])


def test_a_response_for_each_time_that_a_request_was_sent_is_no_repeat() -> None:
    assert judged(REQUEST, REQUEST, response(), response(2 * S), REWARD).repeats == 0


@pytest.mark.parametrize("other", [{"event_id": "another"}, {"text": "no"}, {"routing_id": "another"}])
def test_two_responses_that_differ_are_a_second_answer(other: dict[str, str]) -> None:
    assert judged(REQUEST, response(), response(2 * S, **other)).answered_twice == [ONE]


def test_a_call_after_the_answer_was_published_is_paid_twice_whatever_the_faults() -> None:
    calls = [Call("/".join(ONE), "answer", 0), Call("/".join(ONE), "answer", 3 * S)]
    assert len(judged(REQUEST, response(), calls=calls, faults_us=[S // 2]).paid_twice) == 1


def test_of_a_request_in_flight_one_call_more_is_allowed_for_each_fault() -> None:
    calls = [Call("/".join(ONE), "answer", at_us) for at_us in (0, 100, 200)]
    late = response(S)
    assert judged(REQUEST, late, calls=calls, faults_us=[50, 150]).paid_twice == []
    assert len(judged(REQUEST, late, calls=calls, faults_us=[50]).paid_twice) == 1


def test_a_call_that_the_provider_refused_is_not_paid() -> None:
    calls = [Call("/".join(ONE), "500", 0), Call("/".join(ONE), "answer", 10)]
    assert judged(REQUEST, response(), calls=calls).paid_twice == []


def test_a_try_after_a_call_that_its_caller_hung_up_on_is_not_paid_twice_but_one_beside_it_is() -> None:
    hung_up = Call("/".join(ONE), "answer", 0, 10 * NOTICED_US)
    for begun_us, wrong in ((11 * NOTICED_US, 0), (9 * NOTICED_US, 0), (8 * NOTICED_US, 1)):
        said = judged(
            REQUEST, response(at_us=20 * NOTICED_US), calls=[hung_up, Call("/".join(ONE), "answer", begun_us)]
        )
        assert len(said.paid_twice) == wrong
    whole = Call("/".join(ONE), "answer", 0, 10, whole=True)
    assert len(judged(REQUEST, response(), calls=[whole, Call("/".join(ONE), "answer", 20)]).paid_twice) == 1


def test_feedback_without_a_reward_and_an_answer_without_a_reward_are_told() -> None:
    verdict = judged(REQUEST, response(), rated=["feedback"])
    assert (verdict.unrewarded, verdict.feedback_lost) == ([ONE], ["feedback"])


def test_a_load_has_ended_when_all_is_answered_rewarded_and_judged_in_whatever_order_it_came() -> None:
    topics: dict[str, list[Entry]] = {"responses": [], "rewards": [], "evaluator-dlq": []}
    ended = Ended([ONE], ["feedback"])
    assert not ended.by(topics)
    topics["rewards"].append(REWARD)
    assert not ended.by(topics)
    topics["responses"].append(response())
    assert not ended.by(topics)
    topics["rewards"].append(entry("rewards", "RewardComputed", cause_id="feedback"))
    assert ended.by(topics)


def test_an_answer_that_waits_for_its_reward_has_not_ended() -> None:
    topics: dict[str, list[Entry]] = {"responses": [response()], "rewards": []}
    ended = Ended([ONE], [])
    assert not ended.by(topics)
    topics["rewards"].append(REWARD)
    assert ended.by(topics)


def test_the_longest_gap_is_that_of_the_partition_that_waited_longest() -> None:
    entries = [entry("responses", "ResponseReady", at * S, partition=p) for p in (0, 1) for at in (1, 2, 4, 9)]
    entries += [entry("responses", "ResponseReady", 6 * S)]
    gap_s = longest_gap_s(entries, [0, 1], ("ResponseReady",), since_us=S, until_us=10 * S)
    assert gap_s == pytest.approx(5)
