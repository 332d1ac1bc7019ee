"""What quality is traded at: the cheapest trade whose lower bound keeps the floor, found from the log.

In: what was fitted, the propensity each row was chosen with, the floor. Out: a ``Trade``. Keeps nothing. Fails with nothing;
without rows nothing is traded. Pure.

How it works.

1. Every request is asked of the heads without its own outcomes, in closed form: with C the posterior covariance of the strategies'
   qualities at the request, f their means, y what was seen and M its precisions, leaving it out gives f - C M (I - C M)^-1 (y - f)
   (Rasmussen, Williams, "Gaussian Processes for Machine Learning", 2006, 5.4.2).
2. Of each request every strategy's quality is estimated doubly robustly: belief + (reward - belief) / propensity for the chosen
   one (Dudik, Langford, Li, "Doubly Robust Policy Evaluation and Learning", 2011), the weight at most ``MOST_WEIGHT``: this finds
   an exchange rate, it promotes nothing. Where every strategy's outcome is known the estimate is the outcome itself.
3. Every exchange rate of a geometric row is tried: D = quality of the policy less what the floor asks for, request by request. Its
   lower bound is mean(D) - ``Z`` standard errors, shrunk towards ``PESSIMISM`` as if ``DOUBT`` requests had shown that. Where it
   is negative, the share ``hold`` of the best strategy that makes up for it is added. The cheapest trade wins.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import numpy.typing as npt

from agents.deciding.heads import Beliefs
from agents.deciding.spreading import Trade
from analytics.fitting.experience import Fitted
from analytics.fitting.posterior import Posterior
from analytics.fitting.rows import Rows
from analytics.one_thread import one_thread

Floats = npt.NDArray[np.float64]
Index = npt.NDArray[np.intp]

Z: Final = 0.5
MOST_WEIGHT: Final = 10.0
PESSIMISM: Final = 0.5
DOUBT: Final = 10.0
RATES: Final = 97
DECADES: Final = 4.0
ENOUGH: Final = 300
"""Requests of a domain that nothing was learned of, before which a trade found from them breaks the floor too often."""
CAREFUL: Final = 0.5
"""In a new domain at least so much of what the floor would give away is kept: a part of it has to keep the floor, not the mean
alone.
"""
BEST: Final = Trade()
"""Before enough is known of a new domain: whatever is likely to answer best, at any price."""
DEAR_HOLD: Final = 0.1
"""Of two trades at about the same price the one that decides by request is better: it does not jump as the log grows."""


@dataclass(frozen=True, eq=False)
class Judged:
    """Requests with what is estimated of them, each (n, strategies): ``quality`` doubly robust; ``beliefs`` without their own
    outcome.
    """

    quality: Floats
    beliefs: Beliefs

    def part(self, which: npt.NDArray[np.bool_]) -> "Judged":
        """Some of the requests."""
        believed = self.beliefs
        return Judged(
            self.quality[which],
            Beliefs(believed.quality[which], believed.sd[which], believed.cost_usd[which], believed.latency_ms[which]),
        )


@dataclass(frozen=True)
class Asked:
    """The floor: a share of the best strategy's quality, or a reward; and which share of what it would give away is kept all the
    same.
    """

    floor: float
    of_best: bool = True
    kept: float = 0.0

    def wanted(self, best: Floats) -> Floats:
        """What is asked for of each request, where the best strategy's qualities are these, (n,)."""
        least = self.floor * best if self.of_best else np.full(len(best), self.floor)
        return least + self.kept * max(float((best - least).mean()), 0.0) * (best / max(float(best.mean()), 1e-9))


