"""Waiting in tests: for a condition, with a deadline. The one place that may call time.sleep."""

from __future__ import annotations

import asyncio
import inspect
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

T = TypeVar("T")

_POLL_S = 0.02


def eventually(
    condition: Callable[[], T],
    within_s: float = 10.0,
    *,
    describe: str | None = None,
    every_s: float = _POLL_S,
) -> T:
    """Call `condition` until it gives something true; that value. ``every_s``: the pause, for a condition that costs something.

    Errors: AssertionError after `within_s`, with the last value, or the last AssertionError that
    the condition raised itself. Any other exception leaves at once.
    """
    deadline = time.monotonic() + within_s
    while True:
        last, failure = _ask(condition)
        if last:
            return last
        if time.monotonic() >= deadline:
            _give_up(condition, within_s, last, failure, describe)
        time.sleep(every_s)


async def eventually_async(
    condition: Callable[[], T | Awaitable[T]],
    within_s: float = 10.0,
    *,
    describe: str | None = None,
) -> T:
    """The same inside an event loop; the condition may be a coroutine function."""
    deadline = time.monotonic() + within_s
    while True:
        failure: AssertionError | None = None
        last: T | None = None
        try:
            given = condition()
            last = await given if inspect.isawaitable(given) else given
        except AssertionError as error:
            failure = error
        if last:
            return last
        if time.monotonic() >= deadline:
            _give_up(condition, within_s, last, failure, describe)
        await asyncio.sleep(_POLL_S)


def _ask(condition: Callable[[], T]) -> tuple[T | None, AssertionError | None]:
    try:
        return condition(), None
    except AssertionError as error:
        return None, error


def _give_up(
    condition: object,
    within_s: float,
    last: object,
    failure: AssertionError | None,
    describe: str | None,
) -> None:
    what = describe or getattr(condition, "__name__", repr(condition))
    raise AssertionError(f"{what}: not within {within_s:g} s, the last value was {last!r}") from failure
