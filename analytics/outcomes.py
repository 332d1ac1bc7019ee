"""Outcomes: one row a request, built up by batches in whatever order its events arrive.

In: the tables of a batch without repeats, and the slice of every request in it, inside the caller's transaction. Out: the rows
of ``outcome`` as they stand after it, ``outcome_plan`` with what each new plan states, ``superseded_plan``, and for the sums the
touched rows as they were and as they are now. What holds is said in ``merging``. Keeps nothing else. A failure leaves the
transaction to the caller.

Of ``outcome`` only the slices are read that hold a request of the batch.
"""

from collections.abc import Mapping

import duckdb
import pyarrow as pa
import pyarrow.compute as pc

from analytics.experimenting.kept import OF_PLAN
from analytics.merging import Change, merged, places_of
from analytics.private_file import registered

_OF_REQUEST = ("request_key", "partition", "log_offset", "tenant", "conversation_id", "request_id", "occurred_at_us")
_READ: dict[str, tuple[str, ...]] = {
    "RequestReceived": ("workflow",),
    "RequestRouted": (
        "event_id",
        "workflow",
        "requested_at_us",
        "profile_scope",
        "profile_version",
        "content_type",
        "content_type_confidence",
        "complexity",
        "propensity",
        "demanded_strategy",
        "policy",
    ),
    "GenerationCompleted": ("cost_usd",),
    "GenerationFailed": ("cost_usd",),
    "ResponseReady": (
        "workflow",
        "strategy",
        "model",
        "routing_id",
        "profile_scope",
        "profile_version",
        "content_type",
        "complexity",
        "step",
        "cost_usd",
        "latency_ms",
    ),
    "ResponseFailed": ("workflow", "routing_id", "cost_usd", "latency_ms", "code"),
    "RewardComputed": ("workflow", "strategy", "routing_id", "revision", "reward", "rated", "evaluator"),
}
"""What an outcome reads of each event, beside ``_OF_REQUEST``."""
OF_OUTCOME = tuple(_READ)
"""The event types that an outcome is made of."""
_STATED = (
    "event_id",
    "logged_at_us",
    "request_key",
    "partition",
    "log_offset",
    "candidates",
    "pinned",
    "features",
    "encoder",
    "feature_set",
)

EVIDENCE = """scope IS NOT NULL AND answered AND reward IS NOT NULL AND latency_ms IS NOT NULL
  AND content_type IS NOT NULL AND band IS NOT NULL AND strategy IS NOT NULL"""
"""What counts as a rewarded request, for what is due and for what is learned alike. ``evidence_sums`` was built with
it, so a change needs a migration that builds it again."""


def columns_read(event: str) -> set[str]:
    """Give the columns of a segment that outcomes are built from; nothing for other events."""
    if event not in _READ:
        return set()
    of_plan = {*_STATED, "steps", *OF_PLAN} if event == "RequestRouted" else set()
    return {*_OF_REQUEST, *_READ[event], *of_plan} - {"request_key", "event_key"}


def request_keys(tables: Mapping[str, pa.Table]) -> pa.Array:
    """Give the requests that a batch touches, each once, as 32 hexadecimal digits."""
    found = [tables[event]["request_key"] for event in OF_OUTCOME if event in tables]
    chunks = [chunk for column in found for chunk in column.chunks]
    return pc.unique(pa.chunked_array(chunks, pa.string()))


def merge_outcomes(connection: duckdb.DuckDBPyConnection, tables: Mapping[str, pa.Table], touched: pa.Table) -> Change:
    """Bring ``outcome`` up to date. ``touched``: ``request_key`` (32 hexadecimal digits) and ``slice``, a row a request."""
    numbered = touched.append_column("place", pa.array(range(touched.num_rows), pa.int64()))
    slices = ", ".join(str(number) for number in pc.unique(touched["slice"]).to_pylist())
    plans = tables.get("RequestRouted")
    with registered(connection, {"batch_touched": numbered}):
        known = connection.sql(f"""
            SELECT t.place, o.* EXCLUDE (request_key) FROM outcome o JOIN batch_touched t ON o.request_key = t.request_key::UUID
            WHERE o.slice IN ({slices})
        """).to_arrow_table()  # noqa: S608 - numbers of ours
        if known.num_rows:
            connection.execute(f"""
                DELETE FROM outcome
                WHERE slice IN ({slices}) AND request_key IN (SELECT request_key::UUID FROM batch_touched)
            """)  # noqa: S608 - numbers of ours
    now, holds = merged(tables, touched, known)
    with registered(connection, {"touched_now": now}):
        connection.execute(
            "INSERT INTO outcome BY NAME SELECT * REPLACE (request_key::UUID AS request_key) FROM touched_now"
        )
    if plans is None:
        return Change(known, now, frozenset())
    _keep_plans(connection, plans.filter(holds), touched)
    superseded = plans.filter(pc.invert(holds))
    _keep_superseded(connection, superseded)
    return Change(known, now, frozenset(superseded["event_id"].to_pylist()))


def _keep_plans(connection: duckdb.DuckDBPyConnection, plans: pa.Table, touched: pa.Table) -> None:
    """Insert what plans that hold state once."""
    if not plans.num_rows:
        return
    candidates = plans["candidates"].combine_chunks()
    names = ("strategy", "probability")
    of_each = pa.StructArray.from_arrays([pc.struct_field(candidates.values, name) for name in names], names)
    stated = {
        "slice": touched["slice"].take(pa.array(places_of(plans, touched))),
        "request_key": plans["request_key"],
        "probabilities": pa.ListArray.from_arrays(candidates.offsets, of_each),
        **{
            ours: pa.ListArray.from_arrays(
                candidates.offsets, pc.struct_field(candidates.values, theirs).cast(pa.float32())
            )
            for ours, theirs in (("qualities", "quality"), ("costs_usd", "cost_usd"))
        },
        **{name: plans[name] for name in ("pinned", "features", "encoder", "feature_set")},
    }
    with registered(connection, {"batch_plan": pa.table(stated)}):
        connection.execute(
            "INSERT INTO outcome_plan BY NAME SELECT * REPLACE (request_key::UUID AS request_key) FROM batch_plan"
        )


def _keep_superseded(connection: duckdb.DuckDBPyConnection, plans: pa.Table) -> None:
    """Note plans that do not hold; they are rare."""
    for plan in plans.select(["event_id", "logged_at_us"]).to_pylist():
        connection.execute("INSERT INTO superseded_plan VALUES (?, ?)", [plan["event_id"], plan["logged_at_us"]])
    if plans.num_rows:
        connection.execute("UPDATE export SET stale = true WHERE name = 'superseded_plan'")
