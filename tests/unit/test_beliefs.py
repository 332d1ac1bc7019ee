"""Beliefs: the prior without data, towards the data with it, shared between related strategies, always finite."""

import math
import random

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from threadpoolctl import threadpool_limits

from agents.deciding.catalogue import TIERS
from agents.deciding.content_types import BUILT_IN_TYPES
from agents.deciding.prior import BANDS, Estimate, prior_estimate
from analytics.beliefs import AUTOMATIC_SHARE, Cell, Sums, learn, variance_of_a_reward
from tests.deciding_parts import DEFAULT, LAWS, catalogue, strategy

TYPES = ("transactional", "general")
SMALL = catalogue(
    *(
        each
        for tier in TIERS
        if tier != "balanced"
        for each in (strategy(tier), strategy(tier, "entity_based"), strategy(tier, "entity_based", graph=True))
    )
)
CELL: Cell = ("general", "low", "simple-semantic")


def sums(
    requests: int = 10,
    reward: float = 0.9,
    *,
    rated: int | None = None,
    spread: float = 0.0,
    cost_usd: float = 2e-6,
    latency_ms: float = 60.0,
) -> Sums:
    """Rewards of a mean and a variance within the cell; all rated where not said."""
    return Sums(
        requests=requests,
        rated=requests if rated is None else rated,
        reward_sum=reward * requests,
        reward_square_sum=(reward**2 + spread) * requests,
        cost_usd_sum=cost_usd * requests,
        latency_ms_sum=latency_ms * requests,
    )


def in_bytes(found: dict[Cell, Estimate]) -> bytes:
    return msgspec.json.encode([[*cell, estimate] for cell, estimate in found.items()])


SUMS = st.builds(
    lambda requests, rated, reward, spread, cost, latency: sums(
        requests,
        reward,
        rated=round(requests * rated),
        spread=spread * reward * (1 - reward),
        cost_usd=cost,
        latency_ms=latency,
    ),
    st.integers(1, 1_000_000),
    st.floats(0, 1),
    st.floats(0, 1),
    st.floats(0, 1),
    st.floats(0, 1e6),
    st.floats(0, 1e9),
)
CELLS = st.tuples(st.sampled_from(TYPES), st.sampled_from(BANDS), st.sampled_from(SMALL.ids))
SEEN = st.dictionaries(CELLS, SUMS, max_size=12)


def test_without_data_every_belief_is_the_priors():
    found = learn(DEFAULT, TYPES, {})
    assert list(found) == [(t, b, s.id) for t in TYPES for b in BANDS for s in DEFAULT.strategies]
    for (_, band, name), each in found.items():
        known = DEFAULT.strategy(name)
        prior = prior_estimate(known, DEFAULT.model_of(known), band)
        assert each.quality == pytest.approx(prior.quality, abs=1e-12)
        assert each.cost_usd == pytest.approx(prior.cost_usd)
        assert each.latency_ms == pytest.approx(prior.latency_ms)
        assert each.requests == 0
        assert each.quality_sd > 0.1


@LAWS
@given(st.floats(0, 1), st.floats(0, 1))
def test_more_of_the_same_data_moves_the_mean_towards_it_and_shrinks_the_uncertainty(reward, spread):
    distance, deviation = math.inf, math.inf
    for requests in (1, 3, 10, 30, 100, 1_000, 10_000):
        seen = {CELL: sums(requests, reward, spread=spread * reward * (1 - reward))}
        each = learn(SMALL, TYPES, seen)[CELL]
        assert each.requests == requests
        assert abs(each.quality - reward) <= distance + 1e-12
        assert each.quality_sd < deviation
        distance, deviation = abs(each.quality - reward), each.quality_sd
    assert distance < 0.01
    assert deviation < 0.01


def test_more_data_moves_cost_and_latency_to_what_was_measured():
    few, many = (learn(SMALL, TYPES, {CELL: sums(n, cost_usd=3e-6, latency_ms=80.0)})[CELL] for n in (2, 20_000))
    assert abs(many.cost_usd - 3e-6) < abs(few.cost_usd - 3e-6)
    assert many.cost_usd == pytest.approx(3e-6, rel=1e-3)
    assert many.latency_ms == pytest.approx(80.0, rel=1e-3)


@LAWS
@given(SEEN, st.randoms(use_true_random=False))
def test_the_order_of_the_cells_does_not_matter_to_the_last_bit(seen, chance):
    shuffled = list(seen.items())
    chance.shuffle(shuffled)
    assert in_bytes(learn(SMALL, TYPES, seen)) == in_bytes(learn(SMALL, TYPES, dict(shuffled)))


