"""Lets few begin at a time: of hundreds of events that come at once each begins work of a millisecond, and all else would wait.

In: who wants to begin. Out: nobody waits while they are few; else so many go on each time the event loop comes round, in the order
in which they came, and fewer where it comes round late. Keeps who waits, and when the loop came round. Cannot fail.

Two traps. One at a time is too few: a busy loop comes round every few milliseconds, so one each time is a hundred a second. Always
the same number is too many: where hundreds of calls end together, the loop comes round late, an answer lies in the socket for
longer than its caller may wait, and what was paid for is called again.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from time import monotonic

LATE_S = 0.02
"""A loop that takes longer to come round has enough to do."""


class Turnstile:
    """One entrance."""

    def __init__(self, at_once: int, *, clock_s: Callable[[], float] = monotonic) -> None:
        """``at_once``: how many may begin each time the event loop comes round, in time."""
        self._at_once = at_once
        self._clock_s = clock_s
        self._left = at_once
        self._comes_round = False
        self._waiting: deque[asyncio.Future[None]] = deque()

    async def enter(self) -> None:
        """Wait for one's turn, where too many begin."""
        self._look_again()
        if self._left and not self._waiting:
            self._left -= 1
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        await turn

    def _look_again(self) -> None:
        if not self._comes_round:
            self._comes_round = True
            asyncio.get_running_loop().call_soon(self._round, self._clock_s())

    def _round(self, before_s: float) -> None:
        self._comes_round = False
        took_s = self._clock_s() - before_s
        most = self._at_once if took_s <= LATE_S else max(1, int(self._at_once * LATE_S / took_s))
        self._left = most
        while self._left and self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():  # who was cancelled takes nobody's turn
                turn.set_result(None)
                self._left -= 1
        if self._left < most:
            self._look_again()
