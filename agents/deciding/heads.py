"""The heads: from what the lens shows of a request to expected quality, its uncertainty and expected cost of every strategy.

In: a feature vector. Out: ``Beliefs``, one number a strategy. Keeps what was fitted. Fails with nothing. Pure.

Quality of strategy s is base_s + w_s . phi, cost is exp(k_s . (1, log characters, log words) + half the noise's variance). How
much of the quality is not known is kept by kind of text: the mean over the requests of a kind of the posterior variance of w_s .
phi less the mean of all strategies, because what all share does not decide. Preferences are applied when deciding, never when
fitting: one profile serves all.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from agents.deciding.lens import Lens

Floats = npt.NDArray[np.float64]
COST_FEATURES = 2
"""The first plain features, log characters and log words, beside a constant."""
LEAST_SD = 1e-4


@dataclass(frozen=True, eq=False)
class Beliefs:
    """For each strategy, in order: ``quality`` in reward, ``sd`` its uncertainty against the others, ``cost_usd``."""

    quality: Floats
    sd: Floats
    cost_usd: Floats


@dataclass(frozen=True, eq=False)
class Heads:
    """By strategy: ``base`` (K,), ``weights`` (K, lens.size), ``variance`` (K, kinds), ``cost`` (K, 3)."""

    strategies: tuple[str, ...]
    lens: Lens
    base: Floats
    weights: Floats
    variance: Floats
    cost: Floats
    cost_noise: float

    def beliefs(self, features: Floats) -> Beliefs:
        """What is believed for one request, from its vector of shape (features,)."""
        many = self.beliefs_of(features[None, :])
        return Beliefs(many.quality[0], many.sd[0], many.cost_usd[0])

    def beliefs_of(self, features: Floats) -> Beliefs:
        """The same for many, shape (n, features); every array is (n, strategies)."""
        seen = self.lens.see(features)
        near = self.lens.kinds(seen)
        size = cost_view(self.lens, features)
        return Beliefs(
            self.base + seen @ self.weights.T,
            np.sqrt(np.maximum(near @ self.variance.T, LEAST_SD**2)),
            np.exp(size @ self.cost.T + self.cost_noise / 2.0),
        )


def cost_view(lens: Lens, features: Floats) -> Floats:
    """What the cost is a function of, shape (n, 3)."""
    return np.hstack((np.ones((len(features), 1)), (features - lens.offset)[:, :COST_FEATURES]))
