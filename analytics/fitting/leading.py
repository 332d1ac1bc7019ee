"""Who answers which kind of request, exploration aside, as the heads and the trade in force have it.

In: what was learned, feature vectors with their kinds. Out: ``Leading`` of each kind that has enough of them. Keeps nothing. Fails
with nothing. Pure. The newest ``ASKED_A_KIND`` requests of a kind are decided again by the policy that serves.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from agents.deciding.heads import Beliefs
from agents.deciding.learned import Learned, among
from agents.deciding.spreading import Trade, spread_all
from analytics.fitting.rows import Floats

Kind = tuple[str, str]
"""(content type, band)."""
ASKED_A_KIND: Final = 32
LEAST_A_KIND: Final = 8


@dataclass(frozen=True)
class Leading:
    """By strategy, over the newest requests of a kind: the mean probability, expected quality and expected cost."""

    share: Mapping[str, float]
    quality: Mapping[str, float]
    cost_usd: Mapping[str, float]

    @property
    def first(self) -> str:
        """The strategy with the largest share."""
        return max(self.share, key=lambda name: self.share[name])


def leading_of(
    learned: Learned, features: Floats, kinds: Sequence[Kind], off: Mapping[str, frozenset[str]], priority: str
) -> dict[Kind, Leading]:
    """By kind of request. ``off``: the strategies that are switched off, by content type."""
    wanted: dict[Kind, list[int]] = {}
    for place, kind in enumerate(kinds):
        wanted.setdefault(kind, []).append(place)
    found = {}
    for kind, places in sorted(wanted.items()):
        if len(places) >= LEAST_A_KIND:
            found[kind] = _asked(learned, features[places[-ASKED_A_KIND:]], off.get(kind[0], frozenset()), priority)
    return found


def _asked(learned: Learned, features: Floats, off: frozenset[str], priority: str) -> Leading:
    names = tuple(name for name in learned.heads.strategies if name not in off) or learned.heads.strategies
    places = learned.places(names)
    found = learned.heads.beliefs_of(features)
    able = Beliefs(
        found.quality[:, places], found.sd[:, places], found.cost_usd[:, places], found.latency_ms[:, places]
    )
    trade = among(learned.trades.get(priority) or Trade(), places, able.quality.mean(axis=0))
    means = (spread_all(able, trade, exploration=0.0), able.quality, able.cost_usd)
    return Leading(*(dict(zip(names, np.mean(each, axis=0).tolist(), strict=True)) for each in means))
