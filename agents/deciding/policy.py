"""The policy ``floor-softmax``: from beliefs to a distribution over strategies, in closed form.

Comes in: an estimate of each eligible strategy, the incumbent, the quality floor, a priority, the share of exploration. Goes
out: the exact probability of each. Keeps nothing. Fails with ``ValueError`` when nothing is eligible. Pure.

How it works. Let q, u, c, l be expected quality, its standard deviation, cost and latency; the floor f is absolute, or a share
of the best expected quality.

1. The safe are those whose lower bound q - Z u meets f, and the incumbent while q does. Among them the value is
   v = a log q - b log c - d log l, with (a, b, d) by priority; for ``balanced`` that is quality per cost. The incumbent gets
   the lead that a challenger has to beat, and a challenger counts for no more than the incumbent is worth: it gets traffic to
   be known by, and more only by taking over (``analytics/takeover.py``).
   The exploiting part is a softmax of v / ``VALUE_TEMPERATURE`` over the safe.
2. Where none is safe, the best one answers: a softmax of -gap / (``GAP_TEMPERATURE`` x the gap's own uncertainty) over all.
3. The promising are the unsafe ones that would be worth more than the best safe one if they met the floor; each weighs its
   probability of meeting it, Phi((q - f) / u). They share at most ``PROMISING_SHARE`` of the traffic, less as they are known
   better.
4. The whole is mixed with the uniform distribution: (1 - e) x own + e / K.

Every step is smooth or a fixed rule of the inputs, so the probabilities that are logged are the probabilities that were used,
and another policy can be valued on the log (inverse propensity weighting needs every p > 0, which step 4 gives for e > 0).
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from agents.deciding.governance import Floor
from agents.deciding.prior import Estimate

NAME = "floor-softmax@1"
RULES = "built-in-rules@1"

Z = 1.0
"""A strategy is safe when its expected quality less so many standard deviations meets the floor; an incumbent stays safe while
its expected quality does."""
LEAD = 0.10
"""By how much of the incumbent's quality per cost a challenger must be better."""
VALUE_TEMPERATURE = 0.10
GAP_TEMPERATURE = 0.5
PROMISING_SHARE = 0.30

EXPONENTS: dict[str, tuple[float, float, float]] = {
    "balanced": (1.0, 1.0, 0.0),
    "quality_over_speed": (16.0, 0.5, 0.0),
    "speed_over_quality": (1.0, 0.25, 1.0),
    "cost_over_quality": (0.5, 1.0, 0.0),
}
"""By priority: how much quality, cost and latency count in the value (exponents of a product)."""

_LEAST_COST_USD = 1e-12
_LEAST_LATENCY_MS = 0.1
_LEAST_QUALITY = 1e-3
_LEAST_SD = 1e-6


@dataclass(frozen=True)
class Decision:
    """A distribution over strategies, and what it rests on."""

    probabilities: Mapping[str, float]
    floor: float
    floor_met: bool


def lower_bound(estimate: Estimate, floor: Floor) -> float:
    """The lower confidence bound q - Z u that is held against the floor, at least 0.

    For an absolute floor u is the uncertainty of the quality, for a relative one that of its difference to the best strategy's.
    """
    return max(0.0, estimate.quality - Z * _uncertainty(estimate, floor))


def _uncertainty(estimate: Estimate, floor: Floor) -> float:
    return estimate.quality_sd if floor.kind == "absolute" else estimate.gap_sd


def value(estimate: Estimate, priority: str = "balanced") -> float:
    """The logarithm of quality per cost (and latency), as the priority weighs them."""
    a, b, d = EXPONENTS[priority]
    return (
        a * math.log(max(estimate.quality, _LEAST_QUALITY))
        - b * math.log(max(estimate.cost_usd, _LEAST_COST_USD))
        - d * math.log(max(estimate.latency_ms, _LEAST_LATENCY_MS))
    )


def threshold(floor: Floor, estimates: Mapping[str, Estimate]) -> float:
    """The floor as a reward in [0, 1], given what is believed of the eligible strategies."""
    return floor.threshold(max(estimate.quality for estimate in estimates.values()))


def safe(estimates: Mapping[str, Estimate], floor: Floor, incumbent: str | None = None) -> tuple[str, ...]:
    """The strategies whose lower bound meets the floor, and the incumbent while its expected quality does, in the given order."""
    limit = threshold(floor, estimates)
    return tuple(
        name
        for name, estimate in estimates.items()
        if lower_bound(estimate, floor) >= limit or (name == incumbent and estimate.quality >= limit)
    )


