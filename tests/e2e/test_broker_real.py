"""A real broker starts, carries a message, stops, and never outlives whoever started it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from confluent_kafka import Consumer, KafkaException, Producer
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from infra import broker_record, processes
from infra.broker import RunningBroker, provide_broker, stop_left_over, sweep_ephemeral
from infra.errors import BrokerInUse, PortTaken
from infra.readiness import answers
from tests.waiting import eventually

_ROOT = Path(__file__).resolve().parents[2]

# These start brokers of their own, on Java whatever this machine's environment says.
_ON_JAVA = {"PATH": os.environ["PATH"], "JAVA_HOME": os.environ.get("JAVA_HOME", "")}


def _no_engine(_command, _timeout_s, _environment=None):
    return processes.Completed(127, "", "not found")


def _start(var: Path, **options) -> RunningBroker:
    return provide_broker(var, environ=_ON_JAVA, run=_no_engine, **options)


def _create(bootstrap_servers: str, topic: str, **config: str) -> None:
    admin = AdminClient({"bootstrap.servers": bootstrap_servers})
    for future in admin.create_topics([NewTopic(topic, 1, 1, config=config)]).values():
        future.result(20)


def _send(bootstrap_servers: str, topic: str, value: bytes) -> None:
    producer = Producer(
        {
            "bootstrap.servers": bootstrap_servers,
            "partitioner": "murmur2_random",
            "message.max.bytes": 4_000_000,
        }
    )
    problems: list[object] = []
    producer.produce(topic, value, on_delivery=lambda error, _message: problems.append(error))
    assert producer.flush(20) == 0
    assert problems == [None]


def _first_value(bootstrap_servers: str, topic: str) -> bytes | None:
    consumer = Consumer(
        {
            "bootstrap.servers": bootstrap_servers,
            "group.id": f"{topic}-readers",
            "auto.offset.reset": "earliest",
        }
    )
    consumer.subscribe([topic])
    try:
        message = eventually(lambda: consumer.poll(0.2), within_s=20)
        assert message is not None
        assert message.error() is None
        return message.value()
    finally:
        consumer.close()


_OWNER = """
import sys, time
from pathlib import Path
from infra.broker import provide_broker
from infra.processes import Completed
running = provide_broker(
    Path(sys.argv[1]), ephemeral=sys.argv[2] == "ephemeral", run=lambda *_: Completed(127, "", "")
)
print(running.pid, running.bootstrap_servers, flush=True)
sys.stdin.read()
"""


class _Owner:
    """Another process that has started a broker, and waits."""

    def __init__(self, var: Path, kind: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", _OWNER, str(var), kind],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=_ROOT,
            env={"PATH": os.environ["PATH"], "JAVA_HOME": _ON_JAVA["JAVA_HOME"]},
        )
        assert self.process.stdout is not None
        pid, self.bootstrap_servers = self.process.stdout.readline().split()
        self.broker_pid = int(pid)

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                pipe.close()


def test_a_message_that_is_produced_is_consumed(broker, topic_prefix):
    _create(broker.bootstrap_servers, f"{topic_prefix}a")
    _send(broker.bootstrap_servers, f"{topic_prefix}a", b"hello")
    assert _first_value(broker.bootstrap_servers, f"{topic_prefix}a") == b"hello"


def test_a_topic_may_hold_messages_of_nearly_three_mebibytes(broker, topic_prefix):
    topic = f"{topic_prefix}large"
    _create(broker.bootstrap_servers, topic, **{"max.message.bytes": str(3 * 2**20)})
    large = os.urandom(3 * 2**20 - 4096)
    _send(broker.bootstrap_servers, topic, large)
    assert _first_value(broker.bootstrap_servers, topic) == large


def test_a_topic_that_nobody_created_does_not_come_into_being(broker, topic_prefix):
    producer = Producer({"bootstrap.servers": broker.bootstrap_servers, "message.timeout.ms": 3000, "log_level": 0})
    problems: list[object] = []
    try:
        producer.produce(f"{topic_prefix}misspelt", b"x", on_delivery=lambda error, _m: problems.append(error))
        producer.flush(10)
    except KafkaException as error:
        problems.append(error.args[0])
    assert [problem is not None for problem in problems] == [True]
    known = AdminClient({"bootstrap.servers": broker.bootstrap_servers}).list_topics(timeout=10)
    assert f"{topic_prefix}misspelt" not in known.topics


def test_an_ephemeral_broker_leaves_nothing_behind(tmp_path):
    with _start(tmp_path, ephemeral=True) as running:
        assert running.kind == "jvm"
        assert list((tmp_path / "run").glob("*.json"))
    assert running.pid is not None
    assert processes.identity(running.pid) is None
    assert not list((tmp_path / "run").glob("*.json"))
    assert not list((tmp_path / "kafka").iterdir())


def test_data_is_there_again_after_a_stop_though_the_ports_are_others(tmp_path):
    with _start(tmp_path) as first:
        _create(first.bootstrap_servers, "kept")
        _send(first.bootstrap_servers, "kept", b"still here")
    with _start(tmp_path) as second:
        assert second.bootstrap_servers != first.bootstrap_servers
        assert _first_value(second.bootstrap_servers, "kept") == b"still here"


def test_a_broker_outlives_the_thread_that_started_it(tmp_path):
    started: list[RunningBroker] = []
    thread = threading.Thread(target=lambda: started.append(_start(tmp_path, ephemeral=True)))
    thread.start()
    thread.join()
    with started[0] as running:
        assert running.pid is not None
        pid = running.pid
        # Two looks of the tether's at its parent lie within this time.
        with pytest.raises(AssertionError):
            eventually(lambda: processes.identity(pid) is None, within_s=1.2)
        assert answers(running.bootstrap_servers, within_s=5) is None


def test_a_second_start_under_the_same_name_is_refused_or_takes_part(tmp_path):
    with _start(tmp_path) as first:
        with pytest.raises(BrokerInUse) as refusal:
            _start(tmp_path)
        assert refusal.value.owner_pid == os.getpid()
        with _start(tmp_path, reuse=True) as second:
            assert second.bootstrap_servers == first.bootstrap_servers
        assert answers(first.bootstrap_servers, within_s=5) is None


def test_a_broker_ends_when_its_owner_is_killed_and_the_next_start_takes_over(tmp_path):
    owner = _Owner(tmp_path, "kept")
    _create(owner.bootstrap_servers, "before")
    owner.kill()
    # No wait: the old node may still hold the folder's lock when the new one is asked for.
    with _start(tmp_path) as running:
        assert processes.identity(owner.broker_pid) is None
        assert running.pid != owner.broker_pid
        admin = AdminClient({"bootstrap.servers": running.bootstrap_servers})
        assert "before" in admin.list_topics(timeout=10).topics


def test_a_killed_owners_broker_ends_without_anybody_asking_and_its_folder_is_swept(tmp_path):
    owner = _Owner(tmp_path, "ephemeral")
    owner.kill()
    eventually(lambda: processes.identity(owner.broker_pid) is None, within_s=25)
    assert sweep_ephemeral(tmp_path) == 1
    assert not list((tmp_path / "kafka").iterdir())


def test_a_stopped_down_broker_of_another_process_is_gone(tmp_path):
    owner = _Owner(tmp_path, "kept")
    try:
        assert stop_left_over(tmp_path, run=_no_engine)
        assert processes.identity(owner.broker_pid) is None
        assert not stop_left_over(tmp_path, run=_no_engine)
    finally:
        owner.kill()


def test_a_stale_run_file_does_not_hurt_the_stranger_who_got_the_pid(tmp_path):
    stranger = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    path = broker_record.record_path(tmp_path, "broker")
    broker_record.write_record(
        path,
        broker_record.BrokerRecord(
            kind="jvm",
            bootstrap_servers="localhost:1",
            port=1,
            pid=stranger.pid,
            home=str(tmp_path / "kafka" / "broker"),
            ephemeral=False,
            owner_pid=stranger.pid,
            owner_identity="somebody else",
            started_at_ms=0,
        ),
    )
    try:
        with _start(tmp_path) as running:
            record = broker_record.read_record(path)
            assert record is not None
            assert record.pid == running.pid
        assert stranger.poll() is None
    finally:
        stranger.communicate(b"\n")


def test_a_port_that_is_taken_is_named(tmp_path, broker):
    port = int(broker.bootstrap_servers.rpartition(":")[2])
    with pytest.raises(PortTaken) as refusal:
        _start(tmp_path, port=port)
    assert refusal.value.port == port
    assert not list((tmp_path / "run").glob("*.json"))
