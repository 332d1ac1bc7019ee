"""Estimates of another policy from a log: closed forms, unbiasedness, intervals, and what the gate makes of them."""

from dataclasses import replace

import numpy as np
import pytest

from analytics.offpolicy.direct import design, fit_heads, predictions
from analytics.offpolicy.estimating import (
    TRANSLATION,
    Estimator,
    Interval,
    effective_sample_size,
    expected,
    ips,
    snips,
    weights,
)
from analytics.offpolicy.gate import VALUE, explored, judge, waiting
from analytics.offpolicy.logged import QUALITY, Floats, Logged, Unusable


def a_log(probabilities: Floats, chosen: list[int], rewards: list[float]) -> Logged:
    n, k = probabilities.shape
    return Logged(
        strategies=tuple("abcdefghi"[:k]),
        features=np.zeros((n, 1)),
        eligible=np.ones((n, k), dtype=bool),
        probabilities=probabilities,
        chosen=np.array(chosen),
        outcomes={QUALITY: np.array(rewards), VALUE: np.array(rewards)},
        kinds=np.full(n, "general"),
    )


class World:
    """Two features, three strategies, Bernoulli rewards whose mean is known."""

    def __init__(self, rng: np.random.Generator, prompts: int = 400) -> None:
        self.features = rng.normal(size=(prompts, 2))
        self.means = 1 / (
            1 + np.exp(-(np.array([0.2, 0.5, 0.9]) + self.features @ np.array([[0.8, 0.2, -0.6], [0.0, 0.5, 0.3]])))
        )
        own = np.exp(self.means / 0.2)
        self.serving = 0.9 * own / own.sum(axis=1, keepdims=True) + 0.1 / 3
        other = np.exp((self.features @ np.array([[1.0, 0.0, -1.0], [0.0, 0.5, 0.0]])) / 0.5)
        self.other = other / other.sum(axis=1, keepdims=True)
        self.truth = float((self.other * self.means).sum(axis=1).mean())
        self.served = float((self.serving * self.means).sum(axis=1).mean())

    def log(self, rng: np.random.Generator, requests: int) -> tuple[Logged, Floats]:
        rows = rng.integers(len(self.features), size=requests)
        probabilities = self.serving[rows]
        chosen = (probabilities.cumsum(axis=1) < rng.random(requests)[:, None]).sum(axis=1).clip(max=2)
        reward = (rng.random(requests) < self.means[rows, chosen]).astype(float)
        log = Logged(
            ("a", "b", "c"),
            self.features[rows],
            np.ones((requests, 3), dtype=bool),
            probabilities,
            chosen,
            {QUALITY: reward, VALUE: reward},
            np.full(requests, "general"),
        )
        return log, self.other[rows]


def test_ips_and_snips_are_the_weighted_sums_that_they_are_defined_as():
    log = a_log(np.array([[0.5, 0.5], [0.25, 0.75]]), [0, 1], [1.0, 0.5])
    policy = np.array([[1.0, 0.0], [0.4, 0.6]])

    assert weights(log, policy).tolist() == [2.0, pytest.approx(0.8)]
    assert ips(log, policy, log.outcomes[QUALITY]).mean == pytest.approx((2.0 * 1.0 + 0.8 * 0.5) / 2)
    assert snips(log, policy, log.outcomes[QUALITY]).mean == pytest.approx((2.0 * 1.0 + 0.8 * 0.5) / 2.8)
    assert effective_sample_size(weights(log, policy)) == pytest.approx(2.8**2 / (4 + 0.64))


