"""Creates the declared topics on a broker, and says where an existing one differs from its declaration.

In: the registry and the deployment. Out: topics. Keeps nothing. Fails with ``Unconfigured`` when the broker cannot be reached or an
existing topic has another number of partitions than the other conversation topics need.
"""

import time
from typing import Any

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient, NewTopic  # type: ignore[attr-defined]

from streams.deployment import Deployment
from streams.errors import Unconfigured
from streams.topics import TABLES, TOPICS, Table, Topic

TIMEOUT_S = 20.0
_ALREADY_EXISTS = 36
_METADATA_PAUSE_S = 0.05


def configuration_of(topic: Topic | Table, *, for_ever: bool = False) -> dict[str, str]:
    """Give the broker's configuration of a topic, or of a table's changelog.

    ``for_ever`` is without any retention, and messages keep the times that their producer gives: for copies. Elsewhere a message
    has the broker's time, so that no producer's clock decides when it expires, or when its deadline begins.
    """
    configuration = {"max.message.bytes": str(topic.max_message_bytes)}
    if isinstance(topic, Topic) and not for_ever:
        configuration["message.timestamp.type"] = "LogAppendTime"
    kept = None if for_ever else topic.retention
    retention_ms = "-1" if kept is None else str(int(kept.total_seconds() * 1000))
    if isinstance(topic, Table):
        configuration["cleanup.policy"] = "compact" if topic.retention is None else "compact,delete"
        configuration["retention.ms"] = retention_ms
    elif topic.compacted:
        configuration["cleanup.policy"] = "compact"
        configuration["min.cleanable.dirty.ratio"] = "0.1"
        configuration["segment.ms"] = str(24 * 3600 * 1000)
    else:
        configuration["retention.ms"] = retention_ms
    return configuration


def partitions_of(topic: Topic | Table, partitions: int) -> int:
    """Give how many partitions a topic has: one where all is read by everybody, else as many as settings say."""
    return partitions if isinstance(topic, Table) or topic.key in ("conversation", "as was") else 1


def create_topics(deployment: Deployment, *, partitions: int, for_ever: bool = False) -> list[str]:
    """Create what is missing, the tables' changelogs too, and wait until the broker lists it; the names created, with their prefix.

    ``for_ever``: nothing on them expires, because what is copied there is old already.
    """
    admin: Any = AdminClient({"bootstrap.servers": deployment.bootstrap()})
    declared: dict[str, Topic | Table] = {deployment.topic(topic.name): topic for topic in TOPICS.values()}
    declared |= {deployment.topic(table.changelog): table for table in TABLES}
    existing = _partitions_on_broker(admin, deployment)
    _refuse_other_partitions(declared, existing, partitions)
    wanted = [
        NewTopic(
            name,
            num_partitions=partitions_of(topic, partitions),
            replication_factor=deployment.replication_factor,
            config=configuration_of(topic, for_ever=for_ever),
        )
        for name, topic in declared.items()
        if name not in existing
    ]
    created: list[str] = []
    for name, done in admin.create_topics(wanted, operation_timeout=TIMEOUT_S).items() if wanted else ():
        try:
            done.result()
        except KafkaException as error:
            if error.args[0].code() != _ALREADY_EXISTS:
                raise
            continue  # another process was faster, perhaps with other settings
        created.append(name)
    deadline_s = time.monotonic() + TIMEOUT_S
    while not declared.keys() <= existing.keys() and time.monotonic() < deadline_s:
        time.sleep(_METADATA_PAUSE_S)  # a broker lists a topic a moment after it exists
        existing = _partitions_on_broker(admin, deployment)
    _refuse_other_partitions(declared, existing, partitions)
    return created


def delete_topics(deployment: Deployment) -> list[str]:
    """Delete every topic whose name begins with the deployment's prefix, which must not be empty; the names deleted."""
    if not deployment.topic_prefix:
        raise ValueError("without a prefix these would be all topics of the broker")
    admin: Any = AdminClient({"bootstrap.servers": deployment.bootstrap()})
    names = [name for name in admin.list_topics(timeout=TIMEOUT_S).topics if name.startswith(deployment.topic_prefix)]
    for done in admin.delete_topics(names, operation_timeout=TIMEOUT_S).values() if names else ():
        done.result()
    return names


def _partitions_on_broker(admin: Any, deployment: Deployment) -> dict[str, int]:
    try:
        return {name: len(topic.partitions) for name, topic in admin.list_topics(timeout=TIMEOUT_S).topics.items()}
    except KafkaException as error:
        raise Unconfigured(
            f"The broker at {deployment.bootstrap()} does not answer: {error.args[0]}.",
            remedy="Start it (`penstock up`), or correct PENSTOCK_BOOTSTRAP_SERVERS.",
        ) from error


def _refuse_other_partitions(declared: dict[str, Topic | Table], existing: dict[str, int], partitions: int) -> None:
    for name, topic in declared.items():
        count = partitions_of(topic, partitions)
        if topic.partitioned_by_conversation and existing.get(name, count) != count:
            raise Unconfigured(
                f"Topic {name} has {existing[name]} partitions, the settings say {count}.",
                remedy="All topics keyed by conversation need the same number: set `partitions` to it.",
            )
