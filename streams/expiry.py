"""Forgets what a table has kept for long enough: looks at a few entries at a time, so that nobody waits for it.

In: the partitions' databases, when an entry was kept, and how many were written since. Out: entries removed here; the broker
removes them from the changelog by itself. Keeps how far it has looked, in one partition at a time. Fails as RocksDB does.

It looks at twice as many entries as were written, and so comes round in half the time for which entries are kept, however many
there are.

Why not RocksDB's own time to live: opened so by rocksdict 0.3.29, a compaction dropped what had been written seconds before (416 of
444 entries of a table of 24 hours, those of the longer values). A generator then paid again for what it had answered.
"""

from collections.abc import Callable, Mapping
from typing import Any

from faust.stores.rocksdb import Store

EVERY_S = 1.0
LEAST = 50
"""So many entries are looked at where few were written."""
OFFSET_KEY: bytes = Store.offset_key
"""Faust's own entry in each database."""


class Expiry:
    """The sweep over one table."""

    def __init__(
        self, databases: Callable[[], Mapping[int, Any]], kept_us: int, since_us: Callable[[bytes], int]
    ) -> None:
        """``since_us`` tells of a value when it was kept, in microseconds since 1970-01-01 UTC."""
        self._databases = databases
        self._kept_us = kept_us
        self._since_us = since_us
        self._partition = -1
        self._next = b""

    def sweep(self, now_us: int, *, written: int = 0) -> int:
        """Look at a few entries; how many were forgotten."""
        left, forgotten = LEAST + 2 * written, 0
        for _ in range(len(self._databases())):
            looked, gone = self._on(now_us, left)
            left -= looked
            forgotten += gone
            if left <= 0:
                break
        return forgotten

    def _on(self, now_us: int, most: int) -> tuple[int, int]:
        """Go on in the partition that it is in, or in the next one; how many it looked at, and how many it forgot."""
        databases = dict(self._databases())
        if self._partition not in databases:
            self._enter_next(databases)
        database = databases[self._partition]
        entry = database.iter()
        entry.seek(self._next)
        looked, old = 0, []
        while entry.valid() and looked < most:
            key = entry.key()
            if key != OFFSET_KEY and now_us - self._since_us(entry.value()) >= self._kept_us:
                old.append(key)
            looked += 1
            entry.next()
        if entry.valid():
            self._next = entry.key()
        else:
            self._enter_next(databases)
        for key in old:
            database.delete(key)
        return looked, len(old)

    def _enter_next(self, databases: Mapping[int, Any]) -> None:
        later = [number for number in databases if number > self._partition]
        self._partition, self._next = min(later or databases), b""