def decide(
    estimates: Mapping[str, Estimate],
    *,
    incumbent: str | None,
    floor: Floor,
    priority: str = "balanced",
    exploration: float,
) -> Decision:
    """The distribution over the eligible strategies; ``estimates`` holds exactly these, in the catalogue's order."""
    if not estimates:
        raise ValueError("no strategy is eligible")
    limit = threshold(floor, estimates)
    able = safe(estimates, floor, incumbent)
    own = _exploit(estimates, able, incumbent, priority) if able else _best(estimates)
    if able:
        own = _with_promising(own, estimates, able, floor, priority)
    uniform = exploration / len(estimates)
    mixed = {name: (1.0 - exploration) * own.get(name, 0.0) + uniform for name in estimates}
    total = math.fsum(mixed.values())
    return Decision({name: share / total for name, share in mixed.items()}, limit, bool(able))


def certainly(pick: str, estimates: Mapping[str, Estimate], floor: Floor) -> Decision:
    """The distribution that chooses one strategy, for rules that leave nothing to chance."""
    limit = threshold(floor, estimates)
    return Decision(
        {name: 1.0 if name == pick else 0.0 for name in estimates},
        limit,
        lower_bound(estimates[pick], floor) >= limit,
    )


def by_rule(pick: str, estimates: Mapping[str, Estimate], floor: Floor, *, exploration: float) -> Decision:
    """The built-in rules' pick, mixed with the uniform distribution: what answers before anything was learned."""
    rule = certainly(pick, estimates, floor)
    uniform = exploration / len(estimates)
    mixed = {name: (1.0 - exploration) * share + uniform for name, share in rule.probabilities.items()}
    return Decision(mixed, rule.floor, rule.floor_met)


def choose(probabilities: Mapping[str, float], draw: float) -> str:
    """The strategy that a draw in [0, 1) falls on, walking the probabilities in their order; never one with probability 0."""
    return tuple(probabilities)[choose_index(probabilities.values(), draw)]


def choose_index(probabilities: Iterable[float], draw: float) -> int:
    """The place of that strategy, for probabilities without names."""
    reached, last = 0.0, 0
    for place, probability in enumerate(probabilities):
        if probability <= 0.0:
            continue
        reached += probability
        last = place
        if draw < reached:
            return place
    return last


def _softmax(scores: Mapping[str, float]) -> dict[str, float]:
    top = max(scores.values())
    raised = {name: math.exp(score - top) for name, score in scores.items()}
    total = math.fsum(raised.values())
    return {name: share / total for name, share in raised.items()}


def _exploit(
    estimates: Mapping[str, Estimate], able: tuple[str, ...], incumbent: str | None, priority: str
) -> dict[str, float]:
    values = {name: value(estimates[name], priority) for name in able}
    if incumbent in values:
        ceiling = values[incumbent]
        values = {name: min(worth, ceiling) for name, worth in values.items()}
        values[incumbent] = ceiling + math.log1p(LEAD)
    return _softmax({name: worth / VALUE_TEMPERATURE for name, worth in values.items()})


def _best(estimates: Mapping[str, Estimate]) -> dict[str, float]:
    best = max(estimates.values(), key=lambda estimate: estimate.quality)
    return _softmax(
        {
            name: -(best.quality - estimate.quality)
            / (GAP_TEMPERATURE * max(math.hypot(best.quality_sd, estimate.quality_sd), _LEAST_SD))
            for name, estimate in estimates.items()
        }
    )


def _with_promising(
    own: Mapping[str, float],
    estimates: Mapping[str, Estimate],
    able: tuple[str, ...],
    floor: Floor,
    priority: str,
) -> dict[str, float]:
    limit = threshold(floor, estimates)
    best_value = max(value(estimates[name], priority) for name in able)
    promising = {
        name: _normal_cdf((estimate.quality - limit) / max(_uncertainty(estimate, floor), _LEAST_SD))
        for name, estimate in estimates.items()
        if name not in able and value(estimate, priority) > best_value
    }
    total = math.fsum(promising.values())
    if total <= 0.0:
        return dict(own)
    share = PROMISING_SHARE * max(promising.values())
    return {name: (1.0 - share) * own.get(name, 0.0) + share * promising.get(name, 0.0) / total for name in estimates}


def _normal_cdf(x: float) -> float:
    return 0.5 * math.erfc(-x / math.sqrt(2.0))
