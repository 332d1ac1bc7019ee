"""Confidence sequences for the difference of two means under random assignment: intervals that hold at all times at once.

In: for conversations in the order in which they began, which version each was given, with what probability, and what came of it.
Out: after every one of them the estimated difference (new less old) and the radius around it, so that with probability 1 - alpha
the true difference is inside at every moment: one may look after each observation and stop when one likes. Keeps nothing, cannot
fail. All functions take arrays of shape (..., n) with time last; with ``last`` they give the last moment alone, (..., 1), which
costs a fraction.

With share p of the new version and A = 1 where it was given, a term is

    z = (A / p - (1 - A) / (1 - p)) (y - c),

c the mean of all earlier outcomes; its mean is the difference whatever c is, and c takes away what both versions share. The unit
is the conversation, because the versions are sticky in it: requests of one conversation are not assigned independently.

``bounded``: for outcomes in [0, 1], no approximation. |z| <= b = max(1 / p, 1 / (1 - p)), and for 0 < l < 1 / b

    exp(l (z - D) - psi_b(l) z^2),   psi_b(l) = (-log(1 - b l) - b l) / b^2,

has a mean of at most 1 given the past (Fan, Grama, Liu 2015; Howard et al. 2021), so the mixture over a grid of l is a
supermartingale that exceeds 2 / alpha ever only with probability alpha / 2 (Ville); inverting it in D gives the interval. A share
that changes on the way (a canary's steps) is allowed: b is each term's own, and the grid ends below the smallest 1 / b.

``asymptotic``: for costs and latencies, which have no useful bound: Robbins' normal mixture with the variance seen so far
(Waudby-Smith, Arbour, Sinha, Kennedy, Ramdas 2021), valid in the limit, so it says nothing before ``LEAST_EACH`` conversations of
either version.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]

RATES = 16
"""Rates l in the mixture, each half the one before: enough for a thousand million terms."""
LARGEST_RATE = 0.5
"""As a share of 1 / b."""
LEAST_EACH = 50
TUNED_FOR = 2_000
"""Conversations at which the asymptotic interval is narrowest for its level."""
_STEPS = 6


@dataclass(frozen=True)
class Sequence:
    """After each conversation: ``center`` -+ ``radius``, (..., n). The radius is infinite while nothing can be said."""

    center: Floats
    radius: Floats

    @property
    def lower(self) -> Floats:
        """Lower ends."""
        return self.center - self.radius

    @property
    def upper(self) -> Floats:
        """Upper ends."""
        return self.center + self.radius


def terms(given: Flags, shares: Floats, outcomes: Floats) -> Floats:
    """(..., n): the terms z; ``given``: whether the new version answered, ``shares``: with what probability it would."""
    found: Floats = np.where(given, 1 / shares, -1 / (1 - shares)) * (outcomes - _before(outcomes))
    return found


def bounds_of(shares: Floats) -> Floats:
    """(n,): what a term of outcomes in [0, 1] cannot exceed."""
    found: Floats = np.maximum(1 / shares, 1 / (1 - shares))
    return found


def bounded(
    given: Flags, shares: Floats, outcomes: Floats, alpha: float, *, bound: float = 0.0, last: bool = False
) -> Sequence:
    """The difference of means of outcomes in [0, 1]. ``bound``: at least the largest that any share will have, for shares that
    change on the way: what is mixed has to be settled before.
    """
    z = terms(given, shares, outcomes)
    return _around(z.cumsum(axis=-1), z, bounds_of(shares), alpha, bound=bound, last=last)


def bounded_level(
    given: Flags, shares: Floats, outcomes: Floats, alpha: float, *, bound: float = 0.0, last: bool = False
) -> Sequence:
    """The mean of the new version's outcomes in [0, 1], over all conversations: the same with z = A / p (y - c), around c."""
    before = _before(outcomes)
    z = given / shares * (outcomes - before)
    return _around((z + before).cumsum(axis=-1), z, 1 / shares, alpha, bound=bound, last=last)


def evidence_of_difference(given: Flags, shares: Floats, outcomes: Floats) -> Floats:
    """(..., n): the logarithm of the evidence against equal means; ``bounded`` excludes 0 where it is log(2 / alpha) or more."""
    z = terms(given, shares, outcomes)
    rates, costs = _costs(z, bounds_of(shares), bound=0.0, last=False)
    return _log_mixture(np.abs(z.cumsum(axis=-1)), rates, costs)[0]


def _before(outcomes: Floats) -> Floats:
    """(..., n): the mean of all earlier outcomes, 0 before the first."""
    found: Floats = (outcomes.cumsum(axis=-1) - outcomes) / np.maximum(np.arange(outcomes.shape[-1]), 1)
    return np.maximum(found, 0.0)


def _around(totals: Floats, z: Floats, bounds: Floats, alpha: float, *, bound: float, last: bool) -> Sequence:
    """Invert the mixture by Newton's method: from above a convex, rising function's root is approached from above."""
    at = slice(-1, None) if last else slice(None)
    count, totals = np.arange(1, z.shape[-1] + 1)[at], totals[..., at]
    rates, costs = _costs(z, bounds, bound=bound, last=last)
    target = np.log(2 / alpha)
    radius = np.min((target + np.log(RATES) + costs) / rates, axis=-1)
    for _ in range(_STEPS):
        reached, slope = _log_mixture(radius, rates, costs)
        radius -= (reached - target) / slope
    return Sequence(totals / count, radius / count)


def _costs(z: Floats, bounds: Floats, *, bound: float, last: bool) -> tuple[Floats, Floats]:
    """The rates (RATES,), and what each has cost so far (..., n, RATES): the sum of psi(l) z^2."""
    rates: Floats = LARGEST_RATE / np.maximum(bounds.max(), bound) * 0.5 ** np.arange(RATES)
    costs = np.empty((*z.shape[:-1], 1 if last else z.shape[-1], RATES))
    for place, rate in enumerate(rates):
        psi = (-np.log1p(-bounds * rate) - bounds * rate) / bounds**2
        cost = psi * z**2
        costs[..., place] = cost.sum(axis=-1, keepdims=True) if last else cost.cumsum(axis=-1)
    return rates, costs


def _log_mixture(total: Floats, rates: Floats, costs: Floats) -> tuple[Floats, Floats]:
    """The logarithm of the mixture, and its slope in ``total``."""
    exponents = total[..., None] * rates - costs
    top = exponents.max(axis=-1)
    raised = np.exp(exponents - top[..., None])
    return top + np.log(raised.mean(axis=-1)), (raised * rates).sum(axis=-1) / raised.sum(axis=-1)


def asymptotic(given: Flags, shares: Floats, outcomes: Floats, alpha: float, *, last: bool = False) -> Sequence:
    """The difference of means of outcomes without a bound."""
    z = terms(given, shares, outcomes)
    count = np.arange(1, z.shape[-1] + 1)
    center = z.cumsum(axis=-1) / count
    variance = np.maximum((z**2).cumsum(axis=-1) / count - center**2, 0.0)
    tuning = (-2 * np.log(alpha) + np.log(1 - 2 * np.log(alpha))) / TUNED_FOR
    grown = count * tuning + 1
    radius = np.sqrt(variance * 2 * grown / (count**2 * tuning) * np.log(np.sqrt(grown) / alpha))
    of_new = given.cumsum(axis=-1)
    enough = (of_new >= LEAST_EACH) & (count - of_new >= LEAST_EACH)
    at = slice(-1, None) if last else slice(None)
    return Sequence(center[..., at], np.where(enough, radius, np.inf)[..., at])
