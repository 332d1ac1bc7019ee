"""Follows experiments: answers the operator's orders, looks at what has ended, and takes the steps that follow.

In: orders, and conversations with their outcomes, inside the consumer's transaction. Out: ``ExperimentStepped``, kept as not
published; for a profile that has won also the ``RollbackOrdered`` that brings it back. Keeps how far it has looked; a restart looks
again, from the last step on. Fails with nothing of its own: an order that cannot be carried out is answered by a step that says
why.

It looks at moments that the log alone decides: after conversation 1, 2, 3 ..., and later after every fiftieth part more. So it does
not matter how the log was cut into batches, or whether somebody was away, and a replay takes the same steps: an event's id is
computed from the experiment and the step's number, its time is when the last of its evidence was known. A step that the log has
already is a fact; only the next one is decided. A reward that is revised after a look changes what later looks see, not the step.
"""

from collections.abc import Mapping
from itertools import pairwise
from typing import Any

import duckdb
import msgspec
import numpy as np

from agents.deciding.experiment import STATE_KEPT
from agents.deciding.planning import scope_of
from analytics.experimenting.comparing import Finding, Observed, Rules, judge
from analytics.experimenting.kept import (
    PUBLIC,
    Conversations,
    answered_orders,
    conversations,
    ended_count,
    forget_conversations,
    keep_step,
    newest_steps,
)
from analytics.experimenting.steps import Standing, next_standing
from schemas import Experiment, ExperimentEvidence, ExperimentOrdered, ExperimentStepped, RollbackOrdered
from streams.codec import Codec
from streams.identity import event_id
from streams.logs import logger

LOOKED_AT_ONCE = 200_000
"""Conversations that the looks of one step may take in, about a second's work: a long catching up does not hold the loop up."""
_PART = 50


class Monitor:
    """Follows every experiment of a deployment."""

    def __init__(self, codec: Codec) -> None:
        self._codec = codec
        self._looked: dict[str, int] = {}
        self._counted: dict[str, tuple[int, int]] = {}
        self._log = logger(role="analytics")

    def step(self, connection: duckdb.DuckDBPyConnection) -> list[ExperimentStepped]:
        """Take the steps that are due, and keep them as not published. ``connection`` is in a transaction that the caller ends."""
        orders = answered_orders(connection, self._codec)
        if not orders and connection.execute("SELECT 1 FROM experiment_step LIMIT 1").fetchone() is None:
            return []
        newest = newest_steps(connection, self._codec)
        taken = []
        for order in orders:
            step = answer(order, newest, conversations(connection, order.name))
            if step is None:
                self._log.warning("experiment_refused", experiment=order.name)
                continue
            newest[order.name] = step
            taken.append(step)
        for name, held in newest.items():
            if held.state == "running":
                taken += self._looked_at(connection, name, held)
            elif ended_count(connection, name)[0]:
                forget_conversations(connection, name)
        for step in taken:
            keep_step(connection, step, self._codec.encode(step), published=False)
        return taken

    def _looked_at(
        self, connection: duckdb.DuckDBPyConnection, name: str, held: ExperimentStepped
    ) -> list[ExperimentStepped]:
        count = ended_count(connection, name)
        if self._counted.get(name) == count:
            return []
        begun = conversations(connection, name)
        total, looked = len(begun.causes), max(held.conversations, self._looked.get(name, 0))
        left = LOOKED_AT_ONCE
        while left > 0:
            looked = next_look(looked)
            left -= looked
            if looked > total:
                self._counted[name] = count
                break
            self._looked[name] = looked
            step = look(held, begun, looked)
            if step is not None:
                return [step]
        return []


