"""Sums that follow ``outcome``: by hour for the views, by cell for the learner, latencies counted for percentiles.

In: the touched rows of ``outcome`` as they were and as they are now (``merging.Change``), inside the caller's
transaction. Out: ``strategy_sums``, ``service_sums``, ``evidence_sums`` and ``latency_counts``: what the rows
gave before is taken off, what they give now is added. Keeps nothing. A failure leaves the transaction to the caller.

Everything summed is a whole number, so nothing rests, and the same log gives the same sums however it was cut into
batches. A maximum cannot be taken off: where the row that had it is gone and nothing reaches it, it is looked up in
``outcome`` again, which is rare. Units: rewards in millionths, costs in millionths of a millionth of a US dollar,
latencies in microseconds. What no such number holds (infinite, negative, beyond ``_MOST_*``) is held at the bound.

    A latency of x ms is in bucket ceil(ln(x) / ln(1.01)); the middle of the bucket is within 0.5 % of it
    (Masson et al., "DDSketch", 2019).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from agents.deciding.service_levels import LATENCY_BOUNDS_MS, QUALITY_BOUNDS
from analytics.merging import Change
from analytics.outcomes import EVIDENCE
from analytics.private_file import registered
from streams.measuring import OF_THE_CALLER

REWARD_UNITS = 1_000_000
COST_UNITS = 1_000_000_000_000
LATENCY_UNITS = 1_000
BUCKET_GROWTH = 1.01
_MOST_COST_USD = 1e6
_MOST_LATENCY_MS = 1e9
_WHOLE = pa.decimal128(38, 0)


def _units(value: str, units: int, most: float) -> str:
    return f"CAST(round(least(greatest({value}, 0), {most}) * {units}) AS BIGINT)"


_REWARD = _units("reward", REWARD_UNITS, 1)
_SQUARE = _units("reward * reward", REWARD_UNITS, 1)
_COST = _units("cost_usd", COST_UNITS, _MOST_COST_USD)
_LATENCY = _units("latency_ms", LATENCY_UNITS, _MOST_LATENCY_MS)
BUCKET = f"CAST(ceil(ln(least(greatest(latency_ms, 0.001), {_MOST_LATENCY_MS})) / ln({BUCKET_GROWTH})) AS BIGINT)"


@dataclass(frozen=True)
class Sums:
    """One table of sums: ``keys`` and ``sums`` from a row of ``outcome``, of the rows that ``where`` lets through.

    ``requests`` counts the rows; ``maximum`` is a column and what it is the maximum of.
    """

    table: str
    where: str
    keys: dict[str, str]
    sums: dict[str, str]
    maximum: tuple[str, str] | None = None

    def of(self, source: str) -> str:
        """Give the query of the sums of ``source``, from scratch."""
        columns = [
            *(f"{expression} AS {name}" for name, expression in self.keys.items()),
            "count(*)::HUGEINT AS requests",
            *(f"coalesce(sum({expression}), 0)::HUGEINT AS {name}" for name, expression in self.sums.items()),
        ]
        if self.maximum:
            name, expression = self.maximum
            columns.append(f"max({expression}) AS {name}")
        return f"SELECT {', '.join(columns)} FROM {source} WHERE {self.where} GROUP BY {', '.join(self.keys.values())}"  # noqa: S608 - names of ours

    def expressions(self) -> dict[str, str]:
        """Give what of a row the changes need, by name: whether it counts, the keys, what is summed, and of what the maximum is."""
        named = {"where": f"coalesce({self.where}, false)", **self.keys, **self.sums}
        return named if self.maximum is None else {**named, self.maximum[0]: self.maximum[1]}

    def follow(self, connection: duckdb.DuckDBPyConnection, counted: pa.Table, columns: Mapping[str, str]) -> None:
        """Take off what rows counted, and add what they count now.

        ``counted``: a row for each with its ``sign`` (-1 or 1); ``columns`` says in which column of it each expression is.
        """
        delta = self._delta(counted, columns)
        if not delta.num_rows:
            return
        with registered(connection, {"delta": delta}):
            lost = self._lost_maxima(connection, delta)
            names = ["requests", *self.sums]
            changes = [f"{name} = t.{name} + d.{name}::HUGEINT" for name in names]
            if self.maximum:
                changes.append(f"{self.maximum[0]} = greatest(t.{self.maximum[0]}, d.added)")
            into = [*self.keys, *names, *([self.maximum[0]] if self.maximum else [])]
            values = [*self.keys, *(f"{name}::HUGEINT" for name in names), *(["added"] if self.maximum else [])]
            connection.execute(
                f"""
                MERGE INTO {self.table} t USING delta d ON ({self._same()})
                WHEN MATCHED AND t.requests + d.requests = 0 THEN DELETE
                WHEN MATCHED THEN UPDATE SET {", ".join(changes)}
                WHEN NOT MATCHED THEN INSERT ({", ".join(into)}) VALUES ({", ".join(f"d.{value}" for value in values)})
                """  # noqa: S608 - names of ours
            )
        for keys in lost:
            self._look_up(connection, keys)

    def _delta(self, counted: pa.Table, columns: Mapping[str, str]) -> pa.Table:
        """Add up the changes of each cell; exactly, however large they are."""
        rows = counted.filter(counted[columns[self.expressions()["where"]]])
        sign = rows["sign"]
        parts = {name: rows[columns[expression]] for name, expression in self.keys.items()}
        parts["requests"] = sign.cast(pa.int64())
        for name, expression in self.sums.items():
            signed = pc.multiply(pc.fill_null(rows[columns[expression]].cast(pa.int64()), 0), sign)
            parts[name] = signed.cast(_WHOLE) if name.endswith("_units") else signed
        wanted = [(name, "sum") for name in ("requests", *self.sums)]
        if self.maximum:
            of = rows[columns[self.maximum[1]]]
            nothing = pa.scalar(None, of.type)
            parts["added"] = pc.if_else(pc.greater(sign, 0), of, nothing)
            parts["removed"] = pc.if_else(pc.less(sign, 0), of, nothing)
            wanted += [("added", "max"), ("removed", "max")]
        found = pa.table(parts).group_by(list(self.keys)).aggregate(wanted)
        ends = {f"{name}_{how}": name for name, how in wanted}
        return found.rename_columns([ends.get(name, name) for name in found.column_names])

    def _same(self) -> str:
        return " AND ".join(f"t.{key} = d.{key}" for key in self.keys)

    def _lost_maxima(self, connection: duckdb.DuckDBPyConnection, delta: pa.Table) -> list[tuple[object, ...]]:
        """Give the cells of which the row with the maximum is taken off, and nothing that is added reaches it."""
        if not self.maximum:
            return []
        falls = pc.and_kleene(
            delta["removed"].is_valid(), pc.fill_null(pc.less(delta["added"], delta["removed"]), fill_value=True)
        )
        if not pc.any(falls).as_py():
            return []
        name = self.maximum[0]
        return connection.execute(
            f"""
            SELECT {", ".join(f"d.{key}" for key in self.keys)} FROM delta d JOIN {self.table} t ON {self._same()}
            WHERE d.removed >= t.{name} AND (d.added IS NULL OR d.added < t.{name}) AND t.requests + d.requests::HUGEINT > 0
            """  # noqa: S608 - names of ours
        ).fetchall()

    def _look_up(self, connection: duckdb.DuckDBPyConnection, keys: tuple[object, ...]) -> None:
        """Find a cell's maximum again."""
        name, expression = self.maximum or ("", "")
        cell = " AND ".join(f"{expression} = ?" for expression in self.keys.values())
        place = " AND ".join(f"{key} = ?" for key in self.keys)
        newest = f"SELECT max({expression}) FROM outcome WHERE {self.where} AND {cell}"  # noqa: S608 - names of ours
        connection.execute(f"UPDATE {self.table} SET {name} = ({newest}) WHERE {place}", [*keys, *keys])  # noqa: S608 - names of ours


