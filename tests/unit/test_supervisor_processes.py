"""The supervisor with real processes: they come back, they end with it, and they end when it is killed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap

import pytest

from infra.processes import identity
from streams.deployment import Deployment
from streams.supervisor import Supervisor
from tests.waiting import eventually

TRIVIAL = textwrap.dedent("""
    import json, os, pathlib, signal, sys
    folder = pathlib.Path(os.environ["PENSTOCK_VAR"]) / "run"
    name = f"worker-{sys.argv[1]}-{os.environ['PENSTOCK_WORKER']}.json"
    folder.joinpath("draft").write_text(json.dumps({"pid": os.getpid(), "ready": True}))
    folder.joinpath("draft").replace(folder / name)
    print("ready", flush=True)
    signal.pause()
""")

OWNER = textwrap.dedent("""
    import pathlib, sys, signal
    from streams.deployment import Deployment
    from streams.supervisor import Supervisor
    deployment = Deployment(var=pathlib.Path(sys.argv[1]), bootstrap_servers="broker:1")
    supervisor = Supervisor(deployment, roles=["router"], command=lambda role: [sys.executable, "-c", sys.argv[2], role])
    supervisor.start()
    print(supervisor.status()[0].pid, flush=True)
    signal.pause()
""")


@pytest.fixture
def deployment(tmp_path):
    return Deployment(var=tmp_path, bootstrap_servers="broker:1")


def command(role):
    return [sys.executable, "-c", TRIVIAL, role]


def test_a_killed_worker_comes_back_with_another_pid_and_all_end_with_the_supervisor(deployment):
    with Supervisor(deployment, roles=["router"], command=command) as supervisor:
        (first,) = supervisor.status()
        assert first.pid is not None
        os.kill(first.pid, signal.SIGKILL)

        def is_back():
            (now,) = supervisor.status()
            return now.state == "ready" and now.pid != first.pid and now

        second = eventually(is_back, within_s=20)
        assert second.restarts == 1
        content = json.loads(deployment.run_folder.joinpath("worker-router-0.json").read_text())
        assert content["pid"] == second.pid
    assert identity(second.pid) is None
    assert deployment.logs_folder.joinpath("router-0.log").read_text().count("ready") == 2


def test_no_worker_outlives_a_supervisor_that_was_killed(tmp_path):
    owner = subprocess.Popen([sys.executable, "-c", OWNER, str(tmp_path), TRIVIAL], stdout=subprocess.PIPE, text=True)
    assert owner.stdout is not None
    try:
        worker = int(owner.stdout.readline())
        assert identity(worker) is not None
        owner.kill()
        eventually(lambda: identity(worker) is None, within_s=20)
    finally:
        owner.kill()
        owner.wait()
        owner.stdout.close()
    with Supervisor(Deployment(var=tmp_path, bootstrap_servers="broker:1"), roles=["router"], command=command):
        pass  # what the killed one left stands in nobody's way
