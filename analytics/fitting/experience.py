"""Experience: the rows that were seen, and the heads that follow from them.

In: rows, in the order of the log. Out: ``Heads``, and the posterior that they are of. Keeps the rows, and the sums over them. Fails
with ``ValueError`` on a row that is not finite. Pure numpy.

How it works. Everything is a function of the rows alone, however they were handed over and however often the heads were asked for,
so that a replay gives the same bytes:

1. Lens and prior are made anew at milestones (``LEAST_TEXTS`` rows, then ``GROWTH`` times as many each time), from the rows before
   them.
2. Sums are added in chunks of ``CHUNK`` rows that begin at multiples of it; what is left over is added for the occasion.
3. The heads are the posterior under the newest milestone's lens and prior, given all rows.

Cost and latency are the logarithm's posterior means, from few numbers each (``heads.cost_view``, ``heads.latency_view``).
"""

from dataclasses import dataclass, field
from typing import Final

import numpy as np
import numpy.typing as npt

from agents.deciding.features import EMBEDDED, PLAIN
from agents.deciding.heads import Heads, Logarithmic, cost_view, expected, latency_view
from agents.deciding.lens import Lens
from analytics.fitting.clusters import LEAST_TEXTS, fit_lens
from analytics.fitting.posterior import Posterior, Prior, Sums, improved, solve, squares_left
from analytics.fitting.rows import Rows, Start, no_rows
from analytics.one_thread import one_thread

Floats = npt.NDArray[np.float64]

CHUNK: Final = 256
GROWTH: Final = 1.4
STEPS: Final = 2
MOST_WEIGHTS: Final = 800
ROWS_FOR_VARIANCE: Final = 512
_LOG_VARIANCE: Final = (25.0, 1.0, 1.0)
_LOG_NOISE: Final = 0.05
_LOG_SHARED: Final = 1.0
_LOG_OWN: Final = 0.1
_LEAST: Final = 1e-12
"""Of a price in US dollars or a time in milliseconds, before its logarithm is taken."""


@dataclass(eq=False)
class _Added:
    """Sums over rows: of the quality, the cost and the latency."""

    quality: Sums
    cost: Sums
    latency: Sums

    @classmethod
    def nothing(cls, strategies: int, size: int) -> "_Added":
        return cls(Sums.nothing(strategies, size), Sums.nothing(strategies, 3), Sums.nothing(strategies, 3))

    def copy(self) -> "_Added":
        return _Added(self.quality.copy(), self.cost.copy(), self.latency.copy())


@dataclass(eq=False)
class _Milestone:
    rows: int
    lens: Lens
    prior: Prior
    added: _Added
    summed: int = 0


@dataclass(frozen=True, eq=False)
class Fitted:
    """The heads, and the posterior of their weights with the prior that it is under; ``sighted``: how many rows the lens was made
    from.
    """

    heads: Heads
    posterior: Posterior
    prior: Prior
    sighted: int


