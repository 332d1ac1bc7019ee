"""The changelog of a table: what was written here goes to the broker in the order in which it was written.

In: (partition, key, value). Out: a ``Written`` for each, done when the broker has it; the offset up to which this worker's database
holds the changelog, in the database. Keeps whose message waits for room. Fails with the producer's errors.

Faust's own way costs a future, three hand-overs and an entry in the database for each message. Here a message goes to the producer
at once, and one entry is made for all that the broker confirmed together.

``Written.is_first`` is what lets an end be kept and published at the same time (docs/adr/0012): what is published from here on to
the topics ``beside``, in the same partition, is not in the log without this, unless broker and worker die at the same moment. For
aiokafka has one request under way to a broker, with all that waits for it: the message is in the same request, or an earlier one.
"""

import asyncio
from collections.abc import Generator, Sequence
from functools import cached_property
from typing import Any

from aiokafka import TopicPartition
from faust.types import TP, AppT

from streams.begun import Begun


class Written:
    """A message to the changelog. Awaited, it gives the broker's word that it has it."""

    __slots__ = ("confirmed", "is_first")

    def __init__(self, confirmed: "asyncio.Future[Any]", *, is_first: bool) -> None:
        self.confirmed = confirmed
        self.is_first = is_first
        """Whether the broker gets it no later than what is published after it to the topics beside."""

    def __await__(self) -> Generator[Any, None, object]:
        """Wait for the broker's word."""
        return self.confirmed.__await__()


_Handing = asyncio.Task["asyncio.Future[Any]"]
"""A message on its way into the producer's line."""


class Changelog:
    """The changelog of one Faust table; ``beside`` names the topics, as they are on the broker, that ``is_first`` is about."""

    def __init__(self, app: AppT, table: Any, *, beside: Sequence[str] = ()) -> None:
        self._app: Any = app
        self._table = table
        self._beside = beside
        self._lines: dict[int, _Handing] = {}
        """By partition: the last message that waits for room. What comes after it waits behind it."""
        self._reached: dict[int, int] = {}

    @cached_property
    def name(self) -> str:
        """The topic's name on the broker."""
        name: str = self._table.changelog_topic.get_topic_name()
        return name

    def send(self, partition: int, key: bytes, value: bytes | None) -> Written:
        """Hand a message to the producer; None removes the key. What fails, fails when it is awaited."""
        before = self._lines.get(partition)
        if before is None:
            try:
                begun = Begun(self._handed_over(partition, key, value))
            except Exception as error:  # noqa: BLE001 - the database has it already, so whoever wrote goes on as far as that
                failed = asyncio.get_running_loop().create_future()
                failed.set_exception(error)
                return Written(failed, is_first=False)
            if begun.is_done:
                return Written(begun.result, is_first=self._is_first(partition))
            handing = asyncio.ensure_future(begun)
        else:
            handing = asyncio.ensure_future(self._after(before, partition, key, value))
        self._lines[partition] = handing
        return Written(asyncio.ensure_future(self._word_on(partition, handing)), is_first=False)

    async def _handed_over(self, partition: int, key: bytes, value: bytes | None) -> "asyncio.Future[Any]":
        """Wait until it is in the producer's line; the broker's word on it."""
        confirmed: asyncio.Future[Any] = await self._app.producer.send(self.name, key, value, partition, None, None)
        confirmed.add_done_callback(self._note)
        return confirmed

    async def _after(self, before: _Handing, partition: int, key: bytes, value: bytes | None) -> "asyncio.Future[Any]":
        await asyncio.wait((before,))
        return await self._handed_over(partition, key, value)

    async def _word_on(self, partition: int, handing: _Handing) -> Any:
        try:
            confirmed = await handing
        finally:
            if self._lines.get(partition) is handing:
                del self._lines[partition]
        return await confirmed

    def _is_first(self, partition: int) -> bool:
        """Whether one broker leads the partition of all topics, and nothing older is tried again before our message."""
        producer = self._app.producer._producer  # noqa: SLF001 - aiokafka's, which Faust does not show
        ours, *others = (TopicPartition(name, partition) for name in (self.name, *self._beside))
        leader = producer.client.cluster.leader_for_partition(ours)
        if leader in (None, -1) or any(producer.client.cluster.leader_for_partition(each) != leader for each in others):
            return False
        return len(producer._message_accumulator._batches.get(ours, ())) == 1  # noqa: SLF001 - as above

    def _note(self, confirmed: "asyncio.Future[Any]") -> None:
        """Remember how far the changelog came, for all that was confirmed together."""
        if confirmed.cancelled() or confirmed.exception() is not None:
            return
        placed = confirmed.result()
        if not self._reached:
            asyncio.get_running_loop().call_soon(self._persist)
        self._reached[placed.partition] = max(placed.offset, self._reached.get(placed.partition, 0))

    def _persist(self) -> None:
        reached, self._reached = self._reached, {}
        store = self._table.data
        for partition, offset in reached.items():
            if partition in store._dbs:  # noqa: SLF001 - one that went is not opened again: it may be another worker's
                store.set_persisted_offset(TP(self.name, partition), offset)
