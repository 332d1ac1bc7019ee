"""Fitting the lens: how features are spread, and which kinds of text there are.

In: feature vectors of set 2, in the order of the log. Out: a ``Lens``. Keeps nothing. Fails with nothing. Pure, and the same rows
give the same bytes: at most ``MOST_ROWS`` rows at equal distances are read, and chance is a generator with a fixed seed.

Kinds are k-means' centres (Lloyd, 1982; started as by Arthur and Vassilvitskii, "k-means++", 2007) over form and meaning. Their
number grows with the texts seen: a kind needs ``TEXTS_A_KIND`` of them to be worth having.
"""

from typing import Final

import numpy as np
import numpy.typing as npt

from agents.deciding.features import OF_LOAD, PLAIN
from agents.deciding.lens import FORM_SCALE, NEARNESS_OF_MEANING, Lens, where

Floats = npt.NDArray[np.float64]

MOST_ROWS: Final = 4_000
LEAST_TEXTS: Final = 60
TEXTS_A_KIND: Final = 25
MOST_COARSE: Final = 24
FINE_FROM: Final = 1_500
TEXTS_A_FINE_KIND: Final = 40
MOST_FINE: Final = 128
MOST_LINEAR: Final = 32
LEAST_ROOM: Final = 8
_ROUNDS: Final = 8
_LEAST_SPREAD: Final = 1e-6
_LEAST_SPREAD_OF_LOAD: Final = 0.3
_SEED: Final = 1


def fit_lens(features: Floats, *, strategies: int, most_weights: int) -> Lens:
    """The lens for texts with these features, shape (n, features); the heads get at most about ``most_weights`` weights in all.

    Kinds come first, then what is weighed linearly, then finer kinds. How load is spread within an hour says nothing about how it
    is spread within a day, so its scale has a least one.
    """
    rows = features[:: max(1, -(-len(features) // MOST_ROWS))]
    offset = rows.mean(axis=0)
    spread = rows.std(axis=0)
    spread[list(OF_LOAD)] = np.maximum(spread[list(OF_LOAD)], _LEAST_SPREAD_OF_LOAD)
    scale = np.where(spread > _LEAST_SPREAD, FORM_SCALE / np.maximum(spread, _LEAST_SPREAD), 0.0)
    embedded = rows[:, PLAIN:] - offset[PLAIN:]
    length = float(np.sqrt((embedded * embedded).sum(axis=1).mean()))
    scale[PLAIN:] = NEARNESS_OF_MEANING / length if length > _LEAST_SPREAD else 0.0
    none = np.zeros((0, 0))
    texts = len(features)
    room = max(most_weights // strategies - (1 + PLAIN), LEAST_ROOM)
    wanted = min(MOST_COARSE, max(4, texts // TEXTS_A_KIND), room) if texts >= LEAST_TEXTS else 0
    linear = min(MOST_LINEAR, room - wanted)
    bare = Lens(offset, scale, none, none, linear)
    if not wanted:
        return bare
    places = where(bare.standardised(rows))
    coarse = kinds_of(places, wanted)
    room -= len(coarse) + linear
    fine = min(MOST_FINE, texts // TEXTS_A_FINE_KIND, room) if texts >= FINE_FROM else 0
    return Lens(offset, scale, coarse, kinds_of(places, fine) if fine > len(coarse) else none, linear)


def kinds_of(places: Floats, count: int) -> Floats:
    """At most ``count`` centres of ``places``, shape (n, coordinates); fewer where there are fewer different places."""
    chance = np.random.default_rng(_SEED)
    centres = places[:1]
    nearest = ((places - places[0]) ** 2).sum(axis=1)
    for _ in range(count - 1):
        reached = np.cumsum(nearest)
        if reached[-1] <= 0.0:
            break
        found = min(int(np.searchsorted(reached, chance.random() * reached[-1])), len(places) - 1)
        centres = np.vstack((centres, places[found]))
        nearest = np.minimum(nearest, ((places - places[found]) ** 2).sum(axis=1))
    for _ in range(_ROUNDS):
        owner = ((centres * centres).sum(axis=1) - 2.0 * (places @ centres.T)).argmin(axis=1)
        sizes = np.bincount(owner, minlength=len(centres))
        members = np.zeros((len(centres), len(places)))
        members[owner, np.arange(len(places))] = 1.0
        means = (members @ places) / np.maximum(sizes, 1)[:, None]
        centres = np.where(sizes[:, None] > 0, means, centres)
    kinds: Floats = centres
    return kinds
