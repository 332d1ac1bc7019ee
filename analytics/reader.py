"""Reads the topics of analytics from offsets that the storage keeps: no consumer group decides anything.

In: the deployment and the offsets to begin at. Out: batches of messages. Keeps the assignment, which partitions have
answered, and which topics are paused; partitions that are added later are found within ``LOOK_AGAIN_S``.
What an offset names may have expired: reading then goes on at the earliest. Fails with ``KafkaException`` on an error
that waiting does not cure, with ``Unconfigured`` when the broker does not answer at the start.
"""

import threading
import time
from collections.abc import Iterable
from typing import Any

from confluent_kafka import (
    OFFSET_BEGINNING,
    Consumer,
    KafkaError,
    KafkaException,
    TopicPartition,
)

from analytics.intake import Message
from streams.deployment import Deployment
from streams.errors import Unconfigured
from streams.logs import logger
from streams.topics import LETTER_BYTES, read_by

LARGEST_BATCH = 5_000
LARGEST_BATCH_BYTES = 64 * 1024 * 1024
LONGEST_BATCH_S = 1.0
FIRST_BATCH_S = 0.3
"""Until every partition has answered: who reads the public file waits for what came while this process was away."""
POLL_S = 0.2
"""How soon a stop is heeded."""
LOOK_AGAIN_S = 15.0
METADATA_S = 10.0

_CURED_BY_WAITING = frozenset(
    {
        KafkaError._ALL_BROKERS_DOWN,  # noqa: SLF001 - the library's public constants begin so
        KafkaError._TRANSPORT,  # noqa: SLF001
        KafkaError._TIMED_OUT,  # noqa: SLF001
        KafkaError._RESOLVE,  # noqa: SLF001
        KafkaError._UNKNOWN_PARTITION,  # noqa: SLF001
        KafkaError.UNKNOWN_TOPIC_OR_PART,
        KafkaError.LEADER_NOT_AVAILABLE,
        KafkaError.NOT_LEADER_FOR_PARTITION,
    }
)
Place = tuple[str, int]


