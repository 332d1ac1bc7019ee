"""One scope's heads and trades, from its outcomes.

In: rows in the order of the log, with the propensity of each; the floor. Out: ``Learned``. Keeps the experience, so that what
rests on rows that did not change is not worked out again: what is given follows from the rows alone. Fails with ``ValueError`` on
a row that is not finite. Pure.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

import numpy as np

from agents.deciding.governance import Floor
from agents.deciding.learned import Learned
from agents.deciding.spreading import Trade
from analytics.fitting.change import Shift, shifts_of, strange_since
from analytics.fitting.experience import Experience, Fitted
from analytics.fitting.rows import Floats, Index, Rows, Start
from analytics.fitting.trading import BEST, CAREFUL, ENOUGH, Asked, Judged, find_trade, find_trades, judged
from analytics.one_thread import one_thread
from schemas import Reopened

KEPT: Final = {"balanced": 0.35, "quality_over_speed": 0.9, "speed_over_quality": 0.5, "cost_over_quality": 0.0}
"""By priority: which share of what the floor would give away is kept all the same."""
CAUTION: Final = 1.0
"""Standard errors by which the floor has to be kept: requests come that are unlike those of the log."""
IN_TIME: Final = "speed_over_quality"
"""The priority that trades quality for time, not for money."""
USUAL: Final = 0.99
"""The share of the requests learned from that are not unlike them."""
LEAST_FOR_RADIUS: Final = 100
MOST_JUDGED: Final = 4_096
COUNTS_BEFORE_CHANGE: Final = 0.05
"""What a strategy did before it changed is not forgotten: it may come back."""


class ScopeExperience:
    """What one scope has seen: as it was, and as it counts since strategies changed."""

    def __init__(self, start: Start) -> None:
        self._all = Experience(start)
        self._since = Experience(start)

    def learn(
        self, rows: Rows, propensity: Floats, routed_at_us: Index, *, encoder: str, floor: Floor, exploration: float
    ) -> Learned:
        """Learn from these rows, and nothing else; ``propensity`` and ``routed_at_us`` (rows,)."""
        some = np.arange(0, len(rows), max(1, -(-len(rows) // MOST_JUDGED)))
        fitted, known = _judged(self._all, rows, propensity, some)
        shifts = _shifts(fitted, known, rows.part(some))
        if shifts:
            fitted, known = _judged(self._since, faded(rows, shifts, some), propensity, some)
        heads = fitted.heads
        with one_thread():
            distances = heads.lens.strangeness(rows.features)
            trades = _trades(known, some, strange_since(distances, fitted.sighted), len(rows), floor, exploration)
        count = np.bincount(rows.strategy, minlength=len(heads.strategies))
        radius = float(np.quantile(distances, USUAL)) if len(rows) >= LEAST_FOR_RADIUS else 0.0
        reopened = tuple(
            Reopened(
                strategy=heads.strategies[each.strategy],
                since_us=int(routed_at_us[some[each.since]]),
                believed=each.believed,
                reward=each.reward,
                requests=each.outcomes,
            )
            for each in shifts
        )
        return Learned(heads, tuple(count.tolist()), encoder, trades, radius, reopened)


def _judged(experience: Experience, rows: Rows, propensity: Floats, some: Index) -> tuple[Fitted, Judged]:
    experience.follow(rows)
    fitted = experience.fitted()
    with one_thread():
        return fitted, judged(fitted, rows.part(some), propensity[some])


def _shifts(fitted: Fitted, known: Judged, rows: Rows) -> tuple[Shift, ...]:
    believed = known.beliefs.quality[np.arange(len(rows)), rows.strategy]
    sd = np.sqrt(fitted.prior.noise / rows.weight)
    return shifts_of(rows.strategy, believed, rows.reward, sd)


def _trades(known: Judged, some: Index, strange: int, rows: int, floor: Floor, exploration: float) -> dict[str, Trade]:
    """From all that was judged; since a stream became strange only from what came since, and from nothing until that is enough."""
    if strange < 0:
        return trades_of(known, floor, exploration)
    if rows - strange < ENOUGH:
        return dict.fromkeys(KEPT, BEST)
    return trades_of(known.part(some >= strange), floor, exploration, least_kept=CAREFUL)


def faded(rows: Rows, shifts: Sequence[Shift], some: Index) -> Rows:
    """The rows, where what strategies did before they changed counts little; shifts are among ``some`` of the rows."""
    weight = rows.weight.copy()
    for each in shifts:
        before = np.flatnonzero(rows.strategy[: some[each.since]] == each.strategy)
        weight[before] *= COUNTS_BEFORE_CHANGE
    return replace(rows, weight=weight)


def trades_of(known: Judged, floor: Floor, exploration: float, least_kept: float = 0.0) -> dict[str, Trade]:
    """What quality is traded at, by priority."""
    asked = {
        priority: Asked(floor.value, of_best=floor.kind == "relative", kept=max(kept, least_kept))
        for priority, kept in KEPT.items()
    }
    in_time = asked.pop(IN_TIME)
    found = dict(zip(asked, find_trades(known, tuple(asked.values()), exploration=exploration, z=CAUTION), strict=True))
    timed = Judged(known.quality, replace(known.beliefs, cost_usd=known.beliefs.latency_ms))
    trade = find_trade(timed, in_time, exploration=exploration, z=CAUTION)
    return {**found, IN_TIME: replace(trade, exchange=0.0, hurry=trade.exchange)}
