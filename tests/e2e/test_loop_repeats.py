"""A request id that comes again is answered once and paid once, and the answer is sent again: also after kill -9.

These tests have a loop of their own, whose models count what would have to be paid; so they also show that another provider needs
no code.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from infra.broker import RunningBroker
from schemas import GenerationCompleted, RequestReceived, RequestRouted, ResponseReady
from streams.admin import delete_topics
from tests.hosted import hosted_at
from tests.loop import Loop, deployment_in
from tests.paid_model import PaidModel, paid_model
from tests.waiting import eventually

IN_FLIGHT = 5


@pytest.fixture(scope="module")
def model() -> Iterator[PaidModel]:
    with paid_model() as running:
        yield running


@pytest.fixture(scope="module")
def paid(broker: RunningBroker, model: PaidModel, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Loop]:
    deployment = deployment_in(tmp_path_factory.mktemp("paid"), broker.bootstrap_servers, "paid")
    running = Loop(deployment, ["router", "generator"], hosted_at(model.base_url))
    try:
        running.start()
        yield running
    finally:
        running.close()
        if broker.kind == "given":
            delete_topics(deployment)


def asked_by(loop: Loop) -> RequestReceived:
    return loop.request(f"Question {uuid.uuid4().hex}?")


def responses(loop: Loop, request: RequestReceived) -> list[ResponseReady]:
    return loop.events("responses", ResponseReady, request.request_id)


def publish_and_wait(loop: Loop, request: RequestReceived, *, times: int = 1) -> list[ResponseReady]:
    """Publish a request again and again, and wait until each was answered."""
    before = len(responses(loop, request))
    for _ in range(times):
        loop.publish("requests", request)
    eventually(lambda: len(responses(loop, request)) >= before + times, 30, describe="a response to each")
    return responses(loop, request)


def assert_answered_once(loop: Loop, request: RequestReceived) -> None:
    sent = responses(loop, request)
    assert len({(each.event_id, each.text, each.cost_usd, each.occurred_at_us) for each in sent}) == 1
    generations = loop.events("generation", GenerationCompleted, request.request_id)
    assert {each.event_id for each in generations} == {sent[0].generation_id}
    assert len({(each.text, each.cost_usd, each.occurred_at_us) for each in generations}) == 1


def test_the_same_request_several_times_at_once_and_later_is_paid_once_and_answered_each_time(
    paid: Loop, model: PaidModel
) -> None:
    request = asked_by(paid)
    publish_and_wait(paid, request, times=3)
    sent = publish_and_wait(paid, request)
    assert len(sent) == 4
    assert_answered_once(paid, request)
    assert model.calls(request.message) == 1
    assert sent[0].cost_usd == pytest.approx(20e-6)


def test_the_same_request_while_the_first_is_being_answered_waits_for_that_answer(paid: Loop, model: PaidModel) -> None:
    request = asked_by(paid)
    with model.held():
        paid.publish("requests", request)
        eventually(lambda: model.calls(request.message) == 1, 20, describe="the call")
        paid.publish("requests", request)
        eventually(lambda: len(paid.events("routing", RequestRouted, request.request_id)) == 2, describe="both plans")
    eventually(lambda: len(responses(paid, request)) == 2, 20, describe="both responses")
    assert_answered_once(paid, request)
    assert model.calls(request.message) == 1


def test_the_same_request_id_of_another_conversation_or_tenant_is_another_request(paid: Loop, model: PaidModel) -> None:
    one = paid.request("Shared id?", request_id="shared", conversation_id="one")
    other = paid.request("Shared id?", request_id="shared", conversation_id="other")
    foreign = paid.request("Shared id?", request_id="shared", conversation_id="one", tenant="foreign")
    answers = paid.ask(one, other, foreign)
    assert len({each.event_id for each in answers}) == 3
    assert model.calls("Shared id?") == 3


@dataclass(frozen=True)
class Crash:
    """What was asked before a generator was killed."""

    finished: RequestReceived
    in_flight: list[RequestReceived]


@pytest.fixture(scope="module")
def crash(paid: Loop, model: PaidModel) -> Crash:
    """One request answered, some under way, then kill -9 of the generator, and another one started."""
    finished, in_flight = asked_by(paid), [asked_by(paid) for _ in range(IN_FLIGHT)]
    publish_and_wait(paid, finished)
    with model.held():
        for each in in_flight:
            paid.publish("requests", each)
        eventually(lambda: all(model.calls(each.message) for each in in_flight), 20, describe="the calls")
        paid.kill("generator")
        eventually(lambda: paid.is_ready("generator", restarts=1), 60, describe="another generator")
    return Crash(finished, in_flight)


def test_what_was_finished_before_a_kill_is_sent_again_after_it_and_not_paid_again(
    paid: Loop, model: PaidModel, crash: Crash
) -> None:
    publish_and_wait(paid, crash.finished)
    assert_answered_once(paid, crash.finished)
    assert model.calls(crash.finished.message) == 1


def test_what_was_under_way_at_a_kill_is_answered_once_by_the_next_worker(
    paid: Loop, model: PaidModel, crash: Crash
) -> None:
    for request in crash.in_flight:
        paid.first("responses", ResponseReady, request.request_id, within_s=60)
        assert_answered_once(paid, request)
        assert model.calls(request.message) == 2
