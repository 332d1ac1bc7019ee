"""Which keys the storage has, in memory: so that a batch reads no table for what is new, and few rows for what is not.

In: 64-bit hashes of keys. Out: ``KeyFilter`` says which of them were perhaps seen before, and in which stretch of the log;
``KeyIndex`` says in which slice a request is. Both are built from the private file at the start and follow each commit. Keeps: the
filter 3 bytes an event, of at most ``MOST_EVENTS`` events; the index 12 bytes a request, of at most ``MOST_REQUESTS`` requests.
Nothing fails here. A hash that two keys share costs a look into a table, never a wrong answer: both only narrow what is then looked
up exactly.

    Bloom filter: n keys in m bits with k hashes err with (1 - e^(-kn/m))^k; m/n = 24 and k = 12 give 1 in 100,000. Hash i of a
    key is a + i b, where a and b are the halves of its 64 bits (Kirsch and Mitzenmacher, "Less hashing, same performance", 2006).
"""

from collections import deque
from dataclasses import dataclass, field
from typing import Any

import numpy as np

Hashes = np.ndarray[Any, np.dtype[np.uint64]]
Numbers = np.ndarray[Any, np.dtype[np.int64]]

STRETCH = 1_000_000
"""Events that one filter is made for."""
MOST_EVENTS = 32 * STRETCH
MOST_REQUESTS = 8_000_000
_BITS = 24 * STRETCH
_HASHES = 12
_MANY = 20_000
"""From so many keys on, all bits are laid open at once."""
_AT_ONCE = 100_000
"""Keys whose places are worked out together: what that takes stays small beside what is kept."""


@dataclass
class _Stretch:
    """The filter of one stretch of the log, and between which log times its events are."""

    bits: Any = field(default_factory=lambda: np.zeros(_BITS // 8, np.uint8))
    keys: int = 0
    first_us: int = 2**62
    last_us: int = -(2**62)

    def add(self, hashes: Hashes, first_us: int, last_us: int) -> None:
        if len(hashes) > _MANY:
            flags = np.unpackbits(self.bits, bitorder="little")
            for begin in range(0, len(hashes), _AT_ONCE):
                place, step = _begun(hashes[begin : begin + _AT_ONCE])
                for _ in range(_HASHES):
                    flags[place] = 1
                    place = _next(place, step)
            self.bits = np.packbits(flags, bitorder="little")
        else:
            place, step = _begun(hashes)
            for _ in range(_HASHES):
                np.bitwise_or.at(self.bits, place >> 3, (1 << (place & 7)).astype(np.uint8))
                place = _next(place, step)
        self.keys += len(hashes)
        self.first_us, self.last_us = min(self.first_us, first_us), max(self.last_us, last_us)

    def perhaps(self, hashes: Hashes) -> Numbers:
        """Positions in ``hashes`` of those that may be here."""
        left = np.arange(len(hashes))
        place, step = _begun(hashes)
        for _ in range(_HASHES):
            if not len(left):
                break
            held = (self.bits[place >> 3] >> (place & 7)) & 1 == 1
            left, step = left[held], step[held]
            place = _next(place[held], step)
        return left


def _begun(hashes: Hashes) -> tuple[Numbers, Numbers]:
    """The first bit of each key, and by how much the following ones differ; below ``_BITS``, so no later division is needed."""
    low, high = hashes & np.uint64(0xFFFFFFFF), hashes >> np.uint64(32)
    bits = np.uint64(_BITS)
    return (low % bits).astype(np.int64), ((high | np.uint64(1)) % bits).astype(np.int64)


def _next(place: Numbers, step: Numbers) -> Numbers:
    """The bit after this one."""
    following = place + step
    return following - _BITS * (following >= _BITS)


class KeyFilter:
    """Which events were perhaps taken in before."""

    def __init__(self) -> None:
        self._stretches: deque[_Stretch] = deque()

    def add(self, hashes: Hashes, first_us: int, last_us: int) -> None:
        """Note events with log times from ``first_us`` to ``last_us``."""
        while len(hashes):
            if not self._stretches or self._stretches[-1].keys >= STRETCH:
                self._stretches.append(_Stretch())
            newest = self._stretches[-1]
            room = STRETCH - newest.keys
            newest.add(hashes[:room], first_us, last_us)
            hashes = hashes[room:]
        while len(self._stretches) > MOST_EVENTS // STRETCH:
            self._stretches.popleft()

    def perhaps(self, hashes: Hashes) -> list[tuple[Numbers, int, int]]:
        """Give for each stretch with a candidate: positions in ``hashes``, and the stretch's first and last log time."""
        found = [(stretch.perhaps(hashes), stretch.first_us, stretch.last_us) for stretch in self._stretches]
        return [(positions, first, last) for positions, first, last in found if len(positions)]

    def expire(self, before_us: int) -> None:
        """Forget the stretches that end before a log time."""
        while self._stretches and self._stretches[0].last_us < before_us:
            self._stretches.popleft()

    def oldest_us(self) -> int:
        """Give the first log time that is known; of nothing at all, the beginning of time."""
        return min((stretch.first_us for stretch in self._stretches), default=-(2**62))


class KeyIndex:
    """In which slice each request is; -1 where it is not known."""

    def __init__(self, most: int = MOST_REQUESTS) -> None:
        self._most = most
        self._runs: list[tuple[Hashes, Any]] = []
        self.oldest_slice = 0
        """Requests in earlier slices are not in the index."""

    def add(self, hashes: Hashes, slices: Numbers) -> None:
        """Note new requests."""
        if not len(hashes):
            return
        order = np.argsort(hashes, kind="stable")
        self._runs.append((hashes[order], slices[order].astype(np.int32)))
        while len(self._runs) > 1 and len(self._runs[-2][0]) <= 4 * len(self._runs[-1][0]):
            (older, old), (newer, new) = self._runs.pop(-2), self._runs.pop()
            merged = np.concatenate([older, newer])
            order = np.argsort(merged, kind="stable")
            self._runs.append((merged[order], np.concatenate([old, new])[order]))
        if sum(len(run) for run, _ in self._runs) > self._most:
            self._forget_oldest()

    def find(self, hashes: Hashes) -> Numbers:
        """Give the slice of each hash."""
        found = np.full(len(hashes), -1, np.int64)
        for run, slices in self._runs:
            places = np.searchsorted(run, hashes)
            places[places == len(run)] = 0
            known = run[places] == hashes
            found[known] = slices[places[known]]
        return found

    def _forget_oldest(self) -> None:
        hashes = np.concatenate([run for run, _ in self._runs])
        slices = np.concatenate([places for _, places in self._runs])
        self.oldest_slice = int(np.quantile(slices, 0.25)) + 1
        kept = slices >= self.oldest_slice
        order = np.argsort(hashes[kept], kind="stable")
        self._runs = [(hashes[kept][order], slices[kept][order])]