def test_estimates_agree_with_open_bandit_pipeline():
    """Expected: InverseProbabilityWeighting, SelfNormalizedInverseProbabilityWeighting and DoublyRobust of obp 0.4.1, with their
    defaults, given this log, ``policy[:, :, None]`` as ``action_dist`` and ``model[:, :, None]`` as the regression model's rewards.
    """
    row, column = np.arange(12)[:, None], np.arange(3)
    probabilities = 1.0 + (row * 7 + column * 5) % 11
    unscaled = 1.0 + (row * 3 + column * 4) % 7
    policy: Floats = np.divide(unscaled, unscaled.sum(axis=1, keepdims=True), dtype=np.float64)
    model = (row * 2 + column * 3) % 9 / 8
    chosen, rewards = (row * row + row // 3)[:, 0] % 3, (row * 5)[:, 0] % 13 / 12
    log = a_log(probabilities / probabilities.sum(axis=1, keepdims=True), chosen.tolist(), rewards.tolist())

    found = Estimator(log, (QUALITY,), predicted=model[:, :, None]).estimate(policy).outcomes[QUALITY]

    assert found.ips.mean == pytest.approx(0.5177271738035627, rel=1e-12)
    assert found.snips.mean == pytest.approx(0.39997541214702464, rel=1e-12)
    assert found.doubly_robust.mean == pytest.approx(0.4925055156391962, rel=1e-12)


def test_the_policy_that_served_is_estimated_at_what_it_brought():
    log, _ = World(np.random.default_rng(1)).log(np.random.default_rng(2), 500)
    found = Estimator(log, (QUALITY,)).estimate(log.probabilities)

    assert found.outcomes[QUALITY].ips.mean == pytest.approx(log.outcomes[QUALITY].mean())
    assert found.outcomes[QUALITY].snips.mean == pytest.approx(log.outcomes[QUALITY].mean())
    assert found.effective == pytest.approx(len(log))
    assert found.outcomes[QUALITY].difference.mean == pytest.approx(0.0)
    assert found.outcomes[QUALITY].difference.error == pytest.approx(0.0)


def test_where_rewards_are_constant_doubly_robust_knows_them_whatever_the_weights():
    rng = np.random.default_rng(3)
    probabilities = np.tile([0.98, 0.02], (400, 1))
    log = a_log(probabilities, list((rng.random(400) < 0.02).astype(int)), [0.7] * 400)
    found = Estimator(log, (QUALITY,)).estimate(np.tile([0.0, 1.0], (400, 1)))

    assert found.outcomes[QUALITY].doubly_robust.mean == pytest.approx(0.7, abs=1e-3)


@pytest.mark.parametrize("method", ["ips", "doubly_robust"])
def test_estimates_are_unbiased_and_their_intervals_hold_what_they_say(method):
    world = World(np.random.default_rng(4))
    found = []
    for seed in range(400):
        log, policy = world.log(np.random.default_rng([5, seed]), 600)
        found.append(getattr(Estimator(log, (QUALITY,), seed=seed).estimate(policy).outcomes[QUALITY], method))
    means = np.array([each.mean for each in found])

    assert abs(means.mean() - world.truth) < 3 * means.std() / np.sqrt(len(means))
    covered = np.mean([each.lower <= world.truth <= each.upper for each in found])
    assert 0.92 <= covered <= 0.98


def test_the_difference_to_what_served_is_known_better_than_the_value_itself():
    world = World(np.random.default_rng(6))
    log, policy = world.log(np.random.default_rng(7), 4_000)
    close = 0.9 * log.probabilities + 0.1 * policy
    found = Estimator(log, (QUALITY,)).estimate(close).outcomes[QUALITY]

    assert found.difference.error < found.doubly_robust.error / 3
    assert found.difference.lower <= 0.1 * (world.truth - world.served) <= found.difference.upper


def test_the_expected_value_is_between_both_estimates_and_never_far_from_the_unbiased_one():
    unbiased = Interval(0.6, 0.02)

    assert expected(unbiased, 0.61) == pytest.approx(0.605)
    assert expected(unbiased, 0.59) == pytest.approx(0.595)
    assert expected(unbiased, 5.0) == pytest.approx(0.6 + TRANSLATION * 0.02)
    assert expected(unbiased, -5.0) == pytest.approx(0.6 - TRANSLATION * 0.02)


def test_what_a_kind_of_request_decides_is_predicted_though_no_feature_tells_it_alone():
    rng = np.random.default_rng(14)
    corner = rng.integers(2, size=(2_000, 2))
    features = corner * 4.0 + rng.normal(size=(2_000, 2)) * 0.3
    outcome = (corner[:, 0] == corner[:, 1]).astype(float)
    log = Logged(
        strategies=("one", "two"),
        features=features,
        eligible=np.ones((2_000, 2), dtype=bool),
        probabilities=np.full((2_000, 2), 0.5),
        chosen=rng.integers(2, size=2_000),
        outcomes={QUALITY: outcome},
        kinds=np.full(2_000, "general"),
    )
    found = predictions(log, (QUALITY,), np.arange(2_000) % 2)

    assert np.abs(found[:, 0, 0] - outcome).mean() < 0.2


def test_ridge_heads_solve_the_normal_equations_of_the_shared_and_the_own_parts():
    rng = np.random.default_rng(8)
    x, y, chosen = design(rng.normal(size=(60, 3))), rng.normal(size=(60, 1)), rng.integers(3, size=60)
    heads = fit_heads(x, y, chosen, 3)

    wide = np.concatenate([x, *[np.where((chosen == k)[:, None], x, 0.0) for k in range(3)]], axis=1)
    penalty = np.diag([1e-3, 5, 5, 5, *[2, 50, 50, 50] * 3])
    solved = np.linalg.solve(wide.T @ wide + penalty, wide.T @ y)[:, 0]
    for k in range(3):
        assert heads[:, k, 0] == pytest.approx(solved[:4] + solved[4 + 4 * k : 8 + 4 * k])


def test_no_request_is_predicted_by_a_model_that_has_seen_its_outcome():
    log, _ = World(np.random.default_rng(12)).log(np.random.default_rng(13), 60)
    other = log.where(np.arange(60))
    other.outcomes[QUALITY][7] += 5.0
    folds = np.arange(60) % 2
    before, after = predictions(log, (QUALITY,), folds), predictions(other, (QUALITY,), folds)

    assert after[1::2] == pytest.approx(before[1::2])
    assert abs(after[::2] - before[::2]).max() > 0.01


def test_a_log_that_contradicts_itself_is_refused_with_what_is_wrong():
    with pytest.raises(Unusable, match="no probability of being chosen"):
        a_log(np.array([[1.0, 0.0]]), [1], [1.0])
    with pytest.raises(Unusable, match=r"request 0 sum to 0\.9"):
        a_log(np.array([[0.5, 0.4]]), [1], [1.0])
    with pytest.raises(Unusable, match="not one finite number"):
        a_log(np.array([[0.5, 0.5]]), [1], [float("nan")])
    log = a_log(np.full((8, 2), 0.5), [0, 1] * 4, [1.0] * 8)
    with pytest.raises(Unusable, match="request 0 sum to"):
        Estimator(log, (QUALITY,)).estimate(np.full((8, 2), 0.6))


def test_what_the_log_never_tried_is_no_promise_however_good_it_looks():
    probabilities = np.tile([0.5, 0.5, 0.0], (1_000, 1))
    log = a_log(probabilities, [0, 1] * 500, [1.0, 0.0] * 500)
    estimator = Estimator(log, (QUALITY, VALUE))
    better = estimator.estimate(np.tile([0.9, 0.0, 0.1], (1_000, 1)))
    verdict = judge(better, estimator.doubly_robust(np.tile([0.9, 0.0, 0.1], (1_000, 1)))[0])

    assert better.unsupported == pytest.approx(0.1)
    assert verdict.answer == "log_more"
    assert {each.name: each.held for each in verdict.conditions} == {
        "supported": False,
        "sample_size": True,
        "better": None,
        "floor": None,
    }


def test_a_better_policy_is_promoted_a_worse_one_is_not_and_one_below_the_floor_is_not():
    rng = np.random.default_rng(9)
    n = 4_000
    chosen = rng.integers(2, size=n)
    log = a_log(
        np.full((n, 2), 0.5), list(chosen), list((rng.random(n) < np.where(chosen == 1, 0.8, 0.6)).astype(float))
    )
    estimator = Estimator(log, (QUALITY, VALUE))
    worse, better = np.tile([1.0, 0.0], (n, 1)), np.tile([0.0, 1.0], (n, 1))

    def answer(policy: Floats, floor: float) -> str:
        estimate = estimator.estimate(policy)
        quality = estimate.outcomes[QUALITY].doubly_robust
        return judge(estimate, type(quality)(quality.mean - floor, quality.error)).answer

    assert answer(better, 0.65) == "promote"
    assert answer(worse, 0.5) == "keep"
    assert answer(better, 0.95) == "promote", "where nothing meets the floor, better is better"
    assert answer(worse, 0.65) == "keep"


@pytest.mark.parametrize(("errors_above", "answer"), [(1.7, "promote"), (1.6, "log_more"), (-1.7, "keep")])
def test_the_gate_asks_for_a_bound_that_is_wrong_once_in_twenty(errors_above, answer):
    n = 1_000
    log = a_log(np.full((n, 2), 0.5), [0, 1] * (n // 2), [1.0, 0.0] * (n // 2))
    estimate = Estimator(log, (QUALITY, VALUE)).estimate(np.full((n, 2), 0.5))
    gap = Interval(errors_above * 0.01, 0.01)
    outcomes = {**estimate.outcomes, VALUE: replace(estimate.outcomes[VALUE], difference=gap)}
    assert judge(replace(estimate, outcomes=outcomes), Interval(0.0171, 0.01)).answer == answer


def test_the_waiting_time_falls_with_exploration_and_is_what_the_weights_need():
    n = 2_000
    rng = np.random.default_rng(10)
    probabilities = np.tile([0.95, 0.05], (n, 1))
    chosen = (rng.random(n) < 0.05).astype(int)
    log = a_log(probabilities, list(chosen), list((rng.random(n) < 0.7).astype(float)))
    found = waiting(Estimator(log, (QUALITY, VALUE)), np.tile([0.0, 1.0], (n, 1)))
    by_share = {each.exploration: each for each in found}

    assert explored(log, 0.1)[0] == pytest.approx([0.95, 0.05])
    assert by_share[0.1].requests_for_size == 10_000, "w is 20 for one request in 20: 500 of them take 10,000"
    sizes = [each.requests_for_size for each in found]
    assert sizes == sorted(sizes, reverse=True)
