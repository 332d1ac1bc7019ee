"""Analytics against a real Kafka: everything that was published is stored once, also after kill -9, and readers never wait."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import OFFSET_BEGINNING, Consumer, Producer, TopicPartition

from analytics.query import rows
from infra.broker import RunningBroker
from schemas import (
    DeadLettered,
    ProfileUpdated,
    Record,
    RequestRouted,
    ResumeOrdered,
    RollbackOrdered,
    StageMeasured,
)
from streams.admin import create_topics
from streams.deployment import Deployment
from streams.identity import event_id
from streams.run_files import ready_pid
from streams.topics import TOPICS, key_of
from tests.analytics_events import CODEC, T0_US, TOPIC_OF, story
from tests.waiting import eventually

ROOT = Path(__file__).resolve().parents[2]

CHILD = textwrap.dedent("""
    import signal, sys, threading
    from analytics.consumer import open_consumer
    from schemas import Evidence, ProfileUpdated
    from streams.codec import Codec
    from streams.delivery import wall_clock_us
    from streams.deployment import Deployment
    from streams.identity import event_id

    class OneProfileAnOrder:
        def step(self, connection, watermark, controls, now_us):
            (known,) = connection.execute("SELECT coalesce(max(version), 0) FROM profile").fetchone()
            return [
                ProfileUpdated(
                    event_id=event_id("ProfileUpdated", order.event_id), occurred_at_us=now_us,
                    scope=order.scope, version=known + number, parent=known + number - 1, learner="test@1",
                    beliefs=(), incumbents=(), sentence="An order came.",
                    evidence=Evidence(requests=0, rated=0, watermark=watermark),
                )
                for number, order in enumerate(controls, start=1)
            ]

    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    open_consumer(Deployment(), OneProfileAnOrder(), Codec(), wall_clock_us).run(stop)
