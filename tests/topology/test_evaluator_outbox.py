"""The evaluator as it is put together: it reads and writes what the registry declares, and nothing else."""

import asyncio

import pytest

from agents.evaluator import build_evaluator
from streams.deployment import Deployment
from streams.errors import UndeclaredTopic
from streams.topics import TOPICS, read_by
from tests.evaluator_desk import Desk, FlatEncoder, failed, feedback, generation, ready


@pytest.fixture
def stage(tmp_path):
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    deployment = Deployment(bootstrap_servers="localhost:1", topic_prefix="t-", var=tmp_path)
    yield build_evaluator(deployment, FlatEncoder())
    asyncio.set_event_loop(None)
    loop.close()


def test_its_agents_read_exactly_the_declared_topics(stage):
    read = {topic for agent in stage.app.agents.values() for topic in agent.channel.topics}
    assert read == {"t-" + topic.name for topic in read_by("evaluator") if not topic.compacted}


def test_its_tables_have_as_many_partitions_as_the_topics_are_created_with(stage):
    assert {name: table.partitions for name, table in stage.app.tables.items()} == {"answered": 8, "waiting": 8}


def test_its_outbox_refuses_topics_of_other_stages(stage):
    with pytest.raises(UndeclaredTopic):
        asyncio.get_event_loop().run_until_complete(stage.outbox.publish("responses", ready()))


def test_whatever_happens_it_publishes_to_declared_topics_only():
    async def everything():
        desk = Desk()
        await desk.take(
            feedback("rating", 4), generation(), ready(), feedback("rating", 9), feedback("thumb", 1, 90_000)
        )
        await desk.after(60)
        other = Desk()
        await other.take(failed(), feedback("retry", 1))
        await other.after(60)
        return {topic for topic, _ in (*desk.sent, *other.sent)}

    declared = {topic.name for topic in TOPICS.values() if "evaluator" in topic.written_by}
    assert asyncio.run(everything()) == declared - {"metrics", "schemas"}
