"""What the evaluator joins answers and feedback with: requests, what waits, and whose turn it is.

In: the values of ``agents.judging.waiting``. Out: the same, after a crash too. Keeps requests and what waits in one table of bytes
each; in memory only whose turn it is, and a list of what waits, by time, read from its table again where partitions came or went.
Fails as the tables do: with ``NotOurs``, or with the broker's error.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

import msgspec

from agents.judging.waiting import Identity, Remembered, Waiting, WaitingList, identity_key
from streams.delivery import Clock
from streams.kept import Kept
from streams.progress import Progress

KEPT_WINDOWS = 2
"""A request is remembered this many feedback windows, so that late feedback is told from feedback for nobody."""


@dataclass(frozen=True)
class Times:
    """The operator's waits, in microseconds."""

    rating_wait_us: int
    orphan_wait_us: int
    feedback_window_us: int

    @property
    def kept_us(self) -> int:
        """How long a request is remembered."""
        return KEPT_WINDOWS * self.feedback_window_us


class Requests:
    """What is remembered of each request, for as long as ``Times`` say."""

    def __init__(self, table: Kept, times: Times, clock: Clock) -> None:
        self._table = table
        self._times = times
        self._clock = clock

    def known(self, identity: Identity) -> Remembered:
        """Give what is remembered; of a request that is new, or too old, nothing but when that was asked."""
        now_us = self._clock()
        raw = self._table.get(identity_key(identity))
        known = msgspec.msgpack.decode(raw, type=Remembered) if raw is not None else None
        fresh = known is not None and now_us - known.since_us < self._times.kept_us
        return known if known is not None and fresh else Remembered(since_us=now_us)

    async def remember(self, partition: int, identity: Identity, known: Remembered) -> None:
        """Keep it; returns when the broker has it. Only while an event of ``partition`` is handled."""
        await self._table.put(partition, identity_key(identity), msgspec.msgpack.encode(known))


def known_since_us(raw: bytes) -> int:
    """Since when a request is remembered, in microseconds since 1970-01-01 UTC."""
    return msgspec.msgpack.decode(raw, type=Remembered).since_us


class WaitingRoom:
    """Everything that waits in this worker's partitions: stored as long as it waits, and listed by time."""

    def __init__(
        self, table: Kept, responses_of: Callable[[int], Awaitable[Progress]], times: Times, clock: Clock
    ) -> None:
        """``responses_of`` gives how far a partition's responses are read."""
        self._table = table
        self._responses_of = responses_of
        self._times = times
        self._clock = clock
        self._list: WaitingList | None = None
        self._responses_end: dict[bytes, int] = {}
        """Key of held feedback to the offset up to which responses must be read before it is given up."""

    def forget_list(self) -> None:
        """Partitions come or go: what waits is read from the table again before anything else happens."""
        self._list = None
        self._responses_end.clear()

    def listed(self) -> WaitingList:
        """The list, read from the table where it must be. Held feedback waits anew: its answer may be on its way."""
        if self._list is None:
            self._list = WaitingList()
            held_until_us = self._clock() + self._times.orphan_wait_us
            for raw in self._table.values():
                waiting = msgspec.msgpack.decode(raw, type=Waiting)
                if waiting.automatic is None:
                    waiting = msgspec.structs.replace(waiting, due_us=held_until_us)
                self._list.add(waiting)
        return self._list

    def find(self, key: bytes) -> Waiting | None:
        """Give what waits under this key, if it still does."""
        raw = self._table.get(key)
        return msgspec.msgpack.decode(raw, type=Waiting) if raw is not None else None

    async def take_in(self, waiting: Waiting) -> None:
        """Store it, then list it. Only while an event of its partition is handled."""
        await self._table.put(waiting.partition, waiting.key, msgspec.msgpack.encode(waiting))
        self.listed().add(waiting)

    async def let_go(self, key: bytes, partition: int) -> None:
        """Store it no longer, if it is, and take it off the list. At any time."""
        if self._table.get(key) is not None:
            await self._table.remove(partition, key)
        self.listed().remove(key)

    async def responses_are_read(self, key: bytes, partition: int) -> bool:
        """Say whether all responses are read that were there when held feedback became due: they may have a backlog."""
        progress = await self._responses_of(partition)
        if progress.read < self._responses_end.setdefault(key, progress.end):
            return False
        del self._responses_end[key]
        return True


class Turns:
    """Lets the events of one request go on one at a time, in the order in which they came."""

    def __init__(self) -> None:
        self._turns: dict[Identity, tuple[asyncio.Lock, int]] = {}

    def __len__(self) -> int:
        """How many requests have events under way."""
        return len(self._turns)

    @asynccontextmanager
    async def of(self, identity: Identity) -> AsyncIterator[None]:
        """Wait for the request's turn, and have it within the context."""
        lock, others = self._turns.get(identity, (asyncio.Lock(), 0))
        self._turns[identity] = (lock, others + 1)
        try:
            async with lock:
                yield
        finally:
            lock, waiting = self._turns.pop(identity)
            if waiting > 1:
                self._turns[identity] = (lock, waiting - 1)
