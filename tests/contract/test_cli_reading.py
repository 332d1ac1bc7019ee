"""What a ``Log`` promises, of the broker's and of the one in memory alike."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Protocol

import pytest
from confluent_kafka import Producer

from infra.broker import RunningBroker
from streams.admin import create_topics
from streams.deployment import Deployment
from streams.errors import Unconfigured
from streams.following import KafkaLog, Log, at_places, between, partition_of, so_far
from tests.cli_world import PARTITIONS, MemoryLog
from tests.waiting import eventually

TOPIC = "responses"


class Append(Protocol):
    """Who writes to the log."""

    def __call__(self, topic: str, key: bytes | None, value: bytes | None) -> object: ...

    def in_a_transaction(self, topic: str, key: bytes, values: Sequence[bytes], *, commit: bool) -> None: ...


class ToMemory:
    def __init__(self, log: MemoryLog) -> None:
        self._log = log

    def __call__(self, topic: str, key: bytes | None, value: bytes | None) -> None:
        self._log.append(topic, key, value)

    def in_a_transaction(self, topic: str, key: bytes, values: Sequence[bytes], *, commit: bool) -> None:
        for value in values:
            if commit:
                self._log.append(topic, key, value)
            else:
                self._log.append_unseen(topic, key)
        self._log.append_unseen(topic, key)  # the marker


class ToKafka:
    def __init__(self, deployment: Deployment) -> None:
        self._deployment = deployment
        self._settings = {"bootstrap.servers": deployment.bootstrap(), "partitioner": "murmur2_random"}
        self._producer = Producer(self._settings)

    def __call__(self, topic: str, key: bytes | None, value: bytes | None) -> None:
        self._producer.produce(self._deployment.topic(topic), key=key, value=value)
        self._producer.flush(10)

    def in_a_transaction(self, topic: str, key: bytes, values: Sequence[bytes], *, commit: bool) -> None:
        producer = Producer({**self._settings, "transactional.id": uuid.uuid4().hex})
        producer.init_transactions(10)
        producer.begin_transaction()
        for value in values:
            producer.produce(self._deployment.topic(topic), key=key, value=value)
        producer.flush(10)  # an abort forgets what the broker does not have yet
        if commit:
            producer.commit_transaction(10)
        else:
            producer.abort_transaction(10)


@pytest.fixture(params=["memory", pytest.param("kafka", marks=pytest.mark.xdist_group("processes"))])
def log_and_append(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[Log, Append]]:
    if request.param == "memory":
        memory = MemoryLog()
        yield memory, ToMemory(memory)
        return
    broker: RunningBroker = request.getfixturevalue("broker")
    prefix: str = request.getfixturevalue("topic_prefix")
    deployment = Deployment(bootstrap_servers=broker.bootstrap_servers, topic_prefix=prefix, var=tmp_path)
    create_topics(deployment, partitions=PARTITIONS)
    with KafkaLog(deployment) as log:
        yield log, ToKafka(deployment)


def test_everything_so_far_is_given_once_and_then_it_ends(log_and_append):
    log, append = log_and_append
    for number in range(20):
        append(TOPIC, f"c{number % 5}".encode(), f"v{number}".encode())
    values = [message.value for message in so_far(log, [TOPIC])]
    assert len(values) == 20
    assert set(values) == {f"v{number}".encode() for number in range(20)}


def test_the_order_within_a_partition_is_kept(log_and_append):
    log, append = log_and_append
    for number in range(10):
        append(TOPIC, b"same", str(number).encode())
    assert [message.value for message in so_far(log, [TOPIC])] == [str(number).encode() for number in range(10)]


def test_a_key_is_in_the_partition_that_it_is_looked_for_in(log_and_append):
    log, append = log_and_append
    for name in ("a", "b", "käse", "order-4711", ""):
        append(TOPIC, name.encode(), b"x")
        mine = [m for m in so_far(log, [TOPIC], key=name) if m.key == name.encode()]
        assert [m.partition for m in mine] == [partition_of(name, PARTITIONS)]


def test_only_the_newest_of_a_partition_are_given(log_and_append):
    log, append = log_and_append
    for number in range(10):
        append(TOPIC, b"same", str(number).encode())
    assert [message.value for message in so_far(log, [TOPIC], newest=3)] == [b"7", b"8", b"9"]


def test_keys_and_values_that_are_none_stay_none(log_and_append):
    log, append = log_and_append
    append(TOPIC, None, b"no key")
    append(TOPIC, b"no value", None)
    pairs = {(message.key, message.value) for message in so_far(log, [TOPIC])}
    assert pairs == {(None, b"no key"), (b"no value", None)}


def test_a_reader_at_the_end_sees_what_comes_after(log_and_append):
    log, append = log_and_append
    append(TOPIC, b"k", b"before")
    log.begin({(TOPIC, number): end for number, (_, end) in log.bounds(TOPIC).items()})
    assert log.poll(0.2) == []
    append(TOPIC, b"k", b"after")
    (message,) = eventually(lambda: log.poll(0.2))
    assert (message.topic, message.key, message.value) == (TOPIC, b"k", b"after")
    assert message.at_ms is not None


def test_a_topic_that_is_not_there_is_an_error_with_a_remedy(log_and_append):
    log, _ = log_and_append
    with pytest.raises(Unconfigured) as refused:
        log.bounds("nowhere")
    assert refused.value.remedy


def test_an_end_that_is_not_reached_in_time_is_an_error_and_not_a_part():
    class Silent(MemoryLog):
        def poll(self, wait_s):
            return []

    log = Silent()
    log.append(TOPIC, b"k", b"v")
    times = iter(range(100))
    with pytest.raises(TimeoutError):
        list(so_far(log, [TOPIC], within_s=5, clock_s=lambda: float(next(times))))


def test_the_first_message_from_a_time_on_is_found_and_the_end_where_there_is_none(log_and_append):
    log, append = log_and_append
    for number in range(3):
        append(TOPIC, b"same", str(number).encode())
    messages = list(so_far(log, [TOPIC]))
    spot = messages[0].partition
    assert log.offsets_at(TOPIC, 0)[spot] == 0
    assert log.offsets_at(TOPIC, messages[0].at_ms or 0)[spot] == 0
    ends = {number: end for number, (_, end) in log.bounds(TOPIC).items()}
    assert log.offsets_at(TOPIC, (messages[-1].at_ms or 0) + 60_000) == ends


def test_a_range_is_given_and_nothing_beside_it(log_and_append):
    log, append = log_and_append
    for number in range(10):
        append(TOPIC, b"same", str(number).encode())
    spot = (TOPIC, partition_of("same", PARTITIONS))
    assert [m.value for m in between(log, {spot: 2}, {spot: 5})] == [b"2", b"3", b"4"]
    assert list(between(log, {spot: 5}, {spot: 5})) == []


def test_single_messages_are_found_by_their_places_and_what_is_not_there_is_left_out(log_and_append):
    log, append = log_and_append
    for number in range(5):
        append(TOPIC, b"same", str(number).encode())
    where = partition_of("same", PARTITIONS)
    places = [(TOPIC, where, 3), (TOPIC, where, 1), (TOPIC, where, 99)]
    assert [m.value for m in at_places(log, places)] == [b"1", b"3"]


def test_a_range_whose_rest_never_comes_ends_with_an_error(log_and_append):
    log, append = log_and_append
    append(TOPIC, b"same", b"0")
    spot = (TOPIC, partition_of("same", PARTITIONS))
    times = iter(range(0, 1000, 10))
    with pytest.raises(TimeoutError, match="nothing more"):
        list(between(log, {spot: 0}, {spot: 5}, stalled_after_s=30, clock_s=lambda: next(times)))


def test_what_a_committed_transaction_leaves_at_the_end_is_not_waited_for(log_and_append):
    log, append = log_and_append
    append.in_a_transaction(TOPIC, b"same", [b"0", b"1"], commit=True)
    spot = (TOPIC, partition_of("same", PARTITIONS))
    eventually(lambda: log.bounds(TOPIC)[spot[1]] == (0, 3))  # the broker ends a transaction after it says so
    assert [m.value for m in so_far(log, [TOPIC], within_s=10)] == [b"0", b"1"]
    assert [m.value for m in between(log, {spot: 1}, {spot: 3}, stalled_after_s=10)] == [b"1"]
    assert list(at_places(log, [(*spot, 2)])) == []


def test_what_was_aborted_is_not_given_and_not_waited_for_and_what_comes_after_is_given(log_and_append):
    log, append = log_and_append
    append(TOPIC, b"same", b"before")
    append.in_a_transaction(TOPIC, b"same", [b"never", b"never"], commit=False)
    spot = (TOPIC, partition_of("same", PARTITIONS))
    eventually(lambda: log.bounds(TOPIC)[spot[1]] == (0, 4))
    assert [m.value for m in so_far(log, [TOPIC], within_s=10)] == [b"before"]
    assert [m.value for m in between(log, {spot: 0}, {spot: 4}, stalled_after_s=10)] == [b"before"]
    append(TOPIC, b"same", b"after")
    assert [m.value for m in so_far(log, [TOPIC], within_s=10)] == [b"before", b"after"]
    assert list(so_far(log, [TOPIC], newest=3, within_s=10))[-1].value == b"after"
    assert [m.value for m in at_places(log, [(*spot, 4), (*spot, 0), (*spot, 2)])] == [b"before", b"after"]
