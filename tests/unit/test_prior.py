"""The built-in rules: the tier by complexity, the retrieval by content type, and what is believed at the start."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.deciding.catalogue import TIERS
from agents.deciding.prior import BANDS, band_of, prior_estimate, rule_incumbent, rule_pick
from tests.deciding_parts import DEFAULT, LAWS, catalogue, hosted, strategy

TIER_BY_COMPLEXITY = [*["simple"] * 3, *["balanced"] * 4, *["premium"] * 3]
RETRIEVAL_BY_TYPE = {
    "transactional": ("entity_based-graph", 3),
    "informational": ("hierarchical", 5),
    "support": ("conversation_turn-graph", 8),
    "general": ("semantic", 5),
    "of_the_users_own": ("semantic", 5),
}


@pytest.mark.parametrize("content_type", RETRIEVAL_BY_TYPE)
@pytest.mark.parametrize(("complexity", "tier"), list(enumerate(TIER_BY_COMPLEXITY, start=1)))
def test_the_rules_pick_the_tier_by_complexity_and_the_retrieval_by_content_type(content_type, complexity, tier):
    retrieval, top_k = RETRIEVAL_BY_TYPE[content_type]
    picked = rule_incumbent(DEFAULT, content_type, band_of(complexity))
    assert picked == f"{tier}-{retrieval}"
    assert DEFAULT.strategy(picked).top_k == top_k


@LAWS
@given(st.lists(st.sampled_from(DEFAULT.strategies), min_size=1, unique=True), st.sampled_from(BANDS))
def test_the_pick_is_eligible_and_no_other_is_of_a_nearer_tier(able, band):
    wanted = BANDS.index(band)
    picked = rule_pick(tuple(able), "support", band)
    assert picked in able
    nearest = min(abs(TIERS.index(each.tier) - wanted) for each in able)
    assert abs(TIERS.index(picked.tier) - wanted) == nearest


def test_the_order_of_the_catalogue_decides_a_tie():
    below, above = strategy("simple"), strategy("premium")
    assert rule_pick((below, above), "general", "middle") == below
    assert rule_pick((above, below), "general", "middle") == above


def test_without_the_wanted_graph_lookups_the_retrieval_still_decides():
    able = (strategy("simple", "semantic", graph=True), strategy("simple", "entity_based"))
    assert rule_pick(able, "transactional", "low").id == "simple-entity_based"


@pytest.mark.parametrize("band", BANDS)
def test_a_better_tier_is_believed_better_slower_and_dearer(band):
    beliefs = [prior_estimate(strategy(tier), DEFAULT.models[tier], band) for tier in TIERS]
    for name in ("quality", "cost_usd", "latency_ms"):
        numbers = [getattr(each, name) for each in beliefs]
        assert numbers == sorted(set(numbers))
    assert {each.requests for each in beliefs} == {0}


def test_harder_requests_are_believed_to_be_answered_worse():
    qualities = [prior_estimate(strategy(), DEFAULT.models["simple"], band).quality for band in BANDS]
    assert qualities == sorted(set(qualities), reverse=True)


def test_a_hosted_model_is_believed_slower_and_is_priced_by_its_tokens():
    of = catalogue(strategy(), simple=hosted("simple"))
    believed = prior_estimate(of.strategies[0], of.models["simple"], "low")
    assert believed.latency_ms > prior_estimate(strategy(), DEFAULT.models["simple"], "low").latency_ms
    assert believed.cost_usd == pytest.approx((1_500 * 1.0 + 250 * 4.0) / 1e6)
