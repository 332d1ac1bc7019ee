"""Chooses units and puts them together within a length.

In: units with scores. Out: the chosen ones in reading order, and their text. Kept: nothing. Fails:
never. Pure.

The varied choice is greedy, after maximal marginal relevance (Carbonell and Goldstein 1998): the
next unit is the one with the highest score minus a share of its likeness to what was chosen.
"""

import itertools
from collections.abc import Sequence

import numpy as np

from agents.answering.ranking import Scores, cosines
from agents.model_server.units import Unit

LIKENESS_SHARE = 0.1
NEIGHBOUR_SHARE = 0.1
WORTH_SAYING = 0.3
ANNOUNCEMENT_LOSS = 0.2
SHORTEST_CUT = 40
CHOSEN_AT_MOST = 200


def choose(units: Sequence[Unit], scores: Scores, limit: int, at_least: float) -> list[Unit]:
    """Return the best units that fit into `limit` characters, in reading order.

    The best one is chosen even where it has to be cut; no unit at or below `at_least` is.
    """
    chosen: list[Unit] = []
    left = limit
    for number in np.argsort(-scores, kind="stable"):
        if scores[number] <= at_least or left <= 0:
            break
        unit = units[int(number)]
        if len(unit.text) + 1 <= left or not chosen:
            chosen.append(unit)
            left -= len(unit.text) + 1
    return sorted(chosen, key=lambda unit: unit.place)


def choose_varied(units: Sequence[Unit], scores: Scores, vectors: Scores, limit: int) -> list[Unit]:
    """Return good units that do not repeat each other, within `limit` and at most 200, in reading order.

    `scores` is (len(units)), `vectors` (len(units), dimensions) with rows of length one.
    """
    lifted = _with_neighbours(units, scores)
    lengths = np.array([len(unit.text) + 1 for unit in units])
    available = lifted >= WORTH_SAYING * float(lifted.max())
    likeness = np.zeros(len(units), dtype=np.float32)
    chosen: list[Unit] = []
    left = limit
    while len(chosen) < CHOSEN_AT_MOST and available.any():
        worth = np.where(available, lifted - np.float32(LIKENESS_SHARE) * likeness, -np.inf)
        number = int(np.argmax(worth))
        chosen.append(units[number])
        left -= int(lengths[number])
        likeness = np.maximum(likeness, cosines(vectors, vectors[number]))
        available[number] = False
        available &= lengths <= left
    return sorted(chosen, key=lambda unit: unit.place)


def _with_neighbours(units: Sequence[Unit], scores: Scores) -> Scores:
    """Add a share of the scores of the units before and after it in the same passage.

    A unit that only announces what follows is worth less than what follows.
    """
    lifted = scores.copy()
    for number, (unit, following) in enumerate(itertools.pairwise(units)):
        if unit.passage_number == following.passage_number:
            lifted[number] += np.float32(NEIGHBOUR_SHARE) * scores[number + 1]
            lifted[number + 1] += np.float32(NEIGHBOUR_SHARE) * scores[number]
    announces = np.array([unit.text.endswith(":") for unit in units], dtype=np.float32)
    return lifted - np.float32(ANNOUNCEMENT_LOSS) * announces


def name_sources(chosen: Sequence[Unit], limit: int) -> list[Unit]:
    """Return a last unit that names where the others stand, if there is room for it."""
    left = limit - sum(len(unit.text) + 1 for unit in chosen)
    named: list[str] = []
    left -= len("(Sources: .)")
    for title in dict.fromkeys(unit.title for unit in chosen if unit.title):
        left -= len(title) + (len(", ") if named else 0)
        if left < 0:
            break
        named.append(title)
    if not named:
        return []
    place = 1 + max(unit.place for unit in chosen)
    return [Unit(f"(Sources: {', '.join(named)}.)", "", "", -1, place, "")]


def compose(chosen: Sequence[Unit], limit: int) -> str:
    """Return the units' texts with spaces between, cut after a word where one alone is too long."""
    text = " ".join(_ended(unit.text) for unit in chosen)
    if len(text) <= limit:
        return text
    text = " ".join(unit.text for unit in chosen)
    if len(text) <= limit:
        return text
    space = text.rfind(" ", 0, limit)
    return text[: space if space > SHORTEST_CUT else limit].rstrip()


def _ended(text: str) -> str:
    """Return `text` as something a next sentence can follow."""
    return text if text.endswith((".", "!", "?", ":", ";", ".)", '."')) else f"{text}."
