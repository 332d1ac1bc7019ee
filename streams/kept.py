"""Tables that survive the process: bytes by key, in RocksDB here and in a changelog on the broker.

In: keys and values, by partition. Out: the same, after a crash, and on another worker after a rebalance. Keeps both. Fails with
``NotOurs`` where the partition went to another worker meanwhile, and with the broker's error where the changelog was not written.

Faust writes to a table only while an event is iterated over, because the event says which partition. So ``write`` and ``put`` are
for handlers; ``remove``, ``get`` and ``values`` work in a timer as well. The database comes first, then a message to the changelog
(``streams.changelog``): one that is behind catches up by the event's redelivery, where its handler keeps again what it finds. What
is removed goes from the broker first, because nothing comes again for it.
``note`` keeps something here only: another worker, or this one without its folder, finds what was written before.

Expiry: what is too old is passed over by its age, by whoever reads it. ``streams.expiry`` removes it here, and the broker from the
changelog.

The operator's trap: during a rebalance the tables are incomplete. Wait for ``Ownership`` before deciding anything by them; ``put``
and ``remove`` wait themselves, ``write`` does not.
"""

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol

import faust
from faust.types import TP, AppT

from streams.admin import configuration_of
from streams.changelog import Changelog, Written
from streams.expiry import EVERY_S, Expiry
from streams.topics import Table

US_PER_S = 1_000_000
_SETTLING_POLL_S = 0.05
_OPTIONS = {"write_buffer_size": 512 * 1024, "max_write_buffer_number": 2, "block_cache_size": 512 * 1024}
"""Of one partition's database, of which a role has 8 for each table: at most 1.5 MiB each, so that it keeps to its 200 MiB."""


class NotOurs(Exception):
    """The partition is another worker's now, which gets its events again."""


class Kept(Protocol):
    """A table of bytes by partition that survives the process."""

    def get(self, key: bytes) -> bytes | None:
        """Give what is kept, or None."""

    async def put(self, partition: int, key: bytes, value: bytes) -> None:
        """Keep it, here and on the broker; only while an event of that partition is handled. ``NotOurs``."""

    async def remove(self, partition: int, key: bytes) -> None:
        """Keep it no longer, here and on the broker; at any time. ``NotOurs``."""

    def values(self) -> Iterator[bytes]:
        """Give everything that is kept in this worker's partitions."""


class Owning(Protocol):
    """Which partitions are this worker's."""

    async def wait_settled(self, partition: int) -> None:
        """Return when no rebalance is under way and the partition is this worker's; else ``NotOurs``."""

    def is_settled(self) -> bool:
        """Whether no rebalance is under way, and the tables are complete."""


class Ownership:
    """Which partitions of ``topic`` (its name on the broker) this worker holds.

    Where the app stops, waiting ends with the task that waits: its event was not handled, and comes again.
    """

    def __init__(self, app: AppT, topic: str) -> None:
        self._app: Any = app
        self._topic = topic

    def is_settled(self) -> bool:
        """Whether no rebalance is under way and the tables are complete."""
        return bool((self._app.is_settled() or self._app.finishing) and self._app.holds_lease())

    async def wait_settled(self, partition: int) -> None:
        """Return when no rebalance is under way and ``partition`` is this worker's; ``NotOurs`` where it is not."""
        await self._until_settled()
        if not self._holds(partition):
            raise NotOurs

    async def is_ours(self) -> bool:
        """Whether the partition of the event that is being handled is this worker's, after a rebalance that is under way."""
        await self._until_settled()
        return self.is_ours_now()

    async def may_begin(self) -> bool:
        """Whether the partition of the event is this worker's for something new, which costs money.

        A worker that finishes, because partitions go or because it stops, begins nothing: the event waits, and nobody waits for it.
        """
        with self.nothing_begun():
            while self._app.should_stop or not (self._app.is_settled() and self._app.holds_lease()):  # noqa: ASYNC110 - as below
                await asyncio.sleep(_SETTLING_POLL_S)
        return self.is_ours_now()

    def nothing_begun(self) -> AbstractContextManager[None]:
        """Say of the event that nothing was begun for it within this context: who finishes does not wait for it."""
        held: AbstractContextManager[None] = self._app.held_back()
        return held

    def is_ours_now(self) -> bool:
        """The same without waiting; False during a rebalance."""
        event = faust.current_event()
        return event is not None and self.is_settled() and self._holds(event.message.partition)

    async def _until_settled(self) -> None:
        while not self.is_settled():  # noqa: ASYNC110 - Faust has no event for it: its own is never cleared again
            await asyncio.sleep(_SETTLING_POLL_S)

    def holds(self, partition: int) -> bool:
        """Say without waiting whether ``partition`` is this worker's; False during a rebalance."""
        return self.is_settled() and self._holds(partition)

    def _holds(self, partition: int) -> bool:
        return TP(self._topic, partition) in self._app.consumer.assignment()


