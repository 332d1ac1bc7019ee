"""Calls under way and until when they may take: what tells a stage that waits from one that hangs.

In: how long a call may take. Out: whether any is still within its deadline. Keeps the deadlines of calls under way. Cannot
fail; it may be asked from any thread.
"""

import itertools
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager


class CallsUnderWay:
    """The calls of one process to something slow: a model, a database."""

    def __init__(self, clock_s: Callable[[], float] = time.monotonic) -> None:
        self._clock_s = clock_s
        self._numbers = itertools.count()
        self._deadlines: dict[int, float] = {}

    @contextmanager
    def within(self, seconds: float) -> Iterator[None]:
        """Say that what happens in this context may take so long."""
        number = next(self._numbers)
        self._deadlines[number] = self._clock_s() + seconds
        try:
            yield
        finally:
            del self._deadlines[number]

    def any_in_time(self) -> bool:
        """Say whether a call is under way whose deadline has not passed."""
        now = self._clock_s()
        return any(deadline >= now for deadline in list(self._deadlines.values()))
