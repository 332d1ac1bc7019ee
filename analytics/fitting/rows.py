"""Rows: what is learned from, one for each outcome, in the order of the log.

In: arrays. Out: ``Rows`` and ``Start``. Keeps nothing. Fails with nothing. Pure.
"""

from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import numpy.typing as npt

from agents.deciding.features import EMBEDDED, PLAIN

Floats = npt.NDArray[np.float64]
Index = npt.NDArray[np.intp]


@dataclass(frozen=True, eq=False)
class Start:
    """What is believed before the first row: ``quality`` (K, 2), at no complexity and what the highest one changes; ``cost_usd``
    and ``latency_ms`` of each strategy; and how alike strategies are by their parts, ``likeness`` (K, K), 1 on the diagonal: a
    strategy that was never tried follows those that it is like.
    """

    strategies: tuple[str, ...]
    quality: Floats
    cost_usd: tuple[float, ...]
    latency_ms: tuple[float, ...]
    likeness: Floats

    @classmethod
    def plain(cls, strategies: tuple[str, ...], quality: tuple[float, ...], cost_usd: tuple[float, ...]) -> "Start":
        """Strategies without parts, of which nobody measures how long they take; complexity changes nothing."""
        count = len(strategies)
        by_complexity = np.column_stack((np.array(quality), np.zeros(count)))
        return cls(strategies, by_complexity, cost_usd, (1.0,) * count, np.eye(count))


@dataclass(frozen=True, eq=False)
class Rows:
    """Outcomes: ``features`` (n, features); and of n each: ``strategy`` as an index, ``reward``, ``cost_usd``, ``latency_ms``, and
    ``weight``, what the reward counts.
    """

    features: Floats
    strategy: Index
    reward: Floats
    cost_usd: Floats
    latency_ms: Floats
    weight: Floats

    @classmethod
    def plain(cls, features: Floats, strategy: Index, reward: Floats, cost_usd: Floats) -> "Rows":
        """Outcomes that all count 1, of which nobody measured how long they took."""
        ones = np.ones(len(strategy))
        return cls(features, strategy, reward, cost_usd, ones, ones)

    def __len__(self) -> int:
        """How many there are."""
        return len(self.strategy)

    def part(self, which: slice | Index | npt.NDArray[np.bool_]) -> "Rows":
        """Some of them."""
        return Rows(*(array[which] for array in self._arrays()))

    def then(self, others: "Rows") -> "Rows":
        """These, and others after them."""
        pairs = zip(self._arrays(), others._arrays(), strict=True)  # noqa: SLF001 - of the same class
        return Rows(*(np.concatenate(pair) for pair in pairs))

    def same_as(self, others: "Rows") -> int:
        """How many rows at the beginning are the same, to the bit."""
        count = min(len(self), len(others))
        equal = np.ones(count, dtype=np.bool_)
        for one, other in zip(self._arrays(), others._arrays(), strict=True):  # noqa: SLF001 - of the same class
            alike = one[:count] == other[:count]
            equal &= alike.all(axis=1) if alike.ndim > 1 else alike
        return count if equal.all() else int(equal.argmin())

    def are_finite(self) -> bool:
        """Whether there is no number that is not one."""
        return all(bool(np.isfinite(array).all()) for array in self._arrays())

    def _arrays(self) -> tuple[npt.NDArray[Any], ...]:
        return tuple(getattr(self, field.name) for field in fields(self))


def no_rows() -> Rows:
    """Nothing yet."""
    return Rows.plain(np.zeros((0, PLAIN + EMBEDDED)), np.zeros(0, dtype=np.intp), np.zeros(0), np.zeros(0))
