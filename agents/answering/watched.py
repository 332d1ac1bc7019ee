"""Calls and pauses that the watchdog knows of: a stage that waits for a model within its time does not hang.

In: a call or a pause, and where to note it. Out: the same. Keeps nothing. Fails as what it wraps.
"""

from collections.abc import Awaitable, Callable
from typing import Any

from agents.answering.carrying_out import Call
from agents.answering.provider import Answer
from streams.under_way import CallsUnderWay


def watched_call(call: Call, calls: CallsUnderWay) -> Call:
    """The same calls, known to the watchdog until their time limit."""

    async def known(*words: Any, timeout_s: float, **more: Any) -> Answer:
        with calls.within(timeout_s):
            return await call(*words, timeout_s=timeout_s, **more)

    return known


def watched_pause(
    pause: Callable[[float], Awaitable[None]], calls: CallsUnderWay
) -> Callable[[float], Awaitable[None]]:
    """The same pauses between tries, known to the watchdog."""

    async def known(seconds: float) -> None:
        with calls.within(seconds):
            await pause(seconds)

    return known
