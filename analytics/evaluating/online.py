"""Mode online: one pass over the prompts in several orders; only the chosen strategy's outcome is shown.

In: a task, an exchange rate or a floor. Out: figures of one order. Keeps nothing. Fails with nothing. Pure.

The loop is the running one: beliefs, distribution, draw, outcome, and a refit when enough is new. Prompts kept back test the
frozen policy.
"""

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from agents.deciding.policy import choose_index
from agents.deciding.spreading import Trade, spread
from analytics.evaluating.offline import exchange_of, frozen
from analytics.evaluating.task import Task, informed_start
from analytics.fitting.experience import Experience
from analytics.fitting.rows import Rows
from analytics.fitting.trading import Asked, find_trade, judged

Floats = npt.NDArray[np.float64]
Index = npt.NDArray[np.intp]

NEW_REWARDS: Final = 20
SHARE_NEW: Final = 0.03
"""A refit is due with so many new rewards, or this share of those known, whichever is more. The running loop learns after 20, as
often as its time allows.
"""
KEPT_BACK: Final = 0.2
WINDOW: Final = 500
SETTLED: Final = 1_000


@dataclass(eq=False)
class Pass:
    """What happened in one pass: ``chosen`` (n,), ``probabilities`` (n, strategies)."""

    chosen: Index
    probabilities: Floats
    experience: Experience

    @property
    def propensity(self) -> Floats:
        """The probability with which each choice was made."""
        made: Floats = self.probabilities[np.arange(len(self.chosen)), self.chosen]
        return made


def go_through(task: Task, trade: Trade, *, exploration: float, seed: int) -> Pass:
    """One pass over the task's prompts in their order, at a given exchange rate."""
    count, strategies = task.quality.shape
    chance = np.random.default_rng(seed)
    experience = Experience(informed_start(task.strategies, task.cost_usd.mean(axis=0)))
    heads = experience.heads()
    chosen = np.zeros(count, dtype=np.intp)
    probabilities = np.zeros((count, strategies))
    taken = 0
    for i in range(count):
        probabilities[i] = spread(heads.beliefs(task.features[i]), trade, exploration=exploration)
        chosen[i] = choose_index(probabilities[i].tolist(), chance.random())
        if i + 1 - taken >= max(NEW_REWARDS, SHARE_NEW * taken) or i + 1 == count:
            experience.take(rows_of(task, chosen, slice(taken, i + 1)))
            taken = i + 1
            heads = experience.heads()
    return Pass(chosen, probabilities, experience)


def rows_of(task: Task, chosen: Index, which: slice) -> Rows:
    """What was shown: the outcomes of the chosen strategies."""
    own = chosen[which]
    every = np.arange(len(own))
    return Rows.plain(task.features[which], own, task.quality[which][every, own], task.cost_usd[which][every, own])


def online(
    task: Task, *, floor: float, cost_weight: float, exploration: float, seed: int
) -> tuple[dict[str, Any], dict[str, Any]]:
    """The figures of one order, and the lines for the plots."""
    order = np.random.default_rng(seed).permutation(len(task))
    kept = round(KEPT_BACK * len(order))
    stream, test = task.part(order[kept:]), task.part(order[:kept])
    exchange = exchange_of(cost_weight, task)
    made = go_through(stream, Trade(exchange), exploration=exploration, seed=seed)
    worth = stream.quality - exchange * stream.cost_usd
    best = int(np.argmax(worth.mean(axis=0)))
    got = worth[np.arange(len(stream)), made.chosen]
    gain = got - worth[:, best]
    trade = find_trade(
        judged(made.experience.fitted(), made.experience.rows, made.propensity), Asked(floor), exploration=0.0
    )
    after = frozen(made.experience.heads(), trade, test)
    later = gain[SETTLED:]
    windows = [float(later[i : i + SETTLED].mean()) for i in range(0, len(later) - SETTLED + 1, WINDOW)]
    told = {
        "requests": len(stream),
        "reward": float(got.mean()),
        "gain_over_best_fixed": float(gain.mean()),
        "gain_after_1000": float(later.mean()) if len(later) else None,
        "worst_1000_after_1000": min(windows) if windows else None,
        "regret": float((worth.max(axis=1) - got).mean()),
        "quality_ratio": after["quality_ratio"],
        "saving": after["saving"],
        "random_mix_saving": after["random_mix_saving"],
        "best_fixed": {"strategy": task.strategies[best], "reward": float(worth[:, best].mean())},
        "oracle": {"reward": float(worth.max(axis=1).mean())},
    }
    return told, {"gain": gain, "chosen": made.chosen, "curve": after["curve"], "fixed": after["fixed"]}
