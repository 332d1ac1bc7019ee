"""The distribution over strategies: exact, complete, and never below the floor of exploration."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.deciding.heads import Beliefs
from agents.deciding.policy import choose_index
from agents.deciding.spreading import PLAUSIBLE, Trade, best_of, spread

NUMBERS = st.floats(-1.0, 2.0, allow_nan=False)


def believed(quality, sd=None, cost=None):
    count = len(quality)
    return Beliefs(
        np.array(quality, dtype=float),
        np.full(count, 0.1) if sd is None else np.array(sd, dtype=float),
        np.full(count, 0.001) if cost is None else np.array(cost, dtype=float),
        np.ones(count),
    )


@given(
    st.lists(st.tuples(NUMBERS, st.floats(0.0, 1.0), st.floats(1e-9, 1.0)), min_size=1, max_size=18),
    st.floats(0.0, 1.0),
    st.floats(0.0, 1e6),
    st.floats(0.0, 1.0),
    st.sampled_from((0.0, 0.3, 1.0)),
)
def test_propensities_sum_to_one_and_none_is_below_the_floor(rows, exploration, exchange, hold, boldness):
    quality, sd, cost = zip(*rows, strict=True)
    trade = Trade(exchange, len(rows) - 1, hold)
    found = spread(believed(quality, sd, cost), trade, exploration=exploration, boldness=boldness)
    assert abs(found.sum() - 1.0) < 1e-9
    assert (found >= exploration / len(rows) - 1e-12).all()


def test_equals_share_evenly_and_the_clearly_better_one_gets_nearly_all():
    assert np.allclose(best_of(np.zeros(4), np.full(4, 0.1)), 0.25)
    assert best_of(np.array([0.0, 1.0]), np.full(2, 0.1))[1] > 0.999


def test_the_quadrature_agrees_with_what_gaussian_draws_show():
    worth, sd = np.array([0.5, 0.55, 0.4]), np.array([0.05, 0.1, 0.2])
    draws = np.random.default_rng(3).normal(worth, sd, (200_000, 3))
    shown = np.bincount(draws.argmax(axis=1), minlength=3) / len(draws)
    assert np.allclose(best_of(worth, sd), shown, atol=0.01)


def test_what_might_be_best_is_tried_now_and_then_and_what_cannot_be_hardly_ever():
    found = spread(believed([0.7, 0.6, 0.0], sd=[0.05, 0.05, 0.05]), Trade(), exploration=0.0, boldness=0.1)
    assert 0.004 < found[1] <= PLAUSIBLE
    assert found[2] < found[1] / 10


def test_many_plausible_strategies_together_leave_most_to_the_own_distribution():
    found = spread(believed([0.9] + [0.8] * 199, sd=[0.05] * 200), Trade(), exploration=0.0, boldness=0.1)
    assert found[0] >= 0.85


def test_a_dearer_strategy_loses_as_the_exchange_rate_rises():
    two = believed([0.6, 0.7], cost=[0.001, 0.01])
    shares = [spread(two, Trade(rate), exploration=0.0)[1] for rate in (0.0, 10.0, 100.0)]
    assert shares[0] > shares[1] > shares[2]


def test_what_is_held_goes_to_the_keeper():
    found = spread(believed([0.9, 0.1]), Trade(0.0, 1, 0.8), exploration=0.0, boldness=0.0)
    assert found.tolist() == pytest.approx([0.2, 0.8])


def test_a_pinned_choice_is_never_overruled():
    for draw in (0.0, 0.3, 0.999999):
        assert choose_index(spread(believed([0.1]), Trade(50.0), exploration=0.0), draw) == 0


def test_nothing_with_probability_zero_is_chosen():
    assert choose_index([0.0, 1.0, 0.0], 0.0) == 1
    assert choose_index([0.5, 0.5 - 1e-12, 0.0], 1.0 - 1e-16) == 1


def test_nothing_eligible_is_an_error():
    with pytest.raises(ValueError, match="no strategy is eligible"):
        spread(believed([]), Trade(), exploration=0.05)
