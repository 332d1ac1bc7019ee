"""What follows from an experiment so far: go on, a winner, a stop, or back to the old version.

In: conversations in the order in which they began, each with the version it was given and its quality, cost, latency and whether it
failed. Out: ``Finding``: the step to take, why, and the intervals it rests on. Keeps nothing, cannot fail. Pure: the same
conversations give the same finding.

Five confidence sequences share ``alpha`` evenly, so that with probability 1 - alpha all of them hold at all times, however often
somebody looks: the differences in quality, cost, latency and the share of failures, and the new version's own quality. The rules,
in this order (a harm comes before a gain):

1. ``rollback``: failures rose for sure by more than ``failures_margin``; or the new version's quality is below the floor for sure
   and looks worse than the old one's; with a relative floor, it is less than that share of the old one's;
   or it is worse for sure and looks below the floor.
2. ``stop``, the old one stays: quality is worse for sure, or cost or latency is worse for sure by more than its margin.
3. ``winner``: quality is not worse by more than its margin, cost and latency neither, all for sure, and one of the three is
   better for sure.
4. ``stop``: as many conversations as were asked for have come, and nothing was shown.
5. ``running`` otherwise.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from analytics.experimenting.confidence import Flags, Floats, Sequence, asymptotic, bounded, bounded_level

Step = Literal["running", "winner", "stop", "rollback"]
SEQUENCES = 5


@dataclass(frozen=True)
class Observed:
    """Conversations in the order in which they began, (..., n) each.

    ``given``: whether the new version answered; ``shares``: the probability of that. Mean quality in [0, 1], mean cost in US
    dollars, mean latency in milliseconds, and ``failed`` 0 or 1.
    """

    given: Flags
    shares: Floats
    quality: Floats
    cost_usd: Floats
    latency_ms: Floats
    failed: Floats


@dataclass(frozen=True)
class Rules:
    """What counts as harm. Margins of cost and latency are shares of the old version's mean; ``most`` conversations end it.

    ``floor``: a reward, or a share of the old version's quality; ``bound``: see ``confidence.bounded``.
    """

    floor: float
    floor_is_relative: bool = False
    alpha: float = 0.05
    quality_margin: float = 0.02
    cost_margin: float = 0.10
    latency_margin: float = 0.20
    failures_margin: float = 0.01
    most: int = 100_000
    bound: float = 0.0


@dataclass(frozen=True)
class Evidence:
    """One sequence at the moment: new less old, or for ``level`` the new version's own quality."""

    name: str
    center: float
    lower: float
    upper: float


@dataclass(frozen=True)
class Finding:
    """The step to take after the last conversation, why, and on what evidence; ``harmless``: quality, cost and latency are for sure
    not worse by more than their margins.
    """

    step: Step
    reason: str
    conversations: int
    evidence: tuple[Evidence, ...]
    harmless: bool = False


@dataclass(frozen=True)
class Looks:
    """All sequences at all times, and which rule would have fired when, (..., n) each."""

    sequences: dict[str, Sequence]
    rules: dict[tuple[Step, str], Flags]
    harmless: Flags


def looks(observed: Observed, rules: Rules, *, last: bool = False) -> Looks:
    """Work out what would be seen by looking after every conversation, or with ``last`` after the last one alone, (..., 1)."""
    alpha = rules.alpha / SEQUENCES
    given, shares, bound = observed.given, observed.shares, rules.bound
    quality = bounded(given, shares, observed.quality, alpha, bound=bound, last=last)
    level = bounded_level(given, shares, observed.quality, alpha, bound=bound, last=last)
    failures = bounded(given, shares, observed.failed, alpha, bound=bound, last=last)
    cost = asymptotic(given, shares, observed.cost_usd, alpha, last=last)
    latency = asymptotic(given, shares, observed.latency_ms, alpha, last=last)
    at = slice(-1, None) if last else slice(None)
    dear = rules.cost_margin * _mean_of_old(given, observed.cost_usd)[..., at]
    slow = rules.latency_margin * _mean_of_old(given, observed.latency_ms)[..., at]
    if rules.floor_is_relative:
        short = (rules.floor - 1) * _mean_of_old(given, observed.quality)[..., at]
        below, looks_below = quality.upper < short, quality.center < short
    else:
        below, looks_below = (level.upper < rules.floor) & (quality.center < 0), level.center < rules.floor
    harmless = (quality.lower >= -rules.quality_margin) & (cost.upper <= dear) & (latency.upper <= slow)
    found: dict[tuple[Step, str], Flags] = {
        ("rollback", "failures rose"): failures.lower > rules.failures_margin,
        ("rollback", "quality is below the floor"): below,
        ("rollback", "quality is worse, and looks below the floor"): (quality.upper < 0) & looks_below,
        ("stop", "quality is worse"): quality.upper < 0,
        ("stop", "it costs more"): cost.lower > dear,
        ("stop", "it is slower"): latency.lower > slow,
        ("winner", "quality is better, and nothing is worse"): harmless & (quality.lower > 0),
        ("winner", "it costs less, and nothing is worse"): harmless & (cost.upper < 0),
        ("winner", "it is faster, and nothing is worse"): harmless & (latency.upper < 0),
    }
    sequences = {"quality": quality, "cost_usd": cost, "latency_ms": latency, "failed": failures, "level": level}
    return Looks(sequences, found, harmless)


def judge(observed: Observed, rules: Rules) -> Finding:
    """What to do now; ``observed`` holds one experiment, (n,) each."""
    n = observed.given.shape[-1]
    if n == 0:
        return Finding("running", "no conversation has ended yet", 0, ())
    seen = looks(observed, rules, last=True)
    evidence = tuple(
        Evidence(name, float(each.center[-1]), float(each.lower[-1]), float(each.upper[-1]))
        for name, each in seen.sequences.items()
    )
    harmless = bool(seen.harmless[-1])
    for (step, reason), fired in seen.rules.items():
        if fired[-1]:
            return Finding(step, reason, n, evidence, harmless)
    if n >= rules.most:
        return Finding("stop", f"{n:,} conversations have shown no difference", n, evidence, harmless)
    return Finding("running", "nothing is certain yet", n, evidence, harmless)


def _mean_of_old(given: Flags, outcome: Floats) -> Floats:
    """(..., n): the old version's mean so far."""
    old = ~given
    found: Floats = np.where(old, outcome, 0.0).cumsum(axis=-1) / np.maximum(old.cumsum(axis=-1), 1)
    return found
