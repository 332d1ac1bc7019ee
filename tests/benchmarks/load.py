"""Load on a pipeline and a stopwatch beside it: publishes messages to one topic and sees them come out of another by their keys.

In: a broker, two topics, messages (key and value) with a key each. Out: latencies in milliseconds at a steady rate, or the seconds
that so many took with a fixed number under way. Keeps its connections. Fails with ``Incomplete`` where messages do not come out
in time.

It is librdkafka, so that it takes little of the two cores that it measures, and the same for everyone that is measured.
"""

import threading
import time
from collections.abc import Sequence
from types import TracebackType
from typing import Any, Self

from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition

TOPIC_SETTLES_S = 20.0
Message = tuple[bytes, bytes]


class Incomplete(Exception):
    """Not everything came out."""


class Load:
    """One source and one target. Use it as a context manager."""

    def __init__(self, servers: str, source: str, target: str) -> None:
        self._source = source
        common: dict[str, Any] = {"bootstrap.servers": servers, "log_level": 0, "socket.nagle.disable": True}
        self._producer: Any = Producer({**common, "linger.ms": 0, "partitioner": "murmur2_random", "acks": "all"})
        self._consumer: Any = Consumer(
            {
                **common,
                "group.id": "bench",
                "enable.auto.commit": False,
                "fetch.wait.max.ms": 100,
                "fetch.error.backoff.ms": 5,
            }
        )
        places = [TopicPartition(target, each) for each in self._consumer.list_topics(target).topics[target].partitions]
        ends = [self._end_of(place) for place in places]
        self._consumer.assign(
            [TopicPartition(place.topic, place.partition, end) for place, end in zip(places, ends, strict=True)]
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._producer.flush(5)
        self._consumer.close()

    def steady(self, messages: Sequence[Message], rate: float, *, within_s: float = 30.0) -> list[float]:
        """Publish ``rate`` messages a second, whatever comes back; the time each took to come out, in milliseconds."""
        sent: dict[bytes, float] = {}

        def publish() -> None:
            begun = time.perf_counter()
            for number, (key, value) in enumerate(messages):
                wait_s = begun + number / rate - time.perf_counter()
                if wait_s > 0:
                    time.sleep(wait_s)
                sent[key] = time.perf_counter()
                self._producer.produce(self._source, value, key)
                self._producer.poll(0)

        publishing = threading.Thread(target=publish)
        publishing.start()
        took: dict[bytes, float] = {}
        last_s = time.monotonic() + len(messages) / rate + within_s
        while len(took) < len(messages):
            key = self._next(last_s, len(messages) - len(took))
            if key in sent and key not in took:
                took[key] = (time.perf_counter() - sent[key]) * 1_000
        publishing.join()
        return list(took.values())

    def flat_out(self, messages: Sequence[Message], under_way: int, *, within_s: float = 120.0) -> float:
        """Keep ``under_way`` messages under way until all came out; the seconds from the first publication."""
        expected = {key for key, _ in messages}
        waiting = iter(messages)
        begun = time.perf_counter()
        last_s = time.monotonic() + within_s
        for _, (key, value) in zip(range(under_way), waiting, strict=False):
            self._producer.produce(self._source, value, key)
        while expected:
            key = self._next(last_s, len(expected))
            if key not in expected:
                continue
            expected.discard(key)
            following = next(waiting, None)
            if following is not None:
                self._producer.produce(self._source, following[1], following[0])
                self._producer.poll(0)
        return time.perf_counter() - begun

    def _end_of(self, place: Any) -> int:
        last_s = time.monotonic() + TOPIC_SETTLES_S
        while True:
            try:
                end: int = self._consumer.get_watermark_offsets(place, timeout=10)[1]
            except KafkaException:  # a new topic's partitions have no leader for a moment
                if time.monotonic() > last_s:
                    raise
                time.sleep(0.1)
            else:
                return end

    def _next(self, last_s: float, missing: int) -> bytes:
        """The key of the next message that came out."""
        while time.monotonic() < last_s:
            came = self._consumer.poll(0.1)
            if came is not None and came.error() is None:
                key: bytes = came.key()
                return key
        raise Incomplete(f"{missing} messages have not come out.")
