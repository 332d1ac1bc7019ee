"""What is believed of every strategy for every kind of request: a Gaussian posterior that shares strength.

In: sums of rewards, costs and latencies by (content type, band, strategy). Out: an ``Estimate`` for every kind and
strategy. Keeps nothing. Fails with nothing; no data gives the prior. Pure, and the same sums give the same bytes:
the sums are whole numbers, the order is the catalogue's, and the linear algebra is one factorisation of a small
matrix.

Quality. The mean reward of a kind k under a strategy s is modelled as

q(k, s) = prior(s, band) + sum of effects, effect_j ~ N(0, SPREAD_j^2)

with effects for the whole, the content type, the band, the strategy's parts (tier, retrieval strategy, graph
lookups), each part in each content type, the tier in each band, the strategy, and the strategy in each kind. This
is Bayesian linear regression with a known prior: with X the indicator rows, n the counts and s^2 the variance of a
single reward, the posterior covariance is (X' diag(n / s^2) X + diag(1 / SPREAD^2))^-1. A combination that was
never tried starts from what its parts have shown (Bishop, Pattern Recognition and Machine Learning, 3.3). An
automatic score counts ``AUTOMATIC_SHARE`` of a user's rating.

Cost and latency. Means, shrunk towards those of the strategy, these towards the tier's, these towards the prior's.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from agents.deciding.catalogue import Catalogue, Strategy
from agents.deciding.prior import BANDS, Band, Estimate, prior_estimate
from analytics.one_thread import one_thread

SPREAD = {
    "whole": 0.15,
    "content_type": 0.10,
    "band": 0.08,
    "tier": 0.10,
    "retrieval": 0.07,
    "graph": 0.05,
    "tier-content_type": 0.05,
    "tier-band": 0.05,
    "retrieval-content_type": 0.05,
    "graph-content_type": 0.04,
    "strategy": 0.03,
    "strategy-kind": 0.03,
}
"""Prior standard deviation of each effect, in reward."""

AUTOMATIC_SHARE = 0.25
ASSUMED_VARIANCE = 0.09
ASSUMED_VARIANCE_REQUESTS = 20
SHRINK_KIND = 5.0
SHRINK_STRATEGY = 3.0
SHRINK_TIER = 1.0

Kind = tuple[str, Band]
Cell = tuple[str, Band, str]
"""(content type, band, strategy id)."""


@dataclass(frozen=True)
class Sums:
    """What was seen in one cell. ``requests`` rewarded, of which ``rated`` by users; ``weight`` = rated + share of the rest."""

    requests: int
    rated: int
    reward_sum: float
    reward_square_sum: float
    cost_usd_sum: float
    latency_ms_sum: float

    @property
    def weight(self) -> float:
        """How many ratings the rewards are worth."""
        return self.rated + AUTOMATIC_SHARE * (self.requests - self.rated)


@dataclass
class _Design:
    """Columns of the regression, numbered as they are first met."""

    columns: dict[str, int] = field(default_factory=dict)
    precision: list[float] = field(default_factory=list)

    def column(self, effect: str, *which: str) -> int:
        name = "\x1f".join((effect, *which))
        if name not in self.columns:
            self.columns[name] = len(self.columns)
            self.precision.append(1.0 / SPREAD[effect] ** 2)
        return self.columns[name]

    def row(self, content_type: str, band: Band, strategy: Strategy) -> list[int]:
        graph = str(strategy.graph)
        return [
            self.column("whole"),
            self.column("content_type", content_type),
            self.column("band", band),
            self.column("tier", strategy.tier),
            self.column("retrieval", strategy.retrieval),
            self.column("graph", graph),
            self.column("tier-content_type", strategy.tier, content_type),
            self.column("tier-band", strategy.tier, band),
            self.column("retrieval-content_type", strategy.retrieval, content_type),
            self.column("graph-content_type", graph, content_type),
            self.column("strategy", strategy.id),
        ]

    def own_column(self, content_type: str, band: Band, strategy: Strategy) -> int:
        """The effect of a strategy in one kind; only where it was observed, else it is its prior and nothing else."""
        return self.column("strategy-kind", strategy.id, content_type, band)


def learn(catalogue: Catalogue, content_types: Sequence[str], seen: Mapping[Cell, Sums]) -> dict[Cell, Estimate]:
    """The estimates for every content type in the given order, every band, every strategy of the catalogue.

    Cells of strategies that the catalogue no longer has are left out.
    """
    known = set(catalogue.ids)
    observed = {cell: sums for cell, sums in sorted(seen.items()) if cell[2] in known and sums.requests > 0}
    cells: list[Cell] = [(t, b, s.id) for t in content_types for b in BANDS for s in catalogue.strategies]
    design = _Design()
    rows = {cell: design.row(cell[0], cell[1], catalogue.strategy(cell[2])) for cell in (*cells, *observed)}
    for cell in observed:
        rows[cell].append(design.own_column(cell[0], cell[1], catalogue.strategy(cell[2])))
    with one_thread():
        posterior = _quality(catalogue, design, rows, observed, cells)
    money = _Shrunk(catalogue, observed, cost=True)
    time = _Shrunk(catalogue, observed, cost=False)
    return {
        cell: Estimate(
            quality=min(1.0, max(0.0, posterior.means[i])),
            quality_sd=posterior.deviations[i],
            gap_sd=posterior.gap_deviations[i],
            cost_usd=money.mean(cell),
            latency_ms=time.mean(cell),
            requests=observed[cell].requests if cell in observed else 0,
        )
        for i, cell in enumerate(cells)
    }


def variance_of_a_reward(observed: Iterable[Sums]) -> float:
    """The pooled variance of single rewards within cells, with a prior worth ``ASSUMED_VARIANCE_REQUESTS`` requests."""
    squares = ASSUMED_VARIANCE * ASSUMED_VARIANCE_REQUESTS
    freedom = float(ASSUMED_VARIANCE_REQUESTS)
    for sums in observed:
        squares += max(0.0, sums.reward_square_sum - sums.reward_sum**2 / sums.requests)
        freedom += sums.requests - 1
    return max(squares / freedom, 1e-4)


@dataclass(frozen=True)
class _Posterior:
    """By cell: the mean, its standard deviation, and that of its difference to the best cell of the same kind."""

    means: list[float]
    deviations: list[float]
    gap_deviations: list[float]


def _quality(
    catalogue: Catalogue,
    design: _Design,
    rows: Mapping[Cell, list[int]],
    observed: Mapping[Cell, Sums],
    cells: Sequence[Cell],
) -> _Posterior:
    size = len(design.columns)
    precision: npt.NDArray[np.float64] = np.diag(np.array(design.precision))
    shift = np.zeros(size)
    variance = variance_of_a_reward(observed.values())
    for cell, sums in observed.items():
        index = rows[cell]
        weight = sums.weight / variance
        precision[np.ix_(index, index)] += weight
        residual = sums.reward_sum / sums.requests - _prior(catalogue, cell).quality
        shift[index] += weight * residual
    covariance: npt.NDArray[np.float64] = np.linalg.inv(precision).astype(np.float64)
    effects = covariance @ shift
    indicators = np.zeros((len(cells), size))
    for i, cell in enumerate(cells):
        indicators[i, rows[cell]] = 1.0
    means = np.array([_prior(catalogue, cell).quality for cell in cells]) + indicators @ effects
    own = np.array([0.0 if cell in observed else SPREAD["strategy-kind"] ** 2 for cell in cells])
    spread = np.sqrt(_quadratic(indicators, covariance) + own)
    gaps = np.zeros(len(cells))
    size_of_kind = len(catalogue.strategies)
    for start in range(0, len(cells), size_of_kind):
        kind = slice(start, start + size_of_kind)
        best = int(np.argmax(means[kind]))
        both = own[kind] + own[start + best]
        both[best] = 0.0
        gaps[kind] = np.sqrt(_quadratic(indicators[kind] - indicators[start + best], covariance) + both)
    return _Posterior(means.tolist(), spread.tolist(), gaps.tolist())


def _quadratic(rows: npt.NDArray[np.float64], covariance: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """The variance of each row's combination of effects."""
    variance: npt.NDArray[np.float64] = np.maximum(((rows @ covariance) * rows).sum(axis=1), 0.0)
    return variance


