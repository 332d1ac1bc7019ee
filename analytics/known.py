"""What the storage has already: which events are repeats, and where each request is.

In: batches. Out: the batch without its repeats, and for each request of it the slice of the outcomes that it is in. Keeps
``keys.KeyFilter`` and ``keys.KeyIndex``, built from the private file at the start; they follow each commit, so a batch reads
no table for what is new. Fails as DuckDB does.
"""

from datetime import timedelta
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from analytics.intake import Batch
from analytics.keys import STRETCH, Hashes, KeyFilter, KeyIndex
from analytics.outcomes import OF_OUTCOME, request_keys
from analytics.private_file import registered

REPEAT_HORIZON_US = timedelta(days=7) // timedelta(microseconds=1)
"""How far back, in log time, a repeat is recognised."""
SLICE = 20_000
"""Requests in one slice of the outcomes: what is looked through for one of them, and exported together."""
_EXPIRY_EVERY_US = timedelta(minutes=10) // timedelta(microseconds=1)


class Known:
    """The keys of one private file."""

    def __init__(self, connection: duckdb.DuckDBPyConnection) -> None:
        self._connection = connection
        self._filter = KeyFilter()
        self._index = KeyIndex()
        self._requests = 0
        self._expired_at_us = 0
        self._load()

    def _load(self) -> None:
        """Build what is kept in memory from the tables."""
        (self._requests,) = self._connection.execute("SELECT count(*) FROM outcome").fetchall()[0]
        newest = self._connection.execute("SELECT max(slice) FROM outcome").fetchall()[0][0]
        if newest is not None:  # a slice may have been left unfilled
            self._requests = max(self._requests, newest * SLICE)
        self._load_index()
        read = self._connection.sql("SELECT hash(event_key), logged_at_us FROM seen_event")
        reader = read.to_arrow_reader(STRETCH)
        for chunk in reader:
            hashes, logged = (column.to_numpy() for column in chunk.columns)
            self._filter.add(hashes, int(logged.min()), int(logged.max()))

    def _load_index(self) -> None:
        """Build the index; bit by bit, for it is not to take more memory than it keeps."""
        (count,) = self._connection.execute("SELECT count(*) FROM outcome").fetchall()[0]
        hashes: Hashes = np.empty(count, np.uint64)
        slices: Any = np.empty(count, np.int32)
        begin = 0
        for chunk in self._connection.sql("SELECT hash(request_key), slice FROM outcome").to_arrow_reader(STRETCH // 4):
            end = begin + chunk.num_rows
            hashes[begin:end], slices[begin:end] = (column.to_numpy() for column in chunk.columns)
            begin = end
        self._index.add(hashes, slices)

    def event_hashes(self, batch: Batch) -> Hashes:
        """Give 64 bits of the key of each event, table by table."""
        chunks = [chunk for table in batch.tables.values() for chunk in table["event_key"].chunks]
        return self.hashes(pa.chunked_array(chunks, pa.string()))

    def hashes(self, keys: pa.ChunkedArray) -> Hashes:
        """Give 64 bits of each key, the same at every start of a process with the same DuckDB."""
        if not len(keys):
            return np.empty(0, np.uint64)
        with registered(self._connection, {"batch_key": pa.table({"key": keys})}):
            found: Hashes = self._connection.execute("SELECT hash(key::UUID) AS h FROM batch_key").fetchnumpy()["h"]
        return found

    def without_repeats(self, batch: Batch, hashes: Hashes) -> tuple[dict[str, pa.Table], set[str]]:
        """Give the tables without events that were seen before, and the keys of those."""
        perhaps = self._filter.perhaps(hashes)
        if not perhaps:
            return batch.tables, set()
        keys = pa.concat_arrays([c for t in batch.tables.values() for c in t["event_key"].chunks])
        repeated: set[str] = set()
        for positions, first_us, last_us in perhaps:
            with registered(self._connection, {"batch_key": pa.table({"event_key": keys.take(pa.array(positions))})}):
                rows = self._connection.execute(
                    """
                    SELECT event_key FROM batch_key WHERE event_key::UUID IN (
                        SELECT event_key FROM seen_event WHERE logged_at_us BETWEEN ? AND ?
                    )
                    """,
                    [first_us, last_us],
                ).fetchall()
            repeated.update(key for (key,) in rows)
        if not repeated:
            return batch.tables, set()
        known = pa.array(sorted(repeated), pa.string())
        tables = {}
        for event, table in batch.tables.items():
            fresh = table.filter(pc.invert(pc.is_in(table["event_key"], value_set=known)))
            if fresh.num_rows:
                tables[event] = fresh
        return tables, repeated

    def placed(self, tables: dict[str, pa.Table]) -> tuple[pa.Table | None, tuple[Hashes, Any]]:
        """Give every touched request with its slice; and hashes and slices of those that are new."""
        nothing = (np.empty(0, np.uint64), np.empty(0, np.int64))
        if not any(event in tables for event in OF_OUTCOME):
            return None, nothing
        keys = request_keys(tables)
        hashes = self.hashes(pa.chunked_array([keys]))
        slices = self._index.find(hashes)
        if self._index.oldest_slice:
            self._look_further_back(keys, slices)
        new = np.flatnonzero(slices < 0)
        slices[new] = (self._requests + np.arange(len(new))) // SLICE
        return pa.table({"request_key": keys, "slice": slices}), (hashes[new], slices[new])

    def _look_further_back(self, keys: pa.Array, slices: Any) -> None:
        """Find requests that are older than the index, with a look through all of them; in place."""
        unknown = np.flatnonzero(slices < 0)
        with registered(
            self._connection, {"batch_key": pa.table({"place": unknown, "key": keys.take(pa.array(unknown))})}
        ):
            rows = self._connection.execute(
                "SELECT place, slice FROM batch_key JOIN outcome ON request_key = key::UUID WHERE slice < ?",
                [self._index.oldest_slice],
            ).fetchall()
        for place, number in rows:
            slices[place] = number

    def remember(self, batch: Batch, hashes: Hashes, new: tuple[Hashes, Any]) -> None:
        """Note what was committed."""
        if len(hashes):
            logged = [pc.min_max(table["logged_at_us"]).as_py() for table in batch.tables.values()]
            self._filter.add(hashes, min(m["min"] for m in logged), max(m["max"] for m in logged))
        self._index.add(*new)
        self._requests += len(new[0])

    def expire(self, log_time_us: int) -> None:
        """Forget keys beyond the horizon, now and then."""
        if log_time_us - self._expired_at_us < _EXPIRY_EVERY_US:
            return
        before_us = max(log_time_us - REPEAT_HORIZON_US, self._filter.oldest_us())
        self._connection.execute("DELETE FROM seen_event WHERE logged_at_us < ?", [before_us])
        self._filter.expire(before_us)
        self._expired_at_us = log_time_us
