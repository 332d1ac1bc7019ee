"""The heads: from what the lens shows of a request to expected quality, its uncertainty, expected cost and expected latency.

In: a feature vector. Out: ``Beliefs``, one number a strategy. Keeps what was fitted. Fails with nothing. Pure.

Quality of strategy s is base_s . (1, complexity) + w_s . phi; cost is exp(k_s . (1, log characters, log words) + half the noise's
variance), latency the same of (1, log characters, log queue lag). How much of the quality is not known is kept by kind of text:
the mean over the requests of a kind of the posterior variance of w_s . phi less the mean of all strategies, because what all share
does not decide. Preferences are applied when deciding, never when fitting: one profile serves all.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from agents.deciding.features import COMPLEXITY, LAG
from agents.deciding.lens import Lens

Floats = npt.NDArray[np.float64]
LEAST_SD = 1e-4


@dataclass(frozen=True, eq=False)
class Beliefs:
    """For each strategy: ``quality`` in reward, ``sd`` its uncertainty against the others, ``cost_usd``, ``latency_ms``."""

    quality: Floats
    sd: Floats
    cost_usd: Floats
    latency_ms: Floats


@dataclass(frozen=True, eq=False)
class Logarithmic:
    """A head of a logarithm: ``weights`` (K, 3), and the variance of what it leaves."""

    weights: Floats
    noise: float

    def mean_of(self, view: Floats) -> Floats:
        """The expected amounts, (n, K), of what they are a function of, (n, 3)."""
        means: Floats = np.exp(view @ self.weights.T + self.noise / 2.0)
        return means


@dataclass(frozen=True, eq=False)
class Heads:
    """By strategy: ``base`` (K, 2), ``weights`` (K, lens.size), ``variance`` (K, kinds), and heads of cost and latency."""

    strategies: tuple[str, ...]
    lens: Lens
    base: Floats
    weights: Floats
    variance: Floats
    cost: Logarithmic
    latency: Logarithmic

    def beliefs(self, features: Floats) -> Beliefs:
        """What is believed for one request, from its vector of shape (features,)."""
        return self.look(features)[0]

    def look(self, features: Floats) -> tuple[Beliefs, float]:
        """The same, and the request's strangeness: its squared distance to the nearest kind of text."""
        seen, strangeness = self.lens.see_one(features)
        kinds = len(self.lens.coarse)
        near = seen[1 : 1 + kinds] if kinds else seen[:1]
        quality = self.base[:, 0] + features[COMPLEXITY] * self.base[:, 1] + self.weights @ seen
        sd = np.sqrt(np.maximum(self.variance @ near, LEAST_SD**2))
        offset = self.lens.offset
        sizes = np.array([1.0, features[0] - offset[0], features[1] - offset[1], features[LAG] - offset[LAG]])
        amounts = np.exp(self._amounts @ sizes)
        count = len(self.strategies)
        return Beliefs(quality, sd, amounts[:count], amounts[count:]), strangeness

    @cached_property
    def _amounts(self) -> Floats:
        """(2 K, 4): logarithms of cost, then of latency, of 1, log characters, log words and log queue lag."""
        count = len(self.strategies)
        both = np.zeros((2 * count, 4))
        both[:count, [0, 1, 2]], both[count:, [0, 1, 3]] = self.cost.weights, self.latency.weights
        both[:count, 0] += self.cost.noise / 2.0
        both[count:, 0] += self.latency.noise / 2.0
        return both

    def beliefs_of(self, features: Floats) -> Beliefs:
        """The same for many, shape (n, features); every array is (n, strategies)."""
        seen = self.lens.see(features)
        near = self.lens.kinds(seen)
        return Beliefs(
            expected(self.base, features) + seen @ self.weights.T,
            np.sqrt(np.maximum(near @ self.variance.T, LEAST_SD**2)),
            self.cost.mean_of(cost_view(self.lens, features)),
            self.latency.mean_of(latency_view(self.lens, features)),
        )


def expected(base: Floats, features: Floats) -> Floats:
    """The rewards, (n, K), that a start expects: ``base`` (K, 2), at no complexity and what the highest one changes."""
    rewards: Floats = base[:, 0] + features[:, COMPLEXITY, None] * base[:, 1]
    return rewards


def cost_view(lens: Lens, features: Floats) -> Floats:
    """What the cost is a function of, shape (n, 3): 1, log characters and log words."""
    return _view(lens, features, 1)


def latency_view(lens: Lens, features: Floats) -> Floats:
    """What the latency is a function of, shape (n, 3): 1, log characters and log queue lag."""
    return _view(lens, features, LAG)


def _view(lens: Lens, features: Floats, second: int) -> Floats:
    view = np.ones((len(features), 3))
    view[:, 1] = features[:, 0] - lens.offset[0]
    view[:, 2] = features[:, second] - lens.offset[second]
    return view
