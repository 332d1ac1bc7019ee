"""The posterior of the heads' weights: Bayesian linear regression in which strategies share strength.

In: sums of squares and products by strategy, a prior. Out: means and covariance of all weights. Keeps nothing. Fails with
``numpy.linalg.LinAlgError`` on sums that are not finite. Pure: one factorisation, fixed order.

How it works. With W the weights, one row a strategy and one column a number that the lens shows,

    W ~ N(0, G x diag(v)),   reward = base_s + w_s . phi + noise,

so that strategies which do alike (G) borrow from each other, and a block of columns matters as far as it was seen to matter (v).
The posterior is Gaussian in closed form (Bishop, Pattern Recognition and Machine Learning, 3.3). G and v follow the evidence by
steps of expectation-maximisation from a stated start, which counts as much as ``START_COUNTS`` columns (Dempster, Laird, Rubin,
1977; MacKay, "Bayesian Interpolation", 1992): nothing has to be tuned to a domain.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

SHARED: Final = 0.04
OWN: Final = 0.04
"""The start of G: variance that all strategies share, and of each strategy's own, in squared reward."""
VARIANCE_OF_BLOCKS: Final = (1.0, 1.5, 1.0, 0.1)
"""The start of v by block of the lens: the constant, coarse kinds, fine kinds, linear."""
NOISE: Final = 0.2
NOISE_COUNTS: Final = 20.0
START_COUNTS: Final = 20.0
BLOCK_COUNTS: Final = 10.0
_LEAST_NOISE: Final = 1e-4
_SMALL: Final = 64


@dataclass(eq=False)
class Sums:
    """By strategy: ``square`` (K, d, d), ``product`` (K, d), ``reward_square`` (K,), ``count`` (K,)."""

    square: Floats
    product: Floats
    reward_square: Floats
    count: Floats

    @classmethod
    def nothing(cls, strategies: int, size: int) -> "Sums":
        """No rows yet."""
        return cls(
            np.zeros((strategies, size, size)), np.zeros((strategies, size)), np.zeros(strategies), np.zeros(strategies)
        )

    def add(self, strategy: int, seen: Floats, rewards: Floats, weight: Floats) -> None:
        """Add rows of one strategy: ``seen`` (n, d), ``rewards`` (n,) less the base, and what each row counts, (n,)."""
        weighed = seen * weight[:, None]
        self.square[strategy] += seen.T @ weighed
        self.product[strategy] += weighed.T @ rewards
        self.reward_square[strategy] += float((rewards * weight) @ rewards)
        self.count[strategy] += float(weight.sum())

    def copy(self) -> "Sums":
        """The same sums, apart."""
        return Sums(self.square.copy(), self.product.copy(), self.reward_square.copy(), self.count.copy())


@dataclass(frozen=True, eq=False)
class Prior:
    """``between``: G, (K, K); ``within``: v, (d,); ``noise``: the variance of a reward about its expectation."""

    between: Floats
    within: Floats
    noise: float

    @classmethod
    def start(cls, likeness: Floats, blocks: Sequence[slice], noise: float = NOISE) -> "Prior":
        """Where everything begins. ``likeness``: how alike strategies are by their parts, (K, K), 1 on the diagonal."""
        within = np.empty(blocks[-1].stop)
        for block, variance in zip(blocks, VARIANCE_OF_BLOCKS, strict=True):
            within[block] = variance
        return cls(SHARED + OWN * likeness, within, noise)


@dataclass(frozen=True, eq=False)
class Posterior:
    """``mean``: (K, d); ``covariance``: (K, d, K, d)."""

    mean: Floats
    covariance: Floats

    def against_all(self) -> Floats:
        """The covariance of each strategy's weights less the mean of all strategies' weights, shape (K, d, d)."""
        strategies = len(self.mean)
        contrast = np.eye(strategies) - 1.0 / strategies
        half = np.tensordot(contrast, self.covariance, (1, 0))
        return np.stack([np.tensordot(half[k], contrast[k], ((1,), (0,))) for k in range(strategies)])


def solve(sums: Sums, prior: Prior) -> Posterior:
    """The posterior of all weights."""
    strategies, size = sums.product.shape
    precision = np.kron(np.linalg.inv(prior.between), np.diag(1.0 / prior.within))
    for k in range(strategies):
        own = slice(k * size, (k + 1) * size)
        precision[own, own] += sums.square[k] / prior.noise
    half = _inverse(np.linalg.cholesky(precision))
    covariance = half.T @ half
    mean = covariance @ (sums.product.ravel() / prior.noise)
    return Posterior(mean.reshape(strategies, size), covariance.reshape(strategies, size, strategies, size))


def _inverse(lower: Floats) -> Floats:
    """The inverse of a lower triangular matrix, by halves: a sixth of the work of one that is not known to be triangular."""
    size = len(lower)
    if size <= _SMALL:
        return np.asarray(np.linalg.inv(lower), dtype=np.float64)
    middle = size // 2
    first, second = _inverse(lower[:middle, :middle]), _inverse(lower[middle:, middle:])
    inverse = np.zeros_like(lower)
    inverse[:middle, :middle], inverse[middle:, middle:] = first, second
    inverse[middle:, :middle] = -second @ (lower[middle:, :middle] @ first)
    return inverse


def improved(prior: Prior, start: Prior, blocks: Sequence[slice], sums: Sums, found: Posterior) -> Prior:
    """One step of expectation-maximisation on G, v and the noise."""
    mean, covariance = found.mean, found.covariance
    size = mean.shape[1]
    second = (mean / prior.within) @ mean.T + np.einsum("kjlj,j->kl", covariance, 1.0 / prior.within)
    between = (START_COUNTS * start.between + second) / (START_COUNTS + size)
    inverse = np.linalg.inv(between)
    by_column = np.einsum("kj,kl,lj->j", mean, inverse, mean) + np.einsum("kjlj,kl->j", covariance, inverse)
    within = prior.within.copy()
    for block in blocks:
        width = block.stop - block.start
        if width:
            told = float(by_column[block].sum()) / len(mean)
            within[block] = (BLOCK_COUNTS * start.within[block] + told) / (BLOCK_COUNTS + width)
    return replace(prior, between=between, within=within, noise=noise_of(sums, found, start.noise))


def noise_of(sums: Sums, found: Posterior, assumed: float = NOISE) -> float:
    """The mean squared residual, with an assumed one that counts as ``NOISE_COUNTS`` rows."""
    total = float(sums.count.sum())
    return max((squares_left(sums, found) + assumed * NOISE_COUNTS) / (total + NOISE_COUNTS), _LEAST_NOISE)


def squares_left(sums: Sums, found: Posterior) -> float:
    """The sum of the squared residuals of all rows."""
    squares = sum(
        float(sums.reward_square[k] - 2.0 * weights @ sums.product[k] + weights @ sums.square[k] @ weights)
        for k, weights in enumerate(found.mean)
    )
    return max(squares, 0.0)
