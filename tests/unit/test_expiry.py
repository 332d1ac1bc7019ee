"""Expiry: what a table forgets, and never too early; on real databases, opened as the tables are."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from faust.stores.rocksdb import RocksDBOptions

from streams.expiry import LEAST, OFFSET_KEY, Expiry
from streams.kept import _OPTIONS

KEPT_US = 1_000
NOW_US = 10_000


@pytest.fixture
def databases(tmp_path: Path) -> Iterator[dict[int, Any]]:
    opened = {number: RocksDBOptions(**_OPTIONS).open(tmp_path / f"{number}.db") for number in (0, 3)}
    yield opened
    for each in opened.values():
        each.close()


def since(raw: bytes) -> int:
    return int(raw[:8])


def value(at_us: int, size: int = 8) -> bytes:
    return b"%08d" % at_us + bytes(size)


def held(databases: dict[int, Any]) -> set[tuple[int, bytes]]:
    return {(number, key) for number, each in databases.items() for key, _ in each.items() if key != OFFSET_KEY}


def fill(databases: dict[int, Any], entries: int) -> set[tuple[int, bytes]]:
    """Entries of all ages; those that must stay."""
    chance, stay = random.Random(7), set()
    for number in range(entries):
        place, key = chance.choice(list(databases)), b"%06d" % number
        age_us = chance.randrange(2 * KEPT_US)
        databases[place].put(key, value(NOW_US - age_us))
        if age_us < KEPT_US:
            stay.add((place, key))
    return stay


def test_what_is_too_old_goes_and_nothing_else(databases: dict[int, Any]) -> None:
    stay = fill(databases, 4 * LEAST)
    databases[0].put(OFFSET_KEY, b"5")
    expiry = Expiry(lambda: databases, KEPT_US, since)
    forgotten = sum(expiry.sweep(NOW_US) for _ in range(8))
    assert held(databases) == stay
    assert forgotten == 4 * LEAST - len(stay)
    assert databases[0].get(OFFSET_KEY) == b"5"


def test_a_sweep_looks_at_no_more_than_it_may_and_the_next_goes_on_from_there(databases: dict[int, Any]) -> None:
    for number in range(3 * LEAST):
        databases[3].put(b"%06d" % number, value(0))
    expiry = Expiry(lambda: databases, KEPT_US, since)
    assert [expiry.sweep(NOW_US) for _ in range(4)] == [LEAST, LEAST, LEAST, 0]


def test_where_more_is_written_more_is_looked_at(databases: dict[int, Any]) -> None:
    for number in range(3 * LEAST):
        databases[3].put(b"%06d" % number, value(0))
    assert Expiry(lambda: databases, KEPT_US, since).sweep(NOW_US, written=LEAST) == 3 * LEAST


def test_partitions_may_come_and_go_between_sweeps(databases: dict[int, Any]) -> None:
    fill(databases, 4 * LEAST)
    mine = dict(databases)
    expiry = Expiry(lambda: mine, KEPT_US, since)
    expiry.sweep(NOW_US)
    del mine[0]
    expiry.sweep(NOW_US)
    mine.clear()
    assert expiry.sweep(NOW_US) == 0


def test_compactions_lose_nothing_that_is_fresh(databases: dict[int, Any]) -> None:
    keys = [b"%06d" % number for number in range(1_500)]
    for database in databases.values():
        for key in keys:
            database.put(key, value(NOW_US, 6_000))
            database.put(key, value(NOW_US, 1_200))
        database.compact_range(None, None)
    expiry = Expiry(lambda: databases, KEPT_US, since)
    assert expiry.sweep(NOW_US, written=2 * len(keys)) == 0
    assert held(databases) == {(number, key) for number in databases for key in keys}
