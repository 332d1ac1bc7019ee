"""What holds of each request: the outcomes that a batch touches, as they stand after it, whatever the order in which events arrive.

In: the batch's tables without repeats, the touched requests, and their rows of ``outcome`` before the batch. Out: these rows
after it, and which plans of the batch hold. What holds: the first request, the first plan and the first response in the log, and
the reward with the highest revision. A value from before the batch comes first wherever the first one holds. Keeps nothing.
Cannot fail. Pure Arrow, column by column: for a batch of a thousand rows DuckDB takes longer to plan the same joins than to
carry them out.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from analytics.columns import COLUMNS

HOUR_US = 3_600_000_000
_IDENTITY = ("tenant", "conversation_id", "request_id")
_CALLS = ("GenerationCompleted", "GenerationFailed")
Places = Any
"""Numpy array of whole numbers."""


@dataclass(frozen=True)
class Change:
    """What a batch did to the outcomes: touched rows as they were and as they are now, and event ids of plans that do not hold."""

    known: pa.Table
    touched: pa.Table
    superseded: frozenset[str]


class _Chosen:
    """At most one row of a table for each touched request: ``rows`` is its number, or null."""

    def __init__(self, table: pa.Table, rows: pa.Array) -> None:
        self._table = table
        self._rows = rows

    def __getitem__(self, column: str) -> pa.Array:
        """Give the column's values, one for each touched request; null where there is no row."""
        if not self._table.num_rows:
            return pa.nulls(len(self._rows), self._table.schema.field(column).type)
        taken = self._table[column].take(self._rows)
        return taken.combine_chunks() if isinstance(taken, pa.ChunkedArray) else taken

    @property
    def is_there(self) -> pa.Array:
        """Whether there is a row."""
        return self._rows.is_valid()


def _numbers(table: pa.Table, column: str) -> Places:
    return table[column].to_numpy()


def places_of(table: pa.Table, touched: pa.Table) -> Places:
    """Give the number of each row's request among the touched ones."""
    keys = touched["request_key"].combine_chunks()
    return pc.index_in(table["request_key"], value_set=keys).to_numpy()


def _first(table: pa.Table, touched: pa.Table, *, highest: str | None = None) -> pa.Array:
    """Give for each touched request its first row in the log; with ``highest`` the first of those where that column is highest."""
    places = places_of(table, touched)
    by = [_numbers(table, "log_offset"), _numbers(table, "partition")]
    if highest is not None:
        by.append(-_numbers(table, highest))
    order = np.lexsort((*by, places))
    found, at = np.unique(places[order], return_index=True)
    rows = np.full(touched.num_rows, -1, np.int64)
    rows[found] = order[at]
    return pa.array(rows, mask=rows < 0)


def _of(tables: Mapping[str, pa.Table], event: str) -> pa.Table:
    return tables[event] if event in tables else COLUMNS[event].batch_schema.empty_table()


def _responses(tables: Mapping[str, pa.Table]) -> pa.Table:
    """Both kinds of responses; a column that one of them lacks is null there."""
    both = []
    for event, is_answer in (("ResponseReady", True), ("ResponseFailed", False)):
        table = _of(tables, event)
        both.append(table.append_column("answered", pa.array(np.full(table.num_rows, is_answer))))
    shared = [table.select([name for name in table.column_names if name in _OF_RESPONSE]) for table in both]
    return pa.concat_tables(shared, promote_options="default")


_OF_RESPONSE = {
    *(
        "request_key",
        "partition",
        "log_offset",
        *_IDENTITY,
        "occurred_at_us",
        "answered",
        "workflow",
        "strategy",
        "model",
    ),
    *(
        "routing_id",
        "profile_scope",
        "profile_version",
        "content_type",
        "complexity",
        "step",
        "cost_usd",
        "latency_ms",
        "code",
    ),
}


