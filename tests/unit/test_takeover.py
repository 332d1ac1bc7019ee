"""What the system changes by itself: who answers, and graph lookups; each by its rule, with evidence and a sentence."""

from typing import Any

import pytest

from agents.deciding.governance import Floor
from agents.deciding.prior import BANDS, Estimate
from analytics.beliefs import Cell, Sums
from analytics.takeover import LEAST_GRAPH_REQUESTS, LEAST_REQUESTS, Changed, InForce, reconsider
from schemas import GraphSwitch, Incumbent
from tests.deciding_parts import catalogue, estimate, strategy

PLAIN, GRAPH = "simple-semantic", "simple-semantic-graph"
OLD, NEW = "simple-semantic", "premium-semantic"
PAIR = catalogue(strategy("simple"), strategy("premium"))
TWINS = catalogue(strategy("simple"), strategy("simple", graph=True))
ABSOLUTE = Floor("absolute", 0.8)


def seen(name: str, requests: int) -> dict[Cell, Sums]:
    return {("general", "low", name): Sums(requests, requests, 0.0, 0.0, 0.0, 0.0)}


def after(
    old: Estimate,
    new: Estimate,
    *,
    requests: int = 40,
    floor: Floor = ABSOLUTE,
    incumbent: str | None = OLD,
    priority: str = "balanced",
) -> Changed:
    """What changes in low complexity; in the others both strategies are alike and too bad for anything."""
    estimates = {("general", band, name): estimate(0.1) for band in BANDS for name in PAIR.ids}
    estimates["general", "low", OLD], estimates["general", "low", NEW] = old, new
    held = {}
    if incumbent is not None:
        held["general", "low"] = Incumbent(content_type="general", band="low", strategy=incumbent, since_version=2)
    in_force = InForce(held, {})
    evidence = seen(NEW, requests)
    return reconsider(PAIR, ("general",), estimates, evidence, in_force, floor=floor, version=9, priority=priority)


def who(changed: Changed) -> str:
    return next(each.strategy for each in changed.incumbents if each.band == "low")


@pytest.mark.parametrize(("better", "takes_over"), [(1.0, False), (1.09, False), (1.11, True)])
@pytest.mark.parametrize("by", ["quality", "cost"])
def test_a_challenger_takes_over_with_more_than_a_tenth_more_quality_per_cost(better, takes_over, by):
    new = estimate(0.82 * better) if by == "quality" else estimate(0.82, 1e-6 / better)
    changed = after(estimate(0.82), new)
    assert who(changed) == (NEW if takes_over else OLD)
    assert len(changed.optimizations) == takes_over


@pytest.mark.parametrize(("priority", "takes_over"), [("balanced", False), ("quality_over_speed", True)])
def test_what_counts_as_better_is_the_workflow_s_priority(priority, takes_over):
    changed = after(estimate(0.82, 1e-6), estimate(0.90, 2e-6), priority=priority)
    assert who(changed) == (NEW if takes_over else OLD)


def test_a_take_over_is_written_down_with_its_numbers_and_a_sentence():
    changed = after(estimate(0.82, 2e-6), estimate(0.902, 1e-6), requests=412)
    (taken,) = changed.optimizations
    assert (taken.kind, taken.before, taken.after, taken.band) == ("strategy_took_over", OLD, NEW, "low")
    assert (taken.quality_before, taken.quality_after) == (0.82, 0.902)
    assert (taken.cost_usd_before, taken.cost_usd_after, taken.requests) == (2e-6, 1e-6, 412)
    assert taken.sentence == (
        "premium-semantic answers general requests of low complexity 10% better (0.90 against 0.82 of simple-semantic) "
        "for 50% less ($1.00 per million answers against $2.00 per million answers); 412 requests"
    )
    since = {each.band: each.since_version for each in changed.incumbents}
    assert since == {"low": 9, "middle": 0, "high": 0}


@pytest.mark.parametrize(
    ("new", "said"),
    [
        (estimate(0.905, 1e-6), "13% better (0.91 against 0.80 of simple-semantic) at the same price; 40 requests"),
        (estimate(0.801, 0.5e-6), "equally well (0.80 against 0.80 of simple-semantic) for 50% less"),
        (estimate(0.99, 1.1e-6), "for 10% more"),
    ],
)
def test_the_sentence_says_better_or_equally_well_and_for_how_much(new, said):
    (taken,) = after(estimate(0.8, 1e-6), new).optimizations
    assert said in taken.sentence


def test_a_take_over_that_costs_some_quality_says_that_it_stays_above_the_floor():
    (taken,) = after(estimate(0.95, 1e-6), estimate(0.855, 1e-7)).optimizations
    assert "10% worse, above the floor, (0.85 against 0.95" in taken.sentence


def test_the_lower_bound_has_to_meet_the_floor_and_not_the_mean():
    assert who(after(estimate(0.82), estimate(0.9, 1e-7, sd=0.11))) == OLD
    assert who(after(estimate(0.82), estimate(0.9, 1e-7, sd=0.09))) == NEW


def test_too_few_requests_are_no_evidence():
    assert who(after(estimate(0.82), estimate(0.99, 1e-9), requests=LEAST_REQUESTS - 1)) == OLD
    assert who(after(estimate(0.82), estimate(0.99, 1e-9), requests=LEAST_REQUESTS)) == NEW


def test_an_incumbent_below_the_floor_is_replaced_even_by_a_dearer_one():
    changed = after(estimate(0.79, 1e-9), estimate(0.85, 1e-3))
    assert who(changed) == NEW
    assert len(changed.optimizations) == 1


