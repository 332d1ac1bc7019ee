"""Lanes: who may call a model now, so that one tenant's slow calls never stop another's.

In: events that want a slot, each in the lane of its tenant and its plan's first provider. Out: a slot; or the word that the event's
time is over; or that it is better deferred. Keeps the slots in use and who waits, in memory. Cannot fail.

How it works:

1. A lane may hold slots only while they are fewer than ``GENEROSITY`` times the free ones. Alone it gets ``calls``; whoever comes
   next always finds some free. (Dynamic thresholds of a shared buffer: Choudhury and Hahne, IEEE/ACM ToN 6(2), 1998.)
2. Who does not get one waits in the lane. A freed slot goes to the lane with the fewest slots in use, and there to the first.
3. Waiting holds a place in the generator's one line for all. Once somebody has waited for ``PATIENCE_S``, the lane is slow: who
   may be deferred leaves at once, until a slot is free again when one comes. What was deferred comes back through a topic of
   its own, and waits there; the log is the buffer, not memory.
"""

import asyncio
from collections import deque
from dataclasses import dataclass, field
from enum import Enum
from math import ceil

GENEROSITY = 4
PATIENCE_S = 2.0

Lane = tuple[str, str]
"""(tenant, provider)."""


class Turn(Enum):
    """What became of waiting: only ``NOW`` holds a slot, which must be given back."""

    NOW = "now"
    LATE = "late"
    """The time is over."""
    DEFERRED = "deferred"
    """The lane is slow; wait elsewhere."""


@dataclass
class _Line:
    in_use: int = 0
    waiting: deque[asyncio.Future[None]] = field(default_factory=deque)
    slow: bool = False


class Lanes:
    """The slots of one worker."""

    def __init__(self, calls: int, *, patience_s: float = PATIENCE_S) -> None:
        """``calls``: how many slots one lane gets where it is alone."""
        self.slots = calls + ceil(calls / GENEROSITY)
        self._calls = calls
        self._patience_s = patience_s
        self._lines: dict[Lane, _Line] = {}
        self._in_use = 0

    @property
    def in_use(self) -> int:
        """Slots in use."""
        return self._in_use

    @property
    def waiting(self) -> int:
        """How many wait for a slot."""
        return sum(len(line.waiting) for line in self._lines.values())

    async def enter(self, lane: Lane, *, within_s: float, may_defer: bool) -> Turn:
        """Wait for a slot for at most ``within_s`` seconds; ``may_defer`` says whether waiting elsewhere is possible."""
        line = self._lines.setdefault(lane, _Line())
        if not line.waiting and self._may_have(line):
            line.slow = False
            self._take(line)
            return Turn.NOW
        if within_s <= 0:
            self._forget(lane, line)
            return Turn.LATE
        if may_defer and line.slow:
            return Turn.DEFERRED
        patience_s = self._patience_s if may_defer else within_s
        if await self._granted(lane, line, min(within_s, patience_s)):
            return Turn.NOW
        if within_s <= patience_s:
            return Turn.LATE
        line.slow = True
        return Turn.DEFERRED

    def leave(self, lane: Lane) -> None:
        """Give a slot back."""
        line = self._lines[lane]
        line.in_use -= 1
        self._in_use -= 1
        self._grant()
        self._forget(lane, line)

    def _may_have(self, line: _Line) -> bool:
        return line.in_use < min(self._calls, GENEROSITY * (self.slots - self._in_use))

    def _take(self, line: _Line) -> None:
        line.in_use += 1
        self._in_use += 1

    def _grant(self) -> None:
        while True:
            able = [line for line in self._lines.values() if line.waiting and self._may_have(line)]
            if not able:
                return
            line = min(able, key=lambda each: each.in_use)
            self._take(line)
            line.waiting.popleft().set_result(None)

    async def _granted(self, lane: Lane, line: _Line, within_s: float) -> bool:
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        line.waiting.append(turn)
        try:
            await asyncio.wait((turn,), timeout=within_s)
        except asyncio.CancelledError:
            if turn.done():
                self.leave(lane)
            raise
        finally:
            if not turn.done():
                line.waiting.remove(turn)
                self._forget(lane, line)
        return turn.done()

    def _forget(self, lane: Lane, line: _Line) -> None:
        if not line.in_use and not line.waiting and self._lines.get(lane) is line:
            del self._lines[lane]
