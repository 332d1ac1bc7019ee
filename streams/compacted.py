"""Reads a compacted topic whole, in every worker, with a consumer of its own and no group.

In: a compacted topic of the registry. Out: each event, in order, to ``apply``; first everything there is, then what comes. Keeps
nothing but its position. A message that cannot be decoded, whose event does not belong on the topic, or that cannot be applied, is
handed to ``refuse`` and passed over; a lost broker is waited for.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from aiokafka import AIOKafkaConsumer
from aiokafka.errors import KafkaError

from schemas import Record
from streams.codec import Codec
from streams.delivery import LookUp, Origin, made_known
from streams.errors import Code, Undecodable, UnknownSchema
from streams.logs import described, logger, trail
from streams.topics import LETTER_BYTES, TOPICS

RECONNECT_PAUSE_S = 1.0
METADATA_PAUSE_S = 0.05
REFUSED_AT_ONCE = 50


class CompactedReader:
    """Follows one compacted topic."""

    def __init__(
        self,
        topic: str,
        *,
        name_on_broker: str,
        bootstrap_servers: str,
        codec: Codec,
        apply: Callable[[Record], None],
        refuse: Callable[[Origin, Undecodable], Awaitable[None]],
        look_up: LookUp | None = None,
    ) -> None:
        self._topic = topic
        self._name = name_on_broker
        self._servers = bootstrap_servers
        self._codec = codec
        self._apply = apply
        self._refuse = refuse
        self._look_up = look_up
        self._caught_up = asyncio.Event()
        self._log = logger(topic=topic)
        self._positions: dict[int, int] = {}

    async def caught_up(self) -> None:
        """Wait until everything that was on the topic when reading began was applied."""
        await self._caught_up.wait()

    async def follow(self) -> None:
        """Read for ever; cancel to stop."""
        while True:
            try:
                await self._read()
            except KafkaError as error:
                self._log.warning("compacted_reader_reconnects", error=f"{type(error).__name__}: {error}")
                await asyncio.sleep(RECONNECT_PAUSE_S)

    async def _read(self) -> None:
        consumer = AIOKafkaConsumer(
            self._name,
            group_id=None,
            bootstrap_servers=self._servers,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            isolation_level="read_committed",
            fetch_max_wait_ms=100,
            max_partition_fetch_bytes=LETTER_BYTES,
        )
        await consumer.start()
        try:
            while not consumer.assignment():  # noqa: ASYNC110 - aiokafka has no event for it
                await asyncio.sleep(METADATA_PAUSE_S)
            partitions = sorted(consumer.assignment())
            for partition in partitions:
                consumer.seek(partition, self._positions.get(partition.partition, 0))
            behind = dict(await consumer.end_offsets(partitions))
            while True:
                behind = {p: end for p, end in behind.items() if await consumer.position(p) < end}
                if not behind:
                    self._caught_up.set()
                batches = await consumer.getmany(timeout_ms=200)
                for partition, messages in batches.items():
                    await self._take_all(messages)
                    self._positions[partition.partition] = messages[-1].offset + 1
        finally:
            await consumer.stop()

    async def _take_all(self, messages: Sequence[Any]) -> None:
        """Apply in order; what is refused is refused side by side, so that a spoilt topic does not hold a start up."""
        refused: list[Awaitable[None]] = []
        for message in messages:
            refusal = await self._take(message.partition, message.offset, message.key, message.value)
            if refusal is not None:
                refused.append(refusal)
            if len(refused) == REFUSED_AT_ONCE:
                await asyncio.gather(*refused)
                refused = []
        await asyncio.gather(*refused)

    async def _take(
        self, partition: int, offset: int, key: bytes | None, value: bytes | None
    ) -> Awaitable[None] | None:
        """Apply a message; what is to be done where it is refused."""
        if value is None:  # a tombstone: the key was deleted by hand
            return None
        try:
            event = await self._decoded(value)
            if not isinstance(event, TOPICS[self._topic].events):
                raise Undecodable(
                    f"{type(event).__name__} does not belong on {self._topic}.", code=Code.UNEXPECTED_EVENT
                )
            self._apply_safely(event)
        except Undecodable as error:
            return self._refuse(Origin(self._topic, partition, offset, key, value), error)
        return None

    def _apply_safely(self, event: Record) -> None:
        """Apply; whatever goes wrong, the event is refused: raised, it would end this worker and each that took its place."""
        try:
            self._apply(event)
        except Undecodable:
            raise
        except Exception as error:
            self._log.error("handler_failed", error=described(error), raised_through=trail(error))
            what = f"{type(event).__name__} could not be applied: {type(error).__name__}."
            raise Undecodable(what, code=Code.HANDLER_FAILED) from error

    async def _decoded(self, value: bytes) -> Record:
        try:
            return self._codec.decode(value)
        except UnknownSchema as unknown:
            await made_known(unknown, self._look_up, self._log)
            return self._codec.decode(value)
