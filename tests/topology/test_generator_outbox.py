"""The generator publishes what the registry declares for it, all of it and nothing else; no broker."""

import asyncio
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from agents.answering.lanes import Lanes
from agents.answering.provider import CallFailed
from agents.generator import build_generator
from streams.deployment import Deployment
from streams.errors import UndeclaredTopic
from streams.topics import STAGES, TOPICS, read_by
from tests.generator_parts import Models, Time, World, answer, routed

OF_EVERY_STAGE = {"metrics", "schemas", "generator-dlq"}


def test_the_generator_publishes_exactly_the_events_declared_for_it() -> None:
    world = World(
        Models(Time(), simple=[answer()], premium=[CallFailed("rejected", "HTTP 400: no")]),
        lanes=Lanes(1, patience_s=0.0),
    )
    world.models.pieces = ("Here.",)

    async def run() -> None:
        await world.generator.handle(routed("premium", "simple", request={"stream": True}))
        await world.generator.handle(routed("premium", request={"request_id": "r2"}))
        world.models.gate = asyncio.Event()
        called = asyncio.create_task(world.generator.handle(routed("simple", request={"request_id": "r3"})))
        await asyncio.sleep(0)
        await world.generator.handle(routed("simple", request={"request_id": "r4"}))
        world.models.gate.set()
        await called

    asyncio.run(run())
    published = {(topic, type(event)) for topic, event in world.published}
    declared = {
        (topic.name, event)
        for topic in TOPICS.values()
        if "generator" in topic.written_by and topic.name not in OF_EVERY_STAGE
        for event in topic.events
    }
    assert published == declared


@pytest.mark.parametrize("topic", sorted(t.name for t in TOPICS.values() if "generator" not in t.written_by))
def test_the_generators_outbox_refuses_every_other_topic(topic: str) -> None:
    world = World(Models(Time()))
    with pytest.raises(UndeclaredTopic):
        asyncio.run(world.outbox.publish(topic, routed("simple")))


def test_the_generators_app_reads_exactly_the_topics_declared_for_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "generator" in STAGES
    monkeypatch.setenv("PENSTOCK_BOOTSTRAP_SERVERS", "localhost:1")
    monkeypatch.setenv("PENSTOCK_VAR", str(tmp_path))
    asyncio.set_event_loop(loop := asyncio.new_event_loop())
    try:
        stage = build_generator(Deployment(), {}, encoder=NoEncoder())
    finally:
        asyncio.set_event_loop(None)
        loop.close()
    consumed = {name.removeprefix("generator.") for name in stage.app.agents}
    assert consumed == {topic.name for topic in read_by("generator") if not topic.compacted}
    assert set(stage.app.tables) == {"ended"}


class NoEncoder:
    """Stands where an encoder must be given and nothing is encoded."""

    name, version, dimensions = "none", "1", 1

    def encode(self, texts: Sequence[str]) -> npt.NDArray[np.float32]:
        raise AssertionError("nothing is encoded")
