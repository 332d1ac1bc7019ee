"""The declared graph is the graph: what the real apps consume and publish is what streams/topics.py declares; no broker."""

from __future__ import annotations

import ast
import asyncio
import inspect
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec
import numpy as np
import numpy.typing as npt
import pytest

import agents.evaluator
import agents.generator
import agents.router
from agents.deciding.held import Held
from agents.evaluator import build_evaluator
from agents.generator import build_generator
from agents.router import Router, build_planner, build_router
from schemas import Record, RequestReceived
from streams.codec import Codec
from streams.compacted import CompactedReader
from streams.deployment import Deployment
from streams.errors import UndeclaredTopic
from streams.outbox import Outbox
from streams.stage import Stage
from streams.topics import TOPICS, may_write, read_by
from streams.tracing import Headers
from tests.event_examples import example

CODEC = Codec()
NOW_US = 1_800_000_000_000_000
OF_EVERY_STAGE = {"metrics", "schemas"}


class Letters:
    """An encoder by the letters of a text: good enough to be told apart, and there without any file."""

    name, version, dimensions = "letters", "1", 26

    def encode(self, texts: Sequence[str]) -> npt.NDArray[np.float32]:
        counts = [[text.lower().count(chr(ord("a") + n)) + 1e-3 for n in range(26)] for text in texts]
        rows = np.asarray(counts, dtype=np.float32)
        unit: npt.NDArray[np.float32] = rows / np.linalg.norm(rows, axis=1, keepdims=True)
        return unit


@pytest.fixture
def deployment(tmp_path: Path) -> Deployment:
    return Deployment(bootstrap_servers="localhost:1", topic_prefix="declared-", var=tmp_path)


@pytest.fixture
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    asyncio.set_event_loop(made := asyncio.new_event_loop())
    yield made
    asyncio.set_event_loop(None)
    made.close()


def build(role: str, deployment: Deployment) -> Stage:
    match role:
        case "router":
            return build_router(deployment, Letters(), {})
        case "generator":
            return build_generator(deployment, {}, encoder=Letters())
        case _:
            return build_evaluator(deployment, Letters())


def consumed(stage: Stage) -> set[str]:
    """The topics, with the deployment's prefix, that the app's agents iterate over."""
    return {name for agent in stage.app.agents.values() for name in agent.channel.topics}


def followed(stage: Stage) -> set[str]:
    """The compacted topics that are read whole before the first event."""
    readers = [getattr(prepare, "__self__", None) for prepare in stage._before]
    return {reader._name for reader in readers if isinstance(reader, CompactedReader)}


ROLES = ("router", "generator", "evaluator")
MODULES = {"router": agents.router, "generator": agents.generator, "evaluator": agents.evaluator}


@pytest.mark.parametrize("role", ROLES)
def test_an_app_consumes_exactly_the_topics_that_are_declared_for_its_role(role, deployment, loop):
    stage = build(role, deployment)
    declared = read_by(role)
    assert consumed(stage) == {f"declared-{topic.name}" for topic in declared if not topic.compacted}
    assert followed(stage) == {f"declared-{topic.name}" for topic in declared if topic.compacted}
    assert stage.app.conf.id == f"declared-penstock-{role}"


@pytest.mark.parametrize("role", ROLES)
def test_an_app_publishes_through_an_outbox_that_refuses_what_is_not_declared(role, deployment, loop):
    stage = build(role, deployment)
    assert stage.outbox.role == stage.delivery.role == role
    for topic in TOPICS.values():
        if role not in topic.written_by:
            with pytest.raises(UndeclaredTopic):
                loop.run_until_complete(stage.outbox.publish(topic.name, example(topic.events[0].__name__)))
    assert stage.outbox.published_total == 0


@pytest.mark.parametrize("role", ROLES)
def test_an_app_refuses_to_consume_or_follow_what_is_not_declared(role, deployment, loop):
    stage = build(role, deployment)

    async def handle(event: Record) -> None:
        raise AssertionError("nothing is consumed")

    for topic in TOPICS.values():
        if role not in topic.read_by:
            with pytest.raises(UndeclaredTopic):
                stage.consume(topic.name, handle)
            with pytest.raises(UndeclaredTopic):
                stage.follow(topic.name, lambda _: None, handle)  # type: ignore[arg-type]


def published_literally(source: str) -> set[str]:
    """The topics that a module names where it calls ``publish``."""
    calls = (node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call))
    return {
        call.args[0].value
        for call in calls
        if isinstance(call.func, ast.Attribute)
        and call.func.attr == "publish"
        and call.args
        and isinstance(call.args[0], ast.Constant)
        and isinstance(call.args[0].value, str)
    }


@pytest.mark.parametrize("role", ROLES)
def test_a_shell_names_no_topic_that_its_role_is_not_declared_to_write(role):
    named = published_literally(inspect.getsource(MODULES[role]))
    assert named
    assert {topic for topic in named if not may_write(role, topic)} == set()


def test_the_search_for_published_topics_finds_them():
    source = 'async def f(box):\n    await box.publish("requests", e)\n    box.publish(name, e)\n    publish("no")\n'
    assert published_literally(source) == {"requests"}


def test_the_router_publishes_exactly_the_events_that_are_declared_for_it_but_answers(deployment):
    planner, _ = build_planner(deployment, Letters(), {})
    sent: list[tuple[str, type[Record]]] = []

    async def send(topic: str, key: bytes, value: bytes, headers: Headers) -> None:
        sent.append((topic, type(CODEC.decode(value))))

    router = Router(
        planner, Held(), lambda text: Letters().encode([text])[0], Outbox("router", CODEC, send), lambda: NOW_US
    )
    asked = RequestReceived(
        event_id="e",
        occurred_at_us=NOW_US,
        conversation_id="c",
        request_id="r",
        workflow="customer_support",
        message="Where is my order?",
    )
    for request in (asked, msgspec.structs.replace(asked, workflow="no such workflow")):
        asyncio.run(router.handle(request))
    asyncio.run(router.give_up(asked))
    assert [(topic, event.__name__) for topic, event in sent] == [
        ("routing", "RequestRouted"),
        ("responses", "ResponseFailed"),
        ("responses", "ResponseFailed"),
    ]
    declared = {topic.name for topic in TOPICS.values() if "router" in topic.written_by}
    assert declared - OF_EVERY_STAGE - {"router-dlq"} == {topic for topic, _ in sent}
