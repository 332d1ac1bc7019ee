"""``evaluate --mode ope``: estimates from the serving policy's log against the truth of an outcome file."""

from dataclasses import dataclass

import numpy as np
import pytest

from analytics.evaluating import ope
from analytics.evaluating.ope import contest, measure
from analytics.offpolicy.direct import design, fit_heads
from analytics.offpolicy.gate import VALUE
from analytics.offpolicy.logged import COST, QUALITY, Floats, Integers, Unusable
from analytics.offpolicy.trials import World

PRICE = np.array([0.02, 0.15])


def a_world(prompts: int = 3_000) -> World:
    rng = np.random.default_rng(41)
    features = rng.normal(size=(prompts, 3))
    chance = 1 / (1 + np.exp(-(np.array([0.3, 1.5]) + features @ np.array([[1.5, 0.2], [0.0, 0.5], [0.5, 0.5]]))))
    quality = (rng.random((prompts, 2)) < chance).astype(float)
    cost = np.tile(PRICE, (prompts, 1))
    return World(
        ("cheap", "dear"),
        features,
        {QUALITY: quality, COST: cost, VALUE: quality - cost},
        np.full(prompts, "general"),
    )


@dataclass(frozen=True)
class Pupil:
    heads: Floats
    mean: Floats

    def decide(self, features: Floats, rate: float) -> Floats:
        worth = np.column_stack([np.ones(len(features)), features]) @ self.heads - rate * PRICE
        own: Floats = np.exp((worth - worth.max(axis=1, keepdims=True)) / 0.05)
        mixed: Floats = 0.9 * own / own.sum(axis=1, keepdims=True) + 0.05
        return mixed


class Chooser:
    """Learns from choices at random; notes what it was shown."""

    def __init__(self) -> None:
        self.shown: list[Integers] = []

    def learn(self, world: World, rows: Integers, rng: np.random.Generator) -> Pupil:
        self.shown.append(rows)
        chosen = rng.integers(2, size=len(rows))
        seen = world.outcomes[QUALITY][rows, chosen][:, None]
        return Pupil(fit_heads(design(world.features[rows]), seen, chosen, 2)[:, :, 0], np.zeros(3))


def test_estimates_are_near_intervals_cover_and_hardly_anything_is_promoted_wrongly(monkeypatch):
    monkeypatch.setattr(ope, "LOGS_A_ROUND", 12)
    found = measure(a_world(), Chooser(), requests=2_000, rounds=3, seed=1)

    assert found.logs == 36
    assert set(found.kinds) == {"fixed", "priority", "learned", "mix"}
    assert found.kinds["fixed"].trials == 3 * 36
    assert found.relative_error < 0.05
    assert found.relative_error == pytest.approx(
        np.mean([each.relative_error for each in found.kinds.values()]), rel=1e-6
    )
    assert 0.88 <= found.coverage <= 1.0
    assert found.false_promotions <= 0.05
    assert found.power is not None
    assert found.clearly_better > 0
    assert measure(a_world(), Chooser(), requests=2_000, rounds=3, seed=1) == found


def test_rivals_learn_on_other_prompts_than_the_policy_that_serves():
    world, learner = a_world(), Chooser()
    serving, early, rivals = contest(world, learner, np.random.default_rng(2))

    ours, *others, first = learner.shown
    assert np.array_equal(first, ours[: ope.EARLY])
    assert early.shape == serving.shape
    assert np.allclose(early.sum(axis=1), 1.0)
    assert all(not set(ours.tolist()) & set(rows.tolist()) for rows in others)
    assert np.allclose(serving.sum(axis=1), 1.0)
    assert all(np.allclose(each.sum(axis=1), 1.0) and each.shape == serving.shape for each in rivals.values())
    dear = {name: float(each[:, 1].mean()) for name, each in rivals.items()}
    assert dear["priority:0"] > dear["priority:0.5"] > dear["priority:2"] > dear["priority:4"]
    assert (dear["fixed:cheapest"], dear["fixed:best quality"]) == (0.0, 1.0)


def test_too_few_prompts_are_refused():
    with pytest.raises(Unusable, match="too few"):
        measure(a_world(50), Chooser(), requests=100, rounds=1, seed=0)
