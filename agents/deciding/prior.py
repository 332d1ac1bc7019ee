"""What is believed and done before anything was learned: the built-in rules.

Comes in: the catalogue, a content type, a complexity. Goes out: the rule's pick (simple up to complexity 3, balanced up to 7,
premium above, with the content type's retrieval profile) and a prior belief of each strategy from its tier and price. Keeps
nothing, cannot fail. Pure.

The prior's quality says that a better tier answers better and that hard requests are answered worse; its standard
deviation is wide enough that two dozen rewards outweigh it. Its cost is the model's price times an assumed size of a request.
"""

from typing import Literal, NamedTuple

from agents.deciding.catalogue import TIERS, Catalogue, Model, Strategy, Tier, retrieval_profile_of

Band = Literal["low", "middle", "high"]
BANDS: tuple[Band, ...] = ("low", "middle", "high")

LOW_UP_TO = 3
MIDDLE_UP_TO = 7
TIER_OF_BAND: dict[Band, Tier] = {"low": "simple", "middle": "balanced", "high": "premium"}

QUALITY_OF_TIER: dict[Tier, float] = {"simple": 0.60, "balanced": 0.68, "premium": 0.76}
QUALITY_LOST_IN_BAND: dict[Band, float] = {"low": 0.0, "middle": 0.05, "high": 0.10}
QUALITY_SD = 0.15

ASSUMED_CPU_SECONDS: dict[Tier, float] = {"simple": 0.002, "balanced": 0.004, "premium": 0.08}
ASSUMED_INPUT_TOKENS = 1_500
ASSUMED_OUTPUT_TOKENS = 250
LOCAL_LATENCY_MS: dict[Tier, float] = {"simple": 30.0, "balanced": 35.0, "premium": 150.0}
HOSTED_LATENCY_MS: dict[Tier, float] = {"simple": 800.0, "balanced": 1_500.0, "premium": 3_000.0}


class Estimate(NamedTuple):
    """What is believed of one strategy for one kind of request.

    ``quality`` is the expected reward in [0, 1], ``quality_sd`` the uncertainty about it, ``gap_sd`` the uncertainty about its
    difference to the best strategy of the same kind (smaller, because what all strategies share cancels out), ``requests`` how many
    rewards of exactly this kind are in it (0: only related ones, or the prior).
    """

    quality: float
    quality_sd: float
    gap_sd: float
    cost_usd: float
    latency_ms: float
    requests: int = 0


def band_of(complexity: int) -> Band:
    """The band of a complexity from 1 to 10."""
    if complexity <= LOW_UP_TO:
        return "low"
    return "middle" if complexity <= MIDDLE_UP_TO else "high"


def prior_estimate(strategy: Strategy, model: Model, band: Band) -> Estimate:
    """The belief about a strategy before the first reward."""
    cost = model.cost_usd(
        input_tokens=ASSUMED_INPUT_TOKENS,
        output_tokens=ASSUMED_OUTPUT_TOKENS,
        cpu_seconds=ASSUMED_CPU_SECONDS[strategy.tier],
    )
    latency = LOCAL_LATENCY_MS if model.runs == "local" else HOSTED_LATENCY_MS
    return Estimate(
        quality=QUALITY_OF_TIER[strategy.tier] - QUALITY_LOST_IN_BAND[band],
        quality_sd=QUALITY_SD,
        gap_sd=QUALITY_SD,
        cost_usd=cost,
        latency_ms=latency[strategy.tier],
    )


def rule_pick(eligible: tuple[Strategy, ...], content_type: str, band: Band) -> Strategy:
    """The eligible strategy that is nearest to what the built-in rules ask for.

    Nearest: first by tier, then the retrieval strategy, then graph lookups; the catalogue's order decides ties. ``eligible``
    must not be empty.
    """
    wanted_tier = TIERS.index(TIER_OF_BAND[band])
    wanted = retrieval_profile_of(content_type)

    def distance(strategy: Strategy) -> tuple[int, bool, bool]:
        return (
            abs(TIERS.index(strategy.tier) - wanted_tier),
            strategy.retrieval != wanted.retrieval,
            strategy.graph != wanted.graph,
        )

    return min(eligible, key=distance)


def rule_incumbent(catalogue: Catalogue, content_type: str, band: Band) -> str:
    """The id of the strategy that the built-in rules answer a kind of request with."""
    return rule_pick(catalogue.strategies, content_type, band).id
