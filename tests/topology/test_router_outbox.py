"""The router as it is put together: it reads and writes what the registry declares, and nothing else; no broker."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from agents.router import build_router
from schemas import RequestRouted, ResponseFailed
from streams.deployment import ROOT, Deployment
from streams.errors import UndeclaredTopic
from streams.stage import Stage
from streams.topics import TOPICS, read_by
from tests.deciding_parts import request
from tests.evaluator_desk import FlatEncoder
from tests.router_desk import Desk

OF_EVERY_STAGE = {"metrics", "schemas", "router-dlq"}


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    deployment = Deployment(
        bootstrap_servers="localhost:1",
        topic_prefix="t-",
        var=tmp_path,
        environment="production",
        settings=ROOT / "infra" / "penstock.yaml",
        catalogue=ROOT / "infra" / "strategies.yaml",
        workflows=ROOT / "examples" / "workflows",
    )
    yield build_router(deployment, FlatEncoder(), {})
    asyncio.set_event_loop(None)
    loop.close()


def test_its_agents_read_exactly_the_declared_topics_that_are_not_compacted(stage):
    read = {topic for agent in stage.app.agents.values() for topic in agent.channel.topics}
    assert read == {"t-" + topic.name for topic in read_by("router") if not topic.compacted}


def test_the_compacted_topics_are_read_whole_before_the_first_request(stage):
    compacted = [topic.name for topic in read_by("router") if topic.compacted]
    assert sorted(compacted) == ["controls", "profile-updates"]
    assert len(stage._before) == len(compacted) + 2  # first it publishes its schemas and asks for the time


def test_it_keeps_no_table(stage):
    assert dict(stage.app.tables) == {}


@pytest.mark.parametrize("topic", sorted(t.name for t in TOPICS.values() if "router" not in t.written_by))
def test_its_outbox_refuses_every_other_topic(stage, topic):
    with pytest.raises(UndeclaredTopic):
        asyncio.get_event_loop().run_until_complete(stage.outbox.publish(topic, request()))


def test_it_publishes_exactly_the_events_declared_for_it():
    desk = Desk()
    desk.take()
    desk.take(workflow="none")
    asyncio.run(desk.router.give_up(request()))
    published = {(topic, type(event)) for topic, _, event in desk.sent}
    assert published == {("routing", RequestRouted), ("responses", ResponseFailed)}
    declared = {topic.name for topic in TOPICS.values() if "router" in topic.written_by}
    assert declared - OF_EVERY_STAGE == {topic for topic, _ in published}
