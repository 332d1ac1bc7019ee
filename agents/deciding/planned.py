"""The parts of a plan that are written down about a decision: its candidates, and who steps in where the chosen one fails.

In: the estimates and probabilities of the eligible strategies, the floor; the catalogue's strategies. Out: ``Candidate``s, and an
order of strategies. Keeps nothing, cannot fail. Pure.
"""

from collections.abc import Mapping
from typing import Final

from agents.deciding import policy
from agents.deciding.catalogue import TIERS, Strategy, Tier
from agents.deciding.governance import Floor
from agents.deciding.prior import Estimate
from schemas import Candidate

_OTHER_TIERS: Final[Mapping[Tier, tuple[Tier, ...]]] = {
    tier: (*TIERS[:place][::-1], *TIERS[place + 1 :]) for place, tier in enumerate(TIERS)
}
"""Downwards first (a cheaper one may still fit the ceiling), then upwards."""


def candidates_of(
    estimates: Mapping[str, Estimate], probabilities: Mapping[str, float], floor: Floor
) -> tuple[Candidate, ...]:
    """The eligible strategies with all that the policy knew of them, in the order of ``estimates``."""
    absolute = floor.kind == "absolute"
    found = []
    for name, (quality, quality_sd, gap_sd, cost_usd, latency_ms, requests) in estimates.items():
        lower = quality - policy.Z * (quality_sd if absolute else gap_sd)
        found.append(
            Candidate(
                strategy=name,
                probability=probabilities[name],
                quality=quality if 0.0 <= quality <= 1.0 else min(max(quality, 0.0), 1.0),
                quality_lower=max(0.0, lower),
                cost_usd=cost_usd,
                latency_ms=latency_ms,
                requests=requests,
            )
        )
    return tuple(found)


def alternatives(
    chosen: Strategy, able: tuple[Strategy, ...], probabilities: Mapping[str, float], *, simple: bool
) -> tuple[Strategy, ...]:
    """The likeliest strategy of each other tier; at the same probability the one that retrieves alike, then the first."""
    best: dict[Tier, tuple[float, bool, Strategy]] = {}
    for strategy in able:
        tier = strategy.tier
        if tier == chosen.tier:
            continue
        likely, alike = probabilities.get(strategy.id, 0.0), strategy.retrieval == chosen.retrieval
        known = best.get(tier)
        if known is None or likely > known[0] or (likely == known[0] and alike and not known[1]):
            best[tier] = likely, alike, strategy
    return tuple(best[tier][2] for tier in _OTHER_TIERS[chosen.tier] if tier in best and (simple or tier != "simple"))
