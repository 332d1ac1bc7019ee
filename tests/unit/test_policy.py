"""The policy: exact probabilities, the floor, the lead of the incumbent, and what each priority prefers."""

import math
import random
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.deciding import policy
from agents.deciding.governance import Floor
from agents.deciding.policy import by_rule, certainly, choose, decide, lower_bound, safe, value
from tests.deciding_parts import BELIEVED, LAWS, estimate

FLOOR = Floor("absolute", 0.8)
FLOORS = st.builds(Floor, st.sampled_from(["absolute", "relative"]), st.floats(0, 1))
SHARES = st.floats(0, 1)
PRIORITIES = st.sampled_from(sorted(policy.EXPONENTS))


@LAWS
@given(BELIEVED, FLOORS, SHARES, PRIORITIES, st.data())
def test_probabilities_are_a_distribution_in_which_each_strategy_has_its_share_of_the_exploration(
    believed, floor, exploration, priority, data
):
    incumbent = data.draw(st.none() | st.sampled_from(list(believed)))
    for decision in (
        decide(believed, incumbent=incumbent, floor=floor, priority=priority, exploration=exploration),
        by_rule(incumbent or "s0", believed, floor, exploration=exploration),
    ):
        shares = decision.probabilities
        assert list(shares) == list(believed)
        assert math.fsum(shares.values()) == pytest.approx(1.0, abs=1e-12)
        assert min(shares.values()) >= exploration / len(believed) - 1e-12
        assert min(shares.values()) >= 0.0
        assert decision.floor == pytest.approx(floor.threshold(max(e.quality for e in believed.values())))


@LAWS
@given(BELIEVED, FLOORS, st.data())
def test_a_rule_without_exploration_gives_its_pick_exactly_one(believed, floor, data):
    pick = data.draw(st.sampled_from(list(believed)))
    shares = certainly(pick, believed, floor).probabilities
    assert shares[pick] == 1.0
    assert sum(shares.values()) == 1.0


@LAWS
@given(BELIEVED, FLOORS, st.floats(0, 1, exclude_max=True))
def test_a_draw_never_falls_on_a_strategy_without_probability(believed, floor, draw):
    shares = decide(believed, incumbent=None, floor=floor, exploration=0.0).probabilities
    assert shares[choose(shares, draw)] > 0.0


@LAWS
@given(BELIEVED, FLOORS, SHARES)
def test_the_draws_that_choose_a_strategy_are_an_interval_as_long_as_its_probability(believed, floor, exploration):
    shares = decide(believed, incumbent=None, floor=floor, exploration=exploration).probabilities
    reached = 0.0
    for name, share in shares.items():
        if share > 1e-9:
            inside = (reached + share * 1e-3, reached + share / 2, reached + share * (1 - 1e-3))
            assert {choose(shares, draw) for draw in inside} == {name}
        reached += share


def test_a_draw_beyond_the_rounded_sum_falls_on_the_last_strategy_that_has_a_probability():
    assert choose({"a": 0.5, "b": 0.5 - 1e-12, "c": 0.0}, 1.0 - 1e-16) == "b"


def test_strategies_are_chosen_as_often_as_the_log_says():
    believed = {f"s{i}": estimate(0.7 + 0.03 * i, 1e-6 * (1 + i), sd=0.04) for i in range(6)}
    shares = decide(believed, incumbent="s4", floor=FLOOR, exploration=0.3).probabilities
    chance, draws = random.Random(20_261_121), 40_000
    counted = Counter(choose(shares, chance.random()) for _ in range(draws))
    chi_square = sum((counted[name] - draws * share) ** 2 / (draws * share) for name, share in shares.items())
    assert chi_square < 20.5  # the 99.9th percentile with 5 degrees of freedom


@LAWS
@given(
    st.lists(st.tuples(st.floats(0, 1), st.floats(1e-9, 1)), min_size=2, max_size=18),
    st.floats(0, 0.5),
    PRIORITIES,
    st.data(),
)
def test_what_is_certainly_below_the_floor_gets_its_share_of_the_exploration_and_no_more(
    numbers, exploration, priority, data
):
    believed = {f"s{i}": estimate(quality, cost) for i, (quality, cost) in enumerate(numbers)}
    believed["good"] = estimate(0.9, 1.0)
    incumbent = data.draw(st.none() | st.sampled_from(list(believed)))
    decision = decide(believed, incumbent=incumbent, floor=FLOOR, priority=priority, exploration=exploration)
    assert decision.floor_met
    for name, each in believed.items():
        if each.quality < FLOOR.value - 1e-4:
            assert decision.probabilities[name] <= exploration / len(believed) + 1e-9


