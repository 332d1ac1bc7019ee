"""With which probability each eligible strategy answers: by the heads, by the beliefs about a kind of request, or by the rules.

In: what is in force, the request's feature vector and kind, the eligible strategies' estimates, the priority. Out: ``Choice``.
Keeps nothing. Fails with ``ValueError`` where nothing is eligible. Pure.

By the heads:

1. The trade of the profile for the request's priority says what quality is given up for money or time (``spreading``).
2. Where no eligible strategy's lower bound meets the floor, nothing is traded: what is likely to answer best does.
3. Where the request is unlike those learned from, the strategy that keeps the floor answers ``HELD_WHEN_STRANGE`` of such
   requests, and the rest is what is likely to answer best: so more is known of them soon.

A profile without heads, or with heads of another encoder, decides as before there were any (``policy``).
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Final

import numpy as np
import numpy.typing as npt

from agents.deciding import policy, spreading
from agents.deciding.governance import Floor
from agents.deciding.heads import Beliefs
from agents.deciding.learned import Learned, among
from agents.deciding.prior import Estimate
from agents.deciding.spreading import Trade, spread

Floats = npt.NDArray[np.float64]

HELD_WHEN_STRANGE: Final = 0.8
_ESTIMATE_OF: Final = partial(tuple.__new__, Estimate)
"""What ``Estimate._make`` does, a fifth of its time; the zip that feeds it is strict."""


@dataclass(frozen=True)
class Choice:
    """The distribution, the policy that gave it, and whether the request is unlike those learned from."""

    decision: policy.Decision
    policy: str
    strange: bool = False


@dataclass(frozen=True, eq=False)
class Believed:
    """What the heads believe of one request: of all their strategies, and by name of all that are asked for."""

    learned: Learned
    beliefs: Beliefs
    estimates: Mapping[str, Estimate]
    strange: bool


def believed_of(learned: Learned, features: Floats, before: Mapping[str, Estimate], floor: Floor) -> Believed:
    """What the heads believe of every strategy that ``before`` names; what they do not know stays as it was there.

    The best strategy's difference to itself is certain, so a relative floor never finds it below.
    """
    beliefs, strangeness = learned.heads.look(features)
    best = int(beliefs.quality.argmax()) if floor.kind == "relative" else -1
    sds = beliefs.sd.tolist()
    numbers = zip(
        beliefs.quality.tolist(),
        sds,
        sds,
        beliefs.cost_usd.tolist(),
        beliefs.latency_ms.tolist(),
        learned.requests,
        strict=True,
    )
    known = dict(zip(learned.heads.strategies, map(_ESTIMATE_OF, numbers), strict=True))
    if best >= 0:
        name = learned.heads.strategies[best]
        known[name] = known[name]._replace(gap_sd=0.0)
    found = known if known.keys() == before.keys() else {name: known.get(name, each) for name, each in before.items()}
    return Believed(learned, beliefs, found, learned.is_strange(strangeness))


def by_heads(
    believed: Believed, eligible: Mapping[str, Estimate], *, floor: Floor, priority: str, exploration: float
) -> Choice:
    """The distribution over the eligible strategies, which ``eligible`` holds in the catalogue's order."""
    if not eligible:
        raise ValueError("no strategy is eligible")
    learned, names = believed.learned, tuple(eligible)
    beliefs = believed.beliefs
    if names != learned.heads.strategies:
        beliefs = _among(beliefs, learned.places(names), eligible)
    limit = floor.threshold(float(np.maximum.reduce(beliefs.quality)))
    # the best meets a share of itself for certain; against a reward its uncertainty counts
    met = floor.kind == "relative" or bool((beliefs.quality - policy.Z * beliefs.sd).max() >= limit)
    trade = learned.trades.get(priority) or Trade()
    if believed.strange:
        trade = Trade(keeper=trade.keeper, hold=HELD_WHEN_STRANGE)
    elif not met:
        trade = Trade()
    if trade.hold > 0.0 and trade.keeper is not None and names != learned.heads.strategies:
        trade = among(trade, learned.places(names), beliefs.quality)
    own: list[float] = spread(beliefs, trade, exploration=exploration).tolist()
    total = math.fsum(own)
    decision = policy.Decision({name: each / total for name, each in zip(names, own, strict=True)}, limit, met)
    return Choice(decision, spreading.NAME, believed.strange)


def _among(beliefs: Beliefs, places: npt.NDArray[np.intp], eligible: Mapping[str, Estimate]) -> Beliefs:
    """The beliefs of the eligible, which are not all that the heads know, or more."""
    if places.min() >= 0:
        return Beliefs(
            beliefs.quality[places], beliefs.sd[places], beliefs.cost_usd[places], beliefs.latency_ms[places]
        )
    quality, sd, _, cost_usd, latency_ms, _ = np.array(tuple(eligible.values())).T
    return Beliefs(quality, sd, cost_usd, latency_ms)
