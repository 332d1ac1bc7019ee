"""The lens: how a request's features are seen by the heads. Standardised, and as nearness to kinds of text that were met.

In: feature vectors of set 2 (``agents/deciding/features.py``). Out: what the heads weigh: a constant, the nearness to each coarse
and each fine kind, the plain features, the leading dimensions of the embedding. Keeps nothing. Fails with ``ValueError`` on a
vector of another length. Pure; the lens itself is fitted by ``analytics/fitting/clusters.py`` and travels in the profile.

How it works. With z the standardised form (divided by 4) and the centred embedding, scaled to length about
``NEARNESS_OF_MEANING``, the nearness to the kinds c_1 ... c_k is the softmax of -``SHARPNESS`` |z - c_j|^2: a normalised radial
basis (Moody and Darken, "Fast Learning in Networks of Locally-Tuned Processing Units", 1989). A kind stands for a task that nobody
named; on real outcomes two dozen of them, found without labels, recover most of what the true task would tell.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Final

import numpy as np
import numpy.typing as npt

from agents.deciding.features import EMBEDDED, PLAIN
from agents.deciding.text_form import FORM

Floats = npt.NDArray[np.float64]

SHARPNESS: Final = 3.0
FORM_SCALE: Final = 0.25
NEARNESS_OF_MEANING: Final = 0.8
FURTHEST: Final = 2.0
"""Of a plain feature, eight standard deviations: what lies beyond says no more than that it lies beyond."""

_FORM = len(FORM)
_PLACE = np.concatenate((np.arange(_FORM), np.arange(PLAIN, PLAIN + EMBEDDED)))


@dataclass(frozen=True, eq=False)
class Lens:
    """``offset``, ``scale``: (features,); ``coarse``, ``fine``: (kinds, form + embedding), either may have no rows; ``linear``: so
    many leading dimensions of the embedding are weighed linearly, and all of them tell the kinds apart.
    """

    offset: Floats
    scale: Floats
    coarse: Floats
    fine: Floats
    linear: int

    @cached_property
    def size(self) -> int:
        """How many numbers the heads weigh."""
        return 1 + len(self.coarse) + len(self.fine) + PLAIN + self.linear

    @property
    def blocks(self) -> tuple[slice, ...]:
        """The constant, the coarse kinds, the fine kinds, and what is weighed linearly."""
        first, second = 1 + len(self.coarse), 1 + len(self.coarse) + len(self.fine)
        return slice(0, 1), slice(1, first), slice(first, second), slice(second, self.size)

    @cached_property
    def _all(self) -> Floats:
        """The coarse kinds, then the fine ones."""
        return np.vstack((self.coarse.reshape(-1, _FORM + EMBEDDED), self.fine.reshape(-1, _FORM + EMBEDDED)))

    @cached_property
    def _doubled(self) -> Floats:
        return 2.0 * self._all

    @cached_property
    def _lengths(self) -> Floats:
        """The squared length of each of them."""
        lengths: Floats = (self._all * self._all).sum(axis=1)
        return lengths

    def standardised(self, features: Floats) -> Floats:
        """Centre and scale feature vectors, shape (..., features)."""
        if features.shape[-1] != PLAIN + EMBEDDED:
            raise ValueError(f"a feature vector of set 2 has {PLAIN + EMBEDDED} numbers, not {features.shape[-1]}")
        standardised: Floats = (features - self.offset) * self.scale
        plain = standardised[..., :PLAIN]
        np.minimum(np.maximum(plain, -FURTHEST, out=plain), FURTHEST, out=plain)
        return standardised

    def see(self, features: Floats) -> Floats:
        """What the heads weigh, shape (n, size), of feature vectors, shape (n, features)."""
        plain = self.standardised(features)
        place = where(plain)
        return np.hstack(
            (
                np.ones((len(plain), 1)),
                nearness(place, self.coarse),
                nearness(place, self.fine),
                plain[:, : PLAIN + self.linear],
            )
        )

    def see_one(self, features: Floats) -> tuple[Floats, float]:
        """What ``see`` gives of one vector, shape (size,), and its strangeness; sooner than for many."""
        plain = self.standardised(features)
        seen = np.empty(self.size)
        seen[0] = 1.0
        linear = PLAIN + self.linear
        seen[-linear:] = plain[:linear]
        kinds = len(self._lengths)
        if not kinds:
            return seen, 0.0
        place = plain[_PLACE]
        squares = self._lengths - self._doubled @ place
        nearest = np.minimum.reduce(squares)
        near = np.exp(SHARPNESS * (nearest - squares))
        coarse = len(self.coarse)
        if coarse < kinds:
            seen[1 : 1 + kinds] = near
            seen[1 : 1 + coarse] /= np.add.reduce(near[:coarse])
            seen[1 + coarse : 1 + kinds] /= np.add.reduce(near[coarse:])
            nearest = np.minimum.reduce(squares[coarse:])
        else:
            np.divide(near, np.add.reduce(near), out=seen[1 : 1 + kinds])
        return seen, max(float(nearest + place @ place), 0.0)

    def kinds(self, seen: Floats) -> Floats:
        """The nearness to each coarse kind, (n, coarse kinds), in what ``see`` gave; a column of ones before there are any."""
        return seen[:, self.blocks[1]] if len(self.coarse) else seen[:, :1]

    def strangeness(self, features: Floats) -> Floats:
        """The squared distance to the nearest kind, shape (n,); zeros before there are any."""
        kinds = self.fine if len(self.fine) else self.coarse
        if not len(kinds):
            return np.zeros(len(features))
        nearest: Floats = _squares(where(self.standardised(features)), kinds).min(axis=1)
        return nearest


def where(standardised: Floats) -> Floats:
    """The coordinates in which likeness is measured: form and meaning."""
    return np.hstack((standardised[:, :_FORM], standardised[:, PLAIN:]))


def nearness(places: Floats, kinds: Floats) -> Floats:
    """The softmax of minus the squared distances, shape (n, kinds)."""
    if not len(kinds):
        return np.zeros((len(places), 0))
    squares = _squares(places, kinds)
    raised = np.exp(-SHARPNESS * (squares - squares.min(axis=1, keepdims=True)))
    near: Floats = raised / raised.sum(axis=1, keepdims=True)
    return near


def _squares(places: Floats, kinds: Floats) -> Floats:
    squares: Floats = np.maximum(
        (places * places).sum(axis=1)[:, None] + (kinds * kinds).sum(axis=1) - 2.0 * (places @ kinds.T), 0.0
    )
    return squares
