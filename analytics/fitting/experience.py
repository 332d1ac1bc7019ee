"""Experience: the rows that were seen, and the heads that follow from them.

In: rows (features, strategy, reward, cost), in the order of the log. Out: ``Heads``. Keeps the rows, and the sums over them. Fails
with ``ValueError`` on a row that is not finite. Pure numpy.

How it works. Everything is a function of the rows alone, however they were handed over and however often the heads were asked for,
so that a replay gives the same bytes:

1. Lens and prior are made anew at milestones (``LEAST_TEXTS`` rows, then ``GROWTH`` times as many each time), from the rows before
   them.
2. Sums are added in chunks of ``CHUNK`` rows that begin at multiples of it; what is left over is added for the occasion.
3. The heads are the posterior under the newest milestone's lens and prior, given all rows.
"""

from dataclasses import dataclass, field
from typing import Final

import numpy as np
import numpy.typing as npt

from agents.deciding.features import EMBEDDED, PLAIN
from agents.deciding.heads import Heads, cost_view
from agents.deciding.lens import Lens
from analytics.fitting.clusters import LEAST_TEXTS, fit_lens
from analytics.fitting.posterior import Posterior, Prior, Sums, improved, solve, squares_left
from analytics.one_thread import one_thread

Floats = npt.NDArray[np.float64]

CHUNK: Final = 64
GROWTH: Final = 1.4
STEPS: Final = 2
MOST_WEIGHTS: Final = 800
ROWS_FOR_VARIANCE: Final = 512
_COST_VARIANCE: Final = (25.0, 1.0, 1.0)
_COST_NOISE: Final = 0.05
_COST_SHARED: Final = 1.0
_COST_OWN: Final = 0.1
_LEAST_COST_USD: Final = 1e-12


@dataclass(frozen=True)
class Start:
    """What is believed before the first row: ``quality`` and ``cost_usd`` of each strategy."""

    strategies: tuple[str, ...]
    quality: tuple[float, ...]
    cost_usd: tuple[float, ...]


@dataclass(frozen=True, eq=False)
class Rows:
    """Outcomes: ``features`` (n, features), ``strategy`` (n,) as an index, ``reward`` (n,), ``cost_usd`` (n,)."""

    features: Floats
    strategy: npt.NDArray[np.intp]
    reward: Floats
    cost_usd: Floats

    def __len__(self) -> int:
        """How many there are."""
        return len(self.strategy)

    def part(self, which: slice | npt.NDArray[np.intp] | npt.NDArray[np.bool_]) -> "Rows":
        """Some of them."""
        return Rows(self.features[which], self.strategy[which], self.reward[which], self.cost_usd[which])


def no_rows() -> Rows:
    """Nothing yet."""
    empty = np.zeros(0)
    return Rows(np.zeros((0, PLAIN + EMBEDDED)), np.zeros(0, dtype=np.intp), empty, empty)


def joined(first: Rows, second: Rows) -> Rows:
    """One after the other."""
    return Rows(
        np.concatenate((first.features, second.features)),
        np.concatenate((first.strategy, second.strategy)),
        np.concatenate((first.reward, second.reward)),
        np.concatenate((first.cost_usd, second.cost_usd)),
    )


@dataclass(eq=False)
class _Milestone:
    rows: int
    lens: Lens
    prior: Prior
    quality: Sums
    cost: Sums
    summed: int = 0


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
        if not (
            np.isfinite(rows.features).all() and np.isfinite(rows.reward).all() and np.isfinite(rows.cost_usd).all()
        ):
            raise ValueError("an outcome has a number that is not finite")
        self.rows = joined(self.rows, rows)

    def heads(self) -> Heads:
        """What follows from all rows so far."""
        with one_thread():
            return self._heads()

    def _heads(self) -> Heads:
        reached = self._last_milestone()
        if self._milestone is None or self._milestone.rows != reached:
            self._milestone = self._made(reached)
        milestone = self._milestone
        self._sum_up(milestone)
        quality, cost = milestone.quality.copy(), milestone.cost.copy()
        self._add(quality, cost, milestone.lens, slice(milestone.summed, len(self.rows)))
        return self._fitted(milestone, quality, cost)

    def _last_milestone(self) -> int:
        reached, following = 0, LEAST_TEXTS / self.texts_a_row
        while following <= len(self.rows):
            reached, following = int(following), following * GROWTH
        return len(self.rows) if self.texts_a_row < 1.0 else reached

    def _made(self, reached: int) -> _Milestone:
        count = len(self.start.strategies)
        every = max(1, round(1.0 / self.texts_a_row))
        lens = fit_lens(self._known(reached)[::every], strategies=count, most_weights=self.most_weights)
        first = Prior.start(count, lens.blocks)
        made = _Milestone(reached, lens, first, Sums.nothing(count, lens.size), Sums.nothing(count, 3))
        if reached:
            quality, cost = Sums.nothing(count, lens.size), Sums.nothing(count, 3)
            for begin in range(0, reached, CHUNK):
                self._add(quality, cost, lens, slice(begin, min(begin + CHUNK, reached)))
            for _ in range(STEPS):
                found = solve(quality, made.prior)
                made.prior = improved(made.prior, first, lens.blocks, quality, found)
        return made

    def _known(self, reached: int) -> Floats:
        """The texts that the lens is fitted on; before any, a lens that leaves numbers as they are."""
        return self.rows.features[:reached] if reached else np.zeros((1, PLAIN + EMBEDDED))

    def _sum_up(self, milestone: _Milestone) -> None:
        whole = len(self.rows) // CHUNK * CHUNK
        for begin in range(milestone.summed, whole, CHUNK):
            self._add(milestone.quality, milestone.cost, milestone.lens, slice(begin, begin + CHUNK))
        milestone.summed = whole

    def _add(self, quality: Sums, cost: Sums, lens: Lens, which: slice) -> None:
        part = self.rows.part(which)
        if not len(part):
            return
        seen, size = lens.see(part.features), cost_view(lens, part.features)
        paid = np.log(np.maximum(part.cost_usd, _LEAST_COST_USD))
        for k in np.unique(part.strategy).tolist():
            own = part.strategy == k
            quality.add(k, seen[own], part.reward[own] - self.start.quality[k])
            cost.add(k, size[own], paid[own] - np.log(max(self.start.cost_usd[k], _LEAST_COST_USD)))

    def _fitted(self, milestone: _Milestone, quality: Sums, cost: Sums) -> Heads:
        count = len(self.start.strategies)
        found = solve(quality, milestone.prior)
        money_prior = Prior(_COST_SHARED + _COST_OWN * np.eye(count), np.array(_COST_VARIANCE), _COST_NOISE)
        money = solve(cost, money_prior)
        log_start = np.log(np.maximum(np.array(self.start.cost_usd), _LEAST_COST_USD))
        weights = money.mean.copy()
        weights[:, 0] += log_start
        return Heads(
            strategies=self.start.strategies,
            lens=milestone.lens,
            base=np.array(self.start.quality),
            weights=found.mean,
            variance=self._variance(milestone.lens, found),
            cost=weights,
            cost_noise=squares_left(cost, money) / max(float(cost.count.sum()), 1.0),
        )

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