@LAWS
@given(st.floats(0.8, 1), st.floats(1e-9, 1e-2), st.floats(1.01, 100))
def test_of_two_equally_good_safe_strategies_the_cheaper_is_likelier(quality, cost, dearer):
    believed = {"dear": estimate(quality, cost * dearer), "cheap": estimate(quality, cost)}
    shares = decide(believed, incumbent=None, floor=FLOOR, exploration=0.0).probabilities
    assert shares["cheap"] > shares["dear"]


@pytest.mark.parametrize("better", [1.0, 1.09, 1.11, 2.0, 50.0])
@pytest.mark.parametrize("by", ["quality", "cost"])
def test_however_good_a_challenger_gets_less_than_the_incumbent_until_it_took_over(better, by):
    challenger = estimate(min(1.0, 0.82 * better), 1e-6) if by == "quality" else estimate(0.82, 1e-6 / better)
    believed = {"old": estimate(0.82, 1e-6), "new": challenger}
    before = decide(believed, incumbent="old", floor=FLOOR, exploration=0.0).probabilities
    assert 0.2 < before["new"] < before["old"]
    after = decide(believed, incumbent="new", floor=FLOOR, exploration=0.0).probabilities
    assert after["new"] > after["old"]


def test_a_challenger_that_is_worth_less_gets_less():
    believed = {"old": estimate(0.82, 1e-6), "near": estimate(0.82, 1.1e-6), "far": estimate(0.82, 2e-6)}
    shares = decide(believed, incumbent="old", floor=FLOOR, exploration=0.0).probabilities
    assert shares["old"] > shares["near"] > shares["far"]


def test_an_incumbent_that_is_below_the_floor_does_not_keep_its_traffic():
    believed = {"old": estimate(0.7, 1e-9), "new": estimate(0.85, 1e-6)}
    decision = decide(believed, incumbent="old", floor=FLOOR, exploration=0.0)
    assert decision.probabilities["new"] == pytest.approx(1.0)
    assert decision.floor_met


def test_an_incumbent_stays_while_its_expected_quality_meets_the_floor_and_a_newcomer_needs_its_lower_bound():
    believed = {"a": estimate(0.82, sd=0.05), "b": estimate(0.82, sd=0.05)}
    assert safe(believed, FLOOR) == ()
    assert safe(believed, FLOOR, "b") == ("b",)


def test_where_nothing_is_known_to_meet_the_floor_the_best_is_likeliest_and_the_decision_says_so():
    believed = {"bad": estimate(0.3, 1e-9, sd=0.05), "best": estimate(0.7, 1e-3, sd=0.05)}
    decision = decide(believed, incumbent="bad", floor=FLOOR, exploration=0.0)
    assert not decision.floor_met
    assert decision.probabilities["best"] > 0.99


def test_an_uncertain_strategy_that_would_be_worth_more_is_tried_and_a_dearer_one_is_not():
    believed = {
        "safe": estimate(0.9, 1e-4, sd=0.01),
        "promising": estimate(0.8, 1e-6, sd=0.1),
        "dear": estimate(0.8, 1e-2, sd=0.1),
    }
    shares = decide(believed, incumbent="safe", floor=FLOOR, exploration=0.0).probabilities
    assert 0.0 < shares["promising"] <= policy.PROMISING_SHARE
    assert shares["dear"] == 0.0


def test_an_absolute_floor_is_held_against_the_quality_and_a_relative_one_against_the_gap():
    each = estimate(0.8, quality_sd=0.2, gap_sd=0.05)
    assert lower_bound(each, FLOOR) == pytest.approx(0.8 - policy.Z * 0.2)
    assert lower_bound(each, Floor("relative", 0.9)) == pytest.approx(0.8 - policy.Z * 0.05)
    assert lower_bound(estimate(0.1, sd=0.4), FLOOR) == 0.0


@pytest.mark.parametrize(
    ("priority", "preferred"),
    [
        ("balanced", "frugal"),
        ("quality_over_speed", "good"),
        ("speed_over_quality", "fast"),
        ("cost_over_quality", "frugal"),
    ],
)
def test_a_priority_decides_what_counts_among_the_safe(priority, preferred):
    believed = {
        "good": estimate(0.98, 1e-4, latency_ms=500.0),
        "fast": estimate(0.82, 1e-4, latency_ms=10.0),
        "frugal": estimate(0.82, 1e-5, latency_ms=500.0),
    }
    shares = decide(believed, incumbent=None, floor=FLOOR, priority=priority, exploration=0.0).probabilities
    assert max(shares, key=lambda name: shares[name]) == preferred


def test_balanced_value_is_the_logarithm_of_quality_per_cost():
    assert value(estimate(0.8, 0.01)) == pytest.approx(math.log(80))
    assert math.isfinite(value(estimate(0.0, 0.0, latency_ms=0.0), "speed_over_quality"))


def test_without_a_strategy_there_is_no_decision():
    with pytest.raises(ValueError, match="no strategy is eligible"):
        decide({}, incumbent=None, floor=FLOOR, exploration=0.1)
