"""The supervisor starts, watches and stops in order: with processes that are only played, and a clock that is moved by hand."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from streams import run_files
from streams.deployment import Deployment
from streams.supervisor import (
    GRACE_S,
    LONGEST_BACKOFF_S,
    STEADY_AFTER_S,
    Supervisor,
    uses_embedded_models,
)
from streams.watchdog import HUNG
from streams.workers import Happened, WorkerDidNotStart, environment_of


class PlayedProcess:
    def __init__(self, stage, name, pid, log):
        self.stage, self.name, self.pid, self.log = stage, name, pid, log
        self.status = None
        self.stubborn = False

    def ended(self):
        return self.status

    def ask_to_stop(self):
        self.stage.said.append(f"stop {self.name}")
        if not self.stubborn:
            self.status = 0

    def kill(self):
        if self.status is None:
            self.stage.said.append(f"kill {self.name}")
            self.status = -9


class PlayedMachine:
    """Starts processes that only write their run files, or do not."""

    def __init__(self, var: Path) -> None:
        self.deployment = Deployment(var=var, bootstrap_servers="broker:1")
        self.processes: list[PlayedProcess] = []
        self.said: list[str] = []
        self.events: list[Happened] = []
        self.supervisors: list[Supervisor] = []
        self.never_ready: set[str] = set()
        self.dies_at_once: set[str] = set()
        self.refused = 0
        self.now_s = 1_000.0

    def start(self, command, environment, log):
        if self.refused:
            self.refused -= 1
            raise OSError("no memory")
        role, number = command[-1], environment["PENSTOCK_WORKER"]
        name = f"{role}-{number}"
        process = PlayedProcess(self, name, 5_000 + len(self.processes), log)
        self.processes.append(process)
        self.said.append(f"start {name}")
        with log.open("a") as handle:
            handle.write(f"{name} says something\n")
        if name in self.dies_at_once:
            process.status = 3
        elif name not in self.never_ready:
            file = "models.json" if role == "models" else f"worker-{name}.json"
            self.deployment.run_folder.joinpath(file).write_text(json.dumps({"pid": process.pid, "ready": True}))
        return process

    def pause(self, seconds):
        self.now_s += seconds

    def supervisor(self, **more):
        made = Supervisor(
            self.deployment,
            environ={},
            on_event=self.events.append,
            starter=self.start,
            alive=lambda pid: pid in {process.pid for process in self.processes},
            clock_s=lambda: self.now_s,
            pause=self.pause,
            **more,
        )
        self.supervisors.append(made)
        return made

    def of(self, name):
        return [process for process in self.processes if process.name == name][-1]


@pytest.fixture
def machine(tmp_path):
    played = PlayedMachine(tmp_path)
    yield played
    for supervisor in played.supervisors:
        supervisor.stop()


def test_the_model_server_is_ready_before_the_others_start_and_stops_after_them(machine):
    supervisor = machine.supervisor()
    supervisor.start(watch=False)
    assert [f"{each.what} {each.role}" for each in machine.events][:3] == [
        "starting models",
        "ready models",
        "starting router",
    ]
    assert {status.state for status in supervisor.status()} == {"ready"}
    machine.said.clear()
    supervisor.stop()
    assert machine.said == [
        "stop router-0",
        "stop generator-0",
        "stop evaluator-0",
        "stop analytics-0",
        "stop models-0",
    ]


def test_without_embedded_models_there_is_no_model_server(machine):
    environ = {"PENSTOCK_PROVIDER": "openai", "PENSTOCK_PRICE_SIMPLE": "1/2"}
    environ |= {"PENSTOCK_PRICE_BALANCED": "1/2", "PENSTOCK_PRICE_PREMIUM": "1/2"}
    assert uses_embedded_models(machine.deployment, {})
    assert not uses_embedded_models(machine.deployment, environ)


def test_a_role_has_as_many_workers_as_it_is_given_each_with_its_name(machine):
    machine.supervisor(roles=["router", "generator"], workers={"generator": 3}).start(watch=False)
    assert machine.said == ["start router-0", "start generator-0", "start generator-1", "start generator-2"]


def test_an_unknown_role_is_refused_before_anything_starts(machine):
    with pytest.raises(ValueError, match="routr"):
        machine.supervisor(roles=["routr"])


def test_a_worker_that_is_not_ready_in_time_stops_all_and_shows_the_end_of_its_log(machine):
    machine.never_ready = {"generator-0"}
    with pytest.raises(WorkerDidNotStart) as refused:
        machine.supervisor(roles=["router", "generator"], ready_within_s=5).start(watch=False)
    assert "generator-0 says something" in refused.value.log_tail
    assert "not ready within 5 s" in refused.value.what
    assert all(process.status is not None for process in machine.processes)
    assert not run_files.is_claimed(machine.deployment.run_folder)


def test_a_worker_that_ends_before_it_is_ready_is_not_waited_for(machine):
    machine.dies_at_once = {"router-0"}
    with pytest.raises(WorkerDidNotStart, match="ended with status 3"):
        machine.supervisor(roles=["router"], ready_within_s=500).start(watch=False)
    assert machine.now_s < 1_010


def test_the_log_shown_is_that_of_this_start_only(machine):
    machine.deployment.logs_folder.mkdir(parents=True)
    machine.deployment.logs_folder.joinpath("router-0.log").write_text("an old complaint\n")
    machine.dies_at_once = {"router-0"}
    with pytest.raises(WorkerDidNotStart) as refused:
        machine.supervisor(roles=["router"]).start(watch=False)
    assert refused.value.log_tail == "router-0 says something"


def test_a_run_file_of_another_process_is_no_readiness(machine):
    machine.never_ready = {"router-0"}

    def start(command, environment, log):
        process = machine.start(command, environment, log)
        path = machine.deployment.run_folder / "worker-router-0.json"
        path.write_text(json.dumps({"pid": process.pid + 1, "ready": True}))
        return process

    supervisor = Supervisor(
        machine.deployment,
        roles=["router"],
        environ={},
        starter=start,
        clock_s=lambda: machine.now_s,
        pause=machine.pause,
    )
    with pytest.raises(WorkerDidNotStart, match="not ready"):
        supervisor.start(watch=False)


def deaths(machine, supervisor, count, alive_s):
    """Let the router die so often, each time this long after it was ready; the pauses before it came back."""
    pauses = []
    for _ in range(count):
        machine.now_s += alive_s
        supervisor.look()
        machine.of("router-0").status = -9
        supervisor.look()
        died_at_s, started = machine.now_s, len(machine.processes)
        while len(machine.processes) == started:
            machine.now_s += 0.25
            supervisor.look()
        pauses.append(machine.now_s - died_at_s)
        supervisor.look()
    return pauses


def test_a_worker_that_keeps_dying_comes_back_after_ever_longer_pauses_up_to_a_limit(machine):
    supervisor = machine.supervisor(roles=["router"])
    supervisor.start(watch=False)
    assert deaths(machine, supervisor, 6, alive_s=1) == [0.5, 1, 2, 4, LONGEST_BACKOFF_S, LONGEST_BACKOFF_S]
    (status,) = supervisor.status()
    assert (status.state, status.restarts) == ("ready", 6)
    died = [each for each in machine.events if each.what == "died"]
    assert len(died) == 6
    assert "exit status -9" in died[0].detail


def test_a_worker_that_lived_for_a_while_comes_back_quickly_again(machine):
    supervisor = machine.supervisor(roles=["router"])
    supervisor.start(watch=False)
    assert deaths(machine, supervisor, 3, alive_s=1) == [0.5, 1, 2]
    assert deaths(machine, supervisor, 2, alive_s=STEADY_AFTER_S) == [0.5, 0.5]


def test_a_worker_that_cannot_be_started_again_is_tried_again(machine):
    supervisor = machine.supervisor(roles=["router"])
    supervisor.start(watch=False)
    machine.of("router-0").status = 1
    machine.refused = 2
    for _ in range(20):
        machine.now_s += 0.5
        supervisor.look()
    (status,) = supervisor.status()
    assert status.state == "ready"
    assert sum("no memory" in each.detail for each in machine.events) == 2


def test_a_worker_that_does_not_end_is_killed_after_its_grace(machine):
    supervisor = machine.supervisor(roles=["router", "generator"])
    supervisor.start(watch=False)
    machine.of("router-0").stubborn = True
    machine.said.clear()
    before_s = machine.now_s
    supervisor.stop()
    assert machine.said == ["stop router-0", "stop generator-0", "kill router-0"]
    assert machine.now_s - before_s == pytest.approx(GRACE_S, abs=0.2)
    assert [each.what for each in machine.events if each.role == "router"][-1] == "killed"


def test_stopping_removes_the_run_files_and_gives_the_folder_back(machine):
    supervisor = machine.supervisor(roles=["router"])
    supervisor.start(watch=False)
    assert machine.deployment.run_folder.joinpath("up.json").exists()
    supervisor.stop()
    supervisor.stop()
    assert [path.name for path in machine.deployment.run_folder.glob("*.json")] == []
    machine.supervisor(roles=["router"]).start(watch=False)


def test_a_second_supervisor_on_the_same_folder_is_refused_and_named_the_first(machine):
    machine.supervisor(roles=["router"]).start(watch=False)
    with pytest.raises(run_files.AlreadyRunning) as refused:
        machine.supervisor(roles=["router"]).start(watch=False)
    assert refused.value.pid == os.getpid()


def test_run_files_of_dead_processes_are_removed_and_those_of_living_ones_stay(tmp_path):
    for name, pid in (("worker-router-0", 1), ("worker-router-1", 2), ("models", 3), ("broker", 4)):
        tmp_path.joinpath(f"{name}.json").write_text(json.dumps({"pid": pid}))
    tmp_path.joinpath("worker-half-0.json").write_text('{"pid":')
    removed = run_files.remove_stale(tmp_path, lambda pid: pid == 2)
    assert removed == ["models.json", "worker-half-0.json", "worker-router-0.json"]
    assert sorted(path.name for path in tmp_path.glob("*.json")) == ["broker.json", "worker-router-1.json"]


def test_a_log_that_has_grown_too_long_is_moved_aside(tmp_path):
    log = tmp_path / "router-0.log"
    log.write_bytes(b"x" * 101)
    run_files.rotate(log, over_bytes=100)
    assert not log.exists()
    assert tmp_path.joinpath("router-0.log.1").stat().st_size == 101
    run_files.rotate(log, over_bytes=100)


def test_a_worker_sees_the_deployment_that_the_supervisor_was_given(tmp_path, monkeypatch):
    given = Deployment(
        var=tmp_path, topic_prefix="t-", compress=True, generator_concurrency=7, bootstrap_servers="broker:1"
    )
    variables = environment_of(given, 3, {"PENSTOCK_TOPIC_PREFIX": "other-", "PATH": "/bin"})
    assert variables["PATH"] == "/bin"
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert Deployment() == given.model_copy(update={"worker": "3"})


def test_a_worker_that_says_that_it_consumes_no_more_is_unready_until_it_says_otherwise(machine):
    supervisor = machine.supervisor(roles=["router"])
    supervisor.start(watch=False)
    path = machine.deployment.run_folder / "worker-router-0.json"
    said = {"pid": machine.of("router-0").pid, "ready": False, "why_not": "paused: requests"}
    path.write_text(json.dumps(said))
    supervisor.look()
    assert [status.state for status in supervisor.status()] == ["unready"]
    assert (machine.events[-1].what, machine.events[-1].detail) == ("unready", "paused: requests")
    path.write_text(json.dumps({**said, "ready": True}))
    supervisor.look()
    supervisor.look()
    assert [status.state for status in supervisor.status()] == ["ready"]
    assert [each.what for each in machine.events] == ["starting", "ready", "unready", "ready"]


def test_a_worker_that_hung_and_ended_itself_is_named_so_and_started_again(machine):
    supervisor = machine.supervisor(roles=["router"])
    supervisor.start(watch=False)
    machine.of("router-0").status = HUNG
    supervisor.look()
    assert machine.events[-1].detail.startswith("hung, and ended itself; starts again in 0.5 s")
    machine.now_s += 1
    supervisor.look()
    assert machine.said == ["start router-0", "start router-0"]


def test_a_worker_is_added_under_the_lowest_free_number_and_removed_for_good(machine):
    supervisor = machine.supervisor(roles=["router", "generator"])
    supervisor.start(watch=False)
    assert supervisor.add("router") == 1
    supervisor.remove("router", 0)
    assert supervisor.numbers("router") == [1]
    assert supervisor.add("router") == 0
    supervisor.look()
    assert [(each.role, each.number, each.state) for each in supervisor.status()] == [
        ("router", 0, "ready"),
        ("router", 1, "ready"),
        ("generator", 0, "ready"),
    ]
    assert machine.said == ["start router-0", "start generator-0", "start router-1", "stop router-0", "start router-0"]


def test_a_worker_that_is_added_and_not_ready_is_stopped_again_unless_it_is_to_be_kept(machine):
    supervisor = machine.supervisor(roles=["router"])
    supervisor.start(watch=False)
    machine.never_ready = {"router-1"}
    with pytest.raises(WorkerDidNotStart):
        supervisor.add("router")
    assert supervisor.numbers("router") == [0]
    with pytest.raises(WorkerDidNotStart):
        supervisor.add("router", keep_trying=True)
    assert supervisor.numbers("router") == [0, 1]


def test_a_supervised_worker_is_the_same_member_of_its_group_when_it_is_started_again(machine):
    installation = run_files.installation(machine.deployment.var)
    assert run_files.installation(machine.deployment.var) == installation
    variables = environment_of(machine.deployment, 2, {}, installation=installation)
    assert variables["PENSTOCK_INSTANCE"] == f"{installation}-2"
    assert "PENSTOCK_INSTANCE" not in environment_of(machine.deployment, 2, {})
