"""A steady load of requests, and what came of each, seen by a reader of its own.

In: a deployment whose roles run, and a rate. Out: ``Load``: requests spread evenly over the partitions, when each was published
and when its first response was read, and every response that came again. Keeps that in memory. Fails with the broker's errors,
out of ``stop``.

``Tally`` is the judgement: lost are requests without a response; answered differently are requests whose responses differ in id or
text; a repeat is the same response again. Nothing in it asks a role.
"""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from statistics import quantiles
from typing import Any

from aiokafka.partitioner import murmur2
from confluent_kafka import OFFSET_END, Consumer, Producer, TopicPartition

from schemas import FeedbackGiven, ResponseFailed, ResponseReady, RewardComputed
from streams.client import Client
from streams.codec import Codec
from streams.delivery import wall_clock_us
from streams.deployment import Deployment
from streams.identity import event_id
from streams.topics import MAX_MESSAGE_BYTES, key_of

WORKFLOW = "docs_help"
STRATEGY = "simple-entity_based"
RATED_EVERY = 3
"""One answer of so many is rated, so that the evaluator's work shows in rewards at once."""


@dataclass
class Asked:
    """One request: its partition, when it was published, and every response to it."""

    partition: int
    at_s: float
    responses: list[tuple[float, str, str]] = field(default_factory=list)
    """(when, event id, text or error code)."""


@dataclass(frozen=True)
class Tally:
    """What came of the requests of a load."""

    requests: int
    lost: int
    failed: int
    repeats: int
    answered_differently: int
    p50_ms: float
    p99_ms: float
    longest_ms: float


def partition_of(key: bytes, partitions: int) -> int:
    """Where a key is put, by every producer here."""
    return int((murmur2(key) & 0x7FFFFFFF) % partitions)


