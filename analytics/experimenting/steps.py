"""The way of an experiment: from a first share to all, or back, one step at a time.

In: where it stands, what was found since the step began. Out: where it stands next, with the reason and the evidence; the same
where nothing is to be done. Keeps nothing, cannot fail. Pure.

A canary goes 5, 25, 100 %, a split stays at its share until it is decided. Both end as ``won`` (all get the new version),
``stopped`` or ``rolled_back`` (all get the old one). A canary's share grows

- from a step to one that still leaves conversations to compare with, when ``LEAST_EACH`` conversations of either version have
  ended and no rule of harm has fired,
- to all only when quality, cost and latency are for sure not worse than the margins allow, because nothing can be compared after
that.
"""

from dataclasses import dataclass, replace
from typing import Literal

from analytics.experimenting.comparing import Evidence, Finding

State = Literal["running", "won", "stopped", "rolled_back"]

CANARY = (0.05, 0.25, 1.0)
LEAST_EACH = 50
"""Conversations of either version without which a canary does not grow."""


@dataclass(frozen=True)
class Standing:
    """Where an experiment stands: its shares in their order, which of them holds, and why."""

    shares: tuple[float, ...]
    step: int = 0
    state: State = "running"
    reason: str = "started"
    evidence: tuple[Evidence, ...] = ()

    @property
    def share(self) -> float:
        """The share of conversations that get the new version."""
        if self.state == "running":
            return self.shares[self.step]
        return 1.0 if self.state == "won" else 0.0


def split(share: float) -> Standing:
    """An experiment with a fixed share."""
    return Standing((share,))


def canary(shares: tuple[float, ...] = CANARY) -> Standing:
    """An experiment whose share grows."""
    return Standing(shares)


def next_standing(standing: Standing, finding: Finding, least_given: int) -> Standing:
    """Where the experiment stands after a look; ``least_given``: conversations that ended of the version with fewer, in all
    steps.
    """
    if standing.state != "running":
        return standing
    changed = replace(standing, reason=finding.reason, evidence=finding.evidence)
    if finding.step == "rollback":
        return replace(changed, state="rolled_back")
    if finding.step == "stop":
        return replace(changed, state="stopped")
    if finding.step == "winner":
        return replace(changed, state="won")
    following = standing.shares[standing.step + 1 :]
    if following and following[0] < 1.0 and least_given >= LEAST_EACH:
        return replace(changed, step=standing.step + 1, reason=f"no harm in {finding.conversations:,} conversations")
    if following and following[0] >= 1.0 and finding.harmless:
        return replace(changed, state="won", reason="nothing is worse by more than its margin")
    return standing
