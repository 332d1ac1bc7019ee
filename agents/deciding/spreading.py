"""The policy ``spread``: from beliefs to a distribution over the eligible strategies, by quadrature, with exact propensities.

In: expected quality, its uncertainty and cost of each eligible strategy; the exchange rate; exploration; a strategy that holds the
floor and its share. Out: the probability of each, summing to 1, none below e / K. Keeps nothing. Fails with ``ValueError`` where
nothing is eligible. Pure.

How it works. The worth of a strategy is u = q - exchange x cost - hurry x latency. The own distribution gives each strategy
its probability of being the best, where worths are independent Gaussians with standard deviation ``BOLDNESS`` x sd:

    p_s = integral of N(t; u_s, sd_s) prod over r != s of Phi((t - u_r) / sd_r) dt

This is what Thompson sampling draws from (Thompson, 1933), tempered by ``BOLDNESS``, and the integral is a fixed sum over
``NODES`` equal steps, normalised, so the numbers that are logged are the numbers that were drawn from: nothing is estimated. Beside
it every other strategy gets a small share for being plausible, by its gap to the best over the uncertainty of the gap:

    t_s = PLAUSIBLE / (1 + ((u_best - u_s) / d_s)^2),   d_s^2 = sd_s^2 + sd_best^2

This is inverse-gap weighting (Abe and Long, "Associative Reinforcement Learning using Linear Probabilistic Concepts", 1999) in the
gap's own unit. A Gaussian leaves nothing for what another sensible policy would choose, and an estimate of that policy from the log
then rests on a few huge weights. It is a share for each strategy, because with many of them more is to be estimated.

A share ``hold`` goes to the strategy that keeps the floor where the rest is not known well enough (Wu, Shariff, Lattimore,
Szepesvari, "Conservative Bandits", 2016); the whole is mixed with e / K.
"""

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from agents.deciding.heads import Beliefs

Floats = npt.NDArray[np.float64]

NAME: Final = "spread@1"
BOLDNESS: Final = 0.3
PLAUSIBLE: Final = 0.015
_MOST_PLAUSIBLE: Final = 0.15
"""All together get no more, however many there are."""
NODES: Final = 33
_REACH: Final = 4.0
_LEAST_SD: Final = 1e-4
_FLAT: Final = 6.0


@dataclass(frozen=True)
class Trade:
    """What quality is traded at: ``exchange`` in reward per US dollar, ``hurry`` in reward per millisecond; the share ``hold``
    answered by ``keeper`` (an index) in any case.
    """

    exchange: float = 0.0
    keeper: int | None = None
    hold: float = 0.0
    hurry: float = 0.0

    def worth(self, beliefs: Beliefs) -> Floats:
        """What each strategy is worth, in reward."""
        worth: Floats = beliefs.quality - self.exchange * beliefs.cost_usd
        return worth - self.hurry * beliefs.latency_ms if self.hurry else worth


def spread(beliefs: Beliefs, trade: Trade, *, exploration: float, boldness: float = BOLDNESS) -> Floats:
    """The distribution over the strategies that ``beliefs`` names, all of them eligible; shape (strategies,).

    ``boldness`` 0 takes the best without a doubt and tries nothing else; ties go to the first. ``keeper`` is an index into the same
    arrays.
    """
    count = len(beliefs.quality)
    if count == 0:
        raise ValueError("no strategy is eligible")
    worth = trade.worth(beliefs)
    if boldness <= 0.0:
        own = _certain(worth).tolist()
    else:
        best = best_of(worth, np.maximum(boldness * beliefs.sd, _LEAST_SD))
        own = _tried(best.tolist(), worth.tolist(), beliefs.sd.tolist())
    if trade.keeper is not None and trade.hold > 0.0:
        own = [(1.0 - trade.hold) * share for share in own]
        own[trade.keeper] += trade.hold
    return np.array([(1.0 - exploration) * share + exploration / count for share in own])


def best_of(worth: Floats, sd: Floats) -> Floats:
    """The probability of each of being the greatest, of independent Gaussians; shape (strategies,)."""
    if len(worth) == 1:
        return np.ones(1)
    reach = _REACH * sd
    low = float(np.maximum.reduce(worth - reach))
    high = float(np.maximum.reduce(worth + reach))
    z = (low + (high - low) * _GRID - worth) / sd
    np.minimum(np.maximum(z, -_FLAT, out=z), _FLAT, out=z)
    square = z * z
    above = np.log1p(np.exp(z * (_LINEAR + _CUBIC * square)))  # -log Phi(z)
    above -= np.add.reduce(above, axis=1, keepdims=True)
    above -= 0.5 * square
    share = np.add.reduce(np.exp(above, out=above), axis=0) / sd
    total = float(np.add.reduce(share))
    return share / total if total > 0.0 else _certain(worth)


def _tried(own: list[float], worth: list[float], sd: list[float]) -> list[float]:
    """The same with a share for each plausible strategy but the best; of so few numbers, lists are sooner done than arrays."""
    top = max(worth)
    best = worth.index(top)
    doubt = sd[best] * sd[best]
    most = min(PLAUSIBLE, _MOST_PLAUSIBLE / len(own))
    shares = [
        most / (1.0 + (top - each) * (top - each) / max(its * its + doubt, _LEAST_SD * _LEAST_SD))
        for each, its in zip(worth, sd, strict=True)
    ]
    shares[best] = 0.0
    rest = 1.0 - math.fsum(shares)
    return [rest * each + share for each, share in zip(own, shares, strict=True)]


def spread_all(beliefs: Beliefs, trade: Trade, *, exploration: float, boldness: float = BOLDNESS) -> Floats:
    """The same for many requests, as ``Heads.beliefs_of`` gives their beliefs; shape (n, strategies)."""
    each = zip(beliefs.quality, beliefs.sd, beliefs.cost_usd, beliefs.latency_ms, strict=True)
    return np.stack([spread(Beliefs(*one), trade, exploration=exploration, boldness=boldness) for one in each])


_GRID: Floats = np.linspace(0.0, 1.0, NODES)[:, None]
_LINEAR: Final = -2.0 * 0.7978845608
_CUBIC: Final = _LINEAR * 0.044715
"""The normal distribution function to three digits is 1 / (1 + exp(``_LINEAR`` z + ``_CUBIC`` z^3)): Page, "Approximations to the
Cumulative Normal Function and its Inverse for Use on a Pocket Calculator", 1977."""


def _certain(worth: Floats) -> Floats:
    sure = np.zeros(len(worth))
    sure[int(np.argmax(worth))] = 1.0
    return sure
