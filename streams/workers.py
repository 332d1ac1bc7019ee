"""What a supervisor knows of a worker, and how a worker is started.

In: a deployment, a role and a number. Out: the command and the environment of its process; how it is and what happened to it, as
others are told. Keeps: ``Worker``, the supervisor's own entry of it, and nothing besides. Fails with ``WorkerDidNotStart``, which
carries the end of the log.
"""

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from streams.deployment import Deployment
from streams.errors import Code, PenstockError
from streams.tethered import Process

FIRST_BACKOFF_S = 0.5
"""The pause before the first start after a death."""

State = Literal["starting", "ready", "unready", "waiting", "stopped"]
What = Literal["starting", "ready", "unready", "died", "stopping", "stopped", "killed"]


class WorkerDidNotStart(PenstockError):
    """A worker ended, or was not ready in time; ``log_tail`` is the end of its log."""

    code = Code.UNCONFIGURED

    def __init__(self, role: str, number: int, reason: str, *, log: Path, log_tail: str) -> None:
        said = f"\n{log_tail}" if log_tail else ""
        super().__init__(
            f"Worker {number} of the {role} {reason}.{said}",
            remedy=f"Its log is {log}; `penstock doctor` names what is missing on this machine.",
        )
        self.role = role
        self.log_tail = log_tail


@dataclass(frozen=True)
class Happened:
    """Something that happened to a worker; ``pid`` is None where it has none at the moment."""

    role: str
    number: int
    what: What
    pid: int | None
    restarts: int
    detail: str = ""


@dataclass(frozen=True)
class Status:
    """How a worker is; ``unready`` was ready and does not consume now, ``waiting`` is between its death and its next start."""

    role: str
    number: int
    state: State
    pid: int | None
    restarts: int


@dataclass
class Worker:
    """A worker as its supervisor keeps it: one place among the roles, whichever process fills it."""

    role: str
    number: int
    log: Path
    run_file: Path
    process: Process | None = None
    state: State = "stopped"
    restarts: int = 0
    log_begin: int = 0
    backoff_s: float = FIRST_BACKOFF_S
    started_at_s: float = 0.0
    due_at_s: float = 0.0

    def status(self) -> Status:
        """How it is."""
        pid = self.process.pid if self.process is not None else None
        return Status(self.role, self.number, self.state, pid, self.restarts)


def environment_of(
    deployment: Deployment, number: int, environ: Mapping[str, str], *, installation: str | None = None
) -> dict[str, str]:
    """Give the variables under which a worker sees the same deployment, whatever it was made from here.

    ``installation`` makes it a static member of its group: started again, it has its partitions back at once.
    """
    variables = dict(environ)
    instance = f"{installation}-{number}" if installation else deployment.instance
    for name, value in deployment.model_copy(update={"worker": str(number), "instance": instance}):
        variable = f"PENSTOCK_{name.upper()}"
        variables.pop(variable, None)
        if value is not None:
            variables[variable] = str(value)
    return variables


def worker_command(role: str) -> list[str]:
    """Give the command that runs one role in the foreground."""
    return [sys.executable, "-m", "streams.worker", role]
