"""Fault: malformed, oversized, duplicated, reordered and replayed events on every topic, under 100 requests a second.

Invariant: nothing that was meant is lost, answered twice or paid twice; what cannot be read is in the dead letters of every role
that reads its topic; no role dies. The limit on dead letters is raised, because this is no bad deploy.
"""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
from confluent_kafka import OFFSET_BEGINNING, Consumer, Producer, TopicPartition

from streams.codec import HEADER_BYTES, Codec
from streams.topics import MAX_EVENT_BYTES, MAX_MESSAGE_BYTES, STAGES, TOPICS
from tests.chaos_parts.mutating import Mutating
from tests.chaos_parts.reading import decoded
from tests.chaos_parts.world import World, started
from tests.event_examples import ALL, example

CODEC = Codec()
RAISED = {"dead_letters": {"most": 1_000_000, "share": 1.0, "window_s": 60}}
SPOILT = ("requests", "routing", "generation", "responses", "feedback", "rewards", "controls", "profile-updates")
MUTATED = 20_000
REPLAYED = ("requests", "routing", "generation", "responses", "feedback", "rewards", "metrics", "profile-history")
OVERSIZED = MAX_EVENT_BYTES + 1_000
REACHED_WITHIN_S = 120.0

Placed = dict[tuple[str, int, int], bytes]
"""(topic, partition, offset) to the bytes that were put there."""


def producer(world: World) -> Producer:
    settings: dict[str, Any] = {
        "bootstrap.servers": world.node.bootstrap_servers,
        "message.max.bytes": MAX_MESSAGE_BYTES,
        "partitioner": "murmur2_random",
        "enable.idempotence": True,
        "linger.ms": 5,
        "log_level": 0,
    }
    return Producer(settings)


def put(world: World, messages: Iterator[tuple[str, bytes | None, bytes]]) -> Placed:
    """Put bytes on topics (without prefix); where they are."""
    placed: Placed = {}
    sender = producer(world)

    def confirmed(error: Any, message: Any) -> None:
        assert error is None, error
        name = message.topic().removeprefix(world.deployment.topic_prefix)
        placed[name, message.partition(), message.offset()] = message.value()

    for topic, key, value in messages:
        sender.produce(world.deployment.topic(topic), key=key, value=value, on_delivery=confirmed)
        sender.poll(0)
        if len(sender) > 5_000:
            sender.flush(60)
    assert sender.flush(120) == 0
    return placed


def letters_wanted(placed: Placed) -> set[tuple[str, str, int, int]]:
    """(role, topic, partition, offset) of every message that is no event of its topic, for every role that reads it."""
    wanted = set()
    for (topic, partition, offset), raw in placed.items():
        events = {event.__name__ for event in TOPICS[topic].events}
        if len(raw) > MAX_EVENT_BYTES or decoded(raw)[0] not in events:
            wanted |= {(role, topic, partition, offset) for role in set(TOPICS[topic].read_by) & set(STAGES)}
    return wanted


def await_letters(world: World, placed: Placed) -> None:
    """Wait until all of these are in the dead letters."""
    missing = letters_wanted(placed)
    assert missing
    looked_at = dict.fromkeys(STAGES, 0)
    deadline_s = time.monotonic() + REACHED_WITHIN_S
    while missing:
        assert time.monotonic() < deadline_s, (len(missing), Counter(each[:2] for each in missing))
        world.reader.look(1.0)
        for role, begin in looked_at.items():
            found = world.reader.entries[f"{role}-dlq"]
            for entry in found[begin:]:
                place = entry.fields
                missing.discard((role, place["topic"], place["partition"], place["offset"]))
            looked_at[role] = len(found)


