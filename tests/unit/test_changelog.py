"""What goes to a table's changelog: in order, noted once for what was confirmed together, and when it is sure to be first."""

from __future__ import annotations

import asyncio
from collections import deque
from types import SimpleNamespace
from typing import Any, cast

import pytest
from aiokafka import TopicPartition
from faust.types import TP, AppT

from streams.changelog import Changelog

NAME = "ended-changelog"


class Broker:
    """A producer as far as the changelog needs it; ``room`` lets messages into its line, ``confirm`` takes them out."""

    def __init__(self) -> None:
        self.line: list[tuple[int, bytes, bytes | None, asyncio.Future[Any]]] = []
        self.room = asyncio.Event()
        self.room.set()
        self.failing: Exception | None = None
        self.leaders = {NAME: 1, "responses": 1}
        self.batches: dict[TopicPartition, deque[object]] = {}
        self.offset = 0
        cluster = SimpleNamespace(leader_for_partition=lambda tp: self.leaders[tp.topic])
        self._producer = SimpleNamespace(
            client=SimpleNamespace(cluster=cluster), _message_accumulator=SimpleNamespace(_batches=self.batches)
        )

    async def send(self, name: str, key: bytes, value: bytes | None, partition: int, *_: object) -> asyncio.Future[Any]:
        assert name == NAME
        if self.failing is not None:
            raise self.failing
        while not self.room.is_set():
            await self.room.wait()
        confirmed: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self.line.append((partition, key, value, confirmed))
        self.batches.setdefault(TopicPartition(NAME, partition), deque([object()]))
        return confirmed

    def confirm(self) -> None:
        line, self.line = self.line, []
        for partition, _, _, confirmed in line:
            self.offset += 1
            confirmed.set_result(SimpleNamespace(partition=partition, offset=self.offset))


class Store:
    """A table's databases, of which only the offsets are written."""

    def __init__(self, *partitions: int) -> None:
        self._dbs = dict.fromkeys(partitions)
        self.offsets: list[tuple[TP, int]] = []

    def set_persisted_offset(self, tp: TP, offset: int) -> None:
        self.offsets.append((tp, offset))


def made(broker: Broker, store: Store, *beside: str) -> Changelog:
    table = SimpleNamespace(changelog_topic=SimpleNamespace(get_topic_name=lambda: NAME), data=store)
    return Changelog(cast("AppT", SimpleNamespace(producer=broker)), table, beside=beside)


async def rounds(count: int) -> None:
    """Let the event loop come round so often."""
    for _ in range(count):
        await asyncio.sleep(0)


def test_a_message_is_in_the_producers_line_at_once_and_done_when_the_broker_has_it() -> None:
    async def scenario() -> None:
        broker = Broker()
        written = made(broker, Store(0)).send(0, b"k", b"v")
        assert [each[:3] for each in broker.line] == [(0, b"k", b"v")]
        assert not written.confirmed.done()
        broker.confirm()
        await written

    asyncio.run(scenario())


def test_what_was_confirmed_together_is_noted_once_for_each_partition() -> None:
    async def scenario() -> None:
        broker, store = Broker(), Store(0, 1)
        changelog = made(broker, store)
        written = [changelog.send(partition, b"k", b"v") for partition in (0, 1, 0, 0)]
        broker.confirm()
        for each in written:
            await each
        await rounds(3)
        assert store.offsets == [(TP(NAME, 0), 4), (TP(NAME, 1), 2)]

    asyncio.run(scenario())


def test_the_database_of_a_partition_that_went_is_not_opened_again() -> None:
    async def scenario() -> None:
        broker, store = Broker(), Store()
        written = made(broker, store).send(0, b"k", b"v")
        broker.confirm()
        await written
        await rounds(3)
        assert store.offsets == []

    asyncio.run(scenario())


def test_nothing_overtakes_a_message_that_waits_for_room() -> None:
    async def scenario() -> None:
        broker = Broker()
        changelog = made(broker, Store(0))
        broker.room.clear()
        first = changelog.send(0, b"k", b"1")
        await asyncio.sleep(0)
        second = changelog.send(0, b"k", b"2")
        elsewhere = changelog.send(1, b"k", b"other")
        broker.room.set()
        third = changelog.send(0, b"k", b"3")
        await rounds(10)
        assert [value for partition, _, value, _ in broker.line if partition == 0] == [b"1", b"2", b"3"]
        assert not any(each.is_first for each in (first, second, third))
        broker.confirm()
        for each in (first, second, third, elsewhere):
            await each
        assert changelog.send(0, b"k", b"4").is_first

    asyncio.run(scenario())


def test_what_cannot_be_handed_over_fails_where_it_is_awaited() -> None:
    async def scenario() -> None:
        broker = Broker()
        broker.failing = ConnectionError("away")
        written = made(broker, Store(0)).send(0, b"k", b"v")
        assert not written.is_first
        with pytest.raises(ConnectionError):
            await written

    asyncio.run(scenario())


@pytest.mark.parametrize("leader", [2, -1, None])
def test_a_message_is_not_first_where_another_broker_leads_what_is_beside(leader: int | None) -> None:
    async def scenario() -> None:
        broker = Broker()
        changelog = made(broker, Store(0), "responses")
        assert changelog.send(0, b"k", b"v").is_first
        broker.leaders["responses"] = cast("int", leader)
        assert not changelog.send(0, b"k", b"v").is_first
        broker.leaders[NAME] = cast("int", leader)
        assert changelog.send(0, b"k", b"v").is_first == (leader == 2)

    asyncio.run(scenario())


def test_a_message_is_not_first_behind_one_that_is_tried_again() -> None:
    async def scenario() -> None:
        broker = Broker()
        broker.batches[TopicPartition(NAME, 0)] = deque([object(), object()])
        assert not made(broker, Store(0), "responses").send(0, b"k", b"v").is_first

    asyncio.run(scenario())
