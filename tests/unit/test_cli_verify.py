"""Every rule that ``penstock verify`` knows: a log that keeps them all, and for each rule one that breaks it."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from msgspec.structs import replace

from streams.cli.verifying.checks import CHECKS
from streams.cli.verifying.facts import number_of
from streams.identity import event_id
from tests.analytics_events import failed, generation_failed, request
from tests.cli_world import CODEC, NOW_US, World, letter
from tests.verifying_parts import MINUTE_US, Story, candidates, known_hash, plan_of, profile, put

HOUR_US = 60 * MINUTE_US
LONG_AGO_US = NOW_US - HOUR_US


@pytest.fixture
def world(tmp_path):
    world = World(tmp_path)
    put(world.log, profile(1), profile(2))
    for number in range(20):
        put(world.log, *Story(f"whole-{number}", LONG_AGO_US - number * MINUTE_US).events)
    return world


def verified(world, *options):
    result = world.penstock("verify", "--json", *options)
    assert result.exit_code in (0, 1), result.output
    report = json.loads(result.stdout)
    assert report["ok"] == (result.exit_code == 0)
    return report


def found(report):
    return {each["check"]: each["count"] for each in report["findings"]}


def test_a_log_in_which_all_is_right_breaks_no_rule(world):
    report = verified(world)
    assert found(report) == {}
    assert (report["requests"], report["answered"], report["open"], report["messages"]) == (20, 20, 0, 122)
    assert set(report["repeats"].values()) == {0}
    assert "no rule is broken" in world.penstock("verify").stdout


# Each breaks one rule. What is given is a story that is right, and what may be put beside it.


def second_response(story: Story) -> list[Any]:
    return [*story.events, replace(story.response, event_id="f" * 32, text="Another answer.")]


def contradicting_response(story: Story) -> list[Any]:
    return [*story.events, replace(story.response, text="Another answer.")]


def without(*names: str) -> Callable[[Story], list[Any]]:
    def left(story: Story) -> list[Any]:
        gone = [getattr(story, name) for name in names]
        return [event for event in story.events if event not in gone]

    return left


def planned(**changes: Any) -> Callable[[Story], list[Any]]:
    def changed(story: Story) -> list[Any]:
        plan = replace(story.plan, plan=replace(story.plan.plan, **changes))
        return [plan if event is story.plan else event for event in story.events]

    return changed


def weighted(probabilities: dict[str, float], **more: Any) -> Callable[[Story], list[Any]]:
    def changed(story: Story) -> list[Any]:
        plan = plan_of(story.request, probabilities, **more)
        return [plan if event is story.plan else event for event in story.events]

    return changed


def instead(name: str, **changes: Any) -> Callable[[Story], list[Any]]:
    def changed(story: Story) -> list[Any]:
        was = getattr(story, name)
        return [replace(was, **changes) if event is was else event for event in story.events]

    return changed


def beside(*more: Callable[[Story], Any]) -> Callable[[Story], list[Any]]:
    return lambda story: [*story.events, *(each(story) for each in more)]


BREACHES: dict[str, tuple[set[str], Callable[[Story], list[Any]]]] = {
    "no response": ({"unanswered", "reward_without_answer"}, without("response")),
    "nothing but the request": ({"unanswered"}, lambda story: [story.request]),
    "a second response": ({"answered_twice"}, second_response),
    "a contradicting response": ({"answered_twice"}, contradicting_response),
    "an answer and a failure": (
        {"answered_twice"},
        beside(lambda s: failed(s.request, event_id=s.response.event_id, code="internal_error")),
    ),
    "another generation under one id": (
        {"rewritten_generation"},
        beside(lambda s: replace(s.generation, text="Another text.")),
    ),
    "another reward under one id": ({"rewritten_reward"}, beside(lambda s: replace(s.reward, reward=0.9))),
    "no request": (
        {"plan_without_request", "response_without_request", "feedback_without_request"},
        without("request"),
    ),
    "no plan": ({"generation_without_plan", "answer_without_plan"}, without("plan")),
    "no generation": ({"answer_without_generation", "cost"}, without("generation")),
    "a reward alone": ({"reward_without_answer"}, lambda story: [story.reward]),
    "a reward of a failure": (
        {"reward_without_answer"},
        lambda story: [story.request, failed(story.request), story.reward],
    ),
    "feedback alone": ({"feedback_without_request"}, lambda story: [story.feedback]),
    "probabilities that do not sum": ({"probabilities"}, weighted({"simple-semantic": 0.5, "balanced-semantic": 0.4})),
    "a sum that is off by a millionth": (
        {"probabilities"},
        weighted({"simple-semantic": 0.5, "balanced-semantic": 0.500001}),
    ),
    "a negative probability": (
        {"probabilities"},
        weighted({"balanced-semantic": 1.25, "simple-semantic": -0.25}),
    ),
    "too little exploration": (
        {"floor_share"},
        weighted({"simple-semantic": 0.001, "balanced-semantic": 0.999}, config_hash=known_hash()),
    ),
    "a propensity of its own": ({"propensity"}, planned(propensity=0.55)),
    "another draw": ({"draw"}, planned(draw=0.123456)),
    "a choice that the draw does not fall on": (
        {"propensity", "draw"},
        planned(candidates=candidates({"balanced-semantic": 0.0, "simple-semantic": 0.0, "graph-off": 1.0})),
    ),
    "a profile that never was": ({"profile_never_was"}, planned(profile_version=9)),
    "a profile of another scope": ({"profile_never_was"}, planned(profile_scope="other")),
    "a version before another": (
        {"profile_order"},
        beside(lambda _: profile(4, parent=2), lambda _: profile(3, parent=2)),
    ),
    "a version with two contents": ({"profile_order"}, beside(lambda _: profile(2, sentence="Not the same."))),
    "a parent that there is not": ({"profile_parent"}, beside(lambda _: profile(9, parent=8))),
    "a cost that is too low": ({"cost"}, instead("response", cost_usd=0.001)),
    "a cost that is too high": ({"cost"}, instead("response", cost_usd=0.003)),
    "a failed call that is not in the cost": ({"cost"}, beside(lambda s: generation_failed(s.plan, step=1))),
}


@pytest.mark.parametrize("name", BREACHES)
def test_a_log_that_breaks_a_rule_is_named_with_the_place_and_the_request(world, name):
    checks, breaking = BREACHES[name]
    put(world.log, *breaking(Story("broken", LONG_AGO_US)))
    report = verified(world)
    assert found(report) == dict.fromkeys(checks, 1)
    assert not report["ok"]
    for each in report["findings"]:
        (place,) = each["examples"]
        assert place["request"] == "acme talk-broken broken" or each["check"].startswith("profile_")


def test_a_person_is_shown_the_broken_rule_how_often_and_where_first(world):
    put(world.log, *(request(f"lost-{number}", at_us=LONG_AGO_US) for number in range(5)))
    shown = world.penstock("verify")
    assert shown.exit_code == 1
    assert "BREACH  unanswered: a request has no terminal response" in shown.stdout
    assert "(5)" in shown.stdout
    assert shown.stdout.count("acme talk-lost-") == 3


def test_every_check_is_shown_a_log_that_breaks_it():
    others = {"untraced", "letter_unreadable", "answered_again", "id_reused"}
    assert {check.name for check in CHECKS} == set().union(*(checks for checks, _ in BREACHES.values())) | others


def test_repeats_are_counted_and_break_nothing(world):
    story = Story("again", LONG_AGO_US)
    put(world.log, *story.events, *story.events, story.response)
    report = verified(world)
    assert found(report) == {}
    assert report["repeats"]["responses"] == 2
    assert report["repeats"]["requests"] == 1


def test_a_refusal_that_was_made_again_differs_in_its_time_only_and_is_a_repeat(world):
    asked = request("refused", at_us=LONG_AGO_US)
    first = failed(asked)
    put(world.log, asked, first, replace(first, occurred_at_us=first.occurred_at_us + 9_000_000, latency_ms=9_002.0))
    assert found(verified(world)) == {}


def test_a_plan_that_was_made_again_under_a_newer_profile_is_a_repeat(world):
    story = Story("planned-again", LONG_AGO_US)
    second = plan_of(story.request, {"balanced-semantic": 1.0}, version=2)
    put(world.log, *story.events, replace(second, event_id=story.plan.event_id))
    assert found(verified(world)) == {}


def test_a_request_within_its_deadline_is_open_and_one_in_the_dead_letters_is_excused(world):
    put(world.log, request("young", at_us=NOW_US - 20_000_000))
    put(world.log, request("patient", at_us=NOW_US - HOUR_US, deadline_ms=3_600_000))
    lost = request("lost", at_us=LONG_AGO_US)
    put(world.log, lost)
    (place,) = [m for m in world.log.kept["requests"].values() for m in m if m.value == CODEC.encode(lost)]
    world.log.put("router-dlq", replace(letter(), partition=place.partition, offset=place.offset, topic="requests"))
    report = verified(world)
    assert (found(report), report["open"], report["in_dead_letters"]) == ({}, 2, 1)


def test_a_dead_letter_of_analytics_excuses_no_missing_response(world):
    lost = request("lost", at_us=LONG_AGO_US)
    put(world.log, lost)
    (place,) = [m for m in world.log.kept["requests"].values() for m in m if m.value == CODEC.encode(lost)]
    found_by = replace(letter(stage="analytics"), partition=place.partition, offset=place.offset, topic="requests")
    world.log.put("analytics-dlq", found_by)
    assert found(verified(world)) == {"unanswered": 1}


def test_the_grace_is_how_long_after_its_deadline_a_request_may_be_without_a_response(world):
    put(world.log, request("late", at_us=NOW_US - 40_000_000))
    assert found(verified(world)) == {}
    assert found(verified(world, "--grace", "5")) == {"unanswered": 1}


def test_feedback_for_nobody_is_excused_by_its_dead_letter_and_while_it_may_wait(world):
    told = Story("nobody", LONG_AGO_US).feedback
    put(world.log, told, replace(Story("waits", LONG_AGO_US).feedback, occurred_at_us=NOW_US - 1_000_000))
    assert found(verified(world)) == {"feedback_without_request": 1}
    (place,) = [m for m in world.log.kept["feedback"].values() for m in m if m.value == CODEC.encode(told)]
    world.log.put(
        "evaluator-dlq",
        replace(letter(stage="evaluator", topic="feedback"), partition=place.partition, offset=place.offset),
    )
    assert found(verified(world)) == {}


def test_bytes_that_are_no_event_must_be_in_somebodys_dead_letters(world):
    bad = world.log.append("requests", b"x", b"no event", at_ms=LONG_AGO_US // 1_000)
    world.log.append("requests", b"x", b"just written", at_ms=NOW_US // 1_000)
    assert found(verified(world)) == {"untraced": 1}
    world.log.put("router-dlq", replace(letter(), partition=bad.partition, offset=bad.offset))
    assert found(verified(world)) == {}
    world.log.append("router-dlq", b"x", b"no letter", at_ms=LONG_AGO_US // 1_000)
    assert found(verified(world)) == {"letter_unreadable": 1}


def test_a_request_that_is_answered_anew_after_a_day_is_told_and_breaks_nothing(world):
    story = Story("again", NOW_US - 26 * HOUR_US)
    later = replace(story.response, text="New.", occurred_at_us=story.response.occurred_at_us + 25 * HOUR_US)
    put(world.log, *story.events, later)
    report = verified(world)
    assert (found(report), report["ok"]) == ({"answered_again": 1}, True)


def test_a_caller_who_sends_something_else_under_one_id_is_told_and_breaks_nothing(world):
    story = Story("reused", LONG_AGO_US)
    put(world.log, *story.events, replace(story.request, message="Something else?"))
    report = verified(world)
    assert (found(report), report["ok"]) == ({"id_reused": 1}, True)


def test_what_hangs_on_a_forgotten_beginning_is_not_called_orphaned(world):
    for topic in ("requests", "routing"):
        world.log.forget(topic, 3)
    report = verified(world)
    assert (found(report), report["ok"]) == ({}, True)
    assert {each["topic"] for each in report["forgotten"]} == {"requests", "routing"}
    assert "forgotten      requests" in world.penstock("verify").stdout


def test_what_was_broken_after_the_forgotten_beginning_is_found_all_the_same(world):
    world.log.forget("requests", 3)
    story = Story("orphan", NOW_US - MINUTE_US)
    put(world.log, story.plan)
    assert found(verified(world)) == {"plan_without_request": 1}


def test_responses_that_were_forgotten_leave_no_request_unanswered(world):
    world.log.forget("responses", 3)
    world.log.forget("rewards", 9)
    assert found(verified(world)) == {}


def test_only_what_was_written_since_is_looked_at_and_what_came_before_is_no_orphan(tmp_path):
    world = World(tmp_path)
    put(world.log, profile(1), *without("response")(Story("old", NOW_US - 10 * HOUR_US)))
    for number in range(200, 0, -10):
        put(world.log, *Story(f"whole-{number}", NOW_US - number * MINUTE_US).events)
    assert set(found(verified(world))) == {"unanswered", "reward_without_answer"}
    report = verified(world, "--since", "95m")
    assert (found(report), report["requests"]) == ({}, 10)
    put(world.log, request("just-lost", at_us=NOW_US - 3 * MINUTE_US))
    assert found(verified(world, "--since", "4m")) == {"unanswered": 1}


def test_nothing_is_left_behind_in_the_var_folder(world):
    verified(world)
    assert [path for path in world.var.iterdir() if path.name.startswith("verify-")] == []


def test_event_ids_and_identities_are_told_apart_by_where_they_begin():
    assert number_of("ab", "c") != number_of("a", "bc")
    assert number_of(event_id("x")) != number_of(event_id("y"))