def log_of(world: World, topics: tuple[str, ...]) -> list[tuple[str, bytes | None, bytes]]:
    """Everything that is on topics now: key and value, as they are."""
    settings: dict[str, Any] = {
        "bootstrap.servers": world.node.bootstrap_servers,
        "group.id": "replaying",
        "enable.auto.commit": False,
        "log_level": 0,
    }
    consumer = Consumer(settings)
    names = {world.deployment.topic(topic): topic for topic in topics}
    spots = [
        TopicPartition(name, number, OFFSET_BEGINNING)
        for name in names
        for number in consumer.list_topics(name, timeout=20).topics[name].partitions
    ]
    left = {(spot.topic, spot.partition): consumer.get_watermark_offsets(spot, timeout=20)[1] for spot in spots}
    left = {place: end for place, end in left.items() if end}
    consumer.assign(spots)
    found = []
    while left:
        for message in consumer.consume(1_000, 1.0):
            place = (str(message.topic()), int(message.partition() or 0))
            if message.error() is None and place in left:
                found.append((names[place[0]], message.key(), message.value()))
                if int(message.offset() or 0) >= left[place] - 1:
                    del left[place]
    consumer.close()
    return found  # type: ignore[return-value]


def held(name: str, world: World, load: Any, record_property: Any) -> None:
    """The invariant, without the totals of SQL: among spoilt events are some that say two things under one id."""
    verdict = world.verdict(load)
    record_property("chaos", {"name": name, **verdict.figures()})
    assert not verdict.lost, (len(verdict.lost), verdict.lost[:5])
    assert not verdict.answered_twice, verdict.answered_twice[:5]
    assert not verdict.paid_twice, verdict.paid_twice[:5]
    assert not verdict.unrewarded, verdict.unrewarded[:5]
    assert not verdict.feedback_lost, verdict.feedback_lost[:5]
    assert [status.restarts for status in world._supervisor.status()] == [0] * len(STAGES)


@pytest.fixture(scope="module")
def raised(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A world whose limit on dead letters is raised, for both tests."""
    with started(tmp_path_factory, operations=RAISED) as running:
        yield running


@pytest.mark.chaos
@pytest.mark.timeout(300)
def test_malformed_oversized_repeated_reordered_and_replayed_events_harm_nothing_that_was_meant(
    raised: World, seed: int, record_property: Any
) -> None:
    chance = random.Random(seed)
    load = raised.load("spoilt", seed)
    load.start()
    raised.await_flow("rewards")
    malformed = [b"{}", b"\xc3\x01", b"\xc3\x0112345678body", CODEC.encode(example("DeadLettered"))]
    messages = [(topic, b"%d" % n, raw) for topic in SPOILT for n, raw in enumerate(malformed)]
    messages += [(topic, b"large", b"\xc3\x01" + b"x" * OVERSIZED) for topic in SPOILT]
    await_letters(raised, put(raised, iter(messages)))
    replayed = log_of(raised, REPLAYED)
    chance.shuffle(replayed)  # everything once more, and nothing in its order
    put(raised, iter(replayed))
    put(raised, (each for each in replayed[: len(replayed) // 4] for _ in range(2)))
    raised.await_flow()
    held("malformed_replayed", raised, load, record_property)


@pytest.mark.chaos
@pytest.mark.timeout(300)
def test_twenty_thousand_mutated_messages_kill_no_role_and_are_handled_or_dead_lettered(
    raised: World, seed: int, record_property: Any
) -> None:
    whole = [CODEC.encode(example(name, kind)) for name, kind in ALL if name != "SchemaPublished"]
    chance = random.Random(seed)
    spoilt = Mutating(seed, whole, header_bytes=HEADER_BYTES).messages(MUTATED)
    load = raised.load("mutated", seed)
    load.start()
    raised.await_flow()
    placed = put(raised, ((chance.choice(SPOILT), b"%d" % chance.randrange(1_000), raw) for raw in spoilt))
    assert len(placed) == MUTATED
    await_letters(raised, placed)
    raised.await_flow()
    held("mutated", raised, load, record_property)
