"""What quality is traded at: the cheapest trade whose lower bound keeps the floor, found from the log.

In: rows with the propensity each was chosen with, the floor as a share of the best strategy's quality. Out: a ``Trade``. Keeps
nothing. Fails with nothing; without rows it is the pessimist's: nearly everything to the keeper. Pure.

How it works.

1. Heads are fitted without each of ``FOLDS`` parts of the log and asked about that part, so that no belief has seen its own
   outcome.
2. Of each request every strategy's quality is estimated doubly robustly: belief + (reward - belief) / propensity for the chosen
   one (Dudik, Langford, Li, "Doubly Robust Policy Evaluation and Learning", 2011), the weight at most ``MOST_WEIGHT``: this finds
   an exchange rate, it promotes nothing. Where every strategy's outcome is known the estimate is the outcome itself.
3. Every exchange rate of a geometric row is tried: D = quality of the policy less the floor's share of the best strategy's,
   request by request. Its lower bound is mean(D) - ``Z`` standard errors, shrunk towards ``PESSIMISM`` as if ``DOUBT`` requests
   had shown that. Where it is negative, the share ``hold`` of the best strategy that makes up for it is added. The cheapest trade
   wins.
"""

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from agents.deciding.heads import Beliefs
from agents.deciding.spreading import Trade
from analytics.fitting.experience import Experience, Rows, Start

Floats = npt.NDArray[np.float64]

FOLDS: Final = 4
Z: Final = 0.5
MOST_WEIGHT: Final = 10.0
PESSIMISM: Final = 0.5
DOUBT: Final = 10.0
RATES: Final = 97
DECADES: Final = 4.0


@dataclass(frozen=True, eq=False)
class Judged:
    """Requests with what is estimated of them, each (n, strategies): ``quality`` doubly robust; ``beliefs`` without their own
    outcome.
    """

    quality: Floats
    beliefs: Beliefs


def judged(start: Start, rows: Rows, propensity: Floats, request: npt.NDArray[np.intp], most_weights: int) -> Judged:
    """Estimate every strategy's quality on every request, from heads that were fitted without it.

    ``request`` (n,): which request a row belongs to, from 0; rows of one request have the same features.
    """
    count, strategies = int(request.max()) + 1 if len(request) else 0, len(start.strategies)
    first = np.zeros(count, dtype=np.intp)
    first[request[::-1]] = np.arange(len(request))[::-1]
    fold = request % FOLDS
    quality, sd, cost = (np.zeros((count, strategies)) for _ in range(3))
    for part in range(FOLDS):
        experience = Experience(start, most_weights, texts_a_row=count / max(len(rows), 1))
        experience.take(rows.part(fold != part))
        asked = np.arange(part, count, FOLDS)
        if len(asked):
            found = experience.heads().beliefs_of(rows.features[first[asked]])
            quality[asked], sd[asked], cost[asked] = found.quality, found.sd, found.cost_usd
    robust = quality.copy()
    weight = np.minimum(1.0 / propensity, MOST_WEIGHT)
    robust[request, rows.strategy] += weight * (rows.reward - quality[request, rows.strategy])
    return Judged(robust, Beliefs(quality, sd, cost))


def judged_log(experience: Experience, propensity: Floats) -> Judged:
    """The same where each row of an experience is a request of its own, chosen with its propensity, shape (n,)."""
    every = np.arange(len(experience.rows))
    return judged(experience.start, experience.rows, propensity, every, experience.most_weights)


def find_trade(known: Judged, *, floor: float, exploration: float, z: float = Z) -> Trade:
    """The cheapest trade that keeps ``floor`` times the best strategy's quality with its lower bound."""
    count = len(known.quality)
    if count == 0:
        return Trade(0.0, None, 0.0)
    keeper = int(np.argmax(known.quality.mean(axis=0)))
    best = known.quality[:, keeper]
    slack = (1.0 - floor) * float(best.mean())
    scale = float(known.beliefs.quality.std() + 1e-3) / max(float(known.beliefs.cost_usd.mean()), 1e-12)
    rates = np.concatenate(([0.0], scale * np.logspace(-DECADES / 2, DECADES / 2, RATES)))
    held = float(known.beliefs.cost_usd[:, keeper].mean())
    found, cheapest = Trade(0.0, keeper, 1.0), np.inf
    every = np.arange(count)
    for rate in rates.tolist():
        pick = np.argmax(known.beliefs.quality - rate * known.beliefs.cost_usd, axis=1)
        gained = (1.0 - exploration) * known.quality[every, pick] + exploration * known.quality.mean(axis=1)
        paid = known.beliefs.cost_usd[every, pick].mean()
        above = gained - floor * best
        bound = _lower(above, slack, float(best.mean()), z)
        hold = 0.0 if bound >= 0.0 else -bound / (slack - bound)
        price = (1.0 - hold) * float(paid) + hold * held
        if price < cheapest * (1.0 - 1e-9):
            found, cheapest = Trade(rate, keeper, hold), price
    return found


def _lower(above: Floats, slack: float, best: float, z: float) -> float:
    count = len(above)
    share = DOUBT / (count + DOUBT)
    error = float(above.std()) / math.sqrt(count)
    return (1.0 - share) * (float(above.mean()) - z * error) + share * (slack - PESSIMISM * best)
