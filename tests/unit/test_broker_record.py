"""What a run file found at a start means."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys

import pytest

from infra import processes
from infra.broker_record import BrokerRecord, read_record, record_path, settle, stop_strays, write_record
from infra.errors import BrokerInUse

_SLEEPER = "import sys; print(flush=True); sys.stdin.read()"


@pytest.fixture
def record(tmp_path):
    return BrokerRecord(
        kind="jvm",
        bootstrap_servers="localhost:9",
        port=9,
        pid=os.getpid(),
        home=str(tmp_path / "kafka" / "broker"),
        ephemeral=False,
        owner_pid=os.getpid(),
        owner_identity=processes.identity(os.getpid()) or "",
        started_at_ms=1,
    )


@pytest.fixture
def stray(tmp_path):
    """A process that looks like a broker on our folder."""
    home = tmp_path / "kafka" / "broker"
    command = [sys.executable, "-c", _SLEEPER, str(home / "server.properties")]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.readline()  # it runs: before that its command line may still be empty
    yield process
    process.kill()
    process.communicate()


def test_a_record_is_read_as_it_was_written(tmp_path, record):
    path = record_path(tmp_path, "broker")
    write_record(path, record)
    assert read_record(path) == record
    assert [entry.name for entry in path.parent.iterdir()] == ["broker.json"]


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '{"pid": 1}', '{"unknown": 1}'])
def test_a_run_file_that_cannot_be_read_is_none_and_is_cleared(tmp_path, text):
    path = record_path(tmp_path, "broker")
    path.parent.mkdir()
    path.write_text(text)
    assert read_record(path) is None
    assert settle(path, "broker", tmp_path / "kafka" / "broker", reuse=False) is None
    assert not path.exists()


def test_a_living_broker_of_a_living_owner_is_adopted_or_refused(tmp_path, record, stray):
    path = record_path(tmp_path, "broker")
    mine = dataclasses.replace(record, pid=stray.pid)
    write_record(path, mine)
    home = tmp_path / "kafka" / "broker"
    assert settle(path, "broker", home, reuse=True) == mine
    with pytest.raises(BrokerInUse, match=str(os.getpid())):
        settle(path, "broker", home, reuse=False)
    assert stray.poll() is None


def test_a_living_broker_of_a_dead_owner_is_stopped(tmp_path, record, stray):
    path = record_path(tmp_path, "broker")
    write_record(path, dataclasses.replace(record, pid=stray.pid, owner_identity="another"))
    assert settle(path, "broker", tmp_path / "kafka" / "broker", reuse=True) is None
    assert stray.wait(10) != 0
    assert not path.exists()


def test_a_broker_on_our_folder_without_a_run_file_is_stopped(tmp_path, stray):
    assert stop_strays(tmp_path / "kafka" / "broker") == 1
    assert stray.wait(10) != 0


def test_a_broker_on_a_folder_of_a_longer_name_is_left_alone(tmp_path, stray):
    assert stop_strays(tmp_path / "kafka" / "brok") == 0
    assert stray.poll() is None


def test_a_pid_that_a_stranger_got_is_left_alone(tmp_path, record):
    path = record_path(tmp_path, "broker")
    write_record(path, record)  # its pid is ours, and we are no broker
    assert settle(path, "broker", tmp_path / "kafka" / "broker", reuse=True) is None
    assert not path.exists()


def test_a_dead_process_has_neither_identity_nor_command_line():
    done = subprocess.Popen([sys.executable, "-c", ""])
    done.wait()
    assert processes.identity(done.pid) is None
    assert processes.command_line(done.pid) is None
