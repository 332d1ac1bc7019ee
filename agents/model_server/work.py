"""One thread that does all computation, with a bounded queue before it.

In: functions. Out: their results and the CPU time that they took. Kept: how many wait, and how long
one takes on average. Fails: QueueFull at the limit; what a function raises is raised to its caller.

One thread, because then `time.thread_time` measures one answer and nothing else, and an answer's
price does not depend on what else is asked at the same time.
"""

import asyncio
import math
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Generic, TypeVar

import msgspec

T = TypeVar("T")

_SMOOTHING = 0.1


class QueueFull(Exception):
    """As many wait as may; come back after `retry_after_s` seconds."""

    def __init__(self, waiting: int, retry_after_s: int) -> None:
        self.waiting = waiting
        self.retry_after_s = retry_after_s
        super().__init__(f"{waiting} requests wait already")


class Measured(msgspec.Struct, Generic[T], frozen=True):
    """A result and the CPU time of the thread that made it, in seconds."""

    result: T
    cpu_seconds: float


class MeasuringThread:
    """Runs functions one after the other, in the order in which they came."""

    def __init__(self, longest_queue: int) -> None:
        self._longest_queue = longest_queue
        self._executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix="embedded-models")
        self._waiting = 0
        self._mean_s = 0.05

    @property
    def waiting(self) -> int:
        """How many were accepted and are not finished."""
        return self._waiting

    async def run(self, function: Callable[[], T]) -> Measured[T]:
        """Run `function` when its turn comes; if the caller is cancelled before, never.

        Raises QueueFull, and what `function` raises.
        """
        if self._waiting >= self._longest_queue:
            wait_s = max(1, math.ceil(self._mean_s * self._waiting))
            raise QueueFull(self._waiting, wait_s)
        self._waiting += 1
        future: Future[Measured[T]] = self._executor.submit(_measured, function)
        future.add_done_callback(self._finished_in(asyncio.get_running_loop()))
        measured = await asyncio.wrap_future(future)
        self._mean_s += _SMOOTHING * (measured.cpu_seconds - self._mean_s)
        return measured

    def _finished_in(self, loop: asyncio.AbstractEventLoop) -> Callable[[Future[Measured[T]]], None]:
        def finished(_future: Future[Measured[T]]) -> None:
            if not loop.is_closed():
                loop.call_soon_threadsafe(self._leave)

        return finished

    def _leave(self) -> None:
        self._waiting -= 1

    def close(self) -> None:
        """Finish what runs, drop what waits."""
        self._executor.shutdown(wait=True, cancel_futures=True)


def _measured(function: Callable[[], T]) -> Measured[T]:
    started = time.thread_time()
    result = function()
    return Measured(result, time.thread_time() - started)
