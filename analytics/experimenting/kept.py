"""Experiments in the private file: what conversations showed, the steps that were taken, orders that wait for an answer.

In: the tables of a batch and its events about experiments; steps that the monitor takes. Out: the conversations of an experiment in
their order, the newest step of each, what is still to be published. Kept in ``experiment_outcome``, ``experiment_step`` and
``pending_experiment_order``; every function but ``mark_published`` runs inside the caller's transaction.

A conversation counts once, by the first request of it that was decided in the experiment: what comes of later ones depends on what
came of that.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from analytics.experimenting.comparing import Observed
from analytics.intake import Order
from analytics.merging import Change
from analytics.private_file import registered
from schemas import ExperimentOrdered, ExperimentStepped
from streams.codec import Codec
from streams.identity import event_id

OF_PLAN = ("experiment", "branch", "branch_share")
"""What a plan says of its experiment."""
PATIENCE_US = 900_000_000
"""After so long a conversation without an end or a reward is left out, so that it does not hold up those after it."""
_BEGUN = """
INSERT INTO experiment_outcome BY NAME
SELECT b.* REPLACE (conversation::UUID AS conversation, request_key::UUID AS request_key)
FROM batch_experiment b
WHERE (experiment, conversation::UUID) NOT IN (SELECT (experiment, conversation) FROM experiment_outcome)
QUALIFY row_number() OVER (PARTITION BY experiment, conversation ORDER BY logged_at_us, partition, log_offset) = 1
"""
_FOLLOWED = """
UPDATE experiment_outcome e
SET answered = t.answered, step = t.step, reward = t.reward, cost_usd = t.cost_usd, latency_ms = t.latency_ms,
    known_at_us = greatest(coalesce(t.responded_at_us, 0), coalesce(t.rewarded_at_us, 0))
FROM touched t WHERE e.request_key = t.request_key::UUID
"""
_CONVERSATIONS = """
SELECT given, share, coalesce(reward, 0) AS quality, coalesce(cost_usd, 0) AS cost_usd, coalesce(latency_ms, 0) AS latency_ms,
    (NOT answered OR coalesce(step, 0) > 0)::DOUBLE AS failed, routing_id, known_at_us,
    answered IS NULL OR (answered AND reward IS NULL) AS open,
    logged_at_us < (SELECT max(logged_at_us) FROM {source} WHERE experiment = $name) - $patience AS late
