"""What a worker does when partitions come and go: finishes, commits, leaves at once, and knows how long they are its own.

In: Faust's callbacks. Out: an app (``App``) whose partitions pause as shortly as may be. Keeps when the group's coordinator was
last heard. Fails as Faust does.

1. Partitions go: nothing more is taken in, what is under way may finish for ``REBALANCE_GRACE_S``, or where the role keeps tables
   for ``TABLES_GRACE_S``, what is done is committed. What is cut off comes again elsewhere: of a generator, a call paid again.
2. The worker stops: the same for ``STOP_GRACE_S``; then it leaves the group, before Faust takes its services down, so that the
   other workers need not wait for that. A static member (``PENSTOCK_INSTANCE``) leaves too, which aiokafka would not do.
3. The worker starts: it joins the group when it is prepared for its first event, so that no partition waits for that.
4. The lease: the coordinator keeps a worker's partitions for the session's timeout since the last heartbeat it got. Once that has
   passed, they may be another's, whatever Faust believes; ``holds_lease`` says so without asking anybody. A process that stood
   still longer (SIGSTOP, then SIGCONT) ends before it sends a byte: ``end_if_lapsed``.

The operator's trap: a frozen machine sends no SIGCONT. What such a process had handed to its producer but not to the network
before it froze is sent when it thaws; everything after that waits for the lease.
"""

import gc
import os
from collections.abc import Awaitable, Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import cached_property
from time import monotonic
from types import FrameType
from typing import Any, ClassVar

from faust.tables import TableManager
from faust.transport.drivers import aiokafka as driver
from faust.types import TransportT

from streams import taking_in
from streams.buffering import BufferingApp
from streams.committing import Consumer as CommittingConsumer

REBALANCE_GRACE_S = 0.2
TABLES_GRACE_S = 1.5
"""Half of what a join or a leave may pause the partitions of a role with tables; with nothing under way it ends at once."""
STOP_GRACE_S = 5.0
FETCH_WAIT_MS = 100
"""How long the broker holds a fetch that finds nothing; other requests on the connection wait behind it."""
STOOD_STILL = 75
"""The exit status of a process that stood still for longer than its partitions are kept for it."""


class Thread(taking_in.ConsumerThread):
    """Faust's thread for aiokafka's consumer, which notes when the coordinator was heard."""

    heard_s = 0.0

    async def on_start(self) -> None:
        """Start, and listen to the heartbeats."""
        await super().on_start()
        coordinator: Any = self._ensure_consumer()._coordinator  # noqa: SLF001 - aiokafka tells nobody of its heartbeats
        beat = coordinator._do_heartbeat  # noqa: SLF001

        async def noted() -> bool:
            begun_s = monotonic()
            heard: bool = await beat()
            if heard:
                self.heard_s = begun_s
            return heard

        coordinator._do_heartbeat = noted  # noqa: SLF001

    async def leave(self) -> None:
        """Leave the group now, a static member too."""
        await self.call_thread(self._leave)

    async def _leave(self) -> None:
        coordinator: Any = self._ensure_consumer()._coordinator  # noqa: SLF001 - the consumer itself closes too late
        coordinator._group_instance_id = None  # noqa: SLF001 - it is what keeps a member from leaving
        await coordinator.close()

    def _create_worker_consumer(self, *arguments: Any, **named: Any) -> Any:
        consumer = super()._create_worker_consumer(*arguments, **named)
        consumer._fetch_max_wait_ms = min(consumer._fetch_max_wait_ms, FETCH_WAIT_MS)  # noqa: SLF001 - Faust has no setting for it
        return consumer


class Consumer(CommittingConsumer):
    """The consumer on our thread."""

    _thread: Thread

    def _new_consumer_thread(self) -> Thread:
        return Thread(self, loop=self.loop, beacon=self.beacon)

    async def on_partitions_assigned(self, assigned: Iterable[Any], generation_id: int = 0) -> None:
        """Partitions came, so the coordinator was heard."""
        self._thread.heard_s = monotonic()
        await super().on_partitions_assigned(set(assigned), generation_id)

    def unheard_s(self) -> float:
        """For how long the coordinator was not heard."""
        return monotonic() - self._thread.heard_s

    async def leave(self) -> None:
        """Leave the group now."""
        await self._thread.leave()


