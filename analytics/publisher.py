"""What analytics writes to Kafka: dead letters and profiles with confirmed delivery, measurements without waiting.

In: records or ready bytes. Out: messages on the topics that the registry gives to analytics. Keeps the producer's
queue. Reading the topic ``schemas`` takes a start a quarter of a second, so that it is done beside; nothing else is
written before it is done. Fails with ``UndeclaredTopic``, with ``NotDelivered`` when the broker refused a message or
``stop`` was set before it had confirmed it (then nothing may be assumed to have been published).
"""

import logging
import threading
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from confluent_kafka import Producer

from schemas import Record
from streams.codec import Codec
from streams.deployment import Deployment
from streams.errors import PenstockError, UndeclaredTopic
from streams.following import NoSuchTopic
from streams.logs import logger
from streams.lookup import SchemaLookUp
from streams.topics import LETTER_BYTES, key_of, may_write

ROLE = "analytics"
_POLL_S = 0.1


class NotDelivered(PenstockError):
    """The broker has not confirmed a message."""


class Publisher:
    """The producer of the analytics process."""

    def __init__(self, deployment: Deployment, codec: Codec, stop: threading.Event) -> None:
        self._deployment = deployment
        self._codec = codec
        self._stop = stop
        self._beside = ThreadPoolExecutor(1, thread_name_prefix="schemas")
        self._begun: Future[None] | None = None
        self._producer = Producer(
            {
                "bootstrap.servers": deployment.bootstrap(),
                "client.id": f"penstock-{ROLE}-{deployment.worker}",
                "enable.idempotence": True,
                "acks": "all",
                "partitioner": "murmur2_random",  # as aiokafka puts keys
                "linger.ms": 5,
                "message.max.bytes": LETTER_BYTES,
                "logger": logging.getLogger("librdkafka"),  # else it writes lines of its own to standard error
            }
        )

    def publish(self, topic: str, event: Record) -> None:
        """Queue an event without waiting for the broker."""
        self._await_schemas()
        self._send(topic, key_of(topic, event), self._codec.encode(event), None)
        self._producer.poll(0)

    def publish_confirmed(self, messages: list[tuple[str, bytes, bytes]]) -> None:
        """Publish (topic, key, value) and return when the broker has confirmed all of them."""
        self._await_schemas()
        self._confirmed(messages)

    def begin_with(self, schemas: SchemaLookUp, now_us: int) -> None:
        """Make known what this release writes, beside the caller: what is published next waits for it, and fails if it did."""
        self._begun = self._beside.submit(self._publish_schemas, schemas, now_us)

    def _await_schemas(self) -> None:
        if self._begun is not None:
            self._begun.result()
            self._begun = None

    def _confirmed(self, messages: list[tuple[str, bytes, bytes]]) -> None:
        waiting = len(messages)
        refusals: list[str] = []

        def delivered(error: Any, _message: Any) -> None:
            nonlocal waiting
            waiting -= 1
            if error is not None:
                refusals.append(str(error))

        for topic, key, value in messages:
            self._send(topic, key, value, delivered)
        while waiting and not self._stop.is_set():
            self._producer.poll(_POLL_S)
        if waiting:  # a last chance on the way out, within what a stop may take
            self._producer.flush(1.0)
        if waiting or refusals:
            raise NotDelivered(
                f"{waiting + len(refusals)} of {len(messages)} messages were not confirmed"
                f"{': ' + refusals[0] if refusals else ' before the stop'}.",
                remedy="They are published again after the next start.",
            )

    def _publish_schemas(self, schemas: SchemaLookUp, now_us: int) -> None:
        try:
            missing = schemas.unpublished(ROLE, now_us=now_us)
        except NoSuchTopic as error:  # a system that an older release set up: its readers could not look anything up
            logger(role=ROLE).error("schemas_not_published", error=str(error))
            return
        self._confirmed([("schemas", key_of("schemas", each), self._codec.encode(each)) for each in missing])
        schemas.close()

    def close(self) -> None:
        """Give the broker a second for what is still queued."""
        self._beside.shutdown()
        self._producer.flush(1.0)

    def _send(self, topic: str, key: bytes, value: bytes, delivered: Any) -> None:
        if not may_write(ROLE, topic):
            raise UndeclaredTopic(f"The {ROLE} may not write {topic}.", remedy="Declare it in streams/topics.py.")
        while True:
            try:
                self._producer.produce(self._deployment.topic(topic), key=key, value=value, on_delivery=delivered)
            except BufferError:  # the queue is full: let the broker catch up
                if self._stop.is_set():
                    raise NotDelivered("The queue to the broker is full.") from None
                self._producer.poll(_POLL_S)
            else:
                return
