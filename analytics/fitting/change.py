"""Noticing change: requests unlike anything learned, and strategies that no longer do what was believed of them.

In: request by request the distance to the nearest kind; outcome by outcome the residual. Out: whether something changed, or since
which outcome. Keeps the running sums. Fails with nothing. Pure: the same sequence gives the same answers.

Two of Page's one-sided cumulative sums ("Continuous Inspection Schemes", 1954). Of strangeness: of the texts learned from,
``USUAL`` lie within a radius; each request beyond it adds its log likelihood ratio for a stream in which half lie beyond, each
within takes some away. Of residuals: (believed - reward) / standard deviation less ``ALLOWED``. Both are compared with a limit
that a stream without change reaches less than once in about a hundred thousand requests.
"""

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

USUAL: Final = 0.95
STRANGE_WHEN_NEW: Final = 0.5
LIMIT: Final = 11.5
"""Natural logarithm of 100,000."""
LEAST_KNOWN: Final = 500
"""Texts in which kinds were found, before which most new texts lie further from them than those."""
ALLOWED: Final = 0.25
_OUT: Final = math.log(STRANGE_WHEN_NEW / (1.0 - USUAL))
_IN: Final = math.log((1.0 - STRANGE_WHEN_NEW) / USUAL)


@dataclass
class Strangeness:
    """Whether the stream is still like the texts learned from. ``radius``: the squared distance within which ``USUAL`` of them
    lie.
    """

    radius: float
    evidence: float = 0.0

    @classmethod
    def of(cls, distances: Floats) -> "Strangeness":
        """From the squared distances of texts that the kinds were not fitted on, shape (n,)."""
        return cls(float(np.quantile(distances, USUAL)))

    def notice(self, distance: float) -> bool:
        """Take a request's squared distance in; True where the stream has become strange."""
        self.evidence = max(0.0, self.evidence + (_OUT if distance > self.radius else _IN))
        return self.evidence > LIMIT


def strange_since(distances: Floats, known: int) -> int:
    """Since which text a stream is unlike what came before, -1 where it is not. ``distances`` (n,): of its texts in the order of
    the log, the first ``known`` of which the kinds were found in. What the kinds are found in is strange no more.
    """
    if known < LEAST_KNOWN or known >= len(distances):
        return -1
    beyond = distances[known:] > float(np.quantile(distances[:known], USUAL))
    since = _since(np.where(beyond, _OUT, _IN))
    return known + since if since >= 0 else -1


@dataclass
class Surprise:
    """Whether a strategy does otherwise than was believed of it: worse, or better. One that is far better than believed is chosen
    seldom, and what is learned of the others would never tell.
    """

    worse: float = 0.0
    better: float = 0.0

    def notice(self, believed: float, reward: float, sd: float) -> str:
        """Take an outcome in (``sd``: the standard deviation of a reward about its expectation); how it does otherwise, or ""."""
        residual = (believed - reward) / max(sd, 1e-6)
        self.worse = max(0.0, self.worse + _step(residual))
        self.better = max(0.0, self.better + _step(-residual))
        if max(self.worse, self.better) <= LIMIT:
            return ""
        return "worse than believed" if self.worse > self.better else "better than believed"


def _step(residual: float) -> float:
    """For a Gaussian shift of 2 x ``ALLOWED`` standard deviations this is the log likelihood ratio."""
    return 2.0 * ALLOWED * (residual - ALLOWED)


@dataclass(frozen=True)
class Shift:
    """A strategy's outcomes are no longer what was believed of them. ``since``: the first outcome of the change, as an index;
    means of what was believed and of what came since then; ``outcomes`` since then.
    """

    strategy: int
    since: int
    believed: float
    reward: float
    outcomes: int


def shifts_of(strategy: npt.NDArray[np.intp], believed: Floats, reward: Floats, sd: Floats) -> tuple[Shift, ...]:
    """Which strategies changed, either way, from outcomes in the order of the log, all (n,).

    ``sd``: the standard deviation of a reward about its expectation, larger where a reward counts less.
    """
    found = []
    for k in np.unique(strategy).tolist():
        own = np.flatnonzero(strategy == k)
        residual = (believed[own] - reward[own]) / sd[own]
        since = max(_since(2.0 * ALLOWED * (sign * residual - ALLOWED)) for sign in (1.0, -1.0))
        if since > 0:  # else all of it is the change, and there is nothing to set aside
            after = own[since:]
            means = float(believed[after].mean()), float(reward[after].mean())
            found.append(Shift(k, int(own[since]), *means, len(after)))
    return tuple(found)


def _since(steps: Floats) -> int:
    """Where the cumulative sum left 0 for good, if it passed the limit since then; -1 where it did not. It stays within twice the
    limit, so that what has passed is over soon.
    """
    evidence, begun, alarmed = 0.0, 0, False
    for place, step in enumerate(steps.tolist()):
        if evidence == 0.0:
            begun = place
        evidence = min(max(0.0, evidence + step), 2.0 * LIMIT)
        alarmed = evidence > LIMIT or (alarmed and evidence > 0.0)
    return begun if alarmed else -1
