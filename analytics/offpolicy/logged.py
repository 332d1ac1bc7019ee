"""The log of a serving policy as arrays: what every estimate starts from.

In: for each request the features, the exact probability of every strategy, the chosen one, and what came of it. Out: ``Logged``,
checked. Keeps nothing. Fails with ``Unusable`` where an estimate would be wrong without anybody seeing it: a choice that could not
have been made, probabilities that do not sum to one, a value that is not a number.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]

QUALITY, COST, LATENCY = "quality", "cost_usd", "latency_ms"

_ROUNDING = 1e-6


class Unusable(ValueError):
    """The log contradicts itself; the message says where."""


@dataclass(frozen=True)
class Logged:
    """n requests, K strategies, d features.

    ``features``: (n, d), without a constant. ``eligible``: (n, K), what might have been chosen. ``probabilities``: (n, K), exact, 0
    where a strategy was not eligible or the policy left it out. ``chosen``: (n,) indexes of strategies. ``outcomes``: by name (n,):
    quality in [0, 1], cost in US dollars, latency in milliseconds. ``kinds``: (n,) content types.
    """

    strategies: tuple[str, ...]
    features: Floats
    eligible: npt.NDArray[np.bool_]
    probabilities: Floats
    chosen: Integers
    outcomes: Mapping[str, Floats]
    kinds: npt.NDArray[np.str_]

    def __post_init__(self) -> None:
        n, k = self.probabilities.shape
        if (
            k != len(self.strategies)
            or self.chosen.shape != (n,)
            or len(self.features) != n
            or self.kinds.shape != (n,)
        ):
            raise Unusable("features, probabilities, choices and content types are not of the same requests")
        for name, values in self.outcomes.items():
            if values.shape != (n,) or not np.isfinite(values).all():
                raise Unusable(f"{name} is not one finite number a request")
        check_policy(self.probabilities)
        if self.eligible.shape != (n, k) or (self.probabilities[~self.eligible] > 0).any():
            raise Unusable("a strategy had a probability that was not eligible")
        if not (self.propensities > 0).all():
            raise Unusable("a strategy was chosen that had no probability of being chosen")

    def __len__(self) -> int:
        """The number of requests."""
        return len(self.chosen)

    @property
    def propensities(self) -> Floats:
        """(n,): the probability with which the chosen strategy was chosen."""
        return self.probabilities[np.arange(len(self.chosen)), self.chosen]

    @property
    def supported(self) -> npt.NDArray[np.bool_]:
        """(n, K): what the log can say something about."""
        return self.probabilities > 0

    def where(self, rows: npt.NDArray[np.bool_] | Integers) -> "Logged":
        """The same log with some of its requests."""
        return Logged(
            self.strategies,
            self.features[rows],
            self.eligible[rows],
            self.probabilities[rows],
            self.chosen[rows],
            {name: values[rows] for name, values in self.outcomes.items()},
            self.kinds[rows],
        )


def check_policy(probabilities: Floats) -> None:
    """Raise ``Unusable`` unless every row is a distribution."""
    if not np.isfinite(probabilities).all() or (probabilities < 0).any():
        raise Unusable("a probability is negative or not a number")
    if len(probabilities) and np.abs(probabilities.sum(axis=1) - 1).max() > _ROUNDING:
        row = int(np.abs(probabilities.sum(axis=1) - 1).argmax())
        raise Unusable(f"the probabilities of request {row} sum to {probabilities[row].sum():.6f} instead of 1")
