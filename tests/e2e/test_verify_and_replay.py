"""The log of a real loop keeps every rule; what breaks one is named; and a part of it is replayed through another router."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from typing import Any

import pytest
from msgspec.structs import replace
from typer.testing import CliRunner

from infra.broker import RunningBroker
from schemas import RequestRouted, ResponseReady, RewardComputed
from streams.admin import delete_topics
from streams.cli.main import app
from streams.cli.surroundings import Surroundings
from streams.supervisor import ROLES, Supervisor
from tests.loop import Loop, Watched, deployment_in
from tests.verifying_parts import plan_of
from tests.waiting import eventually

ASKED = 6


@pytest.fixture(scope="module")
def loop(broker: RunningBroker, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Loop]:
    """A loop of its own: other tests write what breaks rules."""
    deployment = deployment_in(tmp_path_factory.mktemp("verified"), broker.bootstrap_servers, "verified")
    running = Loop(deployment, ROLES, {"PENSTOCK_PROVIDER": "embedded"})
    try:
        running.start()
        answers = running.ask(
            *(running.request(conversation_id=f"c{number}") for number in range(ASKED)),
            running.request(workflow="there is none"),
        )
        running.rate([(answer, 5) for answer in answers[:2]])
        for answer in answers[:ASKED]:
            running.first("rewards", RewardComputed, answer.request_id)
        running.publish_raw("requests", b"garbage", b"garbage")
        eventually(lambda: running.watched.messages("router-dlq"))
        yield running
    finally:
        running.close()
        if broker.kind == "given":
            delete_topics(deployment)


def verified(loop: Loop, *options: str) -> tuple[int, Any]:
    around = Surroundings(deployment=lambda: loop.deployment)
    result = CliRunner().invoke(app, ["verify", "--json", *options], obj=around)
    assert result.exit_code in (0, 1), (result.output, result.exception)
    return result.exit_code, json.loads(result.stdout)


def test_the_log_of_a_running_loop_keeps_every_rule(loop: Loop) -> None:
    status, report = verified(loop)
    assert (status, report["findings"]) == (0, [])
    assert (report["requests"], report["answered"], report["failed"], report["open"]) == (ASKED + 1, ASKED, 1, 0)
    assert report["plans_of_another_configuration"] == 0


def test_a_part_of_the_log_is_planned_again_by_a_router_of_its_own_and_the_copies_are_cleaned_away(loop: Loop) -> None:
    prefix = f"again-{loop.deployment.topic_prefix}"
    asked = ["replay", "--from", "-1h", "--topic", "requests", "--profiles", "--into", prefix]
    (copied, *_) = [t for t in loop.penstock_json(*asked)["topics"] if t["topic"] == "requests"]
    assert copied["copied"] == copied["asked"] == len(loop.watched.messages("requests"))
    (again, *_) = [t for t in loop.penstock_json(*asked)["topics"] if t["topic"] == "requests"]
    assert again["copied"] == 0

    live = loop.deployment
    scratch = live.model_copy(update={"topic_prefix": prefix, "var": live.var / "scratch" / "again"})
    there = Watched(scratch)
    with Supervisor(scratch, roles=["router"], environ={**os.environ, "PENSTOCK_PROVIDER": "embedded"}):

        def all_planned() -> list[RequestRouted]:
            plans = [each.event for each in there.messages("routing") if isinstance(each.event, RequestRouted)]
            return plans if len(plans) >= ASKED else []

        plans = eventually(all_planned, 30)
    was = {event.event_id: event for event in loop.events("routing", RequestRouted)}
    assert {plan.event_id for plan in plans} == was.keys()
    assert all(plan.request == was[plan.event_id].request for plan in plans)
    assert all(plan.plan.draw == was[plan.event_id].plan.draw for plan in plans)
    there.close()
    assert len(loop.watched.messages("requests")) == copied["asked"]
    assert f"{prefix}requests" in loop.penstock_json("replay", "--into", prefix, "--clean")["deleted"]


def test_a_second_response_and_a_plan_that_does_not_sum_are_named(loop: Loop) -> None:
    status, _ = verified(loop)
    assert status == 0
    response = loop.events("responses", ResponseReady)[0]
    loop.publish("responses", replace(response, event_id="f" * 32, text="Another answer."))
    asked = loop.request(conversation_id="not summing")
    routed = plan_of(asked, {"simple-semantic": 0.5, "balanced-semantic": 0.4}, version=0)
    loop.publish("routing", routed)
    status, report = verified(loop)
    assert status == 1
    found = {each["check"]: each["examples"][0]["request"] for each in report["findings"]}
    assert found["answered_twice"] == f"{response.tenant} {response.conversation_id} {response.request_id}"
    assert found["probabilities"] == f"{asked.tenant} not summing {asked.request_id}"
