"""Estimates and the gate tried where the truth is known."""

import numpy as np
import pytest

from analytics.offpolicy.estimating import Interval
from analytics.offpolicy.gate import VALUE
from analytics.offpolicy.logged import QUALITY, Floats
from analytics.offpolicy.trials import Trial, World, repeat, summarised


def a_world(prompts: int = 1_500) -> World:
    rng = np.random.default_rng(11)
    features = rng.normal(size=(prompts, 3))
    chance = 1 / (1 + np.exp(-(np.array([0.0, 1.0]) + features @ np.array([[1.0, 0.3], [0.0, 0.4], [0.5, 0.5]]))))
    quality = (rng.random((prompts, 2)) < chance).astype(float)
    return World(
        ("cheap", "dear"),
        features,
        {QUALITY: quality, VALUE: quality - np.array([0.01, 0.13])},
        np.full(prompts, "general"),
    )


def constant(world: World, *shares: float) -> Floats:
    return np.tile(np.array(shares), (len(world.features), 1))


def test_a_log_shows_the_chosen_outcomes_of_drawn_prompts_as_often_as_it_says():
    world = a_world()
    log, rows = world.log(constant(world, 0.8, 0.2), 20_000, np.random.default_rng(1))

    assert (log.outcomes[QUALITY] == world.outcomes[QUALITY][rows, log.chosen]).all()
    assert log.chosen.mean() == pytest.approx(0.2, abs=0.01)


def test_intervals_cover_the_truth_and_hardly_anything_is_promoted_that_should_not_be():
    world = a_world()
    serving = constant(world, 0.7, 0.3)
    rivals = {"same": serving, "cheap": constant(world, 1.0, 0.0), "dear": constant(world, 0.0, 1.0)}
    trials = repeat(world, serving, rivals, requests=2_000, repetitions=120, floor=0.0, rng=np.random.default_rng(2))
    found = summarised(trials)

    assert found.trials == 360
    assert 0.91 <= found.coverage <= 0.985
    assert found.false_promotions <= 0.05
    assert found.relative_error < 0.05
    assert not any(trial.worth_promoting for trial in trials if trial.rival == "same")


def test_a_summary_counts_wrong_promotions_of_all_and_power_of_those_worth_it():
    def trial(*, promoted: bool, worth: bool) -> Trial:
        return Trial("x", 0.5, 0.6, Interval(0.6, 0.01), 700.0, promoted, worth)

    found = summarised(
        [
            trial(promoted=True, worth=False),
            trial(promoted=True, worth=True),
            trial(promoted=False, worth=True),
            trial(promoted=False, worth=False),
        ]
    )

    assert found.false_promotions == 0.25
    assert found.power == 0.5
    assert found.coverage == 0.0
    assert found.relative_error == pytest.approx(0.2)
    assert summarised([trial(promoted=False, worth=False)]).power is None
