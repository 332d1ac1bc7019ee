"""What analytics stored, beside the log: totals by SQL on the public file, and the profile as a replay learns it.

In: a world's deployment and the independent reader's entries. Out: totals of both sides; the profiles of the log, and those that
the same code learns from the log in a fresh folder, up to the same offsets. Keeps nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import duckdb
from confluent_kafka import OFFSET_BEGINNING, Consumer, TopicPartition

from agents.loading.reading import load_catalogue, load_settings, load_workflows
from analytics.intake import Message, read_batch
from analytics.learner import ProfileLearner
from analytics.private_file import transaction
from analytics.profile_store import forget_orders, insert_profiles, pending_orders
from analytics.public import NAME
from analytics.storage import Storage
from schemas import ProfileUpdated
from streams.codec import Codec
from streams.deployment import Deployment
from streams.topics import LETTER_BYTES, read_by
from tests.chaos_parts.counting import TERMINAL
from tests.chaos_parts.reading import Entry, TopicReader
from tests.waiting import eventually

BATCH = 5_000
PICO = 1e12
STORED_WITHIN_S = 60.0
LOOK_EVERY_S = 0.3
"""A query of the totals costs what analytics could store meanwhile."""
COUNTED = {"requests": ("RequestReceived",), "responses": TERMINAL, "rewards": ("RewardComputed",)}


class LogTotals:
    """Requests, responses, rewards, and what responses cost in whole 10^-12 USD: events counted once by id, each looked at once."""

    def __init__(self) -> None:
        self._seen: dict[str, int] = dict.fromkeys(COUNTED, 0)
        self._ids: dict[str, set[str]] = {topic: set() for topic in COUNTED}
        self._cost = 0

    def by(self, topics: Mapping[str, Sequence[Entry]]) -> dict[str, int]:
        """Take in what is new in the topics, and say."""
        for topic, kinds in COUNTED.items():
            begin, self._seen[topic] = self._seen[topic], len(topics[topic])
            for entry in topics[topic][begin:]:
                identifier = entry.fields.get("event_id")
                if entry.kind in kinds and identifier not in self._ids[topic]:
                    self._ids[topic].add(entry.fields["event_id"])
                    if topic == "responses":
                        self._cost += round(entry.fields["cost_usd"] * PICO)
        return {**{topic: len(found) for topic, found in self._ids.items()}, "cost": self._cost}


def totals_stored(deployment: Deployment) -> dict[str, int]:
    """The same by the documented views."""
    found = query(
        deployment,
        f"""
        SELECT (SELECT count(*) FROM requests), (SELECT count(*) FROM responses), (SELECT count(*) FROM rewards),
               (SELECT coalesce(sum(CAST(round(cost_usd * {PICO}) AS BIGINT)), 0)::BIGINT FROM responses)
        """,  # noqa: S608 - a number of ours
    )
    return dict(zip(("requests", "responses", "rewards", "cost"), found[0], strict=True)) if found else {}


def await_equal_totals(deployment: Deployment, reader: TopicReader) -> None:
    """Wait until SQL says of what is stored what the log says: analytics may still be reading."""

    of_log = LogTotals()

    def equal() -> bool:
        reader.look(LOOK_EVERY_S)
        return totals_stored(deployment) == of_log.by(reader.entries)

    eventually(equal, STORED_WITHIN_S, describe="DuckDB's totals equal to the log's")


def stored_until_us(deployment: Deployment) -> int:
    """The log's time of the newest response that a reader of the public file sees; 0 where there is none."""
    found = query(deployment, "SELECT coalesce(epoch_us(max(logged_at)), 0) FROM responses")
    return int(found[0][0]) if found else 0


def query(deployment: Deployment, sql: str) -> list[tuple[Any, ...]]:
    """Rows from the public file; none where it is not there yet."""
    path = deployment.analytics_folder / NAME
    if not path.exists():
        return []
    with duckdb.connect(str(path), read_only=True) as connection:
        return connection.execute(sql).fetchall()


def profiles_of_log(topics: Mapping[str, Sequence[Entry]]) -> list[Entry]:
    """Every profile version that was published, once each, by version."""
    once = _distinct(topics["profile-history"], ("ProfileUpdated",))
    return sorted(once.values(), key=lambda entry: entry.fields["version"])


