"""The learner and the policy that serve, as mode ope asks for them: what they are after one pass, frozen.

In: a ``World``, and which of its prompts to learn from. Out: a policy that learns no more. Keeps what it was built with. Fails
with nothing. Pure.
"""

from dataclasses import dataclass

import numpy as np

from agents.deciding.heads import Heads
from agents.deciding.spreading import Trade, spread_all
from analytics.evaluating.online import go_through
from analytics.evaluating.task import Task
from analytics.offpolicy.gate import VALUE
from analytics.offpolicy.logged import COST, QUALITY, Floats, Integers
from analytics.offpolicy.trials import World

_SEEDS = 2**31


@dataclass(frozen=True, eq=False)
class Serving:
    """Implements ``analytics.evaluating.ope.Learner`` at an exchange rate in reward per US dollar."""

    exchange: float
    exploration: float

    def learn(self, world: World, rows: Integers, rng: np.random.Generator) -> "Settled":
        """What it is after one pass over these prompts, of which it sees only the outcomes that it chose."""
        task = Task(world.strategies, world.features, world.outcomes[QUALITY], world.outcomes[COST]).part(rows)
        made = go_through(task, Trade(self.exchange), exploration=self.exploration, seed=int(rng.integers(_SEEDS)))
        return Settled(made.experience.heads(), self.exchange, self.exploration)


@dataclass(frozen=True, eq=False)
class Settled:
    """A policy that learns no more."""

    heads: Heads
    exchange: float
    exploration: float

    def decide(self, features: Floats, rate: float) -> Floats:
        """The probabilities, (n, strategies), at so many times the exchange rate that it learned at."""
        found = self.heads.beliefs_of(features)
        return spread_all(found, Trade(rate * self.exchange), exploration=self.exploration)


def world_of(task: Task, exchange: float) -> World:
    """The task as a world whose value is quality less ``exchange`` times cost; all its requests are of one kind."""
    return World(
        task.strategies,
        task.features,
        {
            QUALITY: task.quality,
            COST: task.cost_usd,
            VALUE: task.quality - exchange * task.cost_usd,
        },
        np.full(len(task), "all"),
    )