def next_look(looked: int) -> int:
    """How many conversations to look at next."""
    return looked + max(1, looked // _PART)


def rules_of(experiment: Experiment) -> Rules:
    """What counts as harm in an experiment."""
    bounds = [max(1 / share, 1 / (1 - share)) for share in experiment.shares if 0 < share < 1]
    return Rules(
        floor=experiment.floor,
        floor_is_relative=experiment.floor_is_relative,
        alpha=experiment.alpha,
        quality_margin=experiment.quality_margin,
        cost_margin=experiment.cost_margin,
        latency_margin=experiment.latency_margin,
        failures_margin=experiment.failures_margin,
        most=experiment.most,
        bound=max(bounds, default=0.0),
    )


def look(held: ExperimentStepped, begun: Conversations, count: int) -> ExperimentStepped | None:
    """The step that follows from the first ``count`` conversations; None where it goes on as it is."""
    experiment = held.experiment
    observed = first(begun.observed, count)
    finding = judge(observed, rules_of(experiment))
    given = int(observed.given.sum())
    standing = Standing(experiment.shares, _place(experiment, held.share))
    after = next_standing(standing, finding, min(given, count - given))
    if after == standing:
        return None
    return ExperimentStepped(
        event_id=event_id("ExperimentStepped", experiment.name, str(held.number + 1)),
        occurred_at_us=max(begun.known_us[count - 1], held.occurred_at_us),
        subject=held.subject,
        experiment=experiment,
        number=held.number + 1,
        state=after.state,
        share=after.share,
        conversations=count,
        given=given,
        evidence=evidence_of(finding, observed),
        reason=after.reason,
        cause_id=begun.causes[count - 1],
    )


def answer(
    order: ExperimentOrdered, newest: Mapping[str, ExperimentStepped], begun: Conversations
) -> ExperimentStepped | None:
    """The step that an order leads to; None where it says nothing new: the name is used, or nothing has it, or it has two."""
    held = newest.get(order.name)
    if order.experiment is None:
        return None if held is None else _ended(order, held, begun)
    experiment = order.experiment
    if held is not None or experiment.name != order.name:
        return None
    busy = [
        n for n, each in newest.items() if each.state == "running" and each.experiment.workflow == experiment.workflow
    ]
    wrong = f"the experiment {busy[0]} runs on this workflow" if busy else fault_of(experiment)
    return ExperimentStepped(
        event_id=event_id("ExperimentStepped", order.name, "1"),
        occurred_at_us=order.occurred_at_us,
        subject=f"experiment:{order.name}",
        experiment=experiment,
        number=1,
        state="cleared" if wrong else "running",
        share=0.0 if wrong else experiment.shares[0],
        reason=f"refused: {wrong}" if wrong else order.reason or "started",
        cause_id=order.event_id,
        stepped_by=order.ordered_by,
    )


def _ended(order: ExperimentOrdered, held: ExperimentStepped, begun: Conversations) -> ExperimentStepped | None:
    state = STATE_KEPT.get(order.keep)
    if state is None or state == held.state or (state == "stopped" and held.state == "rolled_back"):
        return None
    experiment, total = held.experiment, len(begun.causes)
    observed = first(begun.observed, total)
    running = held.state == "running" and total > 0
    return ExperimentStepped(
        event_id=event_id("ExperimentStepped", order.name, str(held.number + 1)),
        occurred_at_us=order.occurred_at_us,
        subject=held.subject,
        experiment=experiment,
        number=held.number + 1,
        state=state,
        share=1.0 if state == "won" else 0.0,
        conversations=total if running else held.conversations,
        given=int(observed.given.sum()) if running else held.given,
        evidence=evidence_of(judge(observed, rules_of(experiment)), observed) if running else held.evidence,
        reason=order.reason or f"ended by {order.ordered_by or 'an operator'}",
        cause_id=order.event_id,
        stepped_by=order.ordered_by,
    )


def fault_of(experiment: Experiment) -> str:
    """What is wrong with an experiment, in words; nothing where it can be carried out."""
    shares = experiment.shares
    if not shares or not 0 < shares[0] < 1 or any(one >= two for one, two in pairwise(shares)):
        return "the shares must rise, and begin between 0 and 1"
    if shares[-1] > 1:
        return "a share is at most 1"
    if not 0 < experiment.alpha < 1:
        return "alpha must be between 0 and 1"
    if experiment.kind == "unknown":
        return "this release does not know its kind"
    if experiment.kind == "profile" and not (experiment.profile and experiment.version.isdecimal()):
        return "it has no profile with a version"
    if not all(
        np.isfinite([experiment.floor, experiment.quality_margin, experiment.cost_margin, experiment.latency_margin])
    ):
        return "floor and margins must be numbers"
    return ""


def first(observed: Observed, count: int) -> Observed:
    """The first so many conversations."""
    return Observed(
        observed.given[:count],
        observed.shares[:count],
        observed.quality[:count],
        observed.cost_usd[:count],
        observed.latency_ms[:count],
        observed.failed[:count],
    )


def evidence_of(finding: Finding, observed: Observed) -> tuple[ExperimentEvidence, ...]:
    """What a finding rests on, with the means of either version beside each interval."""
    outcomes = {
        "quality": observed.quality,
        "cost_usd": observed.cost_usd,
        "latency_ms": observed.latency_ms,
        "failed": observed.failed,
        "level": observed.quality,
    }
    new, old = observed.given, ~observed.given
    return tuple(
        ExperimentEvidence(
            name=each.name,
            estimate=each.center,
            lower=each.lower if np.isfinite(each.lower) else None,
            upper=each.upper if np.isfinite(each.upper) else None,
            old=float(outcomes[each.name][old].mean()) if old.any() else 0.0,
            new=float(outcomes[each.name][new].mean()) if new.any() else 0.0,
        )
        for each in finding.evidence
    )


def seen_so_far(connection: duckdb.DuckDBPyConnection, experiment: Experiment) -> dict[str, Any] | None:
    """What the conversations of an experiment show at the moment, from the public views; None where none has ended."""
    observed = conversations(connection, experiment.name, PUBLIC).observed
    if not len(observed.given):
        return None
    finding = judge(observed, rules_of(experiment))
    return {
        "conversations": finding.conversations,
        "given": int(observed.given.sum()),
        "verdict": finding.step,
        "reason": finding.reason,
        "evidence": [msgspec.to_builtins(each) for each in evidence_of(finding, observed)],
    }


def brought_back(step: ExperimentStepped) -> RollbackOrdered | None:
    """The order by which a profile that has won becomes the scope's; None for every other step."""
    experiment = step.experiment
    if step.state != "won" or experiment.kind != "profile":
        return None
    scope = scope_of(experiment.workflow)
    return RollbackOrdered(
        event_id=event_id("RollbackOrdered", step.event_id),
        occurred_at_us=step.occurred_at_us,
        subject=f"learning:{scope}",
        scope=scope,
        to_version=int(experiment.version),
        reason=f"it won the experiment {experiment.name}: {step.reason}",
        ordered_by=step.stepped_by or "analytics",
    )


def _place(experiment: Experiment, share: float) -> int:
    return experiment.shares.index(share) if share in experiment.shares else 0