def test_an_incumbent_below_the_floor_stays_while_nobody_else_meets_it():
    assert who(after(estimate(0.7), estimate(0.75, 1e-9))) == OLD


def test_a_relative_floor_is_a_share_of_the_best_ones_quality():
    old, new = estimate(0.7, 1e-5), estimate(0.68, 1e-6, gap_sd=0.01)
    assert who(after(old, new, floor=Floor("relative", 0.95))) == NEW
    assert who(after(old, new, floor=Floor("relative", 0.97))) == OLD


def test_where_nobody_was_in_force_the_built_in_rule_is_the_incumbent():
    changed = after(estimate(0.82), estimate(0.82), incumbent=None)
    assert who(changed) == OLD
    assert {each.since_version for each in changed.incumbents} == {0}


def test_an_incumbent_that_the_catalogue_no_longer_has_is_replaced_without_a_comparison():
    changed = after(estimate(0.5), estimate(0.82), incumbent="simple-abolished")
    assert who(changed) == NEW
    assert changed.optimizations == ()


@pytest.mark.parametrize(
    ("old", "new", "winner"),
    [
        (estimate(0.82, 0.0), estimate(0.82, 0.0), OLD),
        (estimate(0.82, 1e-6), estimate(0.82, 0.0), NEW),
        (estimate(0.82, 0.0), estimate(0.99, 1e-6), OLD),
        (estimate(0.0, 0.0), estimate(0.5, 0.0), NEW),
    ],
)
def test_models_that_cost_nothing_are_compared_like_the_others(old, new, winner):
    changed = after(old, new, floor=Floor("absolute", 0.0))
    assert who(changed) == winner
    assert all(each.sentence for each in changed.optimizations)


# ------------------------------------------------------------------------------------------------------- graph lookups


def graph_after(gain: float, ratio: float, *, off: bool = False, requests: int = LEAST_GRAPH_REQUESTS) -> Changed:
    estimates = {}
    for band in BANDS:
        estimates["general", band, PLAIN] = estimate(0.6, latency_ms=100.0)
        estimates["general", band, GRAPH] = estimate(0.6 + gain, latency_ms=100.0 * ratio)
    before: dict[str, Any] = {}
    if off:
        before["general"] = GraphSwitch(content_type="general", gain=0.0, latency_ratio=2.0, requests=40)
    counts = {**seen(PLAIN, requests), **seen(GRAPH, requests)}
    return reconsider(TWINS, ("general",), estimates, counts, InForce({}, before), floor=ABSOLUTE, version=3)


@pytest.mark.parametrize(
    ("gain", "ratio", "off"),
    [
        (0.04, 1.6, True),
        (0.04, 1.4, False),
        (0.06, 1.6, False),
        (0.06, 1.4, False),
        (-0.2, 1.0, False),
        (-0.2, 9, True),
    ],
)
def test_graph_lookups_are_switched_off_where_they_gain_little_and_take_long(gain, ratio, off):
    changed = graph_after(gain, ratio)
    assert [each.content_type for each in changed.graph_off] == (["general"] if off else [])
    assert [each.kind for each in changed.optimizations] == (["graph_switched_off"] if off else [])


def test_switching_off_says_gain_latency_and_evidence():
    changed = graph_after(0.012, 1.84)
    ((switch,), (change,)) = changed.graph_off, changed.optimizations
    assert switch.gain == pytest.approx(0.012)
    assert switch.latency_ratio == pytest.approx(1.84)
    assert (switch.requests, change.requests) == (40, 40)
    assert change.sentence == (
        "graph lookups are switched off for general requests: they gain +0.01 quality at 1.8 times the latency; 40 requests"
    )


def test_without_evidence_of_both_nothing_is_switched():
    few = graph_after(0.0, 3.0, requests=LEAST_GRAPH_REQUESTS - 1)
    assert (few.graph_off, few.optimizations) == ((), ())
    still = graph_after(0.5, 1.0, off=True, requests=LEAST_GRAPH_REQUESTS - 1)
    assert (len(still.graph_off), still.optimizations) == (1, ())


@pytest.mark.parametrize(
    ("gain", "ratio", "on"),
    [(0.04, 1.6, False), (0.06, 1.6, False), (0.08, 1.6, True), (0.04, 1.4, False), (0.04, 1.2, True)],
)
def test_they_are_switched_on_again_where_they_gain_or_hurry_by_a_margin(gain, ratio, on):
    changed = graph_after(gain, ratio, off=True)
    assert (changed.graph_off == ()) is on
    assert [each.kind for each in changed.optimizations] == (["graph_switched_on"] if on else [])
    if on:
        assert "graph lookups are switched on again for general requests" in changed.optimizations[0].sentence


def test_a_strategy_whose_graph_lookups_are_off_gives_way_to_one_without_them():
    estimates = {("general", band, name): estimate(0.9) for band in BANDS for name in TWINS.ids}
    for band in BANDS:
        estimates["general", band, GRAPH] = estimate(0.9, latency_ms=500.0)
    held = {("general", "low"): Incumbent(content_type="general", band="low", strategy=GRAPH, since_version=1)}
    counts = {**seen(PLAIN, 40), **seen(GRAPH, 40)}
    changed = reconsider(TWINS, ("general",), estimates, counts, InForce(held, {}), floor=ABSOLUTE, version=3)
    assert who(changed) == PLAIN
    assert [each.kind for each in changed.optimizations] == ["graph_switched_off", "strategy_took_over"]
