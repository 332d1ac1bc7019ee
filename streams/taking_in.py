"""Faust's consumer with less work for each event.

In: what aiokafka fetched. Out: the same messages to the same streams. Keeps the assignment as Faust's own kind of partitions.
Fails as Faust does. ``streams.committing`` puts it into the app. What an application's transaction aborted is never handed over,
and what one has not committed yet waits on the broker. Four things, measured at 100 requests a second:

1. Faust 0.15.3 races the handing over of each message against a stop, in four tasks and a wait. Handing over almost never has
   to wait, so it is begun without a task, and only what has to wait is raced.
2. ``assignment()`` makes a set of all partitions anew, and ``Ownership`` asks at each step of an event. It is made once.
3. A role that nobody waits for lets the broker gather what it fetches (``App.gather_ms``): a fetch for each event costs the
   broker more than the event.
4. aiokafka's consumer runs in the app's own event loop, not in a thread of its own (``ConsumerThread``).
"""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

from faust.transport import consumer as transport
from faust.transport.drivers import aiokafka as driver
from faust.types import TP
from mode.services import Service, WaitResults
from mode.utils.futures import maybe_async

from streams.begun import going_on

GATHERED_BYTES = 32 * 1024
"""With so much at hand the broker does not wait for more."""


class ConsumerThread(driver.AIOKafkaConsumerThread):
    """What Faust keeps aiokafka's consumer in: no thread here, but the app's own event loop. It reads what is committed, gathered.

    In a thread of its own every fetch and every commit crosses over and back: two wake-ups, a queue, and two threads of which one
    may run at a time. What a thread is for, heartbeats while the app's loop is blocked, keeps partitions with a worker that does
    not get on; without them they are another's after the session's timeout.
    """

    def __init__(self, consumer: Any, *, loop: asyncio.AbstractEventLoop, beacon: Any) -> None:
        super().__init__(consumer, loop=loop, thread_loop=loop, beacon=beacon)

    async def start(self) -> None:
        """Start in this loop."""
        self._thread_started.set()
        await self._default_start()
        await self.on_thread_started()

    async def stop(self) -> None:
        """Stop; what Faust has a thread do at its end."""
        if self._started.is_set() and not self._stopped.is_set():
            self._stopped.set()
            await self.on_stop()
            await self._shutdown_thread()
            await self.on_shutdown()

    async def call_thread(self, fun: Callable[..., Awaitable[Any]], *arguments: Any, **named: Any) -> Any:
        """Call it here."""
        return await maybe_async(fun(*arguments, **named))

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
    return await going_on(begun, waited_for)