@dataclass(eq=False)
class Experience:
    """What a scope has seen. ``texts_a_row``: 1, or 1 / strategies where each text comes once for every strategy."""

    start: Start
    most_weights: int = MOST_WEIGHTS
    texts_a_row: float = 1.0
    rows: Rows = field(default_factory=no_rows)
    _milestone: _Milestone | None = None

    def take(self, rows: Rows) -> None:
        """Add rows at the end."""
        if not rows.are_finite():
            raise ValueError("an outcome has a number that is not finite")
        self.rows = self.rows.then(rows)

    def follow(self, rows: Rows) -> None:
        """Have seen exactly these rows: only what rests on rows that are not the same is worked out anew."""
        if not rows.are_finite():
            raise ValueError("an outcome has a number that is not finite")
        same = self.rows.same_as(rows)
        self.rows = rows
        milestone = self._milestone
        if milestone is None or milestone.rows > same:
            self._milestone = None
        elif milestone.summed > same:
            milestone.added = _Added.nothing(len(self.start.strategies), milestone.lens.size)
            milestone.summed = 0

    def heads(self) -> Heads:
        """What follows from all rows so far."""
        return self.fitted().heads

    def fitted(self) -> Fitted:
        """The same with the posterior that it is of."""
        with one_thread():
            reached = self._last_milestone()
            if self._milestone is None or self._milestone.rows != reached:
                self._milestone = self._made(reached)
            milestone = self._milestone
            self._sum_up(milestone)
            added = milestone.added.copy()
            self._add(added, milestone.lens, slice(milestone.summed, len(self.rows)))
            return self._fitted(milestone, added)

    def _last_milestone(self) -> int:
        reached, following = 0, LEAST_TEXTS / self.texts_a_row
        while following <= len(self.rows):
            reached, following = int(following), following * GROWTH
        return len(self.rows) if self.texts_a_row < 1.0 else reached

    def _made(self, reached: int) -> _Milestone:
        count = len(self.start.strategies)
        every = max(1, round(1.0 / self.texts_a_row))
        lens = fit_lens(self._known(reached)[::every], strategies=count, most_weights=self.most_weights)
        first = Prior.start(self.start.likeness, lens.blocks)
        made = _Milestone(reached, lens, first, _Added.nothing(count, lens.size))
        if reached:
            before = _Added.nothing(count, lens.size)
            for begin in range(0, reached, CHUNK):
                self._add(before, lens, slice(begin, min(begin + CHUNK, reached)))
            for _ in range(STEPS):
                found = solve(before.quality, made.prior)
                made.prior = improved(made.prior, first, lens.blocks, before.quality, found)
        return made

    def _known(self, reached: int) -> Floats:
        """The texts that the lens is fitted on; before any, a lens that leaves numbers as they are."""
        return self.rows.features[:reached] if reached else np.zeros((1, PLAIN + EMBEDDED))

    def _sum_up(self, milestone: _Milestone) -> None:
        whole = len(self.rows) // CHUNK * CHUNK
        for begin in range(milestone.summed, whole, CHUNK):
            self._add(milestone.added, milestone.lens, slice(begin, begin + CHUNK))
        milestone.summed = max(whole, milestone.summed)

    def _add(self, added: _Added, lens: Lens, which: slice) -> None:
        part = self.rows.part(which)
        if not len(part):
            return
        seen, size, time = lens.see(part.features), cost_view(lens, part.features), latency_view(lens, part.features)
        gained = part.reward - expected(self.start.quality, part.features)[np.arange(len(part)), part.strategy]
        paid, took = _log(part.cost_usd), _log(part.latency_ms)
        ones = np.ones(len(part))
        start = self.start
        for k in np.unique(part.strategy).tolist():
            own = part.strategy == k
            added.quality.add(k, seen[own], gained[own], part.weight[own])
            added.cost.add(k, size[own], paid[own] - _log(start.cost_usd[k]), ones[own])
            added.latency.add(k, time[own], took[own] - _log(start.latency_ms[k]), ones[own])

    def _fitted(self, milestone: _Milestone, added: _Added) -> Fitted:
        start = self.start
        found = solve(added.quality, milestone.prior)
        heads = Heads(
            strategies=start.strategies,
            lens=milestone.lens,
            base=start.quality,
            weights=found.mean,
            variance=self._variance(milestone.lens, found),
            cost=_logarithmic(added.cost, start.cost_usd, start.likeness),
            latency=_logarithmic(added.latency, start.latency_ms, start.likeness),
        )
        return Fitted(heads, found, milestone.prior, milestone.rows)

    def _variance(self, lens: Lens, found: Posterior) -> Floats:
        """By strategy and coarse kind: the mean posterior variance of what the weights say about texts of the kind."""
        against = found.against_all()
        count = len(self.rows)
        if count == 0:
            seen = lens.see(np.zeros((1, PLAIN + EMBEDDED)))
        else:
            seen = lens.see(self.rows.features[:: max(1, -(-count // ROWS_FOR_VARIANCE))])
        near = lens.kinds(seen)
        by_row = np.stack([((seen @ each) * seen).sum(axis=1) for each in against])
        # a kind that no sampled text is near gets the mean of all
        smoothed = near + 1e-3
        by_kind: Floats = (by_row @ smoothed) / smoothed.sum(axis=0)
        return by_kind


def _log(amounts: Floats | float) -> Floats:
    logarithms: Floats = np.log(np.maximum(amounts, _LEAST))
    return logarithms


def _logarithmic(sums: Sums, start: tuple[float, ...], likeness: npt.NDArray[np.float64]) -> Logarithmic:
    """A head of the logarithm, from sums of what was seen less the start's."""
    found = solve(sums, Prior(_LOG_SHARED + _LOG_OWN * likeness, np.array(_LOG_VARIANCE), _LOG_NOISE))
    weights = found.mean.copy()
    weights[:, 0] += _log(np.array(start))
    return Logarithmic(weights, squares_left(sums, found) / max(float(sums.count.sum()), 1.0))
