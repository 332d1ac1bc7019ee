"""Which offsets may be committed: never past an event that is still being handled.

In: the offsets acknowledged and those under way in a partition. Out: the offset to commit. Keeps nothing. Cannot fail. ``Consumer``
and ``Transport`` put it into Faust.

Why not Faust's own: with several events in flight, Faust 0.15.3 takes what was acknowledged for contiguous with what was
committed when one event is missing in between (committed 10; 11 and 12 acknowledged; commits 13, and event 10 is lost if the
process dies), and takes anything for contiguous while nothing was committed yet. The messages under way are known, so no guess
from gaps is needed.
"""

from collections.abc import Iterable
from typing import Any, ClassVar

from faust.transport.drivers import aiokafka as driver
from faust.types import TP, TransportT

from streams import taking_in
from streams.buffering import BufferingApp


def committable(acknowledged: Iterable[int], under_way: Iterable[int]) -> tuple[list[int], int | None]:
    """Give the acknowledged offsets below everything that is under way, and the offset to commit for them (None: nothing).

    Offsets that were never delivered (compacted away, transaction markers) hold nothing up.
    """
    limit = min(under_way, default=None)
    done = sorted(offset for offset in acknowledged if limit is None or offset < limit)
    return done, done[-1] + 1 if done else None


class Consumer(taking_in.Consumer):
    """Faust's consumer, committing by ``committable``."""

    def _new_offset(self, tp: TP) -> int | None:
        committed = self._committed_offset[tp] or 0
        under_way = [m.offset for m in list(self._unacked_messages) if m.tp == tp and m.offset >= committed]
        done, offset = committable(self._acked[tp], under_way)
        finished = set(done)
        self._acked[tp][:] = [each for each in self._acked[tp] if each not in finished]
        self._acked_index[tp].difference_update(finished)
        return offset

    async def _add_gap(self, tp: TP, offset_from: int, offset_to: int) -> None:
        """Collect no gaps: ``committable`` needs none, and where every second offset is a transaction's marker they are endless."""

    def hold(self, partitions: Iterable[TP]) -> None:
        """Fetch no more of these partitions; call it again now and then, because a rebalance lets all go.

        What was fetched already is still handed over. Faust's ``pause_partitions`` drops it: read past, and never seen again.
        """
        for tp in partitions:
            self.on_buffer_full(tp)

    def let_go(self, partitions: Iterable[TP]) -> None:
        """Fetch these partitions again."""
        for tp in partitions:
            self.on_buffer_drop(tp)


class Transport(driver.Transport):
    """Faust's transport with our consumer."""

    Consumer: ClassVar[Any] = Consumer


class App(BufferingApp):
    """Faust's app with our transport."""

    gather_ms = 0
    """How long the broker may gather what this app fetches, and its producer what it publishes."""

    def _new_transport(self) -> TransportT:
        return Transport(self.conf.broker_consumer, self)
