"""Lets few begin at a time: of hundreds of events that come at once each begins work of a millisecond, and all else would wait.

In: who wants to begin. Out: nobody waits while they are few; else so many go on each time the event loop comes round, in the order
in which they came. Keeps who waits. Cannot fail.

Trap: one at a time is too few. A busy loop comes round every few milliseconds, so one each time is a hundred a second.
"""

import asyncio
from collections import deque


class Turnstile:
    """One entrance."""

    def __init__(self, at_once: int) -> None:
        """``at_once``: how many may begin each time the event loop comes round."""
        self._at_once = at_once
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
            asyncio.get_running_loop().call_soon(self._round)

    def _round(self) -> None:
        self._comes_round = False
        self._left = self._at_once
        while self._left and self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():  # who was cancelled takes nobody's turn
                turn.set_result(None)
                self._left -= 1
        if self._left < self._at_once:
            self._look_again()
