"""Faust's consumer with less work for each event.

In: what aiokafka fetched. Out: the same messages to the same streams. Keeps the assignment as Faust's own kind of partitions.
Fails as Faust does. ``streams.committing`` puts it into the app. What an application's transaction aborted is never handed over,
and what one has not committed yet waits on the broker. Three things, measured at 100 requests a second:

1. Faust 0.15.3 races the handing over of each message against a stop, in four tasks and a wait. Handing over almost never has
   to wait, so it is begun without a task, and only what has to wait is raced.
2. ``assignment()`` makes a set of all partitions anew, and ``Ownership`` asks at each step of an event. It is made once.
3. A role that nobody waits for lets the broker gather what it fetches (``App.gather_ms``): a fetch for each event costs the
   broker more than the event.
"""

import asyncio
import types
from collections.abc import Coroutine, Generator
from typing import Any

from faust.transport import consumer as transport
from faust.transport.drivers import aiokafka as driver
from faust.types import TP
from mode.services import Service, WaitResults

GATHERED_BYTES = 32 * 1024
"""With so much at hand the broker does not wait for more."""


class ConsumerThread(driver.AIOKafkaConsumerThread):
    """Faust's thread with aiokafka's consumer, which reads what is committed, and lets the broker gather."""

    def _create_worker_consumer(self, *arguments: Any, **named: Any) -> Any:
        consumer: Any = super()._create_worker_consumer(*arguments, **named)
        consumer._isolation_level = "read_committed"  # noqa: SLF001 - Faust sets it only with transactions of its own
        gather_ms = getattr(self.app, "gather_ms", 0)
        if gather_ms:
            consumer._fetch_min_bytes = GATHERED_BYTES  # noqa: SLF001 - Faust has no setting for what aiokafka takes
            consumer._fetch_max_wait_ms = gather_ms  # noqa: SLF001
        return consumer


class Racing(Service):
    """A service that races what has to wait, and only that."""

    async def wait_first(self, *coros: Any, timeout: Any = None) -> WaitResults:  # noqa: ASYNC109 - the name is mode's
        """Wait for the first of these, as ``mode.Service`` does, without tasks where the first of two has nothing to wait for."""
        if timeout is None and len(coros) == 2 and asyncio.iscoroutine(coros[0]):  # noqa: PLR2004
            first, other = coros
            try:
                waited_for = first.send(None)
            except BaseException as ended:
                if asyncio.iscoroutine(other):
                    other.close()
                if isinstance(ended, StopIteration):
                    return WaitResults([first], [ended.value], stopped=False)
                raise
            coros = (_rest_of(first, waited_for), other)
        return await super().wait_first(*coros, timeout=timeout)


class Consumer(Racing, driver.Consumer):
    """Faust's consumer with less work for each event."""

    _assigned: tuple[Any, set[TP]] = (None, set())

    def _new_consumer_thread(self) -> ConsumerThread:
        return ConsumerThread(self, loop=self.loop, beacon=self.beacon)

    def assignment(self) -> set[TP]:
        """Give the partitions that this worker has; a new set each time."""
        found = self._thread._ensure_consumer().assignment()  # noqa: SLF001 - aiokafka's own, the same object as long as it holds
        if found is not self._assigned[0]:
            self._assigned = (found, transport.ensure_TPset(found))
        return set(self._assigned[1])


async def _rest_of(begun: Coroutine[Any, Any, Any], waited_for: Any) -> Any:
    return await _going_on(begun, waited_for)


@types.coroutine
def _going_on(begun: Coroutine[Any, Any, Any], waited_for: Any) -> Generator[Any, Any, Any]:
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
