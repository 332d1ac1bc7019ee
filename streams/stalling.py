"""Whether a stage hangs: it holds lag, makes no progress, and nothing excuses it. Pure.

In: one look after another: the lag, a fingerprint of all that counts as progress, an excuse. Out: for how long the stage has stood
still, and whether that is too long. Keeps the last fingerprint and two sums of seconds. Cannot fail.

What begins the count anew: no lag; lag that is not known (the broker does not answer: nobody could progress, and after an outage a
stage gets the whole time again); progress; an excuse. Time that passed between two looks counts for at most ``LONGEST_STEP_S``: a
process that was stopped (SIGSTOP, a suspended machine) has not had the time to do anything.

An unsettled stage (it waits for its partitions, recovers its tables, reads what it needs first) gets ``UNSETTLED_TIMES`` as long.
"""

from collections.abc import Hashable
from dataclasses import dataclass

LONGEST_STEP_S = 5.0
UNSETTLED_TIMES = 8
_NEVER = object()


@dataclass(frozen=True)
class Look:
    """How a stage is at a moment. ``lag`` None: not known. ``excuse`` "": none."""

    lag: int | None
    progress: Hashable
    excuse: str = ""
    settled: bool = True


class Standstill:
    """Adds up for how long a stage has stood still."""

    def __init__(self, after_s: float) -> None:
        self.seconds = 0.0
        """With lag, without progress, without excuse."""
        self.since_progress_s = 0.0
        """With lag, without progress, excused or not, the lag known or not."""
        self._after_s = after_s
        self._progress: Hashable = _NEVER

    def look(self, look: Look, passed_s: float) -> bool:
        """Take in a look that comes ``passed_s`` after the one before; whether the stage hangs."""
        passed_s = min(passed_s, LONGEST_STEP_S)
        if look.progress != self._progress or look.lag == 0:
            self._progress = look.progress
            self.seconds = self.since_progress_s = 0.0
            return False
        self.since_progress_s += passed_s
        if look.lag is None or look.excuse:
            self.seconds = 0.0
            return False
        self.seconds += passed_s
        return self.seconds >= self._after_s * (1 if look.settled else UNSETTLED_TIMES)