""")


@pytest.fixture
def deployment(broker: RunningBroker, topic_prefix: str, tmp_path: Path) -> Deployment:
    given = Deployment(bootstrap_servers=broker.bootstrap_servers, topic_prefix=topic_prefix, var=tmp_path)
    create_topics(given, partitions=4)
    return given


class Process:
    """The analytics process, which a test kills and starts."""

    def __init__(self, deployment: Deployment) -> None:
        self._environment = {
            **os.environ,
            "PENSTOCK_BOOTSTRAP_SERVERS": deployment.bootstrap(),
            "PENSTOCK_TOPIC_PREFIX": deployment.topic_prefix,
            "PENSTOCK_VAR": str(deployment.var),
        }
        self.running: subprocess.Popen[str] | None = None

    def start(self) -> subprocess.Popen[str]:
        self.running = subprocess.Popen([sys.executable, "-c", CHILD], cwd=ROOT, env=self._environment, text=True)
        return self.running

    def kill(self, number: int = signal.SIGKILL) -> int:
        assert self.running is not None
        self.running.send_signal(number)
        status = self.running.wait(timeout=20)
        self.running = None
        return status


@pytest.fixture
def process(deployment: Deployment) -> Iterator[Process]:
    held = Process(deployment)
    yield held
    if held.running is not None:
        held.kill()


def publish(deployment: Deployment, events: list[Record], raw: dict[str, list[bytes]] | None = None) -> None:
    producer = Producer({"bootstrap.servers": deployment.bootstrap(), "partitioner": "murmur2_random", "linger.ms": 20})
    for event in events:
        topic = TOPIC_OF[type(event).__name__]
        producer.produce(deployment.topic(topic), key=key_of(topic, event), value=CODEC.encode(event))
        producer.poll(0)
    for topic, values in (raw or {}).items():
        for value in values:
            producer.produce(deployment.topic(topic), key=b"k", value=value)
    assert producer.flush(20) == 0


def read_all(deployment: Deployment, topic: str, expected: int) -> list[Record]:
    consumer: Any = Consumer(
        {"bootstrap.servers": deployment.bootstrap(), "group.id": "looks", "enable.auto.commit": False}
    )
    name = deployment.topic(topic)
    partitions = consumer.list_topics(name, timeout=10).topics[name].partitions
    consumer.assign([TopicPartition(name, p, OFFSET_BEGINNING) for p in partitions])
    found: list[Record] = []
    try:

        def enough() -> bool:
            found.extend(CODEC.decode(message.value()) for message in consumer.consume(100, 0.2))
            return len(found) >= expected

        eventually(enough, 30)
    finally:
        consumer.close()
    return found


def stored(deployment: Deployment, sql: str) -> list[tuple[Any, ...]]:
    if not (deployment.analytics_folder / "penstock.duckdb").exists():
        return []
    return rows(deployment, sql).rows


@pytest.mark.timeout(300)
def test_kill_9_during_ingestion_neither_loses_nor_repeats_and_readers_read_all_the_while(
    deployment: Deployment, process: Process
):
    events = [event for number in range(2_000) for event in story(f"r{number}")]
    repeats = events[::7]
    publish(deployment, [*events, *repeats])
    counted = "SELECT count(*), count(reward), sum(calls)::BIGINT, sum(answered::INT)::BIGINT FROM outcomes"
    for least in (1, 600):
        process.start()

        def begun(least: int = least) -> bool:
            found = stored(deployment, "SELECT count(*) FROM outcomes")
            return bool(found) and found[0][0] >= least

        eventually(begun, 60)
        assert process.kill() == -signal.SIGKILL
    process.start()
    eventually(lambda: stored(deployment, counted) == [(2_000, 2_000, 2_000, 2_000)], 120, describe="all stored")
    events_stored = """
        SELECT (SELECT count(*) FROM requests), (SELECT count(*) FROM plans), (SELECT count(*) FROM generations),
            (SELECT count(*) FROM responses), (SELECT count(*) FROM rewards), (SELECT sum(requests) FROM strategy_performance)
    """
    # an outcome may be whole before its request and its plan were read: topics are read side by side
    eventually(lambda: stored(deployment, events_stored) == [(2_000,) * 6], 120, describe="all events stored")
    assert process.kill(signal.SIGTERM) == 0


def test_it_says_when_it_is_ready_dead_letters_what_is_no_event_and_reports(deployment: Deployment, process: Process):
    running = process.start()
    ready = deployment.run_folder / "worker-analytics-0.json"
    eventually(lambda: ready_pid(ready) == running.pid, 60)
    assert json.loads(ready.read_text())["partitions"] > len(TOPICS)
    wrong = CODEC.encode(story("x")[1])
    publish(deployment, story("one"), {"requests": [b"no event"], "rewards": [wrong]})
    letters = read_all(deployment, "analytics-dlq", 2)
    assert {(d.topic, d.value, d.code, d.stage) for d in letters if isinstance(d, DeadLettered)} == {
        ("requests", b"no event", "not_avro", "analytics"),
        ("rewards", wrong, "unexpected_event", "analytics"),
    }
    assert isinstance(CODEC.decode(wrong), RequestRouted)
    eventually(
        lambda: (
            stored(
                deployment,
                "SELECT sum(value) FROM stage_metrics WHERE stage = 'analytics' AND name = 'dead_lettered_total'",
            )
            == [(2.0,)]
        ),
        60,
    )
    assert process.kill(signal.SIGTERM) == 0
    assert not ready.exists()


def test_an_order_is_answered_once_and_versions_go_on_after_the_private_file_was_lost(
    deployment: Deployment, process: Process
):
    def order(number: int) -> RollbackOrdered:
        return RollbackOrdered(
            event_id=event_id("RollbackOrdered", str(number)),
            occurred_at_us=T0_US,
            subject="learning:s",
            scope="s",
            to_version=0,
        )

    process.start()
    publish(deployment, [order(1)])
    (first,) = read_all(deployment, "profile-history", 1)
    eventually(lambda: stored(deployment, "SELECT version FROM profiles") == [(1,)], 60)
    assert process.kill() == -signal.SIGKILL
    for path in deployment.analytics_folder.glob("private.duckdb*"):
        path.unlink()
    process.start()
    publish(deployment, [order(2)])
    # The private file is built again from the segments, the profiles from their history: the first order is not answered twice.
    history = read_all(deployment, "profile-history", 2)
    newest = read_all(deployment, "profile-updates", 2)
    assert first == history[0]
    assert [p.version for p in history if isinstance(p, ProfileUpdated)] == [1, 2]
    assert [p.version for p in newest if isinstance(p, ProfileUpdated)] == [1, 2]
    assert process.kill(signal.SIGTERM) == 0


COUNTED = """
    SELECT count(*), count(reward), sum(calls)::BIGINT, (SELECT count(*) FROM requests),
        (SELECT sum(requests) FROM strategy_performance)
    FROM outcomes