def profiles_replayed(
    deployment: Deployment, environ: Mapping[str, str], folder: Path, versions: Sequence[Entry]
) -> Iterator[tuple[int, bytes]]:
    """(version, bytes) of each of these versions, learned again from the log up to that version's offsets."""
    governance = load_settings(deployment.settings)
    catalogue = load_catalogue(deployment.catalogue, environ)
    codec = Codec()
    learner = ProfileLearner(
        catalogue=catalogue,
        governance=governance,
        environment=deployment.environment,
        workflows=load_workflows(deployment.workflows, catalogue, tuple(governance.sources)),
        codec=codec,
    )
    log = whole_log(deployment)
    reached: dict[str, int] = {}
    storage = Storage(folder, "replayed")
    try:
        for number, version in enumerate(versions, start=1):
            until = version.fields["evidence"]["watermark"]
            for batch in _batches(log, reached, until):
                storage.take(read_batch(batch, codec), version.at_us)
            reached = dict(until)
            now_us = version.at_us + number * 3_600_000_000  # each is due: the times of the run are not in the log
            with transaction(storage.connection):
                orders = pending_orders(storage.connection, codec)
                learned = learner.step(storage.connection, storage.watermark(), orders, now_us)
                insert_profiles(storage.connection, learned, codec)
                forget_orders(storage.connection)
            for profile in learned:
                yield profile.version, codec.encode(profile)
    finally:
        storage.close()


def profiles_published(deployment: Deployment) -> dict[int, bytes]:
    """The bytes of every profile version as they are on the topic."""
    codec = Codec()
    found = {}
    for message in whole_log(deployment, only=("profile-history",))["profile-history", 0]:
        event = codec.decode(message.value)
        assert isinstance(event, ProfileUpdated)
        assert message.value is not None
        found[event.version] = message.value
    return found


def whole_log(deployment: Deployment, only: Iterable[str] | None = None) -> dict[tuple[str, int], list[Message]]:
    """Every message that analytics reads, by topic and partition."""
    names = [topic.name for topic in read_by("analytics")] if only is None else list(only)
    settings: dict[str, Any] = {
        "bootstrap.servers": deployment.bootstrap(),
        "group.id": "a replay",
        "enable.auto.commit": False,
        "fetch.message.max.bytes": LETTER_BYTES,
        "log_level": 0,
    }
    consumer = Consumer(settings)
    short = {deployment.topic(name): name for name in names}
    existing = consumer.list_topics(timeout=20).topics
    places = [TopicPartition(full, number) for full in short for number in existing[full].partitions]
    ends: dict[tuple[str, int], int] = {
        (short[p.topic], p.partition): consumer.get_watermark_offsets(p, timeout=20)[1] for p in places
    }
    consumer.assign([TopicPartition(p.topic, p.partition, OFFSET_BEGINNING) for p in places])
    log: dict[tuple[str, int], list[Message]] = {place: [] for place in ends}
    left = {place for place, end in ends.items() if end > 0}
    while left:
        for raw in consumer.consume(BATCH, 1.0):
            assert raw.error() is None, raw.error()
            message = _message(short, raw)
            place = (message.topic, message.partition)
            log[place].append(message)
            if message.offset + 1 >= ends[place]:
                left.discard(place)
    consumer.close()
    return log


def _message(names: Mapping[str, str], raw: Any) -> Message:
    at_us = max(raw.timestamp()[1], 0) * 1_000
    return Message(names[raw.topic()], raw.partition(), raw.offset(), at_us, raw.key(), raw.value())


def _batches(
    log: Mapping[tuple[str, int], Sequence[Message]], reached: Mapping[str, int], until: Mapping[str, int]
) -> Iterator[list[Message]]:
    batch: list[Message] = []
    for place, messages in sorted(log.items()):
        name = f"{place[0]}/{place[1]}"
        begin, end = reached.get(name, 0), until.get(name, 0)
        batch.extend(message for message in messages if begin <= message.offset < end)
    for start in range(0, len(batch), BATCH):
        yield batch[start : start + BATCH]


def _distinct(entries: Iterable[Entry], kinds: Iterable[str]) -> dict[str, Entry]:
    once: dict[str, Entry] = {}
    for entry in entries:
        if entry.kind in kinds:
            once.setdefault(entry.fields["event_id"], entry)
    return once
