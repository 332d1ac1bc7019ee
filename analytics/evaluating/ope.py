"""How good the off-policy estimates are on an outcome file: log with the policy that serves, estimate others, compare with the
truth.

In: a ``World``, and a ``Learner``, which is the learner and the policy that serve. Out: ``Measured``: relative error and coverage
of the doubly robust estimate of the value, wrong promotions and power of the gate, by kind of rival and over all. Keeps nothing.
Fails with ``Unusable`` where there are too few prompts. Pure.

A round learns a serving policy on ``WARM`` prompts of one half of the file, of which it sees only what it chose. Frozen, it logs
so many requests, ``LOGS_A_ROUND`` times. A serving policy that learned well leaves hardly anything that is clearly better than
itself, so what the gate finds is also asked of ``EARLY_LOGS`` logs of the policy as it was after ``EARLY`` prompts. The rivals are

- ``fixed``: the strategies with the best value, with the best quality and with the lowest cost,
- ``priority``: the same beliefs at other exchange rates (quality only, half, twice, four times),
- ``learned``: policies that learned on the other half, as many prompts and three times as many,
- ``mix``: random shares of the strategies.

The kinds count alike in what is said over all, so that it does not depend on how many rivals a kind has. Learned rivals explore as
the serving policy does. The floor that the gate asks for is ``FLOOR_SHARE`` of the best strategy's quality.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

import numpy as np

from analytics.offpolicy.gate import VALUE
from analytics.offpolicy.logged import COST, QUALITY, Floats, Integers, Unusable
from analytics.offpolicy.trials import Summary, Trial, World, repeat, summarised

WARM: Final = 1_500
LOGS_A_ROUND: Final = 30
EARLY: Final = 100
EARLY_LOGS: Final = 10
CLEARLY: Final = 0.01
"""Value a request: of less nobody takes a promotion upon himself."""
FLOOR_SHARE: Final = 0.9
KINDS: Final = ("fixed", "priority", "learned", "mix")
OTHER_RATES: Final = (0.0, 0.5, 2.0, 4.0)
MIXES: Final = 2
FEWEST: Final = 100


class Frozen(Protocol):
    """A policy that learns no more."""

    def decide(self, features: Floats, rate: float) -> Floats:
        """(n, K): its probabilities, exploration included, at so many times the exchange rate that it learned at."""


class Learner(Protocol):
    """The learner and the policy that serve."""

    def learn(self, world: World, rows: Integers, rng: np.random.Generator) -> Frozen:
        """What it is after one pass over these prompts, of which it sees only the outcomes that it chose."""


@dataclass(frozen=True)
class Measured:
    """The mean over the kinds of rivals; ``kinds``: each of them, where power is of whatever is better at all. ``power`` is None
    where nothing was clearly better.
    """

    requests: int
    logs: int
    relative_error: float
    relative_error_sd: float
    coverage: float
    false_promotions: float
    power: float | None
    clearly_better: int
    kinds: Mapping[str, Summary]


def measure(world: World, learner: Learner, *, requests: int, rounds: int, seed: int) -> Measured:
    """Measure on a world whose outcomes are quality, cost and value; ``relative_error_sd`` is over the rounds. Raises
    ``Unusable``.
    """
    if len(world.features) < FEWEST:
        raise Unusable(f"{len(world.features)} prompts are too few to learn from one half and compare with the other")
    by_round, early = [], []
    floor = FLOOR_SHARE * float(world.outcomes[QUALITY].mean(axis=0).max())
    for number in range(rounds):
        rng = np.random.default_rng([seed, number])
        serving, before, rivals = contest(world, learner, rng)
        by_round.append(
            repeat(world, serving, rivals, requests=requests, repetitions=LOGS_A_ROUND, floor=floor, rng=rng)
        )
        early += repeat(world, before, rivals, requests=requests, repetitions=EARLY_LOGS, floor=floor, rng=rng)
    return _measured(by_round, early, requests)


def contest(world: World, learner: Learner, rng: np.random.Generator) -> tuple[Floats, Floats, dict[str, Floats]]:
    """A serving policy, what it was early, and its rivals, (N, K) each."""
    count = len(world.features)
    order = rng.permutation(count)
    ours, theirs = order[: count // 2], order[count // 2 :]
    serving = learner.learn(world, ours[:WARM], rng)
    rivals = _fixed(world)
    for rate in OTHER_RATES:
        rivals[f"priority:{rate:g}"] = serving.decide(world.features, rate)
    for size in (WARM, 3 * WARM):
        rivals[f"learned:{size}"] = learner.learn(world, theirs[:size], rng).decide(world.features, 1.0)
    for number in range(MIXES):
        shares = rng.dirichlet(np.ones(len(world.strategies)))
        rivals[f"mix:{number}"] = np.tile(shares, (count, 1))
    early = learner.learn(world, ours[:EARLY], rng)
    return serving.decide(world.features, 1.0), early.decide(world.features, 1.0), rivals


def _fixed(world: World) -> dict[str, Floats]:
    means = {name: values.mean(axis=0) for name, values in world.outcomes.items()}
    named = {
        "fixed:best value": int(means[VALUE].argmax()),
        "fixed:best quality": int(means[QUALITY].argmax()),
        "fixed:cheapest": int(means[COST].argmin()),
    }
    certain = np.eye(len(world.strategies))
    return {name: np.tile(certain[place], (len(world.features), 1)) for name, place in named.items()}


def _measured(by_round: Sequence[Sequence[Trial]], early: Sequence[Trial], requests: int) -> Measured:
    trials = [trial for each in by_round for trial in each]
    kinds = {kind: summarised(_of(trials, kind)) for kind in KINDS}
    errors = [np.mean([summarised(_of(each, kind)).relative_error for kind in KINDS]) for each in by_round]
    judged = [*trials, *early]
    clear = [trial.promoted for trial in judged if trial.worth_promoting and trial.gain >= CLEARLY]
    return Measured(
        requests=requests,
        logs=len(by_round) * LOGS_A_ROUND,
        relative_error=float(np.mean(errors)),
        relative_error_sd=float(np.std(errors)),
        coverage=float(np.mean([each.coverage for each in kinds.values()])),
        false_promotions=float(np.mean([trial.promoted and not trial.worth_promoting for trial in judged])),
        power=float(np.mean(clear)) if clear else None,
        clearly_better=len(clear),
        kinds=kinds,
    )


def _of(trials: Sequence[Trial], kind: str) -> list[Trial]:
    return [trial for trial in trials if trial.rival.startswith(f"{kind}:")]