class Transport(driver.Transport):
    """Faust's transport with our consumer."""

    Consumer: ClassVar[Any] = Consumer


class Tables(TableManager):
    """Faust's tables, which join the group when the worker is prepared for its first event, and not a second later."""

    async def on_start(self) -> None:
        """Prepare; then have the consumer subscribe."""
        app: Any = self.app
        await app.prepare()
        gc.collect()
        gc.freeze()  # Faust collects garbage for each table in each rebalance, while the partitions pause
        if not self.should_stop:
            await self._update_channels()
            await self.recovery.start()


async def _nothing() -> None:
    """Prepare nothing."""


class App(BufferingApp):
    """Faust's app with our transport."""

    gather_ms = 0
    """How long the broker may gather what this app fetches, and its producer what it publishes."""

    prepare: Callable[[], Awaitable[None]] = staticmethod(_nothing)
    """Awaited before this worker joins its group: partitions must not wait for it."""
    when_settled: Callable[[int], None] = staticmethod(lambda _partitions: None)
    """Told the number of partitions when a rebalance is over and they are being consumed."""

    finishing = False
    """Whether nothing more is taken in, but what is under way may still write."""
    _was_settled = False
    _held_back = 0
    _generation = 0
    """Counts the times that partitions went; what was held back before counts for nothing afterwards."""

    @contextmanager
    def held_back(self) -> Iterator[None]:
        """Say of an event that nothing was begun for it: who finishes does not wait for it."""
        generation = self._generation
        self._held_back += 1
        try:
            yield
        finally:
            if generation == self._generation:
                self._held_back -= 1

    def begun(self) -> int:
        """How many events are under way for which something was begun."""
        consumer: Any = self.consumer
        return int(max(0, consumer.under_way() - self._held_back))

    def begin_anew(self) -> None:
        """Partitions went: what was under way comes again, and is counted again."""
        self._held_back = 0
        self._generation += 1

    def holds_lease(self) -> bool:
        """Whether nobody else can have been given our partitions."""
        return bool(self.consumer.unheard_s() < self._session_s)

    @cached_property
    def _session_s(self) -> float:
        """The session's timeout, in seconds; Faust works its settings out anew each time they are asked for."""
        return float(self.conf.broker_session_timeout)

    def is_settled(self) -> bool:
        """Whether no rebalance is under way, and the tables are complete."""
        return bool(not self.rebalancing and self.tables.actives_ready and self.flow_control.is_active())

    def end_if_lapsed(self, _number: int = 0, _frame: FrameType | None = None) -> None:
        """End this process at once where it stood still for longer than its partitions were kept for it."""
        if self._consumer is not None and self._assignment and not self.holds_lease():
            os.write(
                2,
                b"This process stood still for longer than its partitions are kept for it. It ends: start it again.\n",
            )
            os._exit(STOOD_STILL)

    def on_rebalance_start(self) -> None:
        """Note whether the tables were complete: only then may what is under way still write."""
        self._was_settled = self.is_settled()
        super().on_rebalance_start()

    def on_rebalance_end(self) -> None:
        """Say that the partitions are being consumed."""
        super().on_rebalance_end()
        self.when_settled(len(self._assignment or ()))

    async def finish_before_rebalance(self) -> None:
        """Take nothing more in, let what is under way finish for a while, and commit."""
        if self.should_stop:
            self.finishing = False
            return
        await self._finish(TABLES_GRACE_S if self.tables.data else REBALANCE_GRACE_S, may_write=self._was_settled)

    async def _finish(self, within_s: float, *, may_write: bool) -> None:
        consumer: Any = self.consumer
        consumer.stop_flow()
        self.flow_control.suspend()
        consumer.pause_partitions(consumer.assignment())
        self.flow_control.clear()
        self.finishing = may_write
        try:
            await consumer.finish(within_s)
        finally:
            self.finishing = False
        await consumer.conclude()

    async def _stop_consumer(self) -> None:
        consumer: Any = self._consumer
        if consumer is not None and self._assignment:
            await self._finish(STOP_GRACE_S, may_write=self.is_settled())
            consumer.disown()
            await consumer.leave()
        await super()._stop_consumer()

    def _on_rebalance_when_stopped(self) -> None:
        """Let go: we leave the group as soon as we have finished."""

    def _new_transport(self) -> TransportT:
        return Transport(self.conf.broker_consumer, self)