STRATEGY_SUMS = Sums(
    table="strategy_sums",
    where="true",
    keys={
        "window_start_us": "window_start_us",
        "workflow": "coalesce(workflow, '')",
        "tenant": "tenant",
        "content_type": "coalesce(content_type, '')",
        "band": "coalesce(band, '')",
        "strategy": "coalesce(strategy, '')",
    },
    sums={
        "answered": "(answered IS TRUE)::INTEGER",
        "failed": "(answered IS FALSE)::INTEGER",
        "rewarded": "(reward IS NOT NULL)::INTEGER",
        "rated": "(rated IS TRUE)::INTEGER",
        "fallbacks": "(answered IS TRUE AND step > 0)::INTEGER",
        "reward_units": _REWARD,
        "reward_square_units": _SQUARE,
        "cost_units": _COST,
        "latency_units": f"CASE WHEN answered THEN {_LATENCY} END",
    },
    maximum=("latency_ms_max", "CASE WHEN answered THEN latency_ms END"),
)
EVIDENCE_SUMS = Sums(
    table="evidence_sums",
    where=EVIDENCE,
    keys={key: key for key in ("scope", "content_type", "band", "strategy")},
    sums={
        "rated": "(rated IS TRUE)::INTEGER",
        "reward_units": _REWARD,
        "reward_square_units": _SQUARE,
        "cost_units": _COST,
        "latency_units": _LATENCY,
    },
    maximum=("last_us", "rewarded_at_us"),
)
LATENCY_COUNTS = Sums(
    table="latency_counts",
    where="answered AND latency_ms IS NOT NULL",
    keys={
        "workflow": "coalesce(workflow, '')",
        "content_type": "coalesce(content_type, '')",
        "strategy": "coalesce(strategy, '')",
        "bucket": BUCKET,
    },
    sums={},
)
SERVICE_WINDOW_US = 300_000_000
_MISTAKES = ", ".join(f"'{code}'" for code in sorted(OF_THE_CALLER))
SERVICE_SUMS = Sums(
    table="service_sums",
    where="requested_at_us IS NOT NULL",
    keys={
        "window_start_us": f"requested_at_us // {SERVICE_WINDOW_US} * {SERVICE_WINDOW_US}",
        "workflow": "coalesce(workflow, '')",
    },
    sums={
        "pending": "(answered IS NULL)::INTEGER",
        "answerable": f"(answered IS NOT NULL AND (answered OR response_code NOT IN ({_MISTAKES})))::INTEGER",
        "answered": "(answered IS TRUE)::INTEGER",
        "planned": "(answered IS NOT NULL AND routed_at_us IS NOT NULL)::INTEGER",
        **{
            f"in_{bound}_ms": f"(routed_at_us IS NOT NULL AND latency_ms IS NOT NULL AND latency_ms <= {bound})::INTEGER"
            for bound in LATENCY_BOUNDS_MS
        },
        "rewarded": "(answered IS TRUE AND reward IS NOT NULL)::INTEGER",
        **{
            f"good_{bound * 100:.0f}": f"(answered IS TRUE AND reward IS NOT NULL AND reward >= {bound})::INTEGER"
            for bound in QUALITY_BOUNDS
        },
    },
    maximum=("newest_us", "requested_at_us"),
)
ALL = (STRATEGY_SUMS, EVIDENCE_SUMS, LATENCY_COUNTS, SERVICE_SUMS)
DAY_US = 86_400_000_000


