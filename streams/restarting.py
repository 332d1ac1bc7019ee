"""Rolling restart: every worker is replaced by a fresh process, one after the other, while the others go on.

In: an order in ``var/run/restart.json``, written by ``penstock restart``. Out: fresh workers, and ``var/run/restarted.json``,
which says that it is done, or why not. Keeps nothing else. Fails with ``WorkerDidNotStart``: the old worker stays where the new
one is not ready in time.

A new worker is ready before the old one is asked to stop, so a partition pauses only while it is handed over. What there can be
one of only stops first: analytics owns its DuckDB file, the model server its address.
"""

import threading
import uuid
from collections.abc import Iterable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self

from streams import run_files
from streams.errors import PenstockError

STOP_FIRST = ("models", "analytics")
_LOOK_EVERY_S = 0.2
_ORDER, _ANSWER = "restart.json", "restarted.json"


class Replaceable(Protocol):
    """What a supervisor offers for it."""

    def numbers(self, role: str) -> list[int]:
        """Which workers of a role there are."""

    def add(self, role: str, *, keep_trying: bool = False) -> int:
        """Start one more worker, and return its number when it is ready."""

    def remove(self, role: str, number: int) -> None:
        """Stop a worker for good."""


def replace_workers(workers: Replaceable, roles: Iterable[str]) -> list[str]:
    """Replace every worker of these roles; what replaced what, such as ``router-0 by router-1``."""
    replaced = []
    for role in roles:
        for old in workers.numbers(role):
            if role in STOP_FIRST:
                workers.remove(role, old)
                new = workers.add(role, keep_trying=True)
            else:
                new = workers.add(role)
                workers.remove(role, old)
            replaced.append(f"{role}-{old} by {role}-{new}")
    return replaced


def order(run_folder: Path, roles: Sequence[str]) -> str:
    """Order a restart of these roles; its id, by which the answer is known."""
    identifier = uuid.uuid4().hex
    run_files.replace_json(run_folder / _ORDER, {"id": identifier, "roles": list(roles)})
    return identifier


def answer(run_folder: Path, identifier: str) -> dict[str, Any] | None:
    """Give what came of an order: ``replaced``, and ``error`` (a sentence or None); None where it is not done yet."""
    found = run_files.read_json(run_folder / _ANSWER)
    return found if found is not None and found.get("id") == identifier else None


class RestartDesk:
    """Carries out what is ordered, in a thread of its own, for the time of the context."""

    def __init__(self, run_folder: Path, workers: Replaceable) -> None:
        self._folder = run_folder
        self._workers = workers
        self._enough = threading.Event()
        self._thread = threading.Thread(target=self._work, name="penstock-restarts", daemon=True)

    def __enter__(self) -> Self:
        for name in (_ORDER, _ANSWER):  # what was ordered of a former run is nobody's any more
            (self._folder / name).unlink(missing_ok=True)
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._enough.set()  # one under way ends with the supervisor

    def look(self) -> None:
        """Carry out an order, where there is one."""
        ordered = run_files.read_json(self._folder / _ORDER)
        if ordered is None:
            return
        (self._folder / _ORDER).unlink(missing_ok=True)
        said: dict[str, Any] = {"id": ordered.get("id"), "replaced": [], "error": None}
        try:
            said["replaced"] = replace_workers(self._workers, ordered.get("roles", []))
        except (PenstockError, OSError) as failure:
            said["error"] = str(failure)
        run_files.replace_json(self._folder / _ANSWER, said)

    def _work(self) -> None:
        while not self._enough.wait(_LOOK_EVERY_S):
            self.look()
