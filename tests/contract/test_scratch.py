"""What ``Scratch`` promises, of the broker's topics and of those in memory alike."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from confluent_kafka.admin import AdminClient

from infra.broker import RunningBroker
from streams.admin import create_topics
from streams.deployment import Deployment
from streams.errors import Unconfigured
from streams.following import KafkaLog, Log, Message, so_far
from streams.scratch import MARK, CopiedFrom, KafkaScratch, Scratch, copied_from, names_under
from tests.cli_world import PARTITIONS, MemoryLog, MemoryScratch
from tests.waiting import eventually

Open = Callable[[str], tuple[Scratch, Callable[[], Log]]]
"""Scratch topics of a prefix, and how they are read."""


@pytest.fixture(params=["memory", pytest.param("kafka", marks=pytest.mark.xdist_group("processes"))])
def opened(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Open]:
    logs = {"somebodys-": MemoryLog()}
    if request.param == "memory":
        yield lambda prefix: (MemoryScratch(prefix, logs), lambda: logs[prefix])
        return
    broker: RunningBroker = request.getfixturevalue("broker")
    unique: str = request.getfixturevalue("topic_prefix")
    made: list[KafkaScratch] = []

    def deployment(prefix: str) -> Deployment:
        return Deployment(bootstrap_servers=broker.bootstrap_servers, topic_prefix=f"{unique}{prefix}", var=tmp_path)

    def open_kafka(prefix: str) -> tuple[Scratch, Callable[[], Log]]:
        made.append(KafkaScratch(deployment(prefix)))
        return made[-1], lambda: KafkaLog(deployment(prefix))

    create_topics(deployment("somebodys-"), partitions=PARTITIONS)
    admin = AdminClient({"bootstrap.servers": broker.bootstrap_servers})
    made_names = set(names_under(f"{unique}somebodys-")) - {f"{unique}somebodys-{MARK}"}
    eventually(lambda: made_names <= admin.list_topics(timeout=5).topics.keys())
    yield open_kafka


def message(number: int, partition: int = 1) -> Message:
    headers = (("trace", b"\x00\xff"), ("empty", None))
    return Message("requests", partition, 40 + number, b"key", b"%d" % number, 1_760_000_000_000 + number, headers)


def test_a_copy_has_the_bytes_key_time_partition_and_headers_and_says_where_it_came_from(opened: Open) -> None:
    scratch, reader = opened("try-")
    scratch.prepare(PARTITIONS)
    for number in range(3):
        scratch.put(message(number))
    scratch.put(Message("requests", 0, 7, None, None, 1_760_000_000_000))
    scratch.finish()
    log = reader()
    found: dict[int, list[Message]] = {0: [], 1: []}
    for each in so_far(log, ["requests"]):
        found[each.partition].append(each)
    assert [(m.key, m.value, m.at_ms) for m in found[1]] == [(m.key, m.value, m.at_ms) for m in map(message, range(3))]
    assert [m.headers[:-1] for m in found[1]] == [message(0).headers] * 3
    assert [copied_from(m) for m in found[1]] == [CopiedFrom("requests", 1, 40 + n) for n in range(3)]
    assert [(m.key, m.value) for m in found[0]] == [(None, None)]
    log.close()


def test_topics_that_are_somebodys_are_refused(opened: Open) -> None:
    scratch, _ = opened("somebodys-")
    with pytest.raises(Unconfigured, match="no scratch topics"):
        scratch.prepare(PARTITIONS)
    with pytest.raises(Unconfigured, match="no scratch topics"):
        scratch.clean()


def test_what_was_prepared_is_deleted_and_then_there_is_nothing_to_delete(opened: Open) -> None:
    scratch, _ = opened("gone-")
    assert scratch.clean() == []
    scratch.prepare(PARTITIONS)
    scratch.prepare(PARTITIONS)
    assert any(name.endswith("gone-requests") for name in scratch.clean())
    assert opened("gone-")[0].clean() == []
