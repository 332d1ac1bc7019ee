"""Estimates of a policy from the log of another: IPS, SNIPS and doubly robust, of several outcomes at once, with 95 % intervals.

In: a log, and for each of its requests the probabilities of the new policy, (n, K). Out: ``PolicyEstimate``: by outcome each
estimate with its interval, the difference to the policy that served, the effective sample size, the share that the log cannot
speak about. Keeps (in ``Estimator``) the direct model's predictions, which serve any number of policies. Fails with ``Unusable``.

With p the logged and q the new probabilities, w = q(chosen) / p(chosen) and m(k) the direct model:

    IPS    mean(w y)                                            (Horvitz and Thompson 1952)
    SNIPS  sum(w y) / sum(w)                                    (Swaminathan and Joachims 2015)
    DR     mean(sum_k q(k) m(k) + w (y - m(chosen)))            (Dudik, Langford, Li 2011), m by 2-fold cross-fitting
    DR of the difference to what served: the same with q - p in place of q, so that what both share cancels

The variance of DR is the mean of two estimates: that of the terms, and mean(sum_k q(k)^2 / p(k) s_k^2) + var(sum_k q(k) m(k)),
which uses that the logged probabilities are known: s_k^2 is the squared residual of strategy k, weighted by 1 / p and shrunk to
all strategies'. The first is too small just where the few large weights that matter did not come up; the second does not depend
on which came up. Weights are never clipped: clipping at 20 was measured to destroy the coverage.

Interval and gate are of DR, which is unbiased. The single number that is most likely near is another: DR and the direct model err
about alike and in different ways, so ``expected`` is the middle of both, but never further from DR than ``TRANSLATION`` standard
errors, which bounds what a wrong model can do (Efron and Morris, "Limiting the Risk of Bayes Estimators", 1971).
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from analytics.offpolicy.direct import predictions
from analytics.offpolicy.logged import Floats, Logged, Unusable, check_policy

Z95 = 1.959964
ONE_SIDED_Z95 = 1.644854
FOLDS = 2
RESIDUAL_SHRINKAGE = 20.0
"""A strategy's squared residual counts as much as all strategies' after so many requests."""
TRANSLATION = 1.0
FEWEST = 4
"""Requests without which there is nothing to fit and nothing to compare."""


@dataclass(frozen=True)
class Interval:
    """An estimate with its standard error."""

    mean: float
    error: float

    @property
    def lower(self) -> float:
        """Lower end of the 95 % interval."""
        return self.mean - Z95 * self.error

    @property
    def upper(self) -> float:
        """Upper end of the 95 % interval."""
        return self.mean + Z95 * self.error

    @property
    def at_least(self) -> float:
        """The lower 95 % bound: the truth lies below it in one case of twenty, and below the 95 % interval in one of forty."""
        return self.mean - ONE_SIDED_Z95 * self.error

    @property
    def at_most(self) -> float:
        """The upper 95 % bound."""
        return self.mean + ONE_SIDED_Z95 * self.error


@dataclass(frozen=True)
class OutcomeEstimate:
    """One outcome under the new policy. ``running``: under the policy that served; ``difference``: new less running, by DR;
    ``expected``: the estimate with the least expected error, within the interval of ``doubly_robust``.
    """

    ips: Interval
    snips: Interval
    doubly_robust: Interval
    running: Interval
    difference: Interval
    expected: float


@dataclass(frozen=True)
class PolicyEstimate:
    """A policy's outcomes by name. ``effective`` is the effective sample size (sum w)^2 / sum w^2 (Kish 1965), ``largest_weight``
    the largest w, ``unsupported`` the mean probability that the policy gives to strategies that the log gave none.
    """

    requests: int
    effective: float
    largest_weight: float
    unsupported: float
    outcomes: Mapping[str, OutcomeEstimate]


def ips(log: Logged, policy: Floats, outcome: Floats) -> Interval:
    """Inverse propensity scoring: unbiased, and wide."""
    return _mean_of(weights(log, policy) * outcome)


def snips(log: Logged, policy: Floats, outcome: Floats) -> Interval:
    """Self-normalised: a little bias for less variance; the error is that of a ratio (delta method)."""
    w = weights(log, policy)
    total = w.sum()
    if total <= 0:
        return Interval(float("nan"), float("inf"))
    mean = float((w * outcome).sum() / total)
    return Interval(mean, float(np.sqrt((w**2 * (outcome - mean) ** 2).sum()) / total))


def weights(log: Logged, policy: Floats) -> Floats:
    """(n,): how much likelier the new policy makes what was chosen."""
    chosen: Floats = policy[np.arange(len(log)), log.chosen]
    return chosen / log.propensities


def effective_sample_size(w: Floats) -> float:
    """How many requests of the new policy itself the weighted ones are worth; 0 where all weights are 0."""
    square = float((w**2).sum())
    return float(w.sum()) ** 2 / square if square > 0 else 0.0


class Estimator:
    """Estimates any number of policies from one log; the direct model is fitted once."""

    def __init__(self, log: Logged, names: tuple[str, ...], *, seed: int = 0, predicted: Floats | None = None) -> None:
        """``names``: the outcomes to estimate. ``seed``: of the assignment to folds. ``predicted``: (n, K, m), a direct model's
        predictions in place of a fit of its own.
        """
        if len(log) < FEWEST:
            raise Unusable(f"{len(log)} requests are too few to estimate anything")
        self.log = log
        self.names = names
        if predicted is None:
            predicted = predictions(log, names, np.random.default_rng(seed).permutation(len(log)) % FOLDS)
        self.predicted = predicted
        outcomes = np.column_stack([log.outcomes[name] for name in names])
        self._residuals = outcomes - self.predicted[np.arange(len(log)), log.chosen]
        self.noise = self._noise()

    def _noise(self) -> Floats:
        """(K, m): the mean squared residual of each strategy over all requests, shrunk to all strategies'.

        A strategy is chosen where it was thought good, so its residuals are weighted by 1 / p: they stand for all requests then.
        """
        squares, inverse = self._residuals**2, 1 / self.log.propensities
        pooled = inverse @ squares / inverse.sum()
        found = []
        for k in range(len(self.log.strategies)):
            of_k = self.log.chosen == k
            w = inverse[of_k]
            counts = effective_sample_size(w)
            own = w @ squares[of_k] / w.sum() if counts else pooled
            found.append((counts * own + RESIDUAL_SHRINKAGE * pooled) / (counts + RESIDUAL_SHRINKAGE))
        return np.stack(found)

    def estimate(self, policy: Floats) -> PolicyEstimate:
        """Estimate one policy, given as (n, K) probabilities. Raises ``Unusable`` where a row is no distribution."""
        log = self.log
        if policy.shape != log.probabilities.shape:
            raise Unusable(f"the policy is of shape {policy.shape}, the log of {log.probabilities.shape}")
        check_policy(policy)
        w = weights(log, policy)
        own = self.doubly_robust(policy)
        against = self.doubly_robust(policy - log.probabilities)
        direct = np.einsum("nk,nkm->m", policy, self.predicted) / len(log)
        return PolicyEstimate(
            requests=len(log),
            effective=effective_sample_size(w),
            largest_weight=float(w.max()),
            unsupported=float(np.where(log.supported, 0.0, policy).sum(axis=1).mean()),
            outcomes={
                name: OutcomeEstimate(
                    ips(log, policy, log.outcomes[name]),
                    snips(log, policy, log.outcomes[name]),
                    of_policy,
                    _mean_of(log.outcomes[name]),
                    against_running,
                    expected(of_policy, float(modelled)),
                )
                for name, of_policy, against_running, modelled in zip(self.names, own, against, direct, strict=True)
            },
        )

    def doubly_robust(self, policy: Floats) -> list[Interval]:
        """Each outcome of ``names`` under ``policy`` (n, K), which may be a difference of policies."""
        log, n = self.log, len(self.log)
        direct = np.einsum("nk,nkm->nm", policy, self.predicted)
        terms = direct + (policy[np.arange(n), log.chosen] / log.propensities)[:, None] * self._residuals
        known = self.variance(policy, log.probabilities)
        errors = np.sqrt((terms.var(axis=0, ddof=1) + known) / 2 / n)
        return [Interval(float(mean), float(error)) for mean, error in zip(terms.mean(axis=0), errors, strict=True)]

    def variance(self, policy: Floats, logging: Floats) -> Floats:
        """(m,): the variance of one request's term, were the log written with the probabilities ``logging`` (n, K)."""
        direct = np.einsum("nk,nkm->nm", policy, self.predicted)
        squares = np.divide(policy**2, logging, out=np.zeros_like(policy), where=logging > 0)
        found: Floats = direct.var(axis=0, ddof=1) + squares.mean(axis=0) @ self.noise
        return found


def expected(doubly_robust: Interval, direct: float) -> float:
    """The middle of both estimates, at most ``TRANSLATION`` standard errors from the first."""
    furthest = TRANSLATION * doubly_robust.error
    return doubly_robust.mean + min(max((direct - doubly_robust.mean) / 2, -furthest), furthest)


def _mean_of(terms: Floats) -> Interval:
    return Interval(
        float(terms.mean()), float(terms.std(ddof=1) / np.sqrt(len(terms))) if len(terms) > 1 else float("inf")
    )
