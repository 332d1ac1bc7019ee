"""The loop closes: ratings become rewards, rewards a profile, the profile the next plans; and people can take it back."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from agents.deciding import policy, spreading
from schemas import FeedbackGiven, LearningResumed, ProfileUpdated, RequestRouted, ResponseReady, RewardComputed
from tests.loop import Loop
from tests.waiting import eventually

ROUND = 24
"""Rated requests: somewhat more than the learner wants before it publishes."""
QUESTIONS = (
    "How are dead letters replayed?",
    "What does an emergency override do?",
    "Which settings does a workflow have?",
    "How long is the text of a request kept?",
)


def taught(loop: Loop, workflow: str, value: float = 4) -> list[ResponseReady]:
    """Ask and rate one round of requests."""
    asked = [loop.request(QUESTIONS[number % len(QUESTIONS)], workflow) for number in range(ROUND)]
    answers = [each for each in loop.ask(*asked) if isinstance(each, ResponseReady)]
    assert len(answers) == ROUND
    loop.rate((answer, value) for answer in answers)
    return answers


def profile(loop: Loop, scope: str, version: int) -> ProfileUpdated:
    return loop.first(
        "profile-history", ProfileUpdated, where=lambda each: (each.scope, each.version) == (scope, version)
    )


def planned_with(loop: Loop, workflow: str, version: int) -> RequestRouted:
    """Ask until the router plans with this version or a newer one."""

    def plan() -> RequestRouted | None:
        asked = loop.request(workflow=workflow)
        loop.ask(asked)
        planned = loop.plan_of(asked)
        return planned if planned.plan.profile_version >= version else None

    return eventually(plan, 20, describe=f"a plan with version {version}") or pytest.fail("no plan")


def rated_causes(loop: Loop, asked: set[str]) -> set[str]:
    """Wait until each of these requests has a rated reward; the ids of what led to them."""

    def causes() -> set[str]:
        rewards = [e for e in loop.events("rewards", RewardComputed) if e.rated and e.request_id in asked]
        return {e.cause_id for e in rewards} if {e.request_id for e in rewards} == asked else set()

    return eventually(causes, 30, describe="a rated reward for each")


@dataclass(frozen=True)
class Lesson:
    """What was asked before anything was learned, what was learned, and a plan made with it."""

    answers: list[ResponseReady]
    first: ProfileUpdated
    after: RequestRouted


@pytest.fixture(scope="module")
def lesson(loop: Loop) -> Lesson:
    answers = taught(loop, "taught")
    return Lesson(answers, profile(loop, "taught", 1), planned_with(loop, "taught", 1))


def test_each_rating_becomes_one_reward(loop: Loop, lesson: Lesson) -> None:
    asked = {answer.request_id for answer in lesson.answers}
    given = {each.event_id for each in loop.events("feedback", FeedbackGiven) if each.request_id in asked}
    assert len(given) == len(asked)
    assert given == rated_causes(loop, asked)


def test_the_first_profile_has_a_version_a_parent_its_evidence_and_a_sentence(loop: Loop, lesson: Lesson) -> None:
    first = lesson.first
    assert (first.version, first.parent, first.kind) == (1, 0, "learned")
    assert first.evidence.requests >= 20
    assert f"{first.evidence.requests:,} rewarded requests" in first.sentence
    assert {
        spot.rpartition("/")[0].removeprefix(loop.deployment.topic_prefix) for spot in first.evidence.watermark
    } >= {
        "routing",
        "responses",
        "rewards",
    }
    assert any(belief.requests for belief in first.beliefs)
    assert first.heads is not None
    assert sum(first.heads.requests) == first.evidence.requests
    assert first in loop.events("profile-updates", ProfileUpdated)


def test_before_it_requests_are_planned_by_the_rules_and_after_it_with_its_version(loop: Loop, lesson: Lesson) -> None:
    assert {answer.profile_version for answer in lesson.answers} == {0}
    assert lesson.after.plan.profile_scope == "taught"
    assert lesson.after.plan.profile_version >= 1
    assert loop.plan_of(lesson.answers[0]).plan.policy == policy.RULES
    assert lesson.after.plan.policy == spreading.NAME


def test_the_versions_of_a_scope_follow_each_other_without_a_gap(loop: Loop, lesson: Lesson) -> None:
    history = [each for each in loop.events("profile-history", ProfileUpdated) if each.scope == "taught"]
    assert [(each.version, each.parent) for each in history] == [(n, n - 1) for n in range(1, len(history) + 1)]


def test_the_propensities_of_every_plan_there_was_sum_to_one_and_are_those_of_the_drawn(
    loop: Loop, lesson: Lesson
) -> None:
    plans = loop.events("routing", RequestRouted)
    assert len(plans) > ROUND
    for routed in plans:
        plan = routed.plan
        probabilities = {each.strategy: each.probability for each in plan.candidates}
        assert sum(probabilities.values()) == pytest.approx(1, abs=1e-9)
        assert plan.propensity == probabilities[plan.steps[0].strategy] > 0
        assert not set(probabilities) & {each.strategy for each in plan.exclusions}


def test_a_drawn_strategy_is_what_the_draw_says(loop: Loop, lesson: Lesson) -> None:
    for routed in loop.events("routing", RequestRouted)[:200]:
        reached = 0.0
        chosen = ""
        for each in routed.plan.candidates:
            reached += each.probability
            chosen = chosen or (each.strategy if routed.plan.draw < reached else "")
        assert chosen == routed.plan.steps[0].strategy


def test_explain_tells_the_whole_story(loop: Loop, lesson: Lesson) -> None:
    answer = lesson.answers[0]
    story = loop.penstock_json("explain", answer.request_id)
    assert story["request_id"] == answer.request_id
    kinds = [each["event"] for each in story["events"]]
    assert kinds == [
        "RequestReceived",
        "RequestRouted",
        "GenerationCompleted",
        "ResponseReady",
        "FeedbackGiven",
        "RewardComputed",
    ]
    told = loop.penstock("explain", answer.request_id).stdout
    for word in (answer.strategy, "propensity", "rating 4", "rated by the user"):
        assert word in told


def test_a_rollback_brings_the_old_content_back_as_a_new_version_and_learning_holds_until_it_is_resumed(
    loop: Loop,
) -> None:
    taught(loop, "returned", 5)
    first = profile(loop, "returned", 1)
    taught(loop, "returned", 1)
    newest = loop.first("profile-history", ProfileUpdated, where=lambda e: e.scope == "returned" and e.version >= 2)

    ordered = loop.penstock_json("profiles", "rollback", "returned", "--to", "1", "--reason", "worse", "--wait", "20")
    back = profile(loop, "returned", ordered["profile"]["version"])
    assert (back.kind, back.restored_version, back.parent) == ("rolled_back", 1, back.version - 1)
    assert back.version > newest.version
    assert (back.beliefs, back.incumbents, back.heads) == (first.beliefs, first.incumbents, first.heads)
    assert "worse" in back.sentence
    planned_with(loop, "returned", back.version)

    taught(loop, "returned", 5)
    stored = "select count(*) as n from outcomes where workflow = 'returned' and rated"
    eventually(lambda: loop.penstock_json("sql", stored)["n"] == 3 * ROUND, 30, describe="all ratings stored")
    (listed,) = [each for each in loop.penstock_json("profiles", "list") if each["scope"] == "returned"]
    assert (listed["version"], listed["held"]) == (back.version, True)

    loop.penstock("profiles", "resume", "returned", "--wait", "0")
    resumed = profile(loop, "returned", back.version + 1)
    order = next(
        each.message
        for each in loop.watched.messages("controls")
        if isinstance(each.event, LearningResumed) and each.event.scope == "returned"
    )
    assert resumed.evidence.watermark[f"controls/{order.partition}"] > order.offset, "it learned before it might"
    assert (resumed.kind, resumed.parent) == ("learned", back.version)
    assert resumed.evidence.requests > back.evidence.requests
