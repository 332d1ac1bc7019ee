"""Spoils messages, reproducibly: what a broken producer, a torn write or an attacker could put on a topic.

In: a seed, and whole messages to begin from. Out: messages that differ from one of them by one to three changes. Keeps the
randomness.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence


def varint(number: int) -> bytes:
    """An Avro long."""
    zigzag = (number << 1) ^ (number >> 63) if number >= 0 else ((-number) << 1) - 1
    out = bytearray()
    while zigzag >= 0x80:
        out.append(zigzag & 0x7F | 0x80)
        zigzag >>= 7
    out.append(zigzag)
    return bytes(out)


LENGTHS = [varint(n) for n in (-1, -(2**31), -(2**62), 2**20, 2**31, 2**40, 2**62, 2**63 - 1)]
"""What hurts where a length or a number of items should be."""
ODD = [b"\x80" * 11, b"\xff" * 9, b"\x00" * 64, b"\xed\xa0\xbd", b"\xc3\x01", b"\xf0\x9f"]
"""Numbers without end, half a surrogate pair, a marker, half a character."""


class Mutating:
    """Gives spoilt messages without end."""

    def __init__(self, seed: int | str, whole: Sequence[bytes], *, header_bytes: int) -> None:
        self._chance = random.Random(seed)
        self._whole = list(whole)
        self._header = header_bytes
        self._ways: list[Callable[[bytearray], None]] = [
            self._flip,
            self._flip,
            self._byte,
            self._cut,
            self._lengthen,
            self._length,
            self._length,
            self._odd,
            self._remove,
            self._repeat,
            self._splice,
            self._another_header,
            self._items,
        ]

    def messages(self, count: int) -> Iterator[bytes]:
        """Give so many."""
        for _ in range(count):
            raw = bytearray(self._chance.choice(self._whole))
            for _ in range(self._chance.randint(1, 3)):
                self._chance.choice(self._ways)(raw)
            yield bytes(raw)

    def _at(self, raw: bytearray) -> int:
        """A place, mostly behind the header: most of what is before it ends in one way."""
        if len(raw) <= self._header or self._chance.random() < 0.02:
            return self._chance.randint(0, len(raw))
        return self._chance.randint(self._header, len(raw))

    def _flip(self, raw: bytearray) -> None:
        at = self._at(raw)
        if at < len(raw):
            raw[at] ^= 1 << self._chance.randint(0, 7)

    def _byte(self, raw: bytearray) -> None:
        at = self._at(raw)
        if at < len(raw):
            raw[at] = self._chance.randint(0, 255)

    def _cut(self, raw: bytearray) -> None:
        del raw[self._at(raw) :]

    def _lengthen(self, raw: bytearray) -> None:
        raw.extend(self._chance.randbytes(self._chance.randint(1, 40)))

    def _length(self, raw: bytearray) -> None:
        at = self._at(raw)
        raw[at : at + self._chance.randint(0, 2)] = self._chance.choice(LENGTHS)

    def _odd(self, raw: bytearray) -> None:
        at = self._at(raw)
        raw[at:at] = self._chance.choice(ODD)

    def _remove(self, raw: bytearray) -> None:
        at = self._at(raw)
        del raw[at : at + self._chance.randint(1, 20)]

    def _repeat(self, raw: bytearray) -> None:
        at = self._at(raw)
        raw[at:at] = raw[at : at + self._chance.randint(1, 60)]

    def _splice(self, raw: bytearray) -> None:
        other = self._chance.choice(self._whole)
        raw[self._at(raw) :] = other[self._chance.randint(0, len(other)) :]

    def _another_header(self, raw: bytearray) -> None:
        raw[: self._header] = self._chance.choice(self._whole)[: self._header]

    def _items(self, raw: bytearray) -> None:
        """A block of many items, and bytes that could be so many small ones."""
        at = self._at(raw)
        count = self._chance.choice((50, 5_000, 2**20, 2**40))
        raw[at:at] = varint(self._chance.choice((count, -count))) + b"\x00" * self._chance.randint(0, 200)