def follow_outcomes(connection: duckdb.DuckDBPyConnection, change: Change) -> None:
    """Bring every table of sums up to date with the touched outcomes, and mark what is to be exported again."""
    distinct = dict.fromkeys(expression for sums in ALL for expression in sums.expressions().values())
    columns = {expression: f"e{number}" for number, expression in enumerate(distinct)}
    names = [name for name in change.touched.column_names if name != "request_key"]
    signed = [
        table.select(names).append_column("sign", pa.array(np.full(table.num_rows, sign)))
        for sign, table in ((-1, change.known), (1, change.touched))
    ]
    named = ", ".join(f"{expression} AS {name}" for expression, name in columns.items())
    with registered(connection, {"changed": pa.concat_tables(signed)}):
        counted = connection.sql(f"SELECT sign, {named} FROM changed").to_arrow_table()  # noqa: S608 - names of ours
    for sums in ALL:
        sums.follow(connection, counted, columns)
    _mark_changed(connection, change)


def _mark_changed(connection: duckdb.DuckDBPyConnection, change: Change) -> None:
    both = [change.known, change.touched]
    hours = pa.concat_tables([table.select(["window_start_us", "requested_at_us"]) for table in both])
    days = _days(hours["window_start_us"])
    slices = pc.unique(change.touched["slice"]).to_pylist()
    parts = [(name, number) for name in ("outcome", "judged", "calibrated") for number in slices]
    parts += [(name, day) for name in ("strategy_hours", "tenant_days") for day in days]
    parts += [("service_sums", day) for day in _days(hours["requested_at_us"].drop_null())]
    parts.append(("latency_percentiles", 0))
    mark_stale(connection, f"VALUES {', '.join(map(str, parts))}")


