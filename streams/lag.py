"""How far behind the log a consumer is: the end of each partition minus what was committed.

In: partitions, and the group or whatever else knows how far its consumer has come. Out: events waiting by (topic, partition).
Keeps one connection, opened at the first question; it joins no group and commits nothing. A question to the broker about all
partitions is three requests at most. Fails with ``KafkaException`` where the broker does not answer in time. Questions block:
ask them in a thread.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from confluent_kafka import ConsumerGroupTopicPartitions, IsolationLevel, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec  # type: ignore[attr-defined]

from streams.deployment import Deployment

Place = tuple[str, int]
"""(topic without the deployment's prefix, partition)."""
ANSWER_S = 2.0
_STABLE: Any = {"isolation_level": IsolationLevel.READ_COMMITTED}
"""The end of a partition is where a transaction begins that is still open: no reader of Penstock's is given more."""
_LATEST: Any = OffsetSpec.latest()  # type: ignore[no-untyped-call]
_EARLIEST: Any = OffsetSpec.earliest()  # type: ignore[no-untyped-call]


class Lag:
    """Asks about the topics of a deployment."""

    def __init__(self, deployment: Deployment, *, answer_s: float = ANSWER_S) -> None:
        """Connect at the first question."""
        self._deployment = deployment
        self._answer_s = answer_s
        self._admin: Any = None

    def of_group(
        self, group: str, places: Iterable[Place], passed: Mapping[Place, int] | None = None
    ) -> dict[Place, int]:
        """Give how many events of each partition the group has not committed; what expired does not count.

        ``passed``: the offsets up to which nothing is left to do. After a transaction of an application the last one before the end
        is a marker, which nobody is given and so nobody commits.
        """
        wanted = self._named(places)
        if not wanted:
            return {}
        asked = [ConsumerGroupTopicPartitions(group, list(wanted))]
        (answer,) = self._client().list_consumer_group_offsets(asked, request_timeout=self._answer_s).values()
        found = answer.result(self._answer_s).topic_partitions
        committed = {wanted[each]: each.offset for each in found if each.error is None}
        return self.behind(
            {place: max(0, committed.get(place, 0), (passed or {}).get(place, 0)) for place in wanted.values()}
        )

    def behind(self, reached: Mapping[Place, int]) -> dict[Place, int]:
        """Give how many events each partition holds from the offset that was reached; what expired does not count."""
        ends = self._offsets(reached, _LATEST)
        waiting = {place: reached[place] for place, end in ends.items() if end > reached[place]}
        begins = self._offsets(waiting, _EARLIEST)
        return {place: max(0, end - max(reached[place], begins.get(place, 0))) for place, end in ends.items()}

    def _offsets(self, places: Iterable[Place], which: Any) -> dict[Place, int]:
        wanted = self._named(places)
        if not wanted:
            return {}
        asked = self._client().list_offsets(dict.fromkeys(wanted, which), request_timeout=self._answer_s, **_STABLE)
        return {wanted[spot]: answer.result(self._answer_s).offset for spot, answer in asked.items()}

    def _named(self, places: Iterable[Place]) -> dict[TopicPartition, Place]:
        return {TopicPartition(self._deployment.topic(place[0]), place[1]): place for place in places}

    def _client(self) -> Any:
        if self._admin is None:
            settings: dict[str, Any] = {
                "bootstrap.servers": self._deployment.bootstrap(),
                "log_level": 0,
                "error_cb": lambda _: None,  # a broker that is away shows in the answers
                "reconnect.backoff.max.ms": 1_000,
            }
            self._admin = AdminClient(settings)
        return self._admin