FROM {source} WHERE experiment = $name ORDER BY logged_at_us, partition, log_offset
"""
PRIVATE = "experiment_outcome"
PUBLIC = """(
    SELECT p.experiment, p.branch = 'new' AS given, p.branch_share AS share, o.reward, o.cost_usd, o.latency_ms, o.answered, o.step,
        p.event_id AS routing_id, p.partition, p.log_offset, epoch_us(p.logged_at) AS logged_at_us,
        greatest(coalesce(epoch_us(o.responded_at), 0), coalesce(epoch_us(o.rewarded_at), 0)) AS known_at_us
    FROM plans p LEFT JOIN outcomes o ON o.routing_id = p.event_id
    WHERE p.experiment = $name
    QUALIFY row_number() OVER (PARTITION BY p.tenant, p.conversation_id ORDER BY p.logged_at, p.partition, p.log_offset) = 1
)"""
"""The same as ``experiment_outcome``, from the public views."""


@dataclass(frozen=True)
class Conversations:
    """The conversations that an experiment rests on, in the order in which they began; (n,) each.

    ``causes``: event id of the plan of each; ``known_us``: when all up to it was known, in microseconds since 1970-01-01 UTC.
    """

    observed: Observed
    causes: tuple[str, ...]
    known_us: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class UnpublishedStep:
    """A step on its way to Kafka, byte for byte."""

    name: str
    number: int
    payload: bytes


def follow_experiments(connection: duckdb.DuckDBPyConnection, tables: Mapping[str, pa.Table], change: Change) -> None:
    """Take in what a batch says of conversations in experiments, with what it changed of the outcomes."""
    begun = _begun(tables.get("RequestRouted"), change.superseded)
    if begun is not None:
        with registered(connection, {"batch_experiment": begun}):
            connection.execute(_BEGUN)
    if connection.execute("SELECT 1 FROM experiment_outcome LIMIT 1").fetchall():
        with registered(connection, {"touched": change.touched}):
            connection.execute(_FOLLOWED)


def _begun(plans: pa.Table | None, superseded: frozenset[str]) -> pa.Table | None:
    """The plans in experiments that hold, laid out; None where there is none, or the segment is older than experiments."""
    if plans is None or "experiment" not in plans.column_names:
        return None
    plans = plans.filter(pc.invert(pc.is_in(plans["event_id"], value_set=pa.array(superseded, pa.string()))))
    plans = plans.filter(pc.not_equal(pc.fill_null(plans["experiment"], ""), ""))
    if not plans.num_rows:
        return None
    of = zip(plans["tenant"].to_pylist(), plans["conversation_id"].to_pylist(), strict=True)
    return pa.table(
        {
            "experiment": plans["experiment"],
            "conversation": pa.array([event_id("conversation", *each) for each in of], pa.string()),
            "request_key": plans["request_key"],
            "routing_id": plans["event_id"],
            "given": pc.equal(plans["branch"], "new"),
            "share": plans["branch_share"],
            "partition": plans["partition"],
            "log_offset": plans["log_offset"],
            "logged_at_us": plans["logged_at_us"],
        }
    )


def conversations(connection: duckdb.DuckDBPyConnection, name: str, source: str = PRIVATE) -> Conversations:
    """Those that have ended, up to the first that has not; one that has been open for too long is left out."""
    found = connection.execute(
        _CONVERSATIONS.format(source=source), {"name": name, "patience": PATIENCE_US}
    ).fetchnumpy()
    waits = np.flatnonzero(found["open"] & ~found["late"])
    end = int(waits[0]) if len(waits) else len(found["open"])
    kept = np.flatnonzero(~found["open"][:end])

    def column(which: str) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
        return np.asarray(found[which][kept], dtype=np.float64)

    observed = Observed(
        given=np.asarray(found["given"][kept], dtype=np.bool_),
        shares=column("share"),
        quality=column("quality"),
        cost_usd=column("cost_usd"),
        latency_ms=column("latency_ms"),
        failed=column("failed"),
    )
    known = np.maximum.accumulate(np.asarray(found["known_at_us"][kept], dtype=np.int64)) if len(kept) else kept
    return Conversations(observed, tuple(found["routing_id"][kept].tolist()), tuple(known.tolist()))


def ended_count(connection: duckdb.DuckDBPyConnection, name: str) -> tuple[int, int]:
    """How many conversations began, and of how many something is known: where neither has grown there is nothing to look at."""
    (found,) = connection.execute(
        "SELECT count(*), count(answered) + count(reward) FROM experiment_outcome WHERE experiment = ?", [name]
    ).fetchall()
    return int(found[0]), int(found[1])


def take_orders_and_steps(connection: duckdb.DuckDBPyConnection, orders: Iterable[Order]) -> None:
    """Keep orders until they are answered, and note steps that the log has."""
    for order in orders:
        if isinstance(order.event, ExperimentOrdered):
            connection.execute(
                "INSERT INTO pending_experiment_order VALUES (?, ?)", [order.message.offset, order.message.value]
            )
        elif isinstance(order.event, ExperimentStepped):
            keep_step(connection, order.event, order.message.value or b"", published=True)


def keep_step(
    connection: duckdb.DuckDBPyConnection, step: ExperimentStepped, payload: bytes, *, published: bool
) -> None:
    """Keep a step; one that is there already stays, and counts as published where the log has it."""
    connection.execute(
        "INSERT INTO experiment_step VALUES (?, ?, ?, ?) ON CONFLICT DO UPDATE SET published = published OR excluded.published",
        [step.experiment.name, step.number, published, payload],
    )


def answered_orders(connection: duckdb.DuckDBPyConnection, codec: Codec) -> list[ExperimentOrdered]:
    """Give the orders that wait, in the order of the log, and forget them: the step in this transaction answers them."""
    rows = connection.execute("SELECT payload FROM pending_experiment_order ORDER BY log_offset").fetchall()
    if rows:
        connection.execute("DELETE FROM pending_experiment_order")
    orders = (codec.decode(payload) for (payload,) in rows)
    return [order for order in orders if isinstance(order, ExperimentOrdered)]


def newest_steps(connection: duckdb.DuckDBPyConnection, codec: Codec) -> dict[str, ExperimentStepped]:
    """The newest step of each experiment, by name."""
    rows = connection.execute(
        "SELECT payload FROM experiment_step QUALIFY row_number() OVER (PARTITION BY name ORDER BY number DESC) = 1 ORDER BY name"
    ).fetchall()
    steps = (codec.decode(payload) for (payload,) in rows)
    return {step.experiment.name: step for step in steps if isinstance(step, ExperimentStepped)}


def unpublished_steps(connection: duckdb.DuckDBPyConnection) -> list[UnpublishedStep]:
    """List what is to be published, by name and number."""
    rows = connection.execute("SELECT name, number, payload FROM experiment_step WHERE NOT published ORDER BY ALL")
    return [UnpublishedStep(*row) for row in rows.fetchall()]


def mark_published(connection: duckdb.DuckDBPyConnection, step: UnpublishedStep) -> None:
    """Note that the topic has confirmed a step."""
    connection.execute(
        "UPDATE experiment_step SET published = true WHERE name = ? AND number = ?", [step.name, step.number]
    )


def forget_conversations(connection: duckdb.DuckDBPyConnection, name: str) -> None:
    """Forget the conversations of an experiment that has ended; the evidence is in its last step."""
    connection.execute("DELETE FROM experiment_outcome WHERE experiment = ?", [name])