"""


@pytest.fixture
def small_disk(deployment: Deployment) -> Iterator[Path]:
    """A file system of 24 MiB under the analytics folder; its name."""
    folder = deployment.analytics_folder
    folder.mkdir(parents=True)
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", str(folder)], check=False, capture_output=True
    )
    if mounted.returncode:
        pytest.skip("no file system may be mounted here")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def test_on_a_full_disk_it_is_not_ready_says_so_and_goes_on_when_there_is_room(
    deployment: Deployment, small_disk: Path, process: Process
):
    running = process.start()
    ready = deployment.run_folder / "worker-analytics-0.json"
    eventually(lambda: ready_pid(ready) == running.pid, 60)
    ballast = small_disk / "ballast"
    with ballast.open("wb") as file, contextlib.suppress(OSError):
        while True:
            file.write(bytes(64 * 1024))
            file.flush()
    publish(deployment, [event for number in range(400) for event in story(f"r{number}")])
    eventually(lambda: "no room" in ready.read_text(), 60)
    assert ready_pid(ready) is None
    ballast.unlink()
    eventually(lambda: ready_pid(ready) == running.pid, 60, describe="the same process, ready again")
    eventually(lambda: stored(deployment, COUNTED) == [(400, 400, 400, 400, 400)], 60, describe="all stored once")
    assert process.kill(signal.SIGTERM) == 0


def test_a_private_file_that_a_crash_tore_is_built_again_and_nothing_counts_twice(
    deployment: Deployment, process: Process
):
    process.start()
    publish(deployment, [event for number in range(100) for event in story(f"a{number}")])
    eventually(lambda: bool(stored(deployment, "FROM outcomes LIMIT 1")), 60)
    assert process.kill() == -signal.SIGKILL
    private = deployment.analytics_folder / "private.duckdb"
    with private.open("r+b") as file:
        file.truncate(private.stat().st_size // 2)
    process.start()
    publish(deployment, [event for number in range(100) for event in story(f"b{number}")])
    eventually(lambda: stored(deployment, COUNTED) == [(200, 200, 200, 200, 200)], 90, describe="all stored once")
    assert list((deployment.analytics_folder / "set-aside").glob("*/private.duckdb"))
    assert process.kill(signal.SIGTERM) == 0


def test_a_topic_of_rubbish_is_paused_before_all_of_it_is_in_the_dead_letters_and_read_on_when_it_is_resumed(
    deployment: Deployment, process: Process
):
    os.environ["PENSTOCK_DEAD_LETTERS_MOST"] = "10"
    try:
        process = Process(deployment)
        running = process.start()
    finally:
        del os.environ["PENSTOCK_DEAD_LETTERS_MOST"]
    ready = deployment.run_folder / "worker-analytics-0.json"
    try:
        eventually(lambda: ready_pid(ready) == running.pid, 60)
        publish(deployment, [], {"feedback": [b"no event %d" % n for n in range(25)]})
        publish(deployment, story("one"))
        eventually(lambda: json.loads(ready.read_text())["paused"] == ["feedback"], 30)
        assert ready_pid(ready) is None
        assert len(read_all(deployment, "analytics-dlq", 10)) == 10
        eventually(
            lambda: stored(deployment, "SELECT count(*) FROM requests") == [(1,)], 30, describe="the other topics"
        )
        for resumed in (1, 2):
            publish(deployment, [resume_order(resumed)])
            letters = min(25, 10 * (resumed + 1))
            assert len(read_all(deployment, "analytics-dlq", letters)) == letters
        eventually(lambda: ready_pid(ready) == running.pid, 30, describe="a consumer that is ready again")
        assert process.kill(signal.SIGTERM) == 0
    finally:
        if process.running is not None:
            process.kill()
    metrics = read_all(deployment, "metrics", 4)
    told = [type(event).__name__ for event in metrics if not isinstance(event, StageMeasured)]
    assert told == ["StagePaused", "StageResumed", "StagePaused", "StageResumed"]


def resume_order(number: int) -> ResumeOrdered:
    return ResumeOrdered(
        event_id=event_id("ResumeOrdered", str(number)),
        occurred_at_us=T0_US,
        subject="stage:analytics",
        role="analytics",
    )
