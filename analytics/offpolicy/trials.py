"""How good the estimates are, tried where the truth is known: outcomes of every strategy for every prompt.

In: a ``World`` of N prompts with all their outcomes, the probabilities of the policy that serves and of its rivals, (N, K) each.
Out: ``Trial`` for each rival and repetition, and their ``Summary``. Keeps nothing. Fails with ``Unusable`` like any estimate.

A repetition draws requests from the prompts with replacement, so that the truth is the mean over all N and the intervals mean what
they say; lets the serving policy choose; shows the estimator the chosen outcome only; and compares. A promotion is wrong where the
rival is in truth no better than what serves, or below the floor. Power is the share promoted of those that should be.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from analytics.offpolicy.estimating import Estimator, Interval
from analytics.offpolicy.gate import VALUE, judge
from analytics.offpolicy.logged import QUALITY, Floats, Integers, Logged


@dataclass(frozen=True)
class World:
    """``features`` (N, d); ``outcomes`` by name (N, K), among them ``QUALITY`` and ``VALUE``; ``kinds`` (N,)."""

    strategies: tuple[str, ...]
    features: Floats
    outcomes: Mapping[str, Floats]
    kinds: npt.NDArray[np.str_]

    def truth(self, policy: Floats, name: str) -> float:
        """The mean outcome of a policy (N, K)."""
        return float((policy * self.outcomes[name]).sum(axis=1).mean())

    def log(self, serving: Floats, requests: int, rng: np.random.Generator) -> tuple[Logged, Integers]:
        """A log of so many requests, and (n,) which prompts they are."""
        rows = rng.integers(len(self.features), size=requests)
        probabilities = serving[rows]
        reached = probabilities.cumsum(axis=1)
        chosen = (reached <= rng.random(requests)[:, None] * reached[:, -1:]).sum(axis=1)
        log = Logged(
            strategies=self.strategies,
            features=self.features[rows],
            eligible=np.ones(probabilities.shape, dtype=bool),
            probabilities=probabilities,
            chosen=chosen,
            outcomes={name: values[rows, chosen] for name, values in self.outcomes.items()},
            kinds=self.kinds[rows],
        )
        return log, rows


@dataclass(frozen=True)
class Trial:
    """One rival on one log: the estimated and the true value, and what the gate said and should have said. ``expected``: the single
    number that is reported, ``estimate``: the interval around the doubly robust one; ``gain``: by how much it is truly better than
    what served.
    """

    rival: str
    truth: float
    expected: float
    estimate: Interval
    effective: float
    promoted: bool
    worth_promoting: bool
    gain: float = 0.0

    @property
    def relative_error(self) -> float:
        """|expected - truth| / |truth|."""
        return abs(self.expected - self.truth) / max(abs(self.truth), 1e-9)

    @property
    def covered(self) -> bool:
        """Whether the truth is in the 95 % interval."""
        return self.estimate.lower <= self.truth <= self.estimate.upper


@dataclass(frozen=True)
class Summary:
    """Means over trials. ``power`` is None where no rival was worth promoting."""

    trials: int
    relative_error: float
    coverage: float
    false_promotions: float
    power: float | None
    effective: float


def repeat(
    world: World,
    serving: Floats,
    rivals: Mapping[str, Floats],
    *,
    requests: int,
    repetitions: int,
    floor: float,
    rng: np.random.Generator,
) -> list[Trial]:
    """Estimate every rival from ``repetitions`` logs; ``floor``: the lowest mean quality that may be promoted."""
    trials = []
    served = world.truth(serving, VALUE)
    for _ in range(repetitions):
        log, rows = world.log(serving, requests, rng)
        estimator = Estimator(log, (QUALITY, VALUE), seed=int(rng.integers(2**32)))
        for name, policy in rivals.items():
            estimate = estimator.estimate(policy[rows])
            quality = estimate.outcomes[QUALITY].doubly_robust
            verdict = judge(estimate, Interval(quality.mean - floor, quality.error))
            truth = world.truth(policy, VALUE)
            lowest = min(floor, world.truth(serving, QUALITY))
            trials.append(
                Trial(
                    rival=name,
                    truth=truth,
                    expected=estimate.outcomes[VALUE].expected,
                    estimate=estimate.outcomes[VALUE].doubly_robust,
                    effective=estimate.effective,
                    promoted=verdict.answer == "promote",
                    worth_promoting=truth > served and world.truth(policy, QUALITY) >= lowest,
                    gain=truth - served,
                )
            )
    return trials


def summarised(trials: Sequence[Trial]) -> Summary:
    """The means over trials, of which there is at least one."""
    worth = [trial.promoted for trial in trials if trial.worth_promoting]
    return Summary(
        trials=len(trials),
        relative_error=float(np.mean([trial.relative_error for trial in trials])),
        coverage=float(np.mean([trial.covered for trial in trials])),
        false_promotions=float(np.mean([trial.promoted and not trial.worth_promoting for trial in trials])),
        power=float(np.mean(worth)) if worth else None,
        effective=float(np.mean([trial.effective for trial in trials])),
    )
