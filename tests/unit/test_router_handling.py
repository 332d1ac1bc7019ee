"""The router's shell: one request in, one event out, on the right topic, whatever happens."""

import asyncio

import pytest

from agents.deciding.checking import MAX_MESSAGE_CHARACTERS
from schemas import RequestRouted, ResponseFailed
from streams.delivery import Origin, current_origin
from streams.errors import RESPONSE_CODES, Code, Undeliverable
from tests.deciding_parts import NOW_US, override, request
from tests.router_desk import Desk


def test_a_request_becomes_a_plan_with_the_request_in_it():
    topic, event = Desk().take(message="Where is it?")
    assert topic == "routing"
    assert isinstance(event, RequestRouted)
    assert event.request == request("Where is it?")
    assert event.occurred_at_us == NOW_US + 20_000


def test_a_repeated_request_gets_the_same_event_id_and_the_same_strategy():
    desk = Desk()
    (_, first), (_, again) = desk.take(), desk.take()
    assert first.event_id == again.event_id
    assert first.plan.steps == again.plan.steps


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"workflow": "none"}, Code.UNKNOWN_WORKFLOW),
        ({"strategy": "none"}, Code.UNKNOWN_STRATEGY),
        ({"message": ""}, Code.EMPTY_MESSAGE),
        ({"message": "x" * (MAX_MESSAGE_CHARACTERS + 1)}, Code.MESSAGE_TOO_LONG),
        ({"priority": "none"}, Code.INVALID_REQUEST),
    ],
)
def test_a_request_that_cannot_be_answered_ends_with_its_code_and_a_remedy(fields, code):
    topic, event = Desk().take(**fields)
    assert topic == "responses"
    assert isinstance(event, ResponseFailed)
    assert (event.code, event.remedy) == (code, RESPONSE_CODES[code].remedy)
    assert (event.request_id, event.latency_ms, event.cost_usd) == ("r1", 20.0, 0.0)


def test_a_text_that_is_too_long_is_refused_before_it_is_encoded():
    desk = Desk()
    desk.take(message="x" * (MAX_MESSAGE_CHARACTERS + 1))
    assert desk.encoded == []


def test_a_clock_behind_the_callers_gives_no_negative_latency():
    _, event = Desk(now_us=NOW_US - 1_000_000).take(workflow="none")
    assert event.latency_ms == 0.0


def test_a_caller_whose_clock_is_five_minutes_behind_has_the_whole_deadline():
    desk = Desk(now_us=NOW_US + 20_000)
    taken_in = current_origin.set(Origin("requests", 0, 0, b"c1", b"", (), NOW_US))
    try:
        _, routed = desk.take(occurred_at_us=NOW_US - 300_000_000, deadline_ms=5_000)
    finally:
        current_origin.reset(taken_in)
    assert routed.plan.deadline_at_us == NOW_US + 5_000_000


def test_an_override_holds_from_the_next_request_on():
    desk = Desk()
    assert desk.take()[1].plan.overrides == ()
    desk.held.set_override(override("force_simple_agents", "true"))
    plan = desk.take()[1].plan
    assert plan.overrides == ("force_simple_agents",)
    assert {step.tier for step in plan.steps} == {"simple"}


def test_a_request_that_is_given_up_ends_with_an_internal_error():
    desk = Desk()
    asyncio.run(desk.router.give_up(request()))
    ((topic, _, event),) = desk.sent
    assert topic == "responses"
    assert isinstance(event, ResponseFailed)
    assert event.code == Code.INTERNAL_ERROR


def test_the_ends_of_one_request_have_one_event_id_so_that_a_second_one_is_known_as_a_repeat():
    desk = Desk()
    _, refused = desk.take(workflow="none")
    asyncio.run(desk.router.give_up(request(workflow="none")))
    assert desk.sent[-1][2].event_id == refused.event_id


def test_an_event_that_is_no_request_has_no_place_to_go_and_is_given_up_silently():
    desk = Desk()
    stray = override("force_simple_agents", "true")
    with pytest.raises(Undeliverable):
        asyncio.run(desk.router.handle(stray))
    asyncio.run(desk.router.give_up(stray))
    assert desk.sent == []
