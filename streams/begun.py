"""Begins a coroutine here and now, without a task: what does not have to wait is done when this returns.

In: a coroutine that nobody runs yet. Out: what it gave, or an awaitable that goes on with it where it waits. Keeps nothing. An
exception before the first wait is raised here, a later one where it is awaited.

Why not a task: it begins when the event loop comes round again, which is too late where order matters, and costs more than most of
what is begun.
"""

import types
from collections.abc import Coroutine, Generator
from typing import Any, Generic, TypeVar

Result = TypeVar("Result")


class Begun(Generic[Result]):
    """A coroutine that was begun. ``is_done``: it had to wait for nothing, and gave ``result``. To be awaited once."""

    __slots__ = ("_coroutine", "_waits_for", "is_done", "result")

    def __init__(self, coroutine: Coroutine[Any, Any, Result]) -> None:
        self._coroutine = coroutine
        try:
            self._waits_for = coroutine.send(None)
        except StopIteration as done:
            self.is_done = True
            self.result: Result = done.value
        else:
            self.is_done = False

    def __await__(self) -> Generator[Any, Any, Result]:
        """Give the result, waiting where it has to."""
        if self.is_done:
            return self.result
        rest: Generator[Any, Any, Result] = going_on(self._coroutine, self._waits_for)
        return (yield from rest)


@types.coroutine
def going_on(begun: Coroutine[Any, Any, Any], waited_for: Any) -> Generator[Any, Any, Any]:
    """Wait for what a coroutine waits for that was begun outside of a task, and go on with it inside."""
    while True:
        try:
            try:
                given = yield waited_for
            except BaseException as error:  # noqa: BLE001 - a cancellation is the coroutine's to see, as any other
                waited_for = begun.throw(error)
            else:
                waited_for = begun.send(given)
        except StopIteration as done:
            return done.value
