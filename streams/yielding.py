"""Which roles step back for others on the same processors: nobody waits for what evaluator and analytics do.

In: a role, in its own process. Out: that process at a lower priority. Keeps nothing. Fails never: where a system knows no
priorities, or has them elsewhere (the CPU shares of a container), nothing changes.

Linux may share the processor between sessions first and only then within each (``sched_autogroup_enabled``). A worker is a session
of its own, so that ``nice`` alone weighs it against nobody but its own threads; the weight of its session counts.
"""

import os
from contextlib import suppress
from pathlib import Path

YIELDING = {"evaluator": 10, "analytics": 10}
"""How far a role steps back, in steps of nice: 10 leaves it a tenth of a processor that others want whole."""
OF_THE_SESSION = Path("/proc/self/autogroup")


def step_back(role: str, *, of_the_session: Path = OF_THE_SESSION) -> None:
    """Lower the priority of this process, and that of its session where it has one to itself."""
    steps = YIELDING.get(role, 0)
    if not steps:
        return
    os.nice(steps)
    if os.getsid(0) == os.getpid():  # begun in a terminal, the session is everybody's
        with suppress(OSError):  # no such kernel, or asked too often: nice alone
            of_the_session.write_text(str(steps))
