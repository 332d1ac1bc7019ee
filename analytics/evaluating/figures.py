"""The figures that the modes share: fixed strategies, their random mixes, the oracle, and the area under the gap recovered.

In: qualities and costs of prompts by strategy. Out: numbers. Keeps nothing. Fails with nothing. Pure.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

POINTS: Final = 201


@dataclass(frozen=True)
class Gap:
    """How a router between two strategies does as its share of strong calls rises (Ong et al., "RouteLLM", 2024).

    ``apgr``: the mean share of the quality gap recovered, over all shares of strong calls; random is 0.5. ``cpt50``, ``cpt80``:
    the least share of strong calls that recovers 50 and 80 % of the gap.
    """

    apgr: float
    cpt50: float
    cpt80: float


def gap_of(score: Floats, weak: Floats, strong: Floats) -> Gap | None:
    """The figures of a router that sends the highest scores to the strong one, all (n,); None where that is not better."""
    order = np.argsort(-score, kind="stable")
    count = len(order)
    gained = np.concatenate(([0.0], np.cumsum((strong - weak)[order])))
    whole = gained[-1]
    if whole <= 0.0:
        return None
    recovered = gained / whole
    share = np.arange(count + 1) / count
    return Gap(
        float(np.trapezoid(recovered, share)),
        float(share[int(np.argmax(recovered >= 0.5))]),  # noqa: PLR2004
        float(share[int(np.argmax(recovered >= 0.8))]),  # noqa: PLR2004
    )


def cheapest_mix(quality: Floats, cost: Floats, wanted: float) -> float:
    """The least mean cost of a random mix of fixed strategies with mean quality ``wanted`` or more.

    ``quality``, ``cost``: each strategy's means, (strategies,). A mix of two strategies suffices. Infinite where none reaches it.
    """
    least = float("inf")
    for i in range(len(quality)):
        if quality[i] >= wanted:
            least = min(least, float(cost[i]))
        for j in range(len(quality)):
            if quality[i] < wanted < quality[j]:
                share = (wanted - quality[i]) / (quality[j] - quality[i])
                least = min(least, float((1 - share) * cost[i] + share * cost[j]))
    return least


@dataclass(frozen=True)
class Reached:
    """What a policy reached on prompts with all outcomes known, against the best fixed strategy."""

    quality_ratio: float
    saving: float
    random_mix_saving: float


def reached(probabilities: Floats, quality: Floats, cost: Floats) -> Reached:
    """The figures of a policy that answers with these probabilities; all (n, strategies)."""
    means, costs = quality.mean(axis=0), cost.mean(axis=0)
    best = int(np.argmax(means))
    got = float((probabilities * quality).sum(axis=1).mean())
    paid = float((probabilities * cost).sum(axis=1).mean())
    mixed = cheapest_mix(means, costs, got)
    return Reached(
        got / means[best],
        1.0 - paid / costs[best],
        1.0 - mixed / costs[best] if np.isfinite(mixed) else 0.0,
    )


def oracle(quality: Floats, cost: Floats) -> dict[str, float]:
    """What choosing the cheapest of the best answers for every prompt would reach."""
    best = int(np.argmax(quality.mean(axis=0)))
    top = quality.max(axis=1, keepdims=True)
    pick = np.where(quality >= top, cost, np.inf).argmin(axis=1)
    every = np.arange(len(pick))
    return {
        "quality": float(top.mean()),
        "quality_ratio": float(top.mean() / quality[:, best].mean()),
        "saving": float(1.0 - cost[every, pick].mean() / cost[:, best].mean()),
    }


def best_fixed(strategies: tuple[str, ...], quality: Floats, cost: Floats, exchange: float = 0.0) -> dict[str, object]:
    """The strategy that is best for all prompts alike, by quality less ``exchange`` times cost."""
    worth = quality.mean(axis=0) - exchange * cost.mean(axis=0)
    best = int(np.argmax(worth))
    return {
        "strategy": strategies[best],
        "quality": float(quality[:, best].mean()),
        "cost_usd": float(cost[:, best].mean()),
        "reward": float(worth[best]),
    }


def curve(worths: Floats, quality: Floats, costs: Floats, believed_cost: Floats) -> list[tuple[float, float]]:
    """(saving, quality ratio) of the exchange rates from nothing to everything; ``worths`` are the expected qualities."""
    means = quality.mean(axis=0)
    best = int(np.argmax(means))
    scale = float(worths.std() + 1e-3) / max(float(believed_cost.mean()), 1e-12)
    every = np.arange(len(quality))
    points = []
    for rate in (0.0, *(scale * np.logspace(-2.5, 2.5, POINTS // 4)).tolist()):
        pick = np.argmax(worths - rate * believed_cost, axis=1)
        points.append(
            (
                float(1.0 - costs[every, pick].mean() / costs[:, best].mean()),
                float(quality[every, pick].mean() / means[best]),
            )
        )
    return points
