"""A process that ends when its owner does, however the owner ends.

In: a command, its environment, its log file, and the program that holds the tether. Out: a running process with its pid. Keeps the
pipe whose closing is the order to end. Fails with ``OSError`` where nothing can be started.
"""

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Protocol


class Process(Protocol):
    """A started process, as the supervisor needs it."""

    @property
    def pid(self) -> int:
        """Its process id, which its run file names too."""

    def ended(self) -> int | None:
        """Its exit status once it has ended, else None."""

    def ask_to_stop(self) -> None:
        """Send SIGTERM; again and again does no harm."""

    def kill(self) -> None:
        """Send SIGKILL to it and all that it started."""


Starter = Callable[[Sequence[str], Mapping[str, str], Path], Process]
"""(command, environment, log file) to a started process. Tests pass a fake."""


class TetheredProcess:
    """A command under ``tether`` (infra/tether.py), in a process group of its own."""

    def __init__(self, command: Sequence[str], environment: Mapping[str, str], log: Path, *, tether: Path) -> None:
        """Start it; its output is appended to ``log``. ``OSError`` where it cannot be started."""
        with log.open("ab") as output:
            self._tether = subprocess.Popen(  # noqa: S603 - our own interpreter, a list, no shell
                [sys.executable, "-I", str(tether), *command],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=output,
                env=dict(environment),
                start_new_session=True,
            )
        line = b""
        if self._tether.stdout is not None:
            with self._tether.stdout as said:
                line = said.readline()
        self._pid = int(line) if line.strip().isdigit() else self._tether.pid

    @property
    def pid(self) -> int:
        """The command's process id, not the tether's."""
        return self._pid

    def ended(self) -> int | None:
        """The command's exit status once it and its tether have ended."""
        return self._tether.poll()

    def ask_to_stop(self) -> None:
        """Close the tether's pipe: it sends SIGTERM to the command."""
        if self._tether.stdin is not None:
            with contextlib.suppress(OSError):
                self._tether.stdin.close()

    def kill(self) -> None:
        """Kill the whole group."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._tether.pid, signal.SIGKILL)
        self._tether.wait()
        self.ask_to_stop()  # closes our end of the pipe
