"""Runs every role of one machine as processes, and starts again what died.

In: the deployment, which roles and how many workers of each. Out: processes that are ready, events about them, and an orderly end.
Keeps: the claim on the ``var`` folder (``streams/run_files.py``), a log file for each worker, ``var/logs/ROLE-N.log``, and
``var/run/prometheus-targets.json``, where their metrics are. How it works:

1. claim the folder, remove what dead processes left in ``var/run``;
2. start the model server where the catalogue uses the embedded models, and wait for its run file; then all other roles, and wait;
   one that ends or is not ready in time stops everything and raises ``WorkerDidNotStart`` with the end of its log;
3. watch: a worker that died is started again after 0.5 s, doubling to 4 s; one that lived for a while begins at 0.5 s again;
4. stop: SIGTERM to all in the order of the stream, SIGKILL after 11 s; the model server last, because the generator may be
calling it.

Every process hangs on infra/tether.py, so none outlives us, not even after kill -9. The operator's trap: a worker is another
process group, so Ctrl-C in the terminal reaches only us, and we stop the workers.
"""

import os
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from agents.loading.reading import load_catalogue
from infra import processes, tether
from streams import run_files
from streams.deployment import Deployment
from streams.tethered import Process, Starter, TetheredProcess
from streams.topics import STAGES
from streams.watchdog import HUNG
from streams.workers import (
    FIRST_BACKOFF_S,
    Happened,
    Status,
    What,
    Worker,
    WorkerDidNotStart,
    environment_of,
    worker_command,
)

MODELS = "models"
ROLES = (MODELS, *STAGES)
EMBEDDED = "embedded"
"""The provider of the catalogue that the model server is."""

READY_WITHIN_S = 90.0
GRACE_S = 11.0
"""More than a worker takes for what is under way, for publishing and for committing (streams/rebalancing.py) together."""
LONGEST_BACKOFF_S = 4.0
STEADY_AFTER_S = 20.0
LOG_LIMIT_BYTES = 20 * 1024 * 1024
_TAIL_LINES = 25
_LOOK_EVERY_S = 0.1


def start_tethered(command: Sequence[str], environment: Mapping[str, str], log: Path) -> Process:
    """Start a command under infra/tether.py."""
    return TetheredProcess(command, environment, log, tether=Path(tether.__file__))


def uses_embedded_models(deployment: Deployment, environ: Mapping[str, str]) -> bool:
    """Say whether a model of the catalogue is at the model server. Raises ``agents.loading.problems.InvalidFile``."""
    catalogue = load_catalogue(deployment.catalogue, environ)
    return any(model.provider == EMBEDDED for model in catalogue.models.values())


