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
from typing import Final

import numpy as np
import numpy.typing as npt

from agents.deciding.features import EMBEDDED, PLAIN
from agents.deciding.text_form import FORM

Floats = npt.NDArray[np.float64]

SHARPNESS: Final = 3.0
FORM_SCALE: Final = 0.25
NEARNESS_OF_MEANING: Final = 0.8
LINEAR_EMBEDDED: Final = 32
"""So many leading dimensions of the embedding are weighed linearly; all of them tell the kinds apart."""

_FORM = len(FORM)


@dataclass(frozen=True, eq=False)
class Lens:
    """``offset``, ``scale``: (features,); ``coarse``, ``fine``: (kinds, form + embedding), either may have no rows."""

    offset: Floats
    scale: Floats
    coarse: Floats
    fine: Floats

    @property
    def size(self) -> int:
        """How many numbers the heads weigh."""
        return 1 + len(self.coarse) + len(self.fine) + PLAIN + LINEAR_EMBEDDED

    @property
    def blocks(self) -> tuple[slice, ...]:
        """The constant, the coarse kinds, the fine kinds, and what is weighed linearly."""
        first, second = 1 + len(self.coarse), 1 + len(self.coarse) + len(self.fine)
        return slice(0, 1), slice(1, first), slice(first, second), slice(second, self.size)

    def standardised(self, features: Floats) -> Floats:
        """Centre and scale feature vectors, shape (..., features)."""
        if features.shape[-1] != PLAIN + EMBEDDED:
            raise ValueError(f"a feature vector of set 2 has {PLAIN + EMBEDDED} numbers, not {features.shape[-1]}")
        return (features - self.offset) * self.scale

    def see(self, features: Floats) -> Floats:
        """What the heads weigh, shape (n, size), of feature vectors, shape (n, features)."""
        plain = self.standardised(features)
        place = where(plain)
        return np.hstack(
            (
                np.ones((len(plain), 1)),
                nearness(place, self.coarse),
                nearness(place, self.fine),
                plain[:, : PLAIN + LINEAR_EMBEDDED],
            )
        )

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
