"""Other processes: who is alive, who is who, and how one of them is stopped.

In: process ids. Out: facts from /proc, or from `ps` where there is no /proc. Keeps nothing. A
process that ended is no error but the answer None. A pid alone proves nothing, because the system
gives it away again: `identity` tells two holders of one pid apart.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

_PROC = Path("/proc")
_POLL_S = 0.05


@dataclass(frozen=True, slots=True)
class Completed:
    """What a command gave: exit status (124 for a time-out, 127 for not found) and output."""

    status: int
    stdout: str
    stderr: str


ProcessRunner = Callable[[Sequence[str], float, "dict[str, str] | None"], Completed]
"""(command, time-out in s, variables beside our own) to what it gave. Tests pass a recorder."""


def run_process(command: Sequence[str], timeout_s: float, environment: dict[str, str] | None = None) -> Completed:
    """Run a command to its end, with no standard input. Never raises for its failure."""
    try:
        done = subprocess.run(  # noqa: S603  a list of our own making, no shell
            list(command),
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
            stdin=subprocess.DEVNULL,
            env={**os.environ, **(environment or {})},
        )
    except subprocess.TimeoutExpired:
        return Completed(124, "", f"no answer within {timeout_s:g} s")
    except OSError as error:
        return Completed(127, "", str(error))
    return Completed(done.returncode, done.stdout, done.stderr)


def command_line(pid: int) -> str | None:
    """The command of a living process, its arguments joined by spaces; None if it does not live."""
    if _PROC.joinpath("self").exists():
        try:
            raw = _PROC.joinpath(str(pid), "cmdline").read_bytes()
        except OSError:
            return None
        # A zombie has an empty command line, and is as good as gone.
        return raw.replace(b"\0", b" ").decode(errors="replace").strip() or None
    listed = run_process(["ps", "-p", str(pid), "-o", "command="], 5.0)
    return listed.stdout.strip() or None


def identity(pid: int) -> str | None:
    """What tells this holder of the pid from others: when it started. None if it is dead."""
    if _PROC.joinpath("self").exists():
        try:
            stat = _PROC.joinpath(str(pid), "stat").read_text(errors="replace")
        except OSError:
            return None
        # The name, in brackets, may hold brackets and spaces itself; fields follow the last one.
        fields = stat.rpartition(")")[2].split()
        return None if fields[0] == "Z" else fields[19]
    listed = run_process(["ps", "-p", str(pid), "-o", "lstart="], 5.0)
    return listed.stdout.strip() or None


def processes_with(text: str) -> Iterator[int]:
    """The pids of living processes that have the text in their command line, but not our own."""
    if _PROC.joinpath("self").exists():
        pids = [int(entry.name) for entry in _PROC.iterdir() if entry.name.isdigit()]
    else:
        listed = run_process(["ps", "-axo", "pid="], 5.0)
        pids = [int(word) for word in listed.stdout.split()]
    for pid in pids:
        if pid != os.getpid() and text in (command_line(pid) or ""):
            yield pid


def stop_process(pid: int, *, grace_s: float) -> None:
    """Ask a process to end, and make it after `grace_s`. Returns when it is gone.

    Errors: PermissionError, where the process is another user's.
    """
    born = identity(pid)
    if born is None:
        return
    for sign, patience_s in ((signal.SIGTERM, grace_s), (signal.SIGKILL, 10.0)):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, sign)
        deadline = time.monotonic() + patience_s
        while time.monotonic() < deadline:
            if identity(pid) != born:
                return
            time.sleep(_POLL_S)
