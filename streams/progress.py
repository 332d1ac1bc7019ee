"""How far a consumer group has come in a topic, as the broker knows it.

In: a partition. Out: its end, and up to where the group has committed. Keeps one connection, opened at the first question; it
joins no group and commits nothing. Fails with ``KafkaException`` where the broker does not answer in time. Questions block, so
they are asked in a thread: for decisions that are rare, never for each event.
"""

import asyncio
import logging
from dataclasses import dataclass
from typing import Any

from confluent_kafka import Consumer, TopicPartition

ANSWER_S = 10.0


@dataclass(frozen=True)
class Progress:
    """Offsets of one partition: ``end`` is where the next event will be, ``read`` the first that the group has not read."""

    end: int
    read: int


class GroupProgress:
    """Asks about one topic (its name on the broker) and one group."""

    def __init__(self, bootstrap_servers: str, group: str, topic: str) -> None:
        self._settings: dict[str, Any] = {
            "bootstrap.servers": bootstrap_servers,
            "group.id": group,
            "enable.auto.commit": False,
            "logger": logging.getLogger("librdkafka"),  # else it writes lines of its own to standard error
        }
        self._topic = topic
        self._consumer: Consumer | None = None
        self._asking = asyncio.Lock()

    async def of(self, partition: int) -> Progress:
        """Give the progress in a partition; what expired counts as read."""
        async with self._asking:
            return await asyncio.to_thread(self._ask, partition)

    def _ask(self, partition: int) -> Progress:
        if self._consumer is None:
            self._consumer = Consumer(self._settings)
        spot = TopicPartition(self._topic, partition)
        first, end = self._consumer.get_watermark_offsets(spot, timeout=ANSWER_S)
        (committed,) = self._consumer.committed([spot], timeout=ANSWER_S)
        return Progress(end=end, read=max(first, committed.offset))
