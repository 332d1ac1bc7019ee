"""Takes batches into a copy of the storage of ten million events, beside a bare insert of the same rows into DuckDB.

In: ``python -m tests.benchmarks.ingesting STORE FOLDER``: the storage and an empty folder. Out: one JSON object: events a second,
ours and the bare insert's, and the most memory that ours had, in MiB. The bare insert runs in a process of its own, so that the
memory is ours alone. Keeps nothing. Fails as the storage does.

Ours is what the role does with a batch that is decoded: repeats dropped, segments written and synced, outcomes and sums
brought up to date, everything committed; and, as often as the role does, the public file with its exports, and the upkeep.
The bare insert is one transaction a batch into tables of the same columns in a file of its own, with the same threads and
memory. Blocks of batches take turns, so that both meet the same machine.
"""

import itertools
import json
import multiprocessing
import os
import shutil
import sys
import time
from collections.abc import Iterator
from multiprocessing.connection import Connection
from pathlib import Path

import duckdb

from analytics.consumer import MAINTAIN_EVERY_S, PUBLIC_AT_LEAST_EVERY_S, PUBLIC_EVERY_S, PUBLIC_SHARE
from analytics.intake import Batch
from analytics.private_file import NAME, SETTINGS
from analytics.public import publish
from analytics.storage import Storage
from analytics.upkeep import Upkeep
from schemas.generate import snake
from streams.worker import give_memory_back
from tests.benchmarks.made_store import REQUESTS, made_log
from tests.benchmarks.running import memory_mib

BATCHES = 60
OF_A_BATCH = 930
"""Requests: just under 5,000 events, which is the role's largest batch."""
BLOCK = 10


def copied(store: Path, folder: Path) -> Path:
    """A copy that may be written: the files that never change are linked."""
    copy = folder / "analytics"
    for name in ("segments", "exports"):
        shutil.copytree(store / name, copy / name, copy_function=os.link)
    shutil.copyfile(store / NAME, copy / NAME)
    return copy


class Ours:
    """The storage with its public file and upkeep, at the role's pace."""

    def __init__(self, folder: Path) -> None:
        self.storage = Storage(folder, "bench")
        self._upkeep = Upkeep(self.storage)
        self._public_due_s = self._upkeep_due_s = 0.0

    def take(self, batch: Batch) -> None:
        """What a round of the role does."""
        now_us = batch.last_logged_at_us
        self.storage.take(batch, now_us)
        if time.monotonic() >= self._public_due_s:
            began = time.monotonic()
            publish(self.storage, now_us)
            took_s = time.monotonic() - began
            pause_s = min(max(PUBLIC_EVERY_S, PUBLIC_SHARE * took_s), PUBLIC_AT_LEAST_EVERY_S)
            self._public_due_s = time.monotonic() + pause_s
        if time.monotonic() >= self._upkeep_due_s:
            self._upkeep.maintain(now_us)
            self._upkeep_due_s = time.monotonic() + MAINTAIN_EVERY_S

    def close(self) -> None:
        """Let go of the files."""
        self._upkeep.close()
        self.storage.close()


class Bare:
    """Nothing but inserts."""

    def __init__(self, path: Path) -> None:
        self._connection = duckdb.connect(str(path), config=SETTINGS)
        self._known: set[str] = set()

    def take(self, batch: Batch) -> None:
        """Insert each table of the batch; one transaction."""
        self._connection.begin()
        for event, table in batch.tables.items():
            self._connection.register("batch", table)
            if event not in self._known:
                self._connection.execute(f"CREATE TABLE {snake(event)} AS FROM batch LIMIT 0")
                self._known.add(event)
            self._connection.execute(f"INSERT INTO {snake(event)} FROM batch")
            self._connection.unregister("batch")
        self._connection.commit()

    def close(self) -> None:
        """Let go of the file."""
        self._connection.close()


def taken(each: Ours | Bare, batches: Iterator[Batch], how_many: int) -> float:
    """Take batches in; the seconds that it took, making them apart."""
    block = [next(batches) for _ in range(how_many)]
    began = time.monotonic()
    for batch in block:
        each.take(batch)
    return time.monotonic() - began


def made() -> Iterator[Batch]:
    """Give the batches that follow the storage's."""
    log = made_log()
    return (log.batch(REQUESTS + number * OF_A_BATCH, OF_A_BATCH) for number in itertools.count())


def serve_bare(path: Path, orders: Connection) -> None:
    """The other process: takes as many batches as it is told to, and tells how long it took, until it is told 0."""
    bare, batches = Bare(path), made()
    while how_many := orders.recv():
        orders.send(taken(bare, batches, how_many))
    bare.close()


def measured(store: Path, folder: Path) -> dict[str, float]:
    """Take turns, and give the figures."""
    give_memory_back()  # as the worker does
    copy = copied(store, folder)
    began = time.monotonic()
    ours, batches = Ours(copy), made()
    opened_s = time.monotonic() - began
    context = multiprocessing.get_context("spawn")
    orders, theirs = context.Pipe()
    bare = context.Process(target=serve_bare, args=(folder / "bare.duckdb", theirs))
    bare.start()
    seconds = {"ours": 0.0, "bare": 0.0}
    for block in (1, *[BLOCK] * (BATCHES // BLOCK)):
        took_s = taken(ours, batches, block)
        orders.send(block)
        theirs_s = orders.recv()
        if block > 1:  # the first one makes tables
            seconds["ours"] += took_s
            seconds["bare"] += theirs_s
    orders.send(0)
    bare.join()
    ours.close()
    events = sum(batch.event_count for batch in itertools.islice(made(), 1, 1 + BATCHES))
    return {
        "ours": events / seconds["ours"],
        "bare": events / seconds["bare"],
        "memory_mib": memory_mib(os.getpid()),
        "opened_s": opened_s,
    }


if __name__ == "__main__":
    sys.stdout.write(json.dumps(measured(Path(sys.argv[1]), Path(sys.argv[2]))) + "\n")