class Reader:
    """The consumer of the analytics process. Places are (topic without prefix, partition)."""

    def __init__(self, deployment: Deployment) -> None:
        self._names = {deployment.topic(topic.name): topic.name for topic in read_by("analytics")}
        self._log = logger(role="analytics", worker=deployment.worker)
        self._consumer: Any = Consumer(
            {
                "bootstrap.servers": deployment.bootstrap(),
                "client.id": f"penstock-analytics-{deployment.worker}",
                "group.id": f"{deployment.topic_prefix}penstock-analytics",
                "enable.auto.commit": False,
                "enable.auto.offset.store": False,
                "enable.partition.eof": True,
                "auto.offset.reset": "earliest",
                "queued.max.messages.kbytes": 65_536,
                "fetch.message.max.bytes": LETTER_BYTES,
                # The broker waits for so much, or so long: a fetch for each event costs it as much as the event.
                "fetch.min.bytes": 64 * 1024,
                "fetch.wait.max.ms": 100,
                "error_cb": self._lost_contact,
                "logger": _Silent(),
            }
        )
        self._assigned: set[Place] = set()
        self._answered: set[Place] = set()
        self.ended: dict[Place, int] = {}
        """The end of each partition when it was last read to there: after a transaction's marker, which is never given to us."""
        self._paused: set[str] = set()
        self._looked_at = 0.0

    @property
    def assigned(self) -> frozenset[Place]:
        """What is read."""
        return frozenset(self._assigned)

    @property
    def has_answered(self) -> bool:
        """Whether the broker has answered a fetch from every partition: with a message, or that there is none."""
        return self._assigned <= self._answered

    def pause(self, topics: Iterable[str]) -> None:
        """Fetch no more of these topics; what was fetched already may still be read once."""
        self._paused |= set(topics)
        self._hold()

    def resume(self, topics: Iterable[str], next_offsets: dict[Place, int]) -> None:
        """Read these topics on from where the storage stopped."""
        resumed = self._spots(set(topics), next_offsets)
        self._paused -= set(topics)
        for spot in resumed:
            self._consumer.seek(spot)
        self._consumer.resume(resumed)

    def _hold(self) -> None:
        if self._paused:
            self._consumer.pause(self._spots(self._paused, {}))

    def _spots(self, topics: set[str], next_offsets: dict[Place, int]) -> list[TopicPartition]:
        full = {short: name for name, short in self._names.items()}
        return [
            TopicPartition(full[place[0]], place[1], next_offsets.get(place, OFFSET_BEGINNING))
            for place in sorted(self._assigned)
            if place[0] in topics
        ]

    def cluster(self) -> str:
        """Give the id of the broker's cluster."""
        try:
            found: str = self._consumer.list_topics(timeout=METADATA_S).cluster_id
        except KafkaException as error:
            raise Unconfigured(
                f"The broker does not answer: {error.args[0]}.",
                remedy="Start it (`penstock up`), or correct PENSTOCK_BOOTSTRAP_SERVERS.",
            ) from error
        return found

    def assign(self, next_offsets: dict[Place, int], stop: threading.Event) -> None:
        """Wait until every topic exists, and begin each partition where the storage stopped."""
        while not stop.is_set():
            places = self._places()
            missing = set(self._names.values()) - {topic for topic, _ in places}
            if not missing:
                self._assign(places, next_offsets)
                return
            self._log.info("waiting_for_topics", topics=sorted(missing))
            stop.wait(0.5)

    def look_again(self, next_offsets: dict[Place, int]) -> None:
        """Take partitions in that were added, at most every ``LOOK_AGAIN_S``; call it between batches."""
        if time.monotonic() - self._looked_at < LOOK_AGAIN_S:
            return
        try:
            places = self._places()
        except KafkaException as error:  # the broker is away; consuming goes on when it is back
            self._log.warning("no_metadata", error=str(error))
            self._looked_at = time.monotonic()
            return
        if places - self._assigned:
            self._assign(places | self._assigned, next_offsets)

    def ends(self, topic: str) -> dict[Place, int]:
        """Give the offset after the last message of each partition of a topic, as it is now."""
        name = next(full for full, short in self._names.items() if short == topic)
        return {
            place: self._consumer.get_watermark_offsets(TopicPartition(name, place[1]), timeout=METADATA_S)[1]
            for place in self._assigned
            if place[0] == topic
        }

    def read(self, stop: threading.Event) -> list[Message]:
        """Give the next messages, in the order of their partitions; none when nothing came for ``POLL_S``.

        A batch is gathered for up to ``LONGEST_BATCH_S``: taking it in costs much the same for one event as for hundreds. At the
        start it is gathered for less, so that one soon sees that this process works.
        """
        messages: list[Message] = []
        bytes_read = 0
        deadline = time.monotonic() + (LONGEST_BATCH_S if self.has_answered else FIRST_BATCH_S)
        while (
            len(messages) < LARGEST_BATCH
            and bytes_read < LARGEST_BATCH_BYTES
            and not stop.is_set()
            and (left := deadline - time.monotonic()) > 0
        ):
            came = self._consumer.consume(
                num_messages=min(500, LARGEST_BATCH - len(messages)), timeout=min(POLL_S, left)
            )
            if not came and not messages:
                break
            for raw in came:
                if raw.error() is not None:
                    self._judge(raw)
                    continue
                message = self._message(raw)
                self._answered.add((message.topic, message.partition))
                messages.append(message)
                bytes_read += len(message.value or b"")
        return messages

    def close(self) -> None:
        """Leave the broker."""
        self._consumer.close()

    def _message(self, raw: Any) -> Message:
        return Message(
            topic=self._names[raw.topic()],
            partition=raw.partition(),
            offset=raw.offset(),
            logged_at_us=max(raw.timestamp()[1], 0) * 1_000,
            key=raw.key(),
            value=raw.value(),
        )

    def _places(self) -> set[Place]:
        found = self._consumer.list_topics(timeout=METADATA_S).topics
        return {
            (short, partition)
            for full, short in self._names.items()
            if full in found and found[full].error is None
            for partition in found[full].partitions
        }

    def _assign(self, places: set[Place], next_offsets: dict[Place, int]) -> None:
        self._assigned = places
        self._consumer.assign(self._spots({topic for topic, _ in places}, next_offsets))
        self._hold()
        self._looked_at = time.monotonic()

    def _judge(self, raw: Any) -> None:
        error = raw.error()
        if error.code() == KafkaError._PARTITION_EOF:  # noqa: SLF001 - the library's public constants begin so
            place = (self._names[raw.topic()], raw.partition())
            self._answered.add(place)
            self.ended[place] = raw.offset()
            return
        if not error.retriable() and error.code() not in _CURED_BY_WAITING:
            raise KafkaException(error)
        self._log.warning("broker_error", error=str(error))

    def _lost_contact(self, error: Any) -> None:
        self._log.warning("broker_error", error=str(error))


class _Silent:
    """librdkafka's own lines repeat what ``error_cb`` says."""

    def log(self, *_: object, **__: object) -> None:
        """Say nothing."""
