"""Who may answer: pins are obeyed, overrides win over pins, and everybody else has a reason."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.deciding.catalogue import SENSITIVITIES, Catalogue, Strategy
from agents.deciding.eligibility import Limits, eligible
from agents.deciding.governance import Overrides
from agents.deciding.workflow import Pins, serves
from tests.deciding_parts import (
    CATALOGUES,
    DEFAULT,
    LAWS,
    OVERRIDES,
    PINS,
    catalogue,
    estimate,
    hosted,
    model,
    strategy,
)

OPEN = Limits(
    pins=Pins(),
    demanded=None,
    sensitivity="internal",
    overrides=Overrides(),
    graph_off_reason=None,
    cost_ceiling_usd=0.1,
    time_left_ms=30_000.0,
)
GRAPH_OFF = "graph lookups are off"


def usual(_: Strategy) -> Any:
    return estimate()


def ids(of: Catalogue, limits: Limits, believed: Any = usual) -> list[str]:
    return [each.id for each in eligible(of, limits, believed)[0]]


def reasons(of: Catalogue, limits: Limits, believed: Any = usual) -> dict[str, str]:
    return {each.id: reason for each, reason in eligible(of, limits, believed)[1]}


def test_where_nothing_is_stated_every_strategy_may_answer():
    assert ids(DEFAULT, OPEN) == list(DEFAULT.ids)


LIMITS = st.builds(
    Limits,
    pins=PINS,
    demanded=st.none(),
    sensitivity=st.sampled_from(SENSITIVITIES),
    overrides=OVERRIDES,
    graph_off_reason=st.none() | st.just(GRAPH_OFF),
    cost_ceiling_usd=st.just(1.0),
    time_left_ms=st.just(30_000.0),
)


@LAWS
@given(CATALOGUES, LIMITS)
def test_every_candidate_obeys_every_pin_except_where_an_override_wins(of, limits):
    able, excluded = eligible(of, limits, usual)
    assert sorted([*able, *(each for each, _ in excluded)], key=of.strategies.index) == list(of.strategies)
    assert all(reason for _, reason in excluded)
    pins = replace(limits.pins, tier="simple") if limits.overrides.force_simple_agents else limits.pins
    for each in able:
        assert serves(each, pins)
        assert of.model_of(each).may_see(limits.sensitivity)
        assert not (limits.overrides.disable_graph_queries and each.graph)
    wanted = limits.pins.graph
    if wanted is not None and not limits.overrides.disable_graph_queries and any(s.graph == wanted for s in able):
        assert all(each.graph == wanted for each in able)


@LAWS
@given(CATALOGUES, LIMITS)
def test_a_request_that_some_strategy_may_serve_is_never_left_without_one(of, limits):
    pins = replace(limits.pins, tier="simple") if limits.overrides.force_simple_agents else limits.pins
    servable = [
        each
        for each in of.strategies
        if serves(each, pins)
        and of.model_of(each).may_see(limits.sensitivity)
        and not (limits.overrides.disable_graph_queries and each.graph)
    ]
    assert bool(servable) == bool(eligible(of, limits, usual)[0])


@LAWS
@given(CATALOGUES, LIMITS)
def test_what_was_learned_of_graph_lookups_never_touches_a_workflow_that_states_them(of, limits):
    if limits.pins.graph is not None:
        learned = replace(limits, graph_off_reason=GRAPH_OFF)
        assert eligible(of, learned, usual) == eligible(of, replace(limits, graph_off_reason=None), usual)


def test_learned_switches_exclude_graph_lookups_with_what_was_learned():
    found = reasons(DEFAULT, replace(OPEN, graph_off_reason=GRAPH_OFF))
    assert found == {each.id: GRAPH_OFF for each in DEFAULT.strategies if each.graph}


def test_a_learned_switch_does_not_overrule_a_caller_who_demands_graph_lookups():
    demanded = replace(OPEN, graph_off_reason=GRAPH_OFF, demanded="simple-entity_based-graph")
    assert ids(DEFAULT, demanded) == ["simple-entity_based-graph"]


def test_a_demanded_strategy_is_the_only_one_and_the_others_say_so():
    limits = replace(OPEN, demanded="premium-semantic")
    assert ids(DEFAULT, limits) == ["premium-semantic"]
    assert set(reasons(DEFAULT, limits).values()) == {"the caller demands premium-semantic"}


@pytest.mark.parametrize(
    ("pins", "part"),
    [
        (Pins(tier="premium"), "model: premium"),
        (Pins(retrieval="hierarchical"), "context.strategy: hierarchical"),
        (Pins(graph=True), "context.graph: true"),
        (Pins(graph=False), "context.graph: false"),
    ],
)
def test_what_a_pin_excludes_names_the_line_of_the_workflow(pins, part):
    assert set(reasons(DEFAULT, replace(OPEN, pins=pins)).values()) == {f"the workflow states {part}"}


@pytest.mark.parametrize("sensitivity", ["internal", "personal"])
def test_a_hosted_model_that_sees_only_public_data_is_excluded_from_other_requests(sensitivity):
    of = catalogue(strategy("simple"), strategy("premium"), premium=hosted("premium"))
    limits = replace(OPEN, sensitivity=sensitivity)
    assert ids(of, limits) == ["simple-semantic"]
    assert reasons(of, limits) == {
        "premium-semantic": f"premium-model runs hosted and may not see {sensitivity} data",
    }
    assert ids(of, replace(OPEN, sensitivity="public")) == ["simple-semantic", "premium-semantic"]


def test_forcing_simple_agents_wins_over_a_pinned_model_and_over_a_demanded_strategy():
    forced = Overrides(force_simple_agents=True)
    able = ids(DEFAULT, replace(OPEN, pins=Pins(tier="premium", retrieval="semantic"), overrides=forced))
    assert able == ["simple-semantic"]
    demanded = replace(OPEN, demanded="premium-semantic", overrides=forced)
    assert ids(DEFAULT, demanded) == []
    assert reasons(DEFAULT, demanded)["premium-semantic"] == "the override force_simple_agents is on"


def test_disabling_graph_queries_wins_over_a_pin():
    off = Overrides(disable_graph_queries=True)
    limits = replace(OPEN, pins=Pins(tier="simple", retrieval="entity_based", graph=True), overrides=off)
    assert ids(DEFAULT, limits) == ["simple-entity_based"]
    assert reasons(DEFAULT, limits)["simple-entity_based-graph"] == "the override disable_graph_queries is on"


def test_a_pinned_graph_that_only_another_tier_has_is_laid_over_the_pinned_one():
    of = catalogue(strategy("simple", graph=True), strategy("premium"))
    assert ids(of, replace(OPEN, pins=Pins(tier="premium", graph=True))) == ["premium-semantic"]


def test_a_learned_switch_gives_way_where_only_graph_lookups_are_left():
    of = catalogue(strategy("simple", "entity_based", graph=True), strategy("simple"))
    limits = replace(OPEN, pins=Pins(retrieval="entity_based"), graph_off_reason=GRAPH_OFF)
    assert ids(of, limits) == ["simple-entity_based-graph"]


def test_a_strategy_that_costs_more_than_the_ceiling_is_excluded_with_both_amounts():
    costs = {"simple": 0.001, "premium": 0.2}
    of = catalogue(strategy("simple"), strategy("premium"))

    def believed(each: Strategy) -> Any:
        return estimate(cost_usd=costs[each.tier])

    assert ids(of, OPEN, believed) == ["simple-semantic"]
    assert reasons(of, OPEN, believed) == {
        "premium-semantic": "it costs 0.2000 USD and the conversation may cost 0.1000",
    }


def test_a_strategy_that_takes_longer_than_is_left_is_excluded_with_both_times():
    of = catalogue(strategy("simple"), strategy("premium"), simple=model("simple"))
    times = {"simple": 30.0, "premium": 1_500.0}

    def believed(each: Strategy) -> Any:
        return estimate(latency_ms=times[each.tier])

    limits = replace(OPEN, time_left_ms=1_000.0)
    assert ids(of, limits, believed) == ["simple-semantic"]
    assert reasons(of, limits, believed) == {"premium-semantic": "it takes 1,500 ms and 1,000 ms are left"}
