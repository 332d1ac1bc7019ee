"""The change impact report: what a policy would have done to the logged requests, and what may be promised of it.

In: the log, the policy's probabilities, the floors, what cost and latency are worth. Out: ``Impact``: estimates of value,
quality, cost and latency, the verdict, which content types win and lose, the shares of the strategies, and how long to log until
more can be said. Keeps nothing. Fails with ``Unusable``. Pure.

The value of a request is quality - w cost / u - v latency: u is what the direct model expects the strategy with the best quality
to cost over all these requests (of those chosen ``KNOWN_ENOUGH`` times), so that w is what its price is worth in quality.
"""

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from analytics.offpolicy.estimating import FEWEST, Estimator, Interval, PolicyEstimate
from analytics.offpolicy.gate import VALUE, Verdict, Waiting, judge, waiting
from analytics.offpolicy.logged import COST, LATENCY, QUALITY, Floats, Logged

OUTCOMES = (VALUE, QUALITY, COST, LATENCY)
KNOWN_ENOUGH = 5
LEAST_OF_KIND = 50.0
"""Effective sample size below which nothing is said of a content type."""
_SECOND_MS = 1_000.0

Change = Literal["wins", "loses", "no_difference_shown", "cannot_tell"]


@dataclass(frozen=True)
class Worth:
    """What cost and latency are worth in quality: ``cost_weight`` in units of ``unit_usd``, and quality a second."""

    unit_usd: float
    cost_weight: float
    quality_per_second: float


@dataclass(frozen=True)
class OfKind:
    """What a content type would see."""

    content_type: str
    requests: int
    estimate: PolicyEstimate
    change: Change


@dataclass(frozen=True)
class Impact:
    """The report. ``shares``: by strategy what it got and what it would get. ``floor``: the mean floor, ``floor_margin`` the
    policy's quality less it.
    """

    requests: int
    worth: Worth
    estimate: PolicyEstimate
    floor: float
    floor_margin: Interval
    verdict: Verdict
    kinds: tuple[OfKind, ...]
    shares: dict[str, tuple[float, float]]
    waiting: tuple[Waiting, ...]


def worth_of(log: Logged, cost_weight: float, quality_per_second: float) -> Worth:
    """What cost is measured in, from the log."""
    counts = np.bincount(log.chosen, minlength=len(log.strategies))
    quality, cost = Estimator(log, (QUALITY, COST)).predicted.mean(axis=0).T
    best = int(np.where(counts >= min(KNOWN_ENOUGH, counts.max()), quality, -np.inf).argmax())
    return Worth(max(float(cost[best]), 0.0), cost_weight, quality_per_second)


def valued(log: Logged, worth: Worth) -> Logged:
    """The log with each request's value beside its outcomes."""
    price = worth.cost_weight / worth.unit_usd if worth.unit_usd > 0 else 0.0
    value = (
        log.outcomes[QUALITY]
        - price * log.outcomes[COST]
        - worth.quality_per_second * log.outcomes[LATENCY] / _SECOND_MS
    )
    return replace(log, outcomes={**log.outcomes, VALUE: value})


def impact(log: Logged, policy: Floats, floors: Floats, worth: Worth) -> Impact:
    """The report on a policy (n, K); ``floors`` (n,): the floor at each request, as a reward."""
    log = valued(log, worth)
    estimator = Estimator(log, OUTCOMES)
    estimate = estimator.estimate(policy)
    quality = estimate.outcomes[QUALITY].doubly_robust
    margin = Interval(quality.mean - float(floors.mean()), quality.error)
    shares = {
        name: (float(log.probabilities[:, place].mean()), float(policy[:, place].mean()))
        for place, name in enumerate(log.strategies)
    }
    return Impact(
        requests=len(log),
        worth=worth,
        estimate=estimate,
        floor=float(floors.mean()),
        floor_margin=margin,
        verdict=judge(estimate, margin),
        kinds=_kinds(estimator, policy),
        shares=shares,
        waiting=waiting(estimator, policy),
    )


def _kinds(estimator: Estimator, policy: Floats) -> tuple[OfKind, ...]:
    found = []
    for kind in np.unique(estimator.log.kinds):
        rows = estimator.log.kinds == kind
        if int(rows.sum()) < FEWEST:
            continue
        part = Estimator(estimator.log.where(rows), estimator.names, predicted=estimator.predicted[rows])
        estimate = part.estimate(policy[rows])
        found.append(OfKind(str(kind), int(rows.sum()), estimate, _change(estimate)))
    return tuple(found)


def _change(estimate: PolicyEstimate) -> Change:
    gap = estimate.outcomes[VALUE].difference
    if estimate.unsupported > 0 or estimate.effective < LEAST_OF_KIND:
        return "cannot_tell"
    return "wins" if gap.lower > 0 else "loses" if gap.upper < 0 else "no_difference_shown"