def _prior(catalogue: Catalogue, cell: Cell) -> Estimate:
    strategy = catalogue.strategy(cell[2])
    return prior_estimate(strategy, catalogue.model_of(strategy), cell[1])


class _Shrunk:
    """Means of cost or latency: of a cell, shrunk to the strategy's, to the tier's, to the prior's."""

    def __init__(self, catalogue: Catalogue, observed: Mapping[Cell, Sums], *, cost: bool) -> None:
        self._catalogue = catalogue
        self._cost = cost
        self._sums: dict[object, list[float]] = {}
        for cell, sums in observed.items():
            total = sums.cost_usd_sum if cost else sums.latency_ms_sum
            for level in (cell, cell[2], ("tier", catalogue.strategy(cell[2]).tier)):
                entry = self._sums.setdefault(level, [0.0, 0.0])
                entry[0] += sums.requests
                entry[1] += total

    def mean(self, cell: Cell) -> float:
        """The shrunk mean of a cell."""
        strategy = self._catalogue.strategy(cell[2])
        prior = _prior(self._catalogue, cell)
        mean = prior.cost_usd if self._cost else prior.latency_ms
        for level, strength in (
            (("tier", strategy.tier), SHRINK_TIER),
            (strategy.id, SHRINK_STRATEGY),
            (cell, SHRINK_KIND),
        ):
            count, total = self._sums.get(level, (0.0, 0.0))
            mean = (total + strength * mean) / (count + strength)
        return mean
