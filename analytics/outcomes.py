"""Outcomes: one row a request, built up by batches in whatever order its events arrive.

In: the tables of a batch without repeats, and the slice of every request in it, inside the caller's transaction. Out: the rows of
``outcome`` as they stand after it, ``outcome_plan`` with what each new plan states, ``superseded_plan``, and two temporary tables:
``known`` with the touched rows as they were, ``touched`` as they are now, for the sums. What holds is said in
``statements/merge_outcomes.sql``. Keeps nothing else. A failure leaves the transaction to the caller.

Of ``outcome`` only the slices are read that hold a request of the batch.
"""

from collections.abc import Mapping
from functools import cache
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.compute as pc

from analytics.columns import COLUMNS
from analytics.experimenting.kept import OF_PLAN
from analytics.private_file import registered
from schemas.generate import snake

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

_PLANS = """
INSERT INTO outcome_plan
SELECT b.slice, b.request_key::UUID,
    [{'strategy': x.strategy, 'probability': x.probability} FOR x IN p.candidates], p.pinned, p.features, p.encoder, p.feature_set
FROM batch_plan p JOIN batch_touched b USING (request_key)
WHERE p.event_id NOT IN (SELECT event_id FROM superseded_now)
"""
_SUPERSEDED = """
CREATE OR REPLACE TEMP TABLE superseded_now AS
SELECT event_id FROM batch_plan
WHERE request_key::UUID IN (SELECT request_key FROM known WHERE routed_at_us IS NOT NULL)
UNION ALL
SELECT event_id FROM (
    SELECT event_id, row_number() OVER (PARTITION BY request_key ORDER BY partition, log_offset) AS place FROM batch_plan
    WHERE request_key::UUID NOT IN (SELECT request_key FROM known WHERE routed_at_us IS NOT NULL)
) WHERE place > 1
"""


def columns_read(event: str) -> set[str]:
    """Give the columns of a segment that outcomes are built from; nothing for other events."""
    if event not in _READ:
        return set()
    of_plan = {*_STATED, "steps", *OF_PLAN} if event == "RequestRouted" else set()
    return {*_OF_REQUEST, *_READ[event], *of_plan} - {"request_key", "event_key"}


@cache
def statement(name: str) -> str:
    """Give the text of ``statements/<name>.sql``."""
    path = Path(__file__).parent / "statements" / f"{name}.sql"
    return path.read_text(encoding="utf-8")


def request_keys(tables: Mapping[str, pa.Table]) -> pa.Array:
    """Give the requests that a batch touches, each once, as 32 hexadecimal digits."""
    found = [tables[event]["request_key"] for event in OF_OUTCOME if event in tables]
    chunks = [chunk for column in found for chunk in column.chunks]
    return pc.unique(pa.chunked_array(chunks, pa.string()))


def _narrow(event: str, tables: Mapping[str, pa.Table]) -> pa.Table:
    table = tables[event] if event in tables else COLUMNS[event].batch_schema.empty_table()
    narrow = table.select([*_OF_REQUEST, *_READ[event]])
    if event == "RequestRouted":
        first_steps = pc.list_element(table["steps"], 0) if _all_have_steps(table) else _first_steps(table)
        narrow = narrow.append_column("strategy", pc.struct_field(first_steps, "strategy"))
    return narrow


def _all_have_steps(table: pa.Table) -> bool:
    return table.num_rows > 0 and (pc.min(pc.list_value_length(table["steps"])).as_py() or 0) > 0


def _first_steps(table: pa.Table) -> pa.ChunkedArray:
    """A plan without steps breaks its contract, but not the batch."""
    steps = [(steps or [None])[0] for steps in table["steps"].to_pylist()]
    return pa.chunked_array([pa.array(steps, table.schema.field("steps").type.value_type)])


def merge_outcomes(connection: duckdb.DuckDBPyConnection, tables: Mapping[str, pa.Table], touched: pa.Table) -> None:
    """Bring ``outcome`` up to date. ``touched``: ``request_key`` (32 hexadecimal digits) and ``slice``, a row a request."""
    slices = ", ".join(str(number) for number in pc.unique(touched["slice"]).to_pylist())
    narrow = {f"batch_{snake(event)}": _narrow(event, tables) for event in OF_OUTCOME}
    narrow["batch_touched"] = touched
    plans = tables.get("RequestRouted", COLUMNS["RequestRouted"].batch_schema.empty_table())
    narrow["batch_plan"] = plans.select(_STATED)
    ours = f"slice IN ({slices}) AND request_key IN (SELECT request_key::UUID FROM batch_touched)"  # noqa: S608 - numbers of ours
    with registered(connection, narrow):
        connection.execute(f"CREATE OR REPLACE TEMP TABLE known AS SELECT * FROM outcome WHERE {ours}")  # noqa: S608 - numbers of ours
        connection.execute(f"CREATE OR REPLACE TEMP TABLE touched AS {statement('merge_outcomes')}")
        if plans.num_rows:
            connection.execute(_SUPERSEDED)
            ((superseded,),) = connection.execute("INSERT INTO superseded_plan FROM superseded_now").fetchall()
            if superseded:
                connection.execute("UPDATE export SET stale = true WHERE name = 'superseded_plan'")
            connection.execute(_PLANS)
        connection.execute(f"DELETE FROM outcome WHERE {ours}")  # noqa: S608 - numbers of ours
        connection.execute("INSERT INTO outcome BY NAME SELECT * FROM touched")
