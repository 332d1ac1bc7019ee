"""Mode offline: fitted on prompts with all outcomes known, tested on other prompts.

In: a task to learn from and one to be tested on. Out: figures. Keeps nothing. Fails with nothing. Pure.

The heads and the trade are those of the running loop. The test asks the frozen policy without exploration, so that it is the same
whoever draws.
"""

from typing import Any, Final

import numpy as np
import numpy.typing as npt

from agents.deciding.heads import Heads
from agents.deciding.spreading import Trade, spread_all
from analytics.evaluating import figures
from analytics.evaluating.task import Task, all_rows, informed_start
from analytics.fitting.experience import Experience
from analytics.fitting.trading import Asked, find_trade, judged

Floats = npt.NDArray[np.float64]

MOST_WEIGHTS: Final = 1_500
"""Fitted once, so it may take longer than in the loop."""
TWO: Final = 2


def offline(train: Task, test: Task, *, floor: float, cost_weight: float | None) -> dict[str, Any]:
    """The figures of one fit and test; the arrays for the plots are under ``curves``."""
    start = informed_start(train.strategies, train.cost_usd.mean(axis=0))
    rows, prompt = all_rows(train)
    experience = Experience(start, MOST_WEIGHTS, texts_a_row=1.0 / len(train.strategies))
    experience.take(rows)
    fitted = experience.fitted()
    heads = fitted.heads
    if cost_weight is None:
        known = judged(fitted, rows, np.ones(len(rows)), prompt)
        trade = find_trade(known, Asked(floor), exploration=0.0)
    else:
        trade = Trade(exchange_of(cost_weight, train))
    return {**frozen(heads, trade, test), **_gap(heads, train, test)}


def exchange_of(cost_weight: float, task: Task) -> float:
    """Reward per US dollar, from a weight in units of the best strategy's mean cost."""
    best = int(np.argmax(task.quality.mean(axis=0)))
    return cost_weight / float(task.cost_usd[:, best].mean())


def frozen(heads: Heads, trade: Trade, test: Task, exploration: float = 0.0) -> dict[str, Any]:
    """What the policy reaches on prompts that it never saw, learning nothing more."""
    beliefs = heads.beliefs_of(test.features)
    probabilities = spread_all(beliefs, trade, exploration=exploration, boldness=0.0)
    found = figures.reached(probabilities, test.quality, test.cost_usd)
    return {
        "quality_ratio": found.quality_ratio,
        "saving": found.saving,
        "random_mix_saving": found.random_mix_saving,
        "best_fixed": figures.best_fixed(test.strategies, test.quality, test.cost_usd),
        "oracle": figures.oracle(test.quality, test.cost_usd),
        "exchange_reward_per_usd": trade.exchange,
        "hold": trade.hold,
        "curve": figures.curve(beliefs.quality, test.quality, test.cost_usd, beliefs.cost_usd),
        "fixed": [
            (float(c), float(q))
            for c, q in zip(
                1 - test.cost_usd.mean(axis=0) / test.cost_usd.mean(axis=0)[test.quality.mean(axis=0).argmax()],
                test.quality.mean(axis=0) / test.quality.mean(axis=0).max(),
                strict=True,
            )
        ],
    }


def _gap(heads: Heads, train: Task, test: Task) -> dict[str, Any]:
    if len(train.strategies) != TWO:
        return {}
    strong = int(np.argmax(train.quality.mean(axis=0)))
    beliefs = heads.beliefs_of(test.features)
    score = beliefs.quality[:, strong] - beliefs.quality[:, 1 - strong]
    gap = figures.gap_of(score, test.quality[:, 1 - strong], test.quality[:, strong])
    best = test.quality[:, strong] - test.quality[:, 1 - strong]
    ideal = figures.gap_of(best, test.quality[:, 1 - strong], test.quality[:, strong])
    if gap is None or ideal is None:
        return {"apgr": None, "cpt50": None, "cpt80": None, "oracle_apgr": None}
    return {"apgr": gap.apgr, "cpt50": gap.cpt50, "cpt80": gap.cpt80, "oracle_apgr": ideal.apgr}
