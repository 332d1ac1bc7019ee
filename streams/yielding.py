"""Steps back for the roles that somebody waits for: evaluator and analytics take processor time that nobody else wants first.

In: the role, once its process is ready: a start shall be over soon. Out: every thread of it at a lower priority. Keeps nothing.
Fails with nothing: what the system refuses is logged, and the role runs on as it is.

Linux gives a priority (nice) to each thread, others to the process. And where it groups threads by session (autogroup, on by
default), a priority holds only among the threads of a session: a worker has a session of its own, led by its tether, so that the
session has to step back, too. One that was started by hand shares the session of a terminal, which is not ours to slow down.
"""

import os
import random
import time
from contextlib import suppress
from pathlib import Path

from streams.logs import described, logger

YIELDING = {"evaluator": 10, "analytics": 10}
"""How far a role steps back (nice) where router, generator and broker are on the same machine: nobody waits for its answer."""
_PROCESS = Path("/proc/self")
_NO_TERMINAL = "0"
_TETHER = b"tether.py"
_TAKEN_EVERY_S = 0.1
_TRIES = 20


def step_back(role: str, process: Path = _PROCESS) -> None:
    """Have this process yield as far as its role is to, with the threads that it starts later. ``process``: its folder in /proc."""
    nice = YIELDING.get(role, 0)
    if not nice:
        return
    threads = [int(task.name) for task in (process / "task").glob("[0-9]*")]
    try:
        for thread in threads or [0]:
            with suppress(ProcessLookupError):  # it has ended meanwhile
                os.setpriority(os.PRIO_PROCESS, thread, max(nice, os.getpriority(os.PRIO_PROCESS, thread)))
        group = process / "autogroup"
        if group.exists() and _has_session_of_its_own(process):
            _written(group, max(nice, int(group.read_text(encoding="ascii").split()[-1])))
    except OSError as error:
        logger(role=role).warning("does_not_step_back", error=described(error))


def _written(group: Path, nice: int) -> None:
    """Write a session's priority; Linux takes one from all processes without privileges in a tenth of a second."""
    for tries_left in reversed(range(_TRIES)):
        try:
            group.write_text(str(nice), encoding="ascii")
        except BlockingIOError:
            if not tries_left:
                raise
            time.sleep(random.uniform(_TAKEN_EVERY_S, 3 * _TAKEN_EVERY_S))  # spread: workers do not meet again
        else:
            return


def _has_session_of_its_own(process: Path) -> bool:
    """Whether this process or its tether leads the session, and no terminal belongs to it."""
    _, _, fields = (process / "stat").read_text(encoding="utf-8", errors="replace").rpartition(")")
    _, parent, _, session, terminal = fields.split()[:5]
    if terminal != _NO_TERMINAL:
        return False
    if session == str(os.getpid()):
        return True
    begun_by = (
        process.parent / parent / "cmdline"
    )  # a shell may lead a session without a terminal, and others are in it
    return session == parent and begun_by.exists() and _TETHER in begun_by.read_bytes()
