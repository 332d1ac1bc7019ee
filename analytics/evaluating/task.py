"""What the modes take: prompts with features and all outcomes, and how they are made rows for the learner.

In: outcomes and their features. Out: ``Task`` and ``Rows``. Keeps nothing. Fails with nothing. Pure.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from analytics.fitting.rows import Rows, Start

Floats = npt.NDArray[np.float64]
Index = npt.NDArray[np.intp]

QUALITY_BEFORE: Final = 0.6
QUALITY_A_PRICE_SD: Final = 0.06
"""The informed start: what costs more is expected to answer better, by so much for one standard deviation of the log price."""


@dataclass(frozen=True, eq=False)
class Task:
    """``features`` (n, features), ``quality`` and ``cost_usd`` (n, strategies)."""

    strategies: tuple[str, ...]
    features: Floats
    quality: Floats
    cost_usd: Floats

    def __len__(self) -> int:
        """How many prompts there are."""
        return len(self.features)

    def part(self, which: Index) -> "Task":
        """Some of the prompts, in the order stated."""
        return Task(self.strategies, self.features[which], self.quality[which], self.cost_usd[which])


def informed_start(strategies: tuple[str, ...], prices: Floats) -> Start:
    """What a price list tells: ``prices`` are what an average answer costs, (strategies,)."""
    logs = np.log(np.maximum(prices, 1e-12))
    spread = float(logs.std())
    above = (logs - logs.mean()) / spread if spread > 0.0 else np.zeros(len(logs))
    quality = QUALITY_BEFORE + QUALITY_A_PRICE_SD * above
    return Start.plain(strategies, tuple(quality.tolist()), tuple(prices.tolist()))


def all_rows(task: Task) -> tuple[Rows, Index]:
    """Every outcome of every prompt as a row, and which prompt each belongs to."""
    count, strategies = task.quality.shape
    rows = Rows.plain(
        np.repeat(task.features, strategies, axis=0),
        np.tile(np.arange(strategies), count),
        task.quality.ravel(),
        task.cost_usd.ravel(),
    )
    return rows, np.repeat(np.arange(count), strategies)


def split(count: int, share: float, seed: int) -> tuple[Index, Index]:
    """A random ``share`` of the prompts, and the rest."""
    order = np.random.default_rng(seed).permutation(count)
    first = round(share * count)
    return order[:first], order[first:]
