"""The feature vector of a request, set 2: its form, its kind, its place, the load, and its meaning.

In: a text, its embedding, what was found out about it. Out: a vector in the order of ``NAMES``. Keeps nothing, cannot fail. Pure.
Numbers are raw: what is large or small is learned (``Lens.offset`` and ``scale``). The embedding is that of the last user turn
only, because a shared prefix hides the question, and its dimensions are principal components in falling order.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from agents.deciding.content_types import BUILT_IN_TYPES
from agents.deciding.text_form import FORM, text_form

FEATURE_SET: Final = "2"
EMBEDDED: Final = 64
_HOURS: Final = 24.0
_MOST_TURNS: Final = 10

NAMES: Final = (
    *FORM,
    "complexity",
    "turns",
    "has documents",
    *(f"is {name}" for name in BUILT_IN_TYPES),
    "log queue lag",
    "hour, sine",
    "hour, cosine",
)
PLAIN: Final = len(NAMES)
OF_LOAD: Final = (NAMES.index("log queue lag"), NAMES.index("hour, sine"), NAMES.index("hour, cosine"))
LAG: Final = OF_LOAD[0]
COMPLEXITY: Final = NAMES.index("complexity")


@dataclass(frozen=True)
class Load:
    """The load at the moment of deciding: requests that wait, and the hour of the day in UTC, 0 to 24."""

    waiting: int = 0
    hour: float = 0.0


CALM = Load()


def feature_vector(
    text: str,
    vector: Sequence[float] | npt.NDArray[np.float32],
    *,
    complexity: int,
    type_scores: Mapping[str, float],
    turns: int = 0,
    documents: bool = False,
    load: Load = CALM,
) -> npt.NDArray[np.float64]:
    """The feature vector, shape (PLAIN + EMBEDDED,); an embedding with fewer dimensions is filled up with zeros."""
    angle = 2.0 * math.pi * load.hour / _HOURS
    plain = (
        *text_form(text),
        complexity / 10.0,
        min(turns, _MOST_TURNS) / _MOST_TURNS,
        float(documents),
        *(type_scores.get(name, 0.0) for name in BUILT_IN_TYPES),
        math.log1p(load.waiting),
        math.sin(angle),
        math.cos(angle),
    )
    whole = np.zeros(PLAIN + EMBEDDED)
    whole[:PLAIN] = plain
    leading = vector[:EMBEDDED]
    whole[PLAIN : PLAIN + len(leading)] = leading
    return whole
