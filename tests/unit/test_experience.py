"""What was learned follows from the rows alone, and follows them."""

import numpy as np
import pytest

from agents.deciding.features import EMBEDDED, PLAIN
from agents.deciding.heads import Beliefs
from agents.deciding.lens import Lens
from analytics.fitting.change import Strangeness, Surprise
from analytics.fitting.experience import Experience
from analytics.fitting.posterior import Prior, Sums, solve
from analytics.fitting.rows import Rows, Start
from analytics.fitting.trading import Asked, Judged, find_trade, judged

START = Start.plain(("cheap", "dear"), (0.6, 0.6), (0.001, 0.01))


def made_up(count, seed=0):
    """Two kinds of text; the dear strategy is better on the second kind only."""
    chance = np.random.default_rng(seed)
    kind = chance.integers(0, 2, count)
    features = chance.normal(0.0, 0.1, (count, PLAIN + EMBEDDED))
    features[:, PLAIN] += 3.0 * kind
    strategy = chance.integers(0, 2, count)
    likely = np.where(kind == 0, 0.8, np.where(strategy == 1, 0.8, 0.2))
    reward = (chance.random(count) < likely).astype(float)
    return Rows.plain(features, strategy, reward, np.where(strategy == 1, 0.01, 0.001)), kind


def fields(heads):
    return [
        heads.base,
        heads.weights,
        heads.variance,
        heads.cost.weights,
        heads.lens.coarse,
        heads.lens.fine,
        heads.lens.scale,
    ]


@pytest.mark.parametrize("steps", [(7,), (64,), (1, 130, 3), (500,)])
def test_a_replay_gives_the_same_heads_to_the_bit_however_the_rows_were_handed_over(steps):
    rows, _ = made_up(500)
    whole = Experience(START)
    whole.take(rows)
    parts = Experience(START)
    begin, turn = 0, 0
    while begin < len(rows):
        end = min(begin + steps[turn % len(steps)], len(rows))
        parts.take(rows.part(slice(begin, end)))
        if turn % 3 == 0:
            parts.heads()
        begin, turn = end, turn + 1
    for one, other in zip(fields(whole.heads()), fields(parts.heads()), strict=True):
        assert one.tobytes() == other.tobytes()


def test_the_heads_learn_which_kind_needs_the_dear_strategy_and_what_it_costs():
    rows, _ = made_up(800)
    experience = Experience(START)
    experience.take(rows)
    fresh, kind = made_up(200, seed=1)
    beliefs = experience.heads().beliefs_of(fresh.features)
    gap = beliefs.quality[:, 1] - beliefs.quality[:, 0]
    assert gap[kind == 1].mean() > 0.4
    assert abs(gap[kind == 0].mean()) < 0.1
    assert beliefs.cost_usd.mean(axis=0) == pytest.approx([0.001, 0.01], rel=0.05)


def test_more_evidence_leaves_less_uncertainty():
    few, many = Experience(START), Experience(START)
    few.take(made_up(100)[0])
    many.take(made_up(2000)[0])
    assert many.heads().variance.mean() < few.heads().variance.mean()


def test_the_posterior_is_the_solution_of_its_equations():
    chance = np.random.default_rng(8)
    strategies, size = 3, 50  # more than is inverted at once
    prior = Prior.start(np.eye(strategies), (slice(0, 1), slice(1, 20), slice(20, 20), slice(20, size)))
    sums = Sums.nothing(strategies, size)
    for k in range(strategies):
        sums.add(k, chance.normal(size=(30, size)), chance.random(30), np.ones(30))
    precision = np.kron(np.linalg.inv(prior.between), np.diag(1.0 / prior.within))
    for k in range(strategies):
        own = slice(k * size, (k + 1) * size)
        precision[own, own] += sums.square[k] / prior.noise
    found = solve(sums, prior)
    assert found.mean.ravel() == pytest.approx(np.linalg.solve(precision, sums.product.ravel() / prior.noise))
    covariance = found.covariance.reshape(strategies * size, -1)
    assert covariance @ precision == pytest.approx(np.eye(strategies * size), abs=1e-9)


def test_before_the_first_row_the_start_is_believed():
    beliefs = Experience(START).heads().beliefs(np.ones(PLAIN + EMBEDDED))
    assert beliefs.quality == pytest.approx([0.6, 0.6])
    assert beliefs.cost_usd == pytest.approx([0.001, 0.01])


def test_a_row_that_is_not_finite_is_refused():
    rows, _ = made_up(3)
    rows.reward[1] = np.nan
    with pytest.raises(ValueError, match="not finite"):
        Experience(START).take(rows)


def test_a_vector_of_another_feature_set_is_refused():
    none = np.zeros((0, 0))
    with pytest.raises(ValueError, match="set 2"):
        Lens(np.zeros(3), np.zeros(3), none, none, 32).see(np.zeros((1, 3)))


def test_the_trade_saves_what_the_floor_allows_and_keeps_it():
    rows, _ = made_up(3000)
    experience = Experience(START)
    experience.take(rows)
    trade = find_trade(judged(experience.fitted(), rows, np.full(len(rows), 0.5)), Asked(0.95), exploration=0.0)
    fresh, kind = made_up(500, seed=2)
    beliefs = experience.heads().beliefs_of(fresh.features)
    pick = np.argmax(beliefs.quality - trade.exchange * beliefs.cost_usd, axis=1)
    assert pick[kind == 1].mean() > 0.9
    assert pick[kind == 0].mean() < 0.5


def test_with_hardly_any_evidence_the_keeper_holds_the_floor():
    few = np.array([[0.5, 1.0], [1.0, 1.0]])
    known = Judged(few, Beliefs(few, few * 0.1, np.tile([0.001, 0.01], (2, 1)), np.ones((2, 2))))
    trade = find_trade(known, Asked(0.95), exploration=0.0)
    assert trade.keeper == 1
    assert trade.hold > 0.8 or trade.exchange == 0.0


def test_a_stream_of_unusual_texts_is_noticed_and_a_usual_one_is_not():
    chance = np.random.default_rng(5)
    usual = Strangeness.of(chance.random(2000))
    assert not any(usual.notice(distance) for distance in chance.random(5000))
    noticed = [usual.notice(distance) for distance in 1.0 + chance.random(50)]
    assert noticed.index(True) < 10


@pytest.mark.parametrize(("chance_now", "said"), [(0.3, "worse than believed"), (0.95, "better than believed")])
def test_a_strategy_that_does_otherwise_is_noticed_and_one_that_holds_is_not(chance_now, said):
    chance = np.random.default_rng(6)
    steady, changed = Surprise(), Surprise()
    assert not any(steady.notice(0.7, float(chance.random() < 0.7), 0.45) for _ in range(5000))
    seen = [changed.notice(0.7, float(chance.random() < chance_now), 0.45) for _ in range(200)]
    assert next(each for each in seen if each) == said
    assert seen.index(said) < 120
