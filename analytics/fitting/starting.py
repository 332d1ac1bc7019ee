"""The start of a deployment's heads: price, tier and complexity, and how alike strategies are by their parts.

In: the catalogue. Out: a ``Start``. Keeps nothing. Fails with nothing. Pure.

The expected reward is the built-in prior's in the middle band. A harder request is answered worse, the more so the simpler the
tier: this is what the built-in rules suppose when they ask for a better tier as complexity rises.
"""

from collections.abc import Callable
from typing import Final

import numpy as np

from agents.deciding.catalogue import Catalogue, Strategy, Tier
from agents.deciding.prior import prior_estimate
from analytics.fitting.rows import Floats, Start

LOST_TO_COMPLEXITY: Final[dict[Tier, float]] = {"simple": 0.20, "balanced": 0.15, "premium": 0.10}
"""Expected reward lost from no complexity to the highest."""
MIDDLE: Final = 0.55
SHARE_OF_PART: Final[tuple[tuple[Callable[[Strategy], object], float], ...]] = (
    (lambda strategy: strategy.tier, 0.35),
    (lambda strategy: strategy.retrieval, 0.25),
    (lambda strategy: strategy.graph, 0.10),
    (lambda strategy: strategy.refinement, 0.05),
    (lambda strategy: strategy.prompt_version, 0.05),
    (lambda strategy: (strategy.agent, strategy.tools), 0.05),
)
"""How much of what is a strategy's own, and not shared by all, lies in each part; the rest in the combination."""


def start_of(catalogue: Catalogue) -> Start:
    """The start for all strategies of a catalogue, in its order."""
    priors = [prior_estimate(each, catalogue.model_of(each), "middle") for each in catalogue.strategies]
    lost = [LOST_TO_COMPLEXITY[each.tier] for each in catalogue.strategies]
    quality = [(prior.quality + MIDDLE * down, -down) for prior, down in zip(priors, lost, strict=True)]
    return Start(
        strategies=catalogue.ids,
        quality=np.array(quality),
        cost_usd=tuple(prior.cost_usd for prior in priors),
        latency_ms=tuple(prior.latency_ms for prior in priors),
        likeness=likeness(catalogue.strategies),
    )


def likeness(strategies: tuple[Strategy, ...]) -> Floats:
    """How alike strategies are, (K, K): the sum of the shares of the parts that they have in common; 1 on the diagonal."""
    alike = (1.0 - sum(share for _, share in SHARE_OF_PART)) * np.eye(len(strategies))
    for part, share in SHARE_OF_PART:
        parts = [part(each) for each in strategies]
        alike += share * np.array([[one == other for other in parts] for one in parts])
    return alike
