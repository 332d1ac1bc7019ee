"""Which offsets may be committed: never past an event that is still being handled, and only for events of this generation.

In: the offsets acknowledged and those under way in a partition. Out: the offset to commit. Keeps what Faust's consumer keeps.
Cannot fail. ``Consumer`` puts it into Faust.

Why not Faust's own: with several events in flight, Faust 0.15.3 takes what was acknowledged for contiguous with what was
committed when one event is missing in between (committed 10; 11 and 12 acknowledged; commits 13, and event 10 is lost if the
process dies), and takes anything for contiguous while nothing was committed yet. The messages under way are known, so no guess
from gaps is needed.

A generation ends with a rebalance, or with this worker. What was under way then comes again, here or elsewhere, so its
acknowledgement no longer counts: Faust acknowledges also what is cancelled when it stops, and would commit it.
"""

import asyncio
from collections.abc import Iterable, Mapping
from contextlib import suppress
from time import monotonic
from typing import Any

from faust.types import TP

from streams import taking_in

_LOOK_EVERY_S = 0.01
_PUBLISHED_WITHIN_S = 2.0
_COMMIT_WITHIN_S = 1.0
_NOTHING_TO_FETCH_S = 0.05
_FETCH_AGAIN_S = 0.1


def committable(acknowledged: Iterable[int], under_way: Iterable[int]) -> tuple[list[int], int | None]:
    """Give the acknowledged offsets below everything that is under way, and the offset to commit for them (None: nothing).

    Offsets that were never delivered (compacted away, transaction markers) hold nothing up.
    """
    limit = min(under_way, default=None)
    done = sorted(offset for offset in acknowledged if limit is None or offset < limit)
    return done, done[-1] + 1 if done else None


class Consumer(taking_in.Consumer):
    """Faust's consumer, committing by ``committable``, finishing before partitions go, and never asleep when they come."""

    async def finish(self, within_s: float) -> None:
        """Wait for what was begun, at most so long."""
        deadline_s = monotonic() + within_s
        while self.app.begun() and monotonic() < deadline_s:  # noqa: ASYNC110 - Faust's event for it is one waiter's only
            await asyncio.sleep(_LOOK_EVERY_S)

    async def conclude(self) -> None:
        """Wait until the broker has what was published and kept, and commit what is done.

        Whoever gets the partitions reads the changelog as far as it reaches then: what came later would be unknown to it, and
        done again. A broker that is away gives no partition to anybody else meanwhile.
        """
        with suppress(TimeoutError):
            await asyncio.wait_for(self.app.producer.flush(), _PUBLISHED_WITHIN_S)
        with suppress(TimeoutError):
            await asyncio.wait_for(self._commit_now(), _COMMIT_WITHIN_S)

    def under_way(self) -> int:
        """How many events are being handled."""
        return sum(not message.acked for message in list(self._unacked_messages))

    def disown(self) -> None:
        """Let the acknowledgement of what is under way count for nothing: it comes again, here or elsewhere."""
        for message in list(self._unacked_messages):
            message.acked = True
        self._unacked_messages.clear()
        self._acked.clear()
        self._acked_index.clear()
        self.app.begin_anew()

    async def on_partitions_revoked(self, revoked: set[TP]) -> None:
        """Finish what is nearly done and commit it, before another worker gets the rest again."""
        if revoked:
            await self.app.finish_before_rebalance()
        await super().on_partitions_revoked(revoked)
        self.disown()

    async def _commit_now(self) -> None:
        if not await self.commit():  # it says so where another one was under way
            await self.commit()

    async def _commit_offsets(self, offsets: Mapping[TP, int], start_new_transaction: bool = True) -> bool:
        """Commit, without Faust's table of it for a log that nobody reads, and without waiting for what is being published.

        An event is acknowledged when what it published is confirmed, so nothing that a commit rests on is still on its way.
        """
        del start_new_transaction
        assigned = self.assignment()
        ours = {tp: offset for tp, offset in offsets.items() if tp in assigned}
        if not ours or not await self._commit(ours):
            return False
        self._committed_offset.update(ours)
        return True

    async def verify_all_partitions_active(self) -> None:
        """Look for nothing: ``streams.watchdog`` notices what hangs, and ends it."""

    async def _wait_next_records(self, timeout: float) -> tuple[Any, set[TP]]:  # noqa: ASYNC109 - Faust's signature
        """Fetch, looking again soon for what came in by a seek or a new assignment, where Faust sleeps for a second.

        aiokafka gets a copy of the partitions: Faust's own set may become empty meanwhile, which means all of them to aiokafka.
        """
        if not self.flow_active:
            await self.wait(self.can_resume_flow)
        active = self._get_active_partitions()
        if not active:
            await self.sleep(_NOTHING_TO_FETCH_S)
            return {}, active
        return await self._getmany(set(active), min(timeout, _FETCH_AGAIN_S)), active

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