def _calls(tables: Mapping[str, pa.Table], touched: pa.Table) -> tuple[_Chosen, pa.Array, pa.Array, pa.Array]:
    """Give the first call of each request, how many there are, their price, and when the earliest was."""
    names = ["request_key", "partition", "log_offset", *_IDENTITY, "cost_usd", "occurred_at_us"]
    table = pa.concat_tables([_of(tables, event).select(names) for event in _CALLS])
    places = places_of(table, touched)
    order = np.lexsort((_numbers(table, "log_offset"), _numbers(table, "partition"), places))
    size = touched.num_rows
    counts = np.bincount(places, minlength=size)
    prices = np.bincount(
        places[order], weights=_numbers(table, "cost_usd")[order], minlength=size
    )  # in the order of the log
    earliest = np.full(size, np.iinfo(np.int64).max)
    np.minimum.at(earliest, places, _numbers(table, "occurred_at_us"))
    none = counts == 0
    return (
        _Chosen(table, _first(table, touched)),
        pa.array(counts),
        pa.array(prices),
        pa.array(earliest, mask=none),
    )


def _band(complexity: pa.Array) -> pa.Array:
    """low: 1 to 3, middle: 4 to 7, high: 8 to 10."""
    above = pc.if_else(pc.less_equal(complexity, 7), "middle", "high")
    return pc.if_else(pc.less_equal(complexity, 3), "low", above)


def _first_steps(plans: pa.Table) -> pa.Array:
    """Give the strategy of each plan's first step; a plan without steps breaks its contract, but not the batch."""
    steps = plans["steps"].combine_chunks()
    lengths = pc.fill_null(pc.list_value_length(steps), 0).to_numpy()
    strategies = pc.struct_field(steps.values, "strategy")
    begins = steps.offsets.to_numpy()[:-1]
    return strategies.take(pa.array(np.where(lengths > 0, begins, 0), mask=lengths == 0))


def merged(tables: Mapping[str, pa.Table], touched: pa.Table, known: pa.Table) -> tuple[pa.Table, pa.Array]:
    """Give the rows of ``outcome`` after the batch, and for each plan of the batch whether it holds.

    ``touched``: ``request_key`` and ``slice``, a row a request, and so is the result. ``known``: rows of ``outcome``, with
    ``place``, the number of the request among the touched ones.
    """
    size = touched.num_rows
    rows = np.full(size, -1, np.int64)
    rows[_numbers(known, "place")] = np.arange(known.num_rows)
    o = _Chosen(known, pa.array(rows, mask=rows < 0))
    requests = _of(tables, "RequestReceived")
    r = _Chosen(requests, _first(requests, touched))
    plans = _of(tables, "RequestRouted")
    plans = plans.append_column("strategy", _first_steps(plans)) if plans.num_rows else _typed(plans)
    first_plans = _first(plans, touched)
    p = _Chosen(plans, first_plans)
    responses = _responses(tables)
    s = _Chosen(responses, _first(responses, touched))
    rewards = _of(tables, "RewardComputed")
    w = _Chosen(rewards, _first(rewards, touched, highest="revision"))
    c, calls, prices, called_at_us = _calls(tables, touched)
    after = {"slice": touched["slice"].combine_chunks(), "request_key": touched["request_key"].combine_chunks()}
    after |= {name: pc.coalesce(*(each[name] for each in (o, r, p, s, c, w))) for name in _IDENTITY}
    had_plan, had_response = o["routed_at_us"].is_valid(), o["responded_at_us"].is_valid()
    after |= _of_plan(o, p, s, w, had_plan)
    after |= _of_response(o, s, had_response)
    after |= _of_reward(o, w)
    after["workflow"] = pc.coalesce(*(each["workflow"] for each in (o, r, p, s, w)))
    after["strategy"] = _answered_by(o, p, s, w, had_response)
    after["calls"] = pc.add(pc.fill_null(o["calls"], 0), calls)
    after["call_cost_usd"] = pc.add(pc.fill_null(o["call_cost_usd"], 0.0), prices)
    after["cost_usd"] = pc.coalesce(after["response_cost_usd"], after["call_cost_usd"])
    after["requested_at_us"] = pc.coalesce(o["requested_at_us"], p["requested_at_us"], r["occurred_at_us"])
    begun = (o["window_start_us"], w["occurred_at_us"], called_at_us)
    moment = pc.coalesce(*(after[f"{name}_at_us"] for name in ("requested", "routed", "responded")), *begun)
    after["window_start_us"] = pc.multiply(pc.divide(moment, HOUR_US), HOUR_US)
    holds = _hold(plans, touched, first_plans, had_plan)
    return pa.table(after), holds