def judged(fitted: Fitted, rows: Rows, propensity: Floats, request: Index | None = None) -> Judged:
    """Estimate every strategy's quality on every request, each from heads that have not seen its outcomes.

    ``rows``: all or some of those that were fitted, ``propensity`` (rows,). ``request`` (rows,): which request a row belongs to,
    from 0 (each its own where nothing is said); rows of one request have the same features.
    """
    request = np.arange(len(rows)) if request is None else request
    count = int(request.max()) + 1 if len(rows) else 0
    first = np.zeros(count, dtype=np.intp)
    first[request[::-1]] = np.arange(len(rows))[::-1]
    with one_thread():
        features = rows.features[first]
        found = fitted.heads.beliefs_of(features)
        precision, left = np.zeros_like(found.quality), np.zeros_like(found.quality)
        precision[request, rows.strategy] = rows.weight / fitted.prior.noise
        left[request, rows.strategy] = rows.reward - found.quality[request, rows.strategy]
        quality = found.quality - _learned(fitted.posterior, fitted.heads.lens.see(features), precision, left)
    robust = quality.copy()
    weight = np.minimum(1.0 / propensity, MOST_WEIGHT)
    robust[request, rows.strategy] += weight * (rows.reward - quality[request, rows.strategy])
    return Judged(robust, replace(found, quality=quality))


def _learned(found: Posterior, seen: Floats, precision: Floats, left: Floats) -> Floats:
    """What each request's own outcomes did to the beliefs about it, (n, strategies); ``left``: what the beliefs leave of them."""
    count, strategies = precision.shape
    if not count:
        return np.zeros_like(left)
    pulled = np.zeros((count, strategies, strategies))
    for k in range(strategies):
        own = np.flatnonzero(precision[:, k])
        of_own = seen[own]
        for r in range(strategies):
            covariance = ((of_own @ found.covariance[r, :, k, :]) * of_own).sum(axis=1)
            pulled[own, r, k] = covariance * precision[own, k]
    without = np.linalg.solve(np.eye(strategies) - pulled, left[:, :, None])
    learned: Floats = (pulled @ without)[:, :, 0]
    return learned


def find_trade(known: Judged, asked: Asked, *, exploration: float, z: float = Z) -> Trade:
    """The cheapest trade that keeps what is asked for with its lower bound; where the best strategy does not, nothing is traded."""
    return find_trades(known, [asked], exploration=exploration, z=z)[0]


def find_trades(known: Judged, asked: Sequence[Asked], *, exploration: float, z: float = Z) -> list[Trade]:
    """The same for several floors."""
    count = len(known.quality)
    if not count:
        return [Trade()] * len(asked)
    keeper = int(np.argmax(known.quality.mean(axis=0)))
    costs, best = known.beliefs.cost_usd, known.quality[:, keeper]
    every, mean = np.arange(count), known.quality.mean(axis=1)
    tried = []
    for rate in _rates(known.beliefs):
        pick = np.argmax(known.beliefs.quality - rate * costs, axis=1)
        gained = (1.0 - exploration) * known.quality[every, pick] + exploration * mean
        tried.append((rate, gained, float(costs[every, pick].mean())))
    held = float(costs[:, keeper].mean())
    return [_cheapest(tried, each.wanted(best), best, Trade(0.0, keeper, 1.0), held, z) for each in asked]


def _rates(beliefs: Beliefs) -> list[float]:
    scale = float(beliefs.quality.std() + 1e-3) / max(float(beliefs.cost_usd.mean()), 1e-12)
    rates: list[float] = (scale * np.logspace(-DECADES / 2, DECADES / 2, RATES)).tolist()
    return [0.0, *rates]


def _cheapest(
    tried: Sequence[tuple[float, Floats, float]], wanted: Floats, best: Floats, all_held: Trade, held: float, z: float
) -> Trade:
    """The cheapest of (rate, gain by request, price), each with what it has to hold; ``held``: the keeper's price."""
    slack = float((best - wanted).mean())
    if slack <= 0.0:
        return Trade()
    found, cheapest = all_held, math.inf
    for rate, gained, paid in tried:
        bound = _lower(gained - wanted, slack, float(best.mean()), z)
        hold = 0.0 if bound >= 0.0 else -bound / (slack - bound)
        price = ((1.0 - hold) * paid + hold * held) * (1.0 + DEAR_HOLD * hold)
        if price < cheapest * (1.0 - 1e-9):
            found, cheapest = replace(all_held, exchange=rate, hold=hold), price
    return found


def _lower(above: Floats, slack: float, best: float, z: float) -> float:
    count = len(above)
    share = DOUBT / (count + DOUBT)
    error = float(above.std()) / math.sqrt(count)
    return (1.0 - share) * (float(above.mean()) - z * error) + share * (slack - PESSIMISM * best)
