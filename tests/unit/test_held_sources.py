"""A source that is held: nothing of it is lost, and nothing else waits for it."""

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from aiokafka.structs import ConsumerRecord
from faust.types import TP

from streams.app import build_app
from streams.committing import Consumer
from streams.deployment import Deployment

FEEDBACK, RESPONSES = TP("feedback", 0), TP("responses", 0)


def record(tp: TP, offset: int) -> ConsumerRecord[bytes, bytes]:
    return ConsumerRecord(tp.topic, tp.partition, offset, 0, 1, b"", b"", None, 0, 0, ())


class Played(Consumer):
    """The consumer with a fetch that brings what it is told to."""

    fetched: Mapping[TP, list[Any]]

    async def _getmany(self, active_partitions: Any, timeout: float) -> Any:  # noqa: ASYNC109 - Faust's signature
        return {tp: records for tp, records in self.fetched.items() if tp in active_partitions}

    def highwater(self, tp: TP) -> int:
        return 100

    def assignment(self) -> set[TP]:
        return {FEEDBACK, RESPONSES}


def app_of(folder: Path) -> Any:
    deployment = Deployment(var=folder, bootstrap_servers="localhost:1")
    return build_app("evaluator", deployment, partitions=1, loop=asyncio.get_running_loop())


def consuming(folder: Path) -> Any:
    app = app_of(folder)
    consumer = Played(app.transport, lambda _: None, lambda _: None, lambda *_: None)
    consumer._set_active_tps({FEEDBACK, RESPONSES})
    return consumer


def test_what_was_fetched_already_when_a_source_is_held_is_still_handed_over(tmp_path):
    # the broker's position is past them: nobody would bring them again
    assert asyncio.run(handed_over_while_held(tmp_path)) == [0, 1, 2, 3, 4]


async def handed_over_while_held(tmp_path: Path) -> list[int]:
    consumer = consuming(tmp_path)
    consumer.fetched = {FEEDBACK: [record(FEEDBACK, offset) for offset in range(5)]}
    handed = []
    async for _, message in consumer.getmany(0.1):
        handed.append(message.offset)
        if message.offset == 1:
            consumer.hold({FEEDBACK})
    return handed


def test_a_held_source_is_not_fetched_until_it_is_let_go(tmp_path):
    assert asyncio.run(fetched_while_held_and_then(tmp_path)) == ([7], [0, 7])


async def fetched_while_held_and_then(tmp_path: Path) -> tuple[list[int], list[int]]:
    consumer = consuming(tmp_path)
    consumer.hold({FEEDBACK})
    consumer.fetched = {FEEDBACK: [record(FEEDBACK, 0)], RESPONSES: [record(RESPONSES, 7)]}
    held = [message.offset async for _, message in consumer.getmany(0.1)]
    consumer.let_go({FEEDBACK})
    return held, sorted([message.offset async for _, message in consumer.getmany(0.1)])


def test_gaps_in_a_topic_are_passed_over_and_not_collected(tmp_path):
    assert not asyncio.run(gaps_collected(tmp_path))


async def gaps_collected(tmp_path: Path) -> Any:
    consumer = consuming(tmp_path)
    for offset in range(0, 200, 2):  # an application that publishes in transactions leaves a marker after each
        await consumer._add_gap(FEEDBACK, offset, offset)
    return consumer._gap[FEEDBACK]


def test_a_full_queue_makes_nobody_wait_who_hands_over_what_was_fetched(tmp_path):
    asyncio.run(fill(tmp_path))


async def fill(tmp_path: Path) -> None:
    app = app_of(tmp_path)
    app.flow_control.resume()
    queue = app.FlowControlQueue(maxsize=10, clear_on_resume=True)
    told = []
    for number in range(25):
        assert not queue.full()
        queue.put_nowait_enhanced(
            number, on_pressure_high=lambda: told.append("high"), on_pressure_drop=lambda: told.append("low")
        )
    assert told == ["high"] * 17  # each time, so that no more is fetched of whichever partition
    assert app.conf.broker_max_poll_records == 500  # so that what was fetched already is not much more
