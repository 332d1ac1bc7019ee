"""Measures how long a partition waits when a worker is killed, joins, leaves, stands still or is restarted, under load.

In: ``python -m tests.benchmarks.recovery [--rate 60] [--only NAME ...]``; Kafka's artefacts and the encoders of ``make setup``.
Out: a line for each fault: the longest gap in the responses of any partition (and in the rewards, for the evaluator), latencies
meanwhile, and what was lost or repeated, counted by a reader of its own. Stops what it started.
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from infra.broker import provide_broker
from streams import run_files
from streams.admin import create_topics
from streams.deployment import ROOT, Deployment
from streams.restarting import replace_workers
from streams.supervisor import Supervisor, start_tethered
from streams.tethered import Process
from streams.workers import environment_of, worker_command
from tests.instant_model import instant_model
from tests.steady_load import Load

PARTITIONS = 8
ROLES = ("router", "generator", "evaluator")
BEFORE_S, AFTER_S = 1.0, 5.0
EXTRA = 7
"""The number of the second worker of a role."""


class Running:
    """The roles under load."""

    def __init__(self, deployment: Deployment, environ: dict[str, str], roles: Sequence[str]) -> None:
        self.deployment = deployment
        self.environ = environ
        self.supervisor = Supervisor(deployment, roles=roles, environ=environ)

    def pid(self, role: str) -> int:
        """The process of a role's first worker."""
        return next(each.pid for each in self.supervisor.status() if each.role == role and each.pid is not None)

    def wait_restarted(self, role: str, before: int) -> None:
        """Until another process of the role is ready."""
        _wait(lambda: any(s.role == role and s.state == "ready" and s.pid != before for s in self.supervisor.status()))

    def join(self, role: str) -> Process:
        """Start a second worker, and wait until it consumes."""
        environ = environment_of(self.deployment, EXTRA, self.environ)
        run_file = self.deployment.run_folder / f"worker-{role}-{EXTRA}.json"
        run_file.unlink(missing_ok=True)
        started = start_tethered(worker_command(role), environ, self.deployment.logs_folder / f"{role}-{EXTRA}.log")
        _wait(lambda: run_files.ready_pid(run_file) == started.pid)
        return started


def kill(running: Running, role: str) -> None:
    """kill -9; the supervisor replaces it."""
    pid = running.pid(role)
    os.kill(pid, signal.SIGKILL)
    running.wait_restarted(role, pid)


def stop_and_start(running: Running, role: str) -> None:
    """SIGTERM; the supervisor replaces it."""
    pid = running.pid(role)
    os.kill(pid, signal.SIGTERM)
    running.wait_restarted(role, pid)


def stand_still(running: Running, role: str) -> None:
    """SIGSTOP for longer than the session, then SIGCONT."""
    pid = running.pid(role)
    os.kill(pid, signal.SIGSTOP)
    time.sleep(15)
    os.kill(pid, signal.SIGCONT)


def roll(running: Running, role: str) -> None:
    """`penstock restart` of a role, or of every role."""
    replace_workers(running.supervisor, ROLES if role == "all" else [role])


FAULTS: dict[str, Callable[[Running, str], None]] = {
    "kill": kill,
    "term": stop_and_start,
    "still": stand_still,
    "roll": roll,
}


def main(arguments: Sequence[str]) -> int:
    """Measure and print; the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.recovery")
    parser.add_argument("--rate", type=float, default=60.0, help="requests a second")
    parser.add_argument("--only", nargs="*", default=[], help="FAULT or FAULT:ROLE")
    parser.add_argument("--keep", action="store_true", help="leave the folder with the logs")
    chosen = parser.parse_args(arguments)
    folder = Path(tempfile.mkdtemp(prefix="recovery-", dir=ROOT / "var"))
    try:
        with instant_model() as model, _broker(folder) as deployment:
            environ = {**os.environ, **model.environ()}
            running = Running(deployment, environ, ROLES)
            with running.supervisor:
                _warm_up(deployment)
                for fault in ("join", *FAULTS):
                    for role in ("all",) if fault == "roll" else ROLES:
                        if not chosen.only or fault in chosen.only or f"{fault}:{role}" in chosen.only:
                            _measure(running, fault, role, chosen.rate)
            calls = model.calls()
            sys.stdout.write(f"paid more than once: {sum(count > 1 for count in calls.values())} of {len(calls)}\n")
    finally:
        if not chosen.keep:
            shutil.rmtree(folder, ignore_errors=True)
    return 0


@contextmanager
def _broker(folder: Path) -> Iterator[Deployment]:
    with provide_broker(folder, ephemeral=True, libs=ROOT / "var" / "kafka" / "libs") as broker:
        deployment = Deployment(bootstrap_servers=broker.bootstrap_servers, var=folder, models=ROOT / "var" / "models")
        create_topics(deployment, partitions=PARTITIONS)
        yield deployment


def _warm_up(deployment: Deployment) -> None:
    load = Load(deployment, partitions=PARTITIONS, rate=30, name="warm")
    load.start()
    time.sleep(3)
    load.stop()


def _measure(running: Running, fault: str, role: str, rate: float) -> None:
    load = Load(running.deployment, partitions=PARTITIONS, rate=rate, name=f"{fault}-{role}")
    load.start()
    time.sleep(BEFORE_S + 1)
    begun = time.monotonic()
    if fault == "join":
        second = running.join(role)
        middle = time.monotonic()
        time.sleep(AFTER_S)
        _report(load, f"join {role}", begun, middle + AFTER_S, middle - begun)
        begun = time.monotonic()
        second.ask_to_stop()
        _wait(lambda: second.ended() is not None)
        ended = time.monotonic()
        time.sleep(AFTER_S)
        _report(load, f"leave {role}", begun, time.monotonic(), ended - begun)
    else:
        FAULTS[fault](running, role)
        ended = time.monotonic()
        time.sleep(AFTER_S)
        _report(load, f"{fault} {role}", begun, time.monotonic(), ended - begun)
    load.stop()
    tally = load.tally()
    sys.stdout.write(
        f"   of {tally.requests}: lost {tally.lost}, failed {tally.failed}, repeats {tally.repeats}, "
        f"answered differently {tally.answered_differently}\n"
    )
    sys.stdout.flush()


def _report(load: Load, name: str, since_s: float, until_s: float, took_s: float) -> None:
    while load.unanswered() > 20:
        time.sleep(0.05)
    tally = load.tally(since_s, until_s)
    gap = load.longest_gap_s("responses", since_s - 0.5, until_s)
    rewards = load.longest_gap_s("rewards", since_s - 0.5, until_s)
    sys.stdout.write(
        f"{name:18} took {took_s:5.1f} s  responses' gap {gap:5.2f} s  rewards' gap {rewards:5.2f} s  "
        f"p50 {tally.p50_ms:6.0f}  p99 {tally.p99_ms:6.0f}  max {tally.longest_ms:6.0f} ms\n"
    )
    sys.stdout.flush()


def _wait(condition: Callable[[], bool], within_s: float = 60.0) -> None:
    deadline_s = time.monotonic() + within_s
    while not condition():
        if time.monotonic() > deadline_s:
            raise TimeoutError(f"not within {within_s:g} s")
        time.sleep(0.02)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