class Load:
    """Publishes at a rate from ``start`` to ``stop``."""

    def __init__(
        self, deployment: Deployment, *, partitions: int, rate: float, name: str = "load", deadline_ms: int = 30_000
    ) -> None:
        self._deployment = deployment
        self._partitions = partitions
        self._rate = rate
        self._codec = Codec()
        self._client = Client(deployment)
        self._enough = threading.Event()
        self._done = threading.Event()
        self._failures: list[BaseException] = []
        self._guard = threading.Lock()
        self._rated = 0
        self._name = name
        self._deadline_ms = deadline_ms
        self.asked: dict[str, Asked] = {}
        self.seen: dict[str, dict[int, list[float]]] = {
            "responses": defaultdict(list),
            "rewards": defaultdict(list),
        }
        """When something new was read, by topic and partition."""
        self._rewarded: set[str] = set()
        settings: dict[str, Any] = {
            "bootstrap.servers": deployment.bootstrap(),
            "partitioner": "murmur2_random",
            "message.max.bytes": MAX_MESSAGE_BYTES,
            "linger.ms": 0,
            "log_level": 0,
        }
        self._producer = Producer(settings)
        self._reader = Consumer({**_reading(deployment), "group.id": "reads-without-a-group"})
        self._reader.assign(
            [
                TopicPartition(deployment.topic(topic), number, OFFSET_END)
                for topic in self.seen
                for number in range(partitions)
            ]
        )
        self._reader.poll(1.0)
        self._threads = [threading.Thread(target=self._guarded, args=(work,)) for work in (self._publish, self._read)]

    def start(self) -> None:
        """Begin."""
        for thread in self._threads:
            thread.start()

    def stop(self, *, settle_s: float = 30.0) -> None:
        """Publish no more, and wait until all was answered, at most ``settle_s``."""
        self._enough.set()
        self._threads[0].join()
        deadline_s = time.monotonic() + settle_s
        while self.unanswered() and time.monotonic() < deadline_s and not self._failures:
            time.sleep(0.05)
        time.sleep(0.5)  # what is answered twice shows a little later
        self._done.set()
        self._threads[1].join()
        self._reader.close()
        if self._failures:
            raise self._failures[0]

    def unanswered(self) -> int:
        """How many requests have no response yet."""
        with self._guard:
            return sum(not each.responses for each in self.asked.values())

    def tally(self, since_s: float = 0.0, until_s: float = float("inf")) -> Tally:
        """What came of the requests that were published in between, by ``time.monotonic``."""
        with self._guard:
            chosen = [each for each in self.asked.values() if since_s <= each.at_s < until_s]
        took = sorted((each.responses[0][0] - each.at_s) * 1_000 for each in chosen if each.responses) or [0.0, 0.0]
        points = quantiles([*took, *took[-1:]], n=100, method="inclusive")
        return Tally(
            requests=len(chosen),
            lost=sum(not each.responses for each in chosen),
            failed=sum(any(not text.startswith("=") for _, _, text in each.responses) for each in chosen),
            repeats=sum(max(0, len(each.responses) - 1) for each in chosen),
            answered_differently=sum(len({(i, t) for _, i, t in each.responses}) > 1 for each in chosen),
            p50_ms=points[49],
            p99_ms=points[98],
            longest_ms=took[-1],
        )

    def longest_gap_s(self, topic: str, since_s: float, until_s: float) -> float:
        """The longest time in which a partition of a topic had nothing new, over all partitions."""
        with self._guard:
            times = {number: list(seen) for number, seen in self.seen[topic].items()}
        return max(
            _longest_gap([each for each in times.get(number, []) if since_s <= each <= until_s], since_s, until_s)
            for number in range(self._partitions)
        )

    def _guarded(self, work: Any) -> None:
        try:
            work()
        except BaseException as failure:  # noqa: BLE001 - `stop` raises it
            self._failures.append(failure)

    def _publish(self) -> None:
        topic, begun = self._deployment.topic("requests"), time.monotonic()
        conversations = self._conversations()
        number = 0
        while not self._enough.is_set():
            partition, conversation = next(conversations)
            request = self._client.request(
                WORKFLOW,
                f"Question {self._name} {number}?",
                conversation_id=conversation,
                strategy=STRATEGY,
                deadline_ms=self._deadline_ms,
            )
            with self._guard:
                self.asked[request.request_id] = Asked(partition, time.monotonic())
            key = key_of("requests", request)
            self._producer.produce(topic, key=key, value=self._codec.encode(request))
            self._producer.poll(0)
            number += 1
            time.sleep(max(0.0, begun + number / self._rate - time.monotonic()))
        if self._producer.flush(60):
            raise RuntimeError("the broker did not take all requests")

    def _conversations(self) -> Iterator[tuple[int, str]]:
        number = 0
        while True:
            for partition in range(self._partitions):
                while True:
                    number += 1
                    conversation = f"{self._name}-{number}"
                    key = key_of("requests", self._client.request(WORKFLOW, "?", conversation_id=conversation))
                    if partition_of(key, self._partitions) == partition:
                        break
                yield partition, conversation

    def _read(self) -> None:
        while not self._done.is_set():
            message = self._reader.poll(0.05)
            if message is None:
                continue
            if message.error() is not None:
                continue  # the broker may be away: that is measured, not a failure of the reader
            event, partition = self._codec.decode(message.value()), message.partition()
            assert partition is not None
            now_s = time.monotonic()
            if isinstance(event, ResponseReady | ResponseFailed):
                self._take(event, partition, now_s)
            elif isinstance(event, RewardComputed) and event.rated and event.event_id not in self._rewarded:
                self._rewarded.add(event.event_id)
                with self._guard:
                    self.seen["rewards"][partition].append(now_s)

    def _take(self, event: ResponseReady | ResponseFailed, partition: int, now_s: float) -> None:
        text = f"={event.text}" if isinstance(event, ResponseReady) else event.code
        with self._guard:
            asked = self.asked.get(event.request_id)
            if asked is None:
                return
            first = not asked.responses
            asked.responses.append((now_s, event.event_id, text))
            if first:
                self.seen["responses"][partition].append(now_s)
        if first and isinstance(event, ResponseReady):
            self._rated += 1
            if self._rated % RATED_EVERY == 0:
                self._rate_it(event)

    def _rate_it(self, event: ResponseReady) -> None:
        rating = FeedbackGiven(
            event_id=event_id("FeedbackGiven", event.request_id),
            occurred_at_us=wall_clock_us(),
            tenant=event.tenant,
            conversation_id=event.conversation_id,
            request_id=event.request_id,
            source="user",
            kind="rating",
            value=4.0,
        )
        key, value = key_of("feedback", rating), self._codec.encode(rating)
        self._producer.produce(self._deployment.topic("feedback"), key=key, value=value)
        self._producer.poll(0)


def _reading(deployment: Deployment) -> dict[str, Any]:
    return {
        "bootstrap.servers": deployment.bootstrap(),
        "enable.auto.commit": False,
        "fetch.wait.max.ms": 20,
        "log_level": 0,
    }


def _longest_gap(times: list[float], since_s: float, until_s: float) -> float:
    points = [since_s, *times, until_s]
    return max(after - before for before, after in pairwise(points))
