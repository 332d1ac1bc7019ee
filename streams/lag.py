"""How far behind the log a consumer is: the end of each partition minus what was committed.

In: partitions, and the group or whatever else knows how far its consumer has come. Out: events waiting by (topic, partition).
Keeps one connection, opened at the first question; it joins no group and commits nothing. Fails with ``KafkaException`` where the
broker does not answer in time. Questions block: ask them in a thread.

A partition ends where a transaction begins that is still open: no reader of Penstock's is given more. The questions are a
consumer's. librdkafka's client for administration asks about all partitions at once, but aborts the process where its questions
time out while the broker is away (librdkafka issue 4605; seen with 2.16).
"""

from collections.abc import Iterable, Mapping
from time import monotonic
from typing import Any

from confluent_kafka import OFFSET_BEGINNING, OFFSET_END, Consumer, KafkaError, KafkaException, TopicPartition

from streams.deployment import Deployment

Place = tuple[str, int]
"""(topic without the deployment's prefix, partition)."""
ANSWER_S = 2.0


class Lag:
    """Asks about the topics of a deployment."""

    def __init__(self, deployment: Deployment, *, group: str = "penstock-lag", answer_s: float = ANSWER_S) -> None:
        """Connect at the first question. ``group``: whose commits are asked for; ``answer_s``: for one question, in seconds."""
        self._deployment = deployment
        self._group = group
        self._answer_s = answer_s
        self._consumer: Any = None

    def of_group(self, places: Iterable[Place], passed: Mapping[Place, int] | None = None) -> dict[Place, int]:
        """Give how many events of each partition the group has not committed; what expired does not count.

        ``passed``: the offsets up to which nothing is left to do. After a transaction of an application the last one before the end
        is a marker, which nobody is given and so nobody commits.
        """
        wanted = {(self._deployment.topic(topic), number): (topic, number) for topic, number in places}
        if not wanted:
            return {}
        found = self._client().committed([TopicPartition(*each) for each in wanted], timeout=self._answer_s)
        committed = {wanted[each.topic, each.partition]: each.offset for each in found if each.error is None}
        return self.behind(
            {place: max(0, committed.get(place, 0), (passed or {}).get(place, 0)) for place in wanted.values()}
        )

    def behind(self, reached: Mapping[Place, int]) -> dict[Place, int]:
        """Give how many events each partition holds from the offset that was reached; what expired does not count."""
        until_s = monotonic() + self._answer_s
        begins, ends = (self._at(bound, reached, until_s) for bound in (OFFSET_BEGINNING, OFFSET_END))
        return {place: max(0, ends[place] - max(offset, begins[place])) for place, offset in reached.items()}

    def _at(self, bound: int, places: Iterable[Place], until_s: float) -> dict[Place, int]:
        """Where the partitions begin or end: Kafka's numbers for these two are times too, and so one question is enough for all."""
        asked = {(self._deployment.topic(topic), number): (topic, number) for topic, number in places}
        left_s = until_s - monotonic()
        if not asked:
            return {}
        if left_s <= 0:
            raise KafkaException(KafkaError(KafkaError._TIMED_OUT))  # noqa: SLF001 - the name that confluent-kafka gives it
        spots = [TopicPartition(*each, bound) for each in asked]
        found = {}
        for each in self._client().offsets_for_times(spots, timeout=left_s):
            if each.error is not None:
                raise KafkaException(each.error)
            found[asked[each.topic, each.partition]] = each.offset
        return found

    def _client(self) -> Any:
        if self._consumer is None:
            settings: dict[str, Any] = {
                "bootstrap.servers": self._deployment.bootstrap(),
                "group.id": self._group,
                "enable.auto.commit": False,
                "log_level": 0,
                "error_cb": lambda _: None,  # a broker that is away shows in the answers
                "reconnect.backoff.max.ms": 1_000,
            }
            self._consumer = Consumer(settings)
        return self._consumer
