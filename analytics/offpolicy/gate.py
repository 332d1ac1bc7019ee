"""The gate: what may be promised of a policy on the estimates from a log, and how long to log until more may.

In: a ``PolicyEstimate``, the floor's margin, the estimator. Out: a ``Verdict`` with every condition that was looked at, and for
several shares of exploration how many requests it takes until the log can tell. Keeps nothing, cannot fail.

A policy passes where all of these hold; where one of the first two does not, nothing is said of the others: an interval from a few
large weights is not to be relied on.

1. the log supports it: it gives no probability to what the log gave none,
2. the effective sample size is ``LEAST_EFFECTIVE`` or more,
3. the lower 95 % bound of the doubly robust difference to the running policy's value is above 0,
4. the lower 95 % bound of its quality meets the floor; where the running policy does not meet it either, the lower bound of the
   difference in quality is not below 0.

Each bound is wrong in one case of twenty: a bound is one end, so it lies nearer than that end of an interval, which both ends share
the error of. What is promoted wrongly is at most one in twenty of the policies that are just as good as what runs.
"""

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from analytics.offpolicy.estimating import Z95, Estimator, Interval, PolicyEstimate
from analytics.offpolicy.logged import QUALITY, Floats, Logged

LEAST_EFFECTIVE = 500.0
VALUE = "value"
FLOORS = (0.02, 0.05, 0.10, 0.20, 0.50)
"""Shares of exploration that a report shows the waiting time for."""
PRECISION = 0.02
"""Half the width of the value's interval, in quality, that a log is asked to reach."""
_NOTHING = 1e-9

Answer = Literal["promote", "keep", "log_more"]


@dataclass(frozen=True)
class Condition:
    """One condition of the gate: ``held`` None where the log cannot tell."""

    name: str
    held: bool | None
    sentence: str


@dataclass(frozen=True)
class Verdict:
    """``promote``, ``keep`` what is running, or ``log_more`` because the log cannot support a promise."""

    answer: Answer
    conditions: tuple[Condition, ...]


@dataclass(frozen=True)
class Waiting:
    """How many requests a log with this share of exploration needs, for the sample size and for the precision."""

    exploration: float
    requests_for_size: int
    requests_for_precision: int

    @property
    def requests(self) -> int:
        """Both."""
        return max(self.requests_for_size, self.requests_for_precision)


def judge(estimate: PolicyEstimate, floor_margin: Interval) -> Verdict:
    """Judge a policy; ``floor_margin``: its quality less the floor, by doubly robust estimation."""
    basis = (_supported(estimate), _large_enough(estimate))
    rest = (_better(estimate), _floor_kept(estimate, floor_margin))
    if not all(each.held for each in basis):
        return Verdict("log_more", (*basis, *(replace(each, held=None) for each in rest)))
    if all(each.held for each in rest):
        return Verdict("promote", (*basis, *rest))
    return Verdict("keep" if any(each.held is False for each in rest) else "log_more", (*basis, *rest))


def _supported(estimate: PolicyEstimate) -> Condition:
    held = estimate.unsupported <= _NOTHING
    return Condition(
        "supported",
        held,
        "the log tried everything that the policy would do"
        if held
        else f"{estimate.unsupported:.2%} of what the policy would do was never tried where it would do it",
    )


def _large_enough(estimate: PolicyEstimate) -> Condition:
    held = estimate.effective >= LEAST_EFFECTIVE
    sentence = f"the effective sample size is {estimate.effective:,.0f} of {estimate.requests:,} requests"
    return Condition("sample_size", held, f"{sentence}; {LEAST_EFFECTIVE:,.0f} are needed")


def _better(estimate: PolicyEstimate) -> Condition:
    gap = estimate.outcomes[VALUE].difference
    held = True if gap.at_least > 0 else False if gap.at_most <= 0 else None
    return Condition(
        "better", held, f"its value differs from the running policy's by {gap.at_least:+.4f} to {gap.at_most:+.4f}"
    )


def _floor_kept(estimate: PolicyEstimate, margin: Interval) -> Condition:
    quality = estimate.outcomes[QUALITY]
    if margin.at_least >= 0:
        return Condition(
            "floor", held=True, sentence=f"its quality is above the floor by {margin.at_least:.4f} or more"
        )
    running_margin = margin.mean - quality.difference.mean
    if running_margin < 0:
        gap = quality.difference
        held = True if gap.at_least >= 0 else False if gap.at_most < 0 else None
        return Condition(
            "floor",
            held,
            "the running policy is below the floor too; "
            f"its quality differs from that by {gap.at_least:+.4f} to {gap.at_most:+.4f}",
        )
    held = False if margin.at_most < 0 else None
    return Condition("floor", held, f"its quality less the floor is {margin.at_least:+.4f} to {margin.at_most:+.4f}")


def explored(log: Logged, exploration: float) -> Floats:
    """(n, K): the logged probabilities with another share of exploration, e / K over the eligible.

    What is explored evenly in a logged row is at most K times its smallest probability; what is above it is its own distribution.
    """
    count = log.eligible.sum(axis=1, keepdims=True)
    least = np.where(log.eligible, log.probabilities, np.inf).min(axis=1, keepdims=True)
    even = np.minimum(count * least, 1.0)
    own = np.where(log.eligible, log.probabilities - even / count, 0.0)
    total = own.sum(axis=1, keepdims=True)
    own = np.where(total > _NOTHING, own / np.where(total > _NOTHING, total, 1.0), log.eligible / count)
    mixed: Floats = (1 - exploration) * own + exploration * log.eligible / count
    return mixed


def waiting(estimator: Estimator, policy: Floats, precision: float = PRECISION) -> tuple[Waiting, ...]:
    """For each share of ``FLOORS`` how many requests like the logged ones it takes until the value of ``policy`` (n, K) is known.

    Known: effective sample size ``LEAST_EFFECTIVE``, and an interval that reaches at most ``precision`` to either side.
    """
    place = estimator.names.index(VALUE)
    found = []
    for exploration in FLOORS:
        logging = explored(estimator.log, exploration)
        square = np.divide(policy**2, logging, out=np.zeros_like(policy), where=logging > 0).sum(axis=1).mean()
        variance = float(estimator.variance(policy, logging)[place])
        found.append(Waiting(exploration, _up(LEAST_EFFECTIVE * float(square)), _up(variance * (Z95 / precision) ** 2)))
    return tuple(found)


def _up(requests: float) -> int:
    return int(np.ceil(min(requests, 1e15)))
