"""A program that ends with whoever started it, even if that one is killed with -9.

    python infra/tether.py COMMAND ARGUMENT ...

In: the command, and a pipe on standard input that the owner holds open and never writes to. Out: the
command's pid, one line on standard output; then the command's exit status as its own. Keeps nothing.

It ends the command, by SIGTERM and after 15 s by SIGKILL, when the pipe closes (the owner stopped us,
or died) or when its parent is another than at the start (a forked child of the owner may still hold
the pipe). Linux kills the command should this program itself be killed. Why not only the latter, from
the owner: Linux sends that signal when the owner's *thread* ends, and who starts a broker from a
thread of a pool would lose it.

It imports the standard library only and is started as a file, so that it costs milliseconds.
"""

from __future__ import annotations

import ctypes
import os
import select
import signal
import subprocess
import sys
from types import FrameType

_PR_SET_PDEATHSIG = 1
_LOOK_EVERY_S = 0.5
_GRACE_S = 15.0


def _die_with_tether() -> None:
    """Runs in the child before the command: the kernel's own tether, as a second one."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _wait_for_end_of_owner_or_command(command: subprocess.Popen[bytes], owner: int) -> None:
    while command.poll() is None and os.getppid() == owner:
        readable, _, _ = select.select([0], [], [], _LOOK_EVERY_S)
        if readable and not os.read(0, 4096):
            return


def main(arguments: list[str]) -> int:
    """Run the command until it or its owner ends; its exit status."""
    owner = os.getppid()
    command = subprocess.Popen(  # noqa: S603  the owner's own command
        arguments,
        stdin=subprocess.DEVNULL,
        stdout=sys.stderr.fileno(),
        preexec_fn=_die_with_tether,  # noqa: PLW1509  this program has one thread
    )

    def stop(_signal: int, _frame: FrameType | None) -> None:
        command.terminate()

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    sys.stdout.write(f"{command.pid}\n")
    sys.stdout.flush()
    _wait_for_end_of_owner_or_command(command, owner)
    if command.poll() is None:
        command.terminate()
    try:
        return command.wait(_GRACE_S)
    except subprocess.TimeoutExpired:
        command.kill()
        return command.wait()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