def seek_before_reading_on(app: AppT, table: Any) -> None:
    """Stop fetching when ``table`` is recovered, until Faust went back to what was committed and resumes by itself.

    Without it an app with tables loses events at a start with a backlog: Faust 0.15.3 fetches while it seeks, empties its queues
    when it resumes, and takes what was in them for a gap in the topic, which it commits over (about 100 events a partition).
    """
    loose: Any = app

    async def stop_flow() -> None:
        loose.consumer.stop_flow()
        loose.flow_control.suspend()
        await loose.consumer.wait_for_stopped_flow()

    table.on_recover(stop_flow)


class KeptTable:
    """One table of the app, with as many partitions as the topics that it is written from."""

    def __init__(
        self,
        app: AppT,
        declared: Table,
        *,
        partitions: int,
        ownership: Ownership,
        beside: Sequence[str] = (),
    ) -> None:
        """``beside``: topics, as they are on the broker, to which something is published at the same time as it is kept."""
        self._app = app
        self._ownership = ownership
        self._written = 0
        self._table: Any = app.Table(
            declared.name,
            key_type=bytes,
            value_type=bytes,
            partitions=partitions,
            options=dict(_OPTIONS),
            extra_topic_configs=configuration_of(declared),
        )
        self._changelog = Changelog(app, self._table, beside=beside)
        seek_before_reading_on(app, self._table)

    def forget_after(self, kept_s: float, since_us: Callable[[bytes], int], clock: Callable[[], int]) -> None:
        """Forget every entry so many seconds after it was kept, or somewhat later. ``since_us`` tells of a value when that was."""
        expiry = Expiry(self._databases, int(kept_s * US_PER_S), since_us)

        async def sweep() -> None:
            if self._ownership.is_settled():
                written, self._written = self._written, 0
                expiry.sweep(clock(), written=written)

        self._app.timer(interval=EVERY_S, name=f"{self._table.name}-expiry")(sweep)

    def _databases(self) -> Mapping[int, Any]:
        found: Mapping[int, Any] = self._table.data._dbs  # noqa: SLF001 - Faust has no way to go on from a key
        return found

    def get(self, key: bytes) -> bytes | None:
        """Give what is kept, or None; in a handler of the event's partition, in a timer of any."""
        found: bytes | None = self._table.data._get(key)  # noqa: SLF001 - without turning bytes into bytes
        return found

    def write(self, key: bytes, value: bytes) -> Written:
        """Keep it here and now; what is returned is done when the broker has it. The event that is handled says in which partition.

        Waits for nothing: ask ``Ownership`` first, and let nothing come in between.
        """
        partition = self._table.partition_for_key(key)
        self.note(key, value)
        return self._changelog.send(partition, key, value)

    def note(self, key: bytes, value: bytes) -> None:
        """Keep it here only. The event that is handled says in which partition."""
        self._written += 1
        self._table.data._set(key, value)  # noqa: SLF001 - without turning bytes into bytes

    async def put(self, partition: int, key: bytes, value: bytes) -> None:
        """Keep it; returns when the broker has it too. Only while an event of ``partition`` is handled."""
        await self._ownership.wait_settled(partition)
        if self._table.partition_for_key(key) != partition:
            raise ValueError(f"An event of another partition than {partition} is being handled.")
        await self.write(key, value)

    async def remove(self, partition: int, key: bytes) -> None:
        """Keep it no longer; returns when the broker knows. At any time.

        Here it goes last: of what a worker forgot alone, nobody would ever tell the broker.
        """
        await self._ownership.wait_settled(partition)
        await self._changelog.send(partition, key, None)
        if self._ownership.holds(partition):
            self._table.data._del(key)  # noqa: SLF001 - without turning bytes into bytes

    def values(self) -> Iterator[bytes]:
        """Give everything that is kept in this worker's partitions."""
        yield from self._table.data.values()
