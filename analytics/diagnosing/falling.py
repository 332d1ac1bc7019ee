"""Whether a mean has fallen, and since when.

In: one number a request, in the order of time. Out: a ``Fall``, or None where nothing fell beyond chance. Keeps nothing, cannot
fail. Pure: the same numbers give the same answer (the permutations are drawn with a fixed seed).

The requests are cut into windows of equal count, so that busy and quiet hours weigh alike and every window's mean has about the
same spread. For each place between two windows the means before and after it are compared,

    Z_k = (before_k - after_k) / sqrt(1 / k + 1 / (m - k)),

and the largest Z over all places is the statistic (Hawkins 1977, one-sided). Its chance where nothing has changed is counted, not
assumed: the windows are put into other orders, which are all alike then, and p is the share of orders with at least as large a
statistic (the one seen included). So the search over all places is paid for, and no distribution of rewards is assumed. Windows of
many requests are nearly exchangeable even where neighbours are alike; p says nothing of cycles much longer than a window.

The same orders tell how sure the place is: ``earliest`` and ``latest`` bound the places where Z is within 2 log-likelihood units of
its largest value, for windows' means of equal variance: (Z_max^2 - Z_k^2) / s^2 <= 4.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

FEWEST = 100
"""Requests below which nothing is said."""
WINDOWS = 48
LEAST_IN_WINDOW = 10
LEAST_SIDE = 3
"""Windows on either side of a change."""
ORDERS = 4_000
SURE = 0.01
_AT_ONCE = 500
_LOG_LIKELIHOOD = 4.0


@dataclass(frozen=True)
class Fall:
    """A fall: the first request after it with its bounds, the means of either side, and its chance where nothing has changed."""

    at: int
    earliest: int
    latest: int
    before: float
    after: float
    chance: float

    @property
    def size(self) -> float:
        """How much it fell."""
        return self.before - self.after


def find_fall(values: Floats, *, sure: float = SURE) -> Fall | None:
    """The largest fall of the mean in (n,) values in the order of time; None where its chance is above ``sure``."""
    n = len(values)
    if n < FEWEST:
        return None
    count = min(WINDOWS, n // LEAST_IN_WINDOW)
    edges = np.linspace(0, n, count + 1).round().astype(int)
    means = np.add.reduceat(values, edges[:-1]) / np.diff(edges)
    seen = _statistics(means[None, :])[0]
    place = int(seen.argmax())
    if seen[place] <= 0:
        return None
    chance = _chance(means, float(seen[place]))
    if chance > sure:
        return None
    at = int(edges[place + LEAST_SIDE])
    near = np.flatnonzero(seen >= np.sqrt(max(seen[place] ** 2 - _LOG_LIKELIHOOD * _variance(means, place), 0.0)))
    return Fall(
        at=at,
        earliest=int(edges[near[0] + LEAST_SIDE]),
        latest=int(edges[near[-1] + LEAST_SIDE]),
        before=float(values[:at].mean()),
        after=float(values[at:].mean()),
        chance=chance,
    )


def _statistics(means: Floats) -> Floats:
    """(r, m - 2 LEAST_SIDE + 1): Z at every place, for r orders of m windows."""
    m = means.shape[-1]
    k = np.arange(LEAST_SIDE, m - LEAST_SIDE + 1)
    sums = means.cumsum(axis=-1)
    before = sums[:, k - 1] / k
    after = (sums[:, -1:] - sums[:, k - 1]) / (m - k)
    found: Floats = (before - after) / np.sqrt(1 / k + 1 / (m - k))
    return found


def _chance(means: Floats, seen: float) -> float:
    rng = np.random.default_rng(len(means))
    above = 0
    for _ in range(ORDERS // _AT_ONCE):
        orders = rng.permuted(np.broadcast_to(means, (_AT_ONCE, len(means))), axis=1)
        above += int((_statistics(orders).max(axis=1) >= seen).sum())
    return (above + 1) / (ORDERS + 1)


def _variance(means: Floats, place: int) -> float:
    """The variance of a window's mean, within the two sides."""
    k = place + LEAST_SIDE
    rest = np.concatenate([means[:k] - means[:k].mean(), means[k:] - means[k:].mean()])
    return float((rest**2).sum() / max(len(means) - 2, 1))