def _typed(plans: pa.Table) -> pa.Table:
    return plans.append_column("strategy", pa.array([], pa.string()))


def _hold(plans: pa.Table, touched: pa.Table, first_plans: pa.Array, had_plan: pa.Array) -> pa.Array:
    places = places_of(plans, touched)
    is_first = pc.fill_null(first_plans, -1).to_numpy()[places] == np.arange(plans.num_rows)
    return pa.array(is_first & ~had_plan.to_numpy(zero_copy_only=False)[places])


def _of_plan(o: _Chosen, p: _Chosen, s: _Chosen, w: _Chosen, had_plan: pa.Array) -> dict[str, pa.Array]:
    def stated(ours: str, theirs: str, *later: pa.Array) -> pa.Array:
        """What the first plan said; before there is one, what others said of it."""
        return pc.if_else(had_plan, o[ours], pc.coalesce(p[theirs], o[ours], *later))

    names = ("content_type", "complexity", "profile_version")
    demanded = pc.if_else(p.is_there, p["demanded_strategy"].is_valid(), pa.scalar(None, pa.bool_()))
    return {
        **{name: stated(name, name, s[name]) for name in names},
        "scope": stated("scope", "profile_scope", s["profile_scope"]),
        "band": pc.if_else(had_plan, o["band"], pc.coalesce(_band(p["complexity"]), o["band"], _band(s["complexity"]))),
        "routing_id": stated("routing_id", "event_id", s["routing_id"], w["routing_id"]),
        **{name: pc.coalesce(o[name], p[name]) for name in ("content_type_confidence", "propensity", "policy")},
        "chosen_strategy": pc.coalesce(o["chosen_strategy"], p["strategy"]),
        "demanded": pc.if_else(had_plan, o["demanded"], demanded),
        "routed_at_us": pc.coalesce(o["routed_at_us"], p["occurred_at_us"]),
    }


def _of_response(o: _Chosen, s: _Chosen, had_response: pa.Array) -> dict[str, pa.Array]:
    named = {"response_cost_usd": "cost_usd", "response_code": "code"}
    same = ("step", "model", "latency_ms", "answered")
    return {
        **{ours: pc.if_else(had_response, o[ours], s[named.get(ours, ours)]) for ours in (*same, *named)},
        "responded_at_us": pc.coalesce(o["responded_at_us"], s["occurred_at_us"]),
    }


def _of_reward(o: _Chosen, w: _Chosen) -> dict[str, pa.Array]:
    higher = pc.greater(w["revision"], pc.fill_null(o["reward_revision"], np.iinfo(np.int64).min))
    is_new = pc.fill_null(higher, fill_value=False)
    named = {"reward_revision": "revision", "rewarded_strategy": "strategy", "rewarded_at_us": "occurred_at_us"}
    return {
        ours: pc.if_else(is_new, w[named.get(ours, ours)], o[ours]) for ours in ("reward", "rated", "evaluator", *named)
    }


def _answered_by(o: _Chosen, p: _Chosen, s: _Chosen, w: _Chosen, had_response: pa.Array) -> pa.Array:
    """The strategy that answered; else the one that the reward names, or the chosen one."""
    else_named = pc.coalesce(o["rewarded_strategy"], w["strategy"], o["chosen_strategy"], p["strategy"])
    was_answered = pc.and_(had_response, pc.fill_null(o["answered"], fill_value=False))
    answers_now = pc.and_(pc.invert(had_response), s["strategy"].is_valid())
    return pc.if_else(was_answered, o["strategy"], pc.if_else(answers_now, s["strategy"], else_named))
