"""What the processes of one machine tell each other in ``var/run``: who runs everything, who is ready, whose file is stale.

In: the run folder. Out: facts. Keeps one lock for as long as a ``Claim`` is held: ``up.lock``, which the kernel releases when its
holder dies, however it dies, so ``up.json`` beside it is only ever believed while the lock is taken. Fails with ``AlreadyRunning``.
"""

import contextlib
import fcntl
import json
import os
import threading
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

from streams.errors import Code, PenstockError

UP_FILE = "up.json"
UP_LOCK = "up.lock"
TARGETS_FILE = "prometheus-targets.json"
_POLL_S = 0.05
_CLAIM_PATIENCE_S = 1.0


class AlreadyRunning(PenstockError):
    """Another living process runs everything on this ``var`` folder; ``pid`` is None where it has not said yet."""

    code = Code.UNCONFIGURED

    def __init__(self, folder: Path, pid: int | None) -> None:
        who = f"Process {pid}" if pid is not None else "Another process"
        super().__init__(
            f"{who} runs Penstock already, on {folder}.",
            remedy="Stop it with `penstock down`, or set PENSTOCK_VAR to another folder.",
        )
        self.pid = pid


class Claim:
    """The right to run everything on one ``var`` folder; released by ``release()``, at the end of the context, or by death."""

    def __init__(self, run_folder: Path) -> None:
        """Take it. ``AlreadyRunning`` where it is taken."""
        run_folder.mkdir(parents=True, exist_ok=True)
        self._folder = run_folder
        self._lock: IO[str] | None = _locked(run_folder)
        if self._lock is None:
            raise AlreadyRunning(run_folder.parent, holder(run_folder))
        replace_json(run_folder / UP_FILE, {"pid": os.getpid(), "started_at_ms": time.time_ns() // 1_000_000})

    def release(self) -> None:
        """Give it back; the second time does nothing."""
        if self._lock is not None:
            (self._folder / UP_FILE).unlink(missing_ok=True)
            self._lock.close()
            self._lock = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.release()


def is_claimed(run_folder: Path) -> bool:
    """Say whether a living process holds the claim of this run folder."""
    if not (run_folder / UP_LOCK).exists():
        return False
    lock = _locked(run_folder, patience_s=0.0)
    if lock is None:
        return True
    lock.close()
    return False


def holder(run_folder: Path) -> int | None:
    """Give the pid in ``up.json``; None where there is none. Believe it only while ``is_claimed``."""
    pid = (read_json(run_folder / UP_FILE) or {}).get("pid")
    return pid if isinstance(pid, int) else None


def ready_pid(path: Path) -> int | None:
    """Give the pid of the process that says in this file that it is ready; None where none does."""
    content = read_json(path)
    if content is None or content.get("ready") is False:
        return None
    pid = content.get("pid")
    return pid if isinstance(pid, int) else None


def why_not_ready(path: Path) -> str:
    """Give what a process says in this file that keeps it from being ready; "" where it says nothing."""
    why = (read_json(path) or {}).get("why_not")
    return why if isinstance(why, str) else ""


def installation(var: Path) -> str:
    """Give the name of what is installed on this ``var`` folder: drawn once, then always the same."""
    path = var / "installation.json"
    found = (read_json(path) or {}).get("id")
    if isinstance(found, str):
        return found
    var.mkdir(parents=True, exist_ok=True)
    drawn = uuid.uuid4().hex[:12]
    replace_json(path, {"id": drawn})
    return drawn


def remove_stale(run_folder: Path, alive: Callable[[int], bool]) -> list[str]:
    """Remove the files of workers, their metrics and the model server whose process is dead; the names removed."""
    removed = []
    patterns = ("worker-*.json", "metrics-*.json", "models.json")
    for path in sorted(path for pattern in patterns for path in run_folder.glob(pattern)):
        pid = (read_json(path) or {}).get("pid")
        if not isinstance(pid, int) or not alive(pid):
            path.unlink(missing_ok=True)
            removed.append(path.name)
    return removed


def read_json(path: Path) -> dict[str, Any] | None:
    """Give the object in a file; None where there is none, or not (yet) a whole one."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return content if isinstance(content, dict) else None


def replace_json(path: Path, content: dict[str, Any] | list[Any]) -> None:
    """Write a file so that a reader sees the old or the new content, never half of one."""
    draft = path.with_suffix(f".{os.getpid()}-{threading.get_native_id()}.partial")
    draft.write_text(json.dumps(content), encoding="utf-8")
    draft.replace(path)


def metrics_file(run_folder: Path, role: str, worker: str) -> Path:
    """Give the path where a worker says on which port its metrics are."""
    return run_folder / f"metrics-{role}-{worker}.json"


def write_targets(run_folder: Path) -> None:
    """Name every worker's metrics port in ``prometheus-targets.json``, as Prometheus' file_sd reads it; without one no file."""
    found = [read_json(path) for path in sorted(run_folder.glob("metrics-*.json"))]
    targets = [
        {"targets": [f"{_reachable(each['host'])}:{each['port']}"], "labels": {"job": "penstock"}}
        for each in found
        if each is not None and {"host", "port"} <= each.keys()
    ]
    if targets:
        replace_json(run_folder / TARGETS_FILE, targets)
    else:
        (run_folder / TARGETS_FILE).unlink(missing_ok=True)


def _reachable(host: str) -> str:
    """The address under which this machine reaches what listens on ``host``."""
    own = "127.0.0.1" if host in {"", "0.0.0.0"} else "::1" if host == "::" else host  # noqa: S104 - compared, not bound
    return f"[{own}]" if ":" in own else own


def rotate(log: Path, *, over_bytes: int) -> None:
    """Move a log that has grown beyond ``over_bytes`` to ``NAME.1``, over the one before."""
    with contextlib.suppress(FileNotFoundError):
        if log.stat().st_size > over_bytes:
            log.replace(log.with_name(log.name + ".1"))


def tail_of(log: Path, *, since: int, lines: int) -> str:
    """Give the last lines of a log, of those written after byte ``since``."""
    try:
        with log.open("rb") as handle:
            handle.seek(max(since, log.stat().st_size - 64 * 1024))
            text = handle.read().decode("utf-8", "replace")
    except OSError:
        return ""
    return "\n".join(text.splitlines()[-lines:])


def _locked(run_folder: Path, *, patience_s: float = _CLAIM_PATIENCE_S) -> IO[str] | None:
    # Patience, because whoever only looks whether the lock is taken holds it for an instant.
    handle = (run_folder / UP_LOCK).open("w", encoding="utf-8")
    deadline = time.monotonic() + patience_s
    while True:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            if time.monotonic() >= deadline:
                handle.close()
                return None
            time.sleep(_POLL_S)
        else:
            return handle