def test_the_number_of_threads_does_not_matter_to_the_last_bit():
    chance = random.Random(5)
    cells = [(kind, band, each.id) for kind in BUILT_IN_TYPES for band in BANDS for each in DEFAULT.strategies]
    seen = {cell: sums(chance.randint(1, 300), chance.random(), spread=chance.random() / 10) for cell in cells}
    learned = []
    for threads in (1, 2, 4):
        with threadpool_limits(limits=threads, user_api="blas"):
            learned.append(in_bytes(learn(DEFAULT, BUILT_IN_TYPES, seen)))
    assert len(set(learned)) == 1


def test_a_combination_that_was_never_tried_starts_from_what_its_parts_have_shown():
    before = learn(SMALL, TYPES, {})
    after = learn(SMALL, TYPES, {("general", "low", "premium-entity_based"): sums(200, 1.0)})
    gained = {cell: after[cell].quality - before[cell].quality for cell in after}
    both_parts = gained["general", "low", "premium-entity_based-graph"]
    one_part = gained["general", "low", "premium-semantic"]
    no_part = gained["general", "low", "simple-semantic"]
    assert both_parts > one_part > no_part > 0
    assert no_part > gained["transactional", "low", "simple-semantic"] > 0
    assert after["general", "low", "premium-entity_based-graph"].requests == 0


def test_an_automatic_score_weighs_a_quarter_of_a_rating():
    assert sums(40, rated=0).weight == AUTOMATIC_SHARE * 40 == sums(10).weight
    assert sums(10, rated=4).weight == 4 + AUTOMATIC_SHARE * 6

    def with_variance_as_assumed(requests: int, rated: int) -> Estimate:
        spread = 0.09 * (requests - 1) / requests
        return learn(SMALL, TYPES, {CELL: sums(requests, 0.5, rated=rated, spread=spread)})[CELL]

    automatic, by_users = with_variance_as_assumed(40, 0), with_variance_as_assumed(10, 10)
    assert automatic.quality == pytest.approx(by_users.quality, abs=1e-9)
    assert automatic.quality_sd == pytest.approx(by_users.quality_sd, abs=1e-9)
    assert with_variance_as_assumed(40, 40).quality_sd < by_users.quality_sd


@settings(LAWS, max_examples=60)
@given(SEEN)
def test_the_gap_is_certain_for_the_best_and_obeys_the_triangle_for_the_others(seen):
    found = learn(SMALL, TYPES, seen)
    for content_type in TYPES:
        for band in BANDS:
            kind = [found[content_type, band, name] for name in SMALL.ids]
            top = max(each.quality for each in kind)
            best = next(each for each in kind if each.gap_sd == 0.0 and each.quality == top)
            for each in kind:
                assert abs(each.quality_sd - best.quality_sd) - 1e-6 <= each.gap_sd
                assert each.gap_sd <= each.quality_sd + best.quality_sd + 1e-6


@settings(LAWS, max_examples=60)
@given(SEEN)
def test_whatever_was_seen_every_number_is_finite_and_in_its_range(seen):
    for each in learn(SMALL, TYPES, seen).values():
        assert 0.0 <= each.quality <= 1.0
        assert 0.0 <= each.quality_sd < 1.0
        assert 0.0 <= each.gap_sd < 2.0
        assert math.isfinite(each.cost_usd)
        assert math.isfinite(each.latency_ms)
        assert each.cost_usd >= 0.0
        assert each.latency_ms >= 0.0


def test_strategies_that_the_catalogue_no_longer_has_are_left_out():
    seen = {CELL: sums()}
    gone: Cell = ("general", "low", "simple-abolished")
    assert in_bytes(learn(SMALL, TYPES, {**seen, gone: sums(1_000, 0.0)})) == in_bytes(learn(SMALL, TYPES, seen))


def test_related_evidence_makes_a_difference_surer_than_either_quality():
    seen: dict[Cell, Sums] = {("general", "low", name): sums(60, 0.8) for name in SMALL.ids}
    found = learn(SMALL, TYPES, seen)
    for name in SMALL.ids:
        unseen = found["transactional", "high", name]
        assert unseen.gap_sd < unseen.quality_sd


def test_the_pooled_variance_is_that_of_the_rewards_once_there_are_many():
    chance = random.Random(1)
    rewards = [chance.choice((0.0, 1.0)) for _ in range(4_000)]
    seen = Sums(4_000, 4_000, math.fsum(rewards), math.fsum(r * r for r in rewards), 0.0, 0.0)
    assert variance_of_a_reward([seen]) == pytest.approx(0.25, rel=0.01)
    assert variance_of_a_reward([]) == pytest.approx(0.09)