class Supervisor:
    """All roles of one machine; use it as a context manager, or ``start()`` and ``stop()``."""

    def __init__(
        self,
        deployment: Deployment,
        *,
        roles: Iterable[str] | None = None,
        workers: Mapping[str, int] | None = None,
        environ: Mapping[str, str] | None = None,
        on_event: Callable[[Happened], None] = lambda _: None,
        claim: run_files.Claim | None = None,
        command: Callable[[str], Sequence[str]] = worker_command,
        starter: Starter = start_tethered,
        alive: Callable[[int], bool] = lambda pid: processes.identity(pid) is not None,
        clock_s: Callable[[], float] = time.monotonic,
        pause: Callable[[float], None] = time.sleep,
        ready_within_s: float = READY_WITHIN_S,
    ) -> None:
        """``roles`` None is all, without the model server where the catalogue does not need it. ``workers`` counts by role, else 1.

        ``environ`` replaces this process's environment for the children. ``claim`` is one that the caller holds and will
        release; without it the supervisor takes its own. The others are for tests.
        """
        self._environ = dict(os.environ if environ is None else environ)
        if roles is None:
            roles = ROLES if uses_embedded_models(deployment, self._environ) else STAGES
        chosen = set(roles)
        counts = workers or {}
        unknown = (chosen | set(counts)) - set(ROLES)
        if unknown:
            raise ValueError(f"no such role: {', '.join(sorted(unknown))}; the roles are {', '.join(ROLES)}")
        self._deployment = deployment
        self._on_event = on_event
        self._claim = claim
        self._owns_claim = claim is None
        self._command = command
        self._starter = starter
        self._alive = alive
        self._clock_s = clock_s
        self._pause = pause
        self._ready_within_s = ready_within_s
        self._guard = threading.RLock()
        self._ending = threading.Event()
        self._watcher: threading.Thread | None = None
        self._workers = [
            self._worker(role, number)
            for role in ROLES
            if role in chosen
            for number in range(1 if role == MODELS else counts.get(role, 1))
        ]

    def start(self, *, watch: bool = True) -> None:
        """Start everything and return when all are ready; with ``watch``, a thread then starts again what dies.

        Errors: ``AlreadyRunning``, ``WorkerDidNotStart`` (everything is stopped again).
        """
        if self._claim is None:
            self._claim = run_files.Claim(self._deployment.run_folder)
        self._deployment.logs_folder.mkdir(parents=True, exist_ok=True)
        try:
            run_files.remove_stale(self._deployment.run_folder, self._alive)
            for group in self._groups():
                for worker in group:
                    self._begin(worker)
                self._await_readiness(group)
        except BaseException:
            self.stop()
            raise
        if watch:
            self._watcher = threading.Thread(target=self._watch, name="penstock-supervisor", daemon=True)
            self._watcher.start()

    def stop(self) -> None:
        """Stop everything in order; the second time does nothing."""
        self._ending.set()
        if self._watcher is not None:
            self._watcher.join()
            self._watcher = None
        with self._guard:
            for group in reversed(self._groups()):
                self._end(group)
        if self._claim is not None and self._owns_claim:
            self._claim.release()
            self._claim = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def status(self) -> list[Status]:
        """Say how each worker is, in the order in which they were started."""
        with self._guard:
            return [w.status() for w in self._workers]

    def numbers(self, role: str) -> list[int]:
        """Which workers of a role there are."""
        with self._guard:
            return [worker.number for worker in self._workers if worker.role == role]

    def add(self, role: str, *, keep_trying: bool = False) -> int:
        """Start one more worker, with the lowest number that is free; the number, when it is ready.

        Raises ``WorkerDidNotStart``; it is stopped again, unless ``keep_trying`` leaves it to be started again and again.
        """
        with self._guard:
            number = min(set(range(len(self._workers) + 1)) - set(self.numbers(role)))
            worker = self._worker(role, number)
            self._begin(worker)
            self._workers.append(worker)
            self._workers.sort(key=lambda each: (ROLES.index(each.role), each.number))
        try:
            self._await_readiness([worker])
        except BaseException:
            if not keep_trying:
                self.remove(role, number)
            raise
        return number

    def remove(self, role: str, number: int) -> None:
        """Stop a worker for good."""
        with self._guard:
            going = [each for each in self._workers if (each.role, each.number) == (role, number)]
            self._workers = [each for each in self._workers if each not in going]
        self._end(going)

    def look(self) -> None:
        """Look once at every worker: note who became ready and who died, start again those whose pause is over."""
        with self._guard:
            now_s = self._clock_s()
            for worker in self._workers:
                if worker.process is not None:
                    status = worker.process.ended()
                    if status is not None:
                        self._bury(worker, status, now_s)
                    else:
                        self._note_readiness(worker)
                elif worker.state == "waiting" and now_s >= worker.due_at_s:
                    worker.restarts += 1
                    try:
                        self._begin(worker)
                    except OSError as error:  # no memory, no file handles: it may pass
                        self._put_off(worker, f"not started: {error}", now_s)

    def _groups(self) -> list[list[Worker]]:
        models = [worker for worker in self._workers if worker.role == MODELS]
        return [models, [worker for worker in self._workers if worker.role != MODELS]]

    def _worker(self, role: str, number: int) -> Worker:
        return Worker(role, number, self._log_of(role, number), self._run_file_of(role, number))

    def _log_of(self, role: str, number: int) -> Path:
        return self._deployment.logs_folder / f"{role}-{number}.log"

    def _run_file_of(self, role: str, number: int) -> Path:
        name = "models.json" if role == MODELS else f"worker-{role}-{number}.json"
        return self._deployment.run_folder / name

    def _begin(self, worker: Worker) -> None:
        self._forget(worker)
        run_files.rotate(worker.log, over_bytes=LOG_LIMIT_BYTES)
        worker.log_begin = worker.log.stat().st_size if worker.log.exists() else 0
        environment = environment_of(
            self._deployment,
            worker.number,
            self._environ,
            installation=run_files.installation(self._deployment.var),
        )
        worker.process = self._starter(self._command(worker.role), environment, worker.log)
        worker.state, worker.started_at_s = "starting", self._clock_s()
        self._tell(worker, "starting")

    def _forget(self, worker: Worker) -> None:
        worker.run_file.unlink(missing_ok=True)
        run_files.metrics_file(self._deployment.run_folder, worker.role, str(worker.number)).unlink(missing_ok=True)

    def _note_readiness(self, worker: Worker) -> None:
        if worker.process is None:
            return
        ready = run_files.ready_pid(worker.run_file) == worker.process.pid
        if ready and worker.state in ("starting", "unready"):
            worker.state = "ready"
            self._tell(worker, "ready")
        elif not ready and worker.state == "ready":
            worker.state = "unready"
            self._tell(worker, "unready", run_files.why_not_ready(worker.run_file))

    def _await_readiness(self, group: Sequence[Worker]) -> None:
        deadline_s = self._clock_s() + self._ready_within_s
        while True:
            for worker in group:
                status = worker.process.ended() if worker.process is not None else None
                if status is not None:
                    raise self._did_not_start(worker, f"ended with status {status} before it was ready")
                self._note_readiness(worker)
            late = [worker for worker in group if worker.state != "ready"]
            if not late:
                return
            if self._ending.is_set():
                raise self._did_not_start(late[0], "was stopped before it was ready")
            if self._clock_s() >= deadline_s:
                raise self._did_not_start(late[0], f"was not ready within {self._ready_within_s:g} s")
            self._pause(_LOOK_EVERY_S)

    def _did_not_start(self, worker: Worker, reason: str) -> WorkerDidNotStart:
        tail = run_files.tail_of(worker.log, since=worker.log_begin, lines=_TAIL_LINES)
        return WorkerDidNotStart(worker.role, worker.number, reason, log=worker.log, log_tail=tail)

    def _bury(self, worker: Worker, status: int, now_s: float) -> None:
        if worker.state in ("ready", "unready") and now_s - worker.started_at_s >= STEADY_AFTER_S:
            worker.backoff_s = FIRST_BACKOFF_S
        if worker.process is not None:
            worker.process.kill()  # what it had started, if anything
        self._put_off(worker, "hung, and ended itself" if status == HUNG else f"exit status {status}", now_s)

    def _put_off(self, worker: Worker, why: str, now_s: float) -> None:
        self._forget(worker)
        self._tell(worker, "died", f"{why}; starts again in {worker.backoff_s:g} s; log: {worker.log}")
        worker.process, worker.state = None, "waiting"
        worker.due_at_s = now_s + worker.backoff_s
        worker.backoff_s = min(worker.backoff_s * 2, LONGEST_BACKOFF_S)

    def _end(self, group: Sequence[Worker]) -> None:
        running = [worker for worker in group if worker.process is not None]
        for worker in running:
            if worker.process is not None:
                self._tell(worker, "stopping")
                worker.process.ask_to_stop()
        deadline_s = self._clock_s() + GRACE_S
        for worker in running:
            process = worker.process
            if process is None:
                continue
            while process.ended() is None and self._clock_s() < deadline_s:
                self._pause(_LOOK_EVERY_S)
            in_time = process.ended() is not None
            process.kill()  # what it started goes in any case
            self._forget(worker)
            self._tell(worker, "stopped" if in_time else "killed", "" if in_time else f"no end within {GRACE_S:g} s")
            worker.process = None
        for worker in group:
            worker.state = "stopped"
            self._forget(worker)

    def _watch(self) -> None:
        while not self._ending.wait(_LOOK_EVERY_S):
            self.look()

    def _tell(self, worker: Worker, what: What, detail: str = "") -> None:
        pid = worker.process.pid if worker.process is not None else None
        if what in {"ready", "died", "stopped", "killed"}:
            run_files.write_targets(self._deployment.run_folder)
        self._on_event(Happened(worker.role, worker.number, what, pid, worker.restarts, detail))
