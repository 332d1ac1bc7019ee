"""Scratch topics: a copy of a part of the log under another prefix, to run roles over without touching the live pipeline.

In: messages as the broker has them. Out: the same bytes, keys, headers, times and partitions on topics of the scratch prefix, with
one header more that says where the message came from: by it an interrupted copy goes on where it was. Keeps nothing. A scratch
prefix is marked by a topic of its own (``MARK``); what is not marked is somebody's, and neither written to nor deleted. Fails with
``Unconfigured``.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from confluent_kafka import KafkaException, Producer
from confluent_kafka.admin import AdminClient, NewTopic  # type: ignore[attr-defined]

from streams.admin import TIMEOUT_S, create_topics
from streams.app import group_of
from streams.deployment import Deployment
from streams.errors import Unconfigured
from streams.following import Message
from streams.topics import LETTER_BYTES, STAGES, TABLES, TOPICS

MARK = "penstock-scratch"
FROM = "penstock-copied-from"
"""The header that every copy has: ``topic/partition/offset`` of the message that it is a copy of."""
_ALREADY_EXISTS = 36
_UNKNOWN = 3
_FLUSH_S = 60.0
_POLL_S = 0.1


@dataclass(frozen=True)
class CopiedFrom:
    """Where a copy came from."""

    topic: str
    partition: int
    offset: int


def copied_from(message: Message) -> CopiedFrom | None:
    """Give where a message was copied from; None where it is no copy."""
    content = dict(message.headers).get(FROM)
    if content is None:
        return None
    topic, partition, offset = content.decode().rsplit("/", 2)
    return CopiedFrom(topic, int(partition), int(offset))


def headers_of_copy(message: Message) -> list[tuple[str, bytes | None]]:
    """Give a copy's headers: those of the message, and where it came from."""
    own = [(name, content) for name, content in message.headers if name != FROM]
    return [*own, (FROM, f"{message.topic}/{message.partition}/{message.offset}".encode())]


def names_under(prefix: str) -> list[str]:
    """Give every topic that a pipeline with this prefix has, and its mark."""
    return [prefix + name for name in (*TOPICS, *(table.changelog for table in TABLES), MARK)]


class Scratch(Protocol):
    """What can be copied to: topics on the broker, or in tests in memory."""

    def prepare(self, partitions: int) -> None:
        """Create the topics, where they are not there yet. ``Unconfigured`` where the prefix belongs to something else."""

    def put(self, message: Message) -> None:
        """Copy a message to the same topic and partition."""

    def finish(self) -> None:
        """Wait until the broker has all that was put. ``Unconfigured`` where it does not take it."""

    def clean(self) -> list[str]:
        """Delete the topics and their consumer groups; the topics' names. ``Unconfigured`` where they are no scratch topics."""


class KafkaScratch:
    """Scratch topics on the broker, under the prefix of ``deployment``."""

    def __init__(self, deployment: Deployment) -> None:
        self._deployment = deployment
        self._servers = deployment.bootstrap()
        self._refused: list[str] = []
        settings: dict[str, Any] = {
            "bootstrap.servers": self._servers,
            "enable.idempotence": True,  # in order and once, through every retry
            "message.max.bytes": LETTER_BYTES,
            "queue.buffering.max.kbytes": 65_536,
            "linger.ms": 20,
            "log_level": 0,
        }
        self._open: Callable[[], Producer] = lambda: Producer(settings)
        self._producer: Producer | None = None

    def prepare(self, partitions: int) -> None:
        """As ``Scratch`` says."""
        admin, there = self._there()
        mark = self._deployment.topic(MARK)
        if mark not in there:
            self._refuse_others(there)
            self._do(admin.create_topics([NewTopic(mark, 1, 1)], operation_timeout=TIMEOUT_S), unless=_ALREADY_EXISTS)
        create_topics(self._deployment, partitions=partitions, for_ever=True)

    def put(self, message: Message) -> None:
        """As ``Scratch`` says."""
        producer = self._producer = self._producer or self._open()
        headers: list[tuple[str, str | bytes | None]] = [*headers_of_copy(message)]
        while True:
            try:
                producer.produce(
                    self._deployment.topic(message.topic),
                    key=message.key,
                    value=message.value,
                    partition=message.partition,
                    headers=headers,
                    on_delivery=self._delivered,
                    timestamp=message.at_ms or 0,  # 0 is now
                )
            except BufferError:
                producer.poll(_POLL_S)
            else:
                break
        producer.poll(0)
        self._raise_refusals()

    def finish(self) -> None:
        """As ``Scratch`` says."""
        left = self._producer.flush(_FLUSH_S) if self._producer is not None else 0
        self._producer = None
        self._raise_refusals()
        if left:
            raise Unconfigured(
                f"The broker at {self._servers} has not taken the last {left:,} messages.",
                remedy="Give the same command again: it goes on where it was.",
            )

    def clean(self) -> list[str]:
        """As ``Scratch`` says."""
        admin, there = self._there()
        mark = self._deployment.topic(MARK)
        if mark not in there:
            self._refuse_others(there)
            return []
        ours = [name for name in names_under(self._deployment.topic_prefix) if name in there]
        for names in ([name for name in ours if name != mark], [mark]):  # the mark last: an interrupted clean goes on
            if names:
                self._do(admin.delete_topics(names, operation_timeout=TIMEOUT_S), unless=_UNKNOWN)
        deadline_s = time.monotonic() + TIMEOUT_S
        while set(ours) & self._there()[1] and time.monotonic() < deadline_s:
            time.sleep(_POLL_S)  # a broker lists a topic a moment longer than it exists
        groups = [group_of(role, self._deployment) for role in STAGES]
        for done in admin.delete_consumer_groups(groups).values():
            try:
                done.result()
            except KafkaException:
                continue  # no role was started here, or one still runs; its offsets went with the topics
        return ours

    def _delivered(self, error: Any, _: Any) -> None:
        if error is not None:
            self._refused.append(str(error))

    def _raise_refusals(self) -> None:
        if self._refused:
            raise Unconfigured(f"The broker refused a copy: {self._refused[0]}.", remedy="Give the same command again.")

    def _do(self, asked: Mapping[str, Any], *, unless: int) -> None:
        for done in asked.values():
            try:
                done.result()
            except KafkaException as error:
                if error.args[0].code() != unless:
                    raise

    def _there(self) -> tuple[Any, set[str]]:
        admin: Any = AdminClient({"bootstrap.servers": self._servers})
        try:
            return admin, set(admin.list_topics(timeout=TIMEOUT_S).topics)
        except KafkaException as error:
            raise Unconfigured(
                f"The broker at {self._servers} does not answer: {error.args[0]}.",
                remedy="Start it (`penstock up`), or correct PENSTOCK_BOOTSTRAP_SERVERS.",
            ) from error

    def _refuse_others(self, there: set[str]) -> None:
        prefix = self._deployment.topic_prefix
        found = sorted(there & set(names_under(prefix)))
        if found:
            raise Unconfigured(
                f"Topics with the prefix {prefix!r} are there already, and they are no scratch topics: {found[0]} ...",
                remedy="Choose another prefix with --into.",
            )