def _days(moments: pa.ChunkedArray) -> list[int]:
    days: list[int] = pc.unique(pc.divide(moments, DAY_US)).to_pylist()
    return days


def mark_stale(connection: duckdb.DuckDBPyConnection, parts: str) -> None:
    """Mark the parts (a query of ``name`` and ``part``) for export."""
    connection.execute(f"""
        MERGE INTO export e USING ({parts}) c (name, part) ON (e.name = c.name AND e.part = c.part)
        WHEN MATCHED THEN UPDATE SET stale = true
        WHEN NOT MATCHED THEN INSERT VALUES (c.name, c.part, NULL, true)
    """)


def recount(connection: duckdb.DuckDBPyConnection) -> None:
    """Build every table of sums anew from ``outcome``, and mark everything for export."""
    for sums in ALL:
        connection.execute(f"DELETE FROM {sums.table}")  # noqa: S608 - names of ours
        connection.execute(f"INSERT INTO {sums.table} BY NAME {sums.of('outcome')}")
    mark_stale(
        connection,
        f"""
        SELECT unnest(['outcome', 'judged', 'calibrated']) AS name, slice AS part FROM outcome
        UNION SELECT unnest(['strategy_hours', 'tenant_days']), window_start_us // {DAY_US} FROM strategy_sums
        UNION SELECT 'service_sums', window_start_us // {DAY_US} FROM service_sums
        UNION SELECT 'latency_percentiles', 0
        UNION SELECT 'superseded_plan', 0
        """,  # noqa: S608 - numbers of ours
    )


def latency_percentiles(connection: duckdb.DuckDBPyConnection, *, empty: bool = False) -> pa.Table:
    """Give by workflow, content type and strategy the median and the 95th percentile of the latency, in milliseconds within 0.5 %.

    ``empty`` gives the columns without rows, without a look at the counts.
    """
    cells = connection.sql(f"""
        SELECT workflow, content_type, strategy,
            list(bucket ORDER BY bucket) AS buckets, list(requests::BIGINT ORDER BY bucket) AS counts
        FROM latency_counts WHERE {not empty} GROUP BY ALL
    """).to_arrow_table()  # noqa: S608 - names of ours
    buckets, counts = (cells[name].combine_chunks() for name in ("buckets", "counts"))
    found: dict[str, list[float]] = {"p50_latency_ms": [], "p95_latency_ms": []}
    for begin, end in pairwise(counts.offsets.to_pylist()):
        until = np.cumsum(counts.values.to_numpy()[begin:end])
        for name, share in zip(found, (0.5, 0.95), strict=True):
            place = begin + int(np.searchsorted(until, share * until[-1]))
            found[name].append(2 * BUCKET_GROWTH ** buckets.values[place].as_py() / (1 + BUCKET_GROWTH))
    columns = {name: pa.array(values, pa.float64()) for name, values in found.items()}
    return pa.table({**{name: cells[name] for name in ("workflow", "content_type", "strategy")}, **columns})
