"""An entity graph over passages: who names the same thing, and who links to whom.

In: passages. Out: for some passages, their neighbours with a weight. Kept: postings of entities and
link targets. Fails: never. Pure.

An entity is a code span, an identifier with `_`, `-`, `.` or `/` inside, a CamelCase word, or a run
of capitalised words. Two passages are neighbours where they share an entity that is rare (it says
something), or where one links to the other's document or section; of a section with many passages,
to the first 12.
"""

import math
import re
from collections import defaultdict
from collections.abc import Iterable, Sequence

from agents.answering import Passage

LINK_WEIGHT = 3.0
RARE_AT_MOST = 12
LINKED_AT_MOST = 12
SHORTEST_NAME = 3

_CODE_SPAN = re.compile(r"`([^`\n]{2,60})`")
_IDENTIFIER = re.compile(r"\b[A-Za-z][A-Za-z0-9]*(?:[_\-./][A-Za-z0-9]+)+\b")
_CAMEL_CASE = re.compile(r"\b[A-Z][a-z0-9]+(?:[A-Z][a-z0-9]+)+\b")
_CAPITALISED = re.compile(r"\b[A-Z][a-zA-Z0-9]+(?: [A-Z][a-zA-Z0-9]+)+\b")
# From the `]` on: what stands in the brackets does not matter, and no two tries read the same characters.
_LINK = re.compile(r"\]\(([^()\s]+)\)")
_NOT_ANCHOR = re.compile(r"[^\w\- ]")


def entities(text: str) -> frozenset[str]:
    """Return the names in `text`, in lower case."""
    found = set(_CODE_SPAN.findall(text))
    for pattern in (_IDENTIFIER, _CAMEL_CASE, _CAPITALISED):
        found.update(pattern.findall(text))
    return frozenset(name.strip(" .,:;").lower() for name in found if len(name.strip()) > 1)


def anchor(heading: str) -> str:
    """Return the fragment by which a Markdown link names `heading`."""
    return _NOT_ANCHOR.sub("", heading.lower()).strip().replace(" ", "-")


class EntityGraph:
    """Passages, the entities in them, and the links between them."""

    def __init__(self, passages: Sequence[Passage]) -> None:
        self._entities = [entities(f"{passage.heading}\n{passage.text}") for passage in passages]
        self._holders: dict[str, list[int]] = defaultdict(list)
        for number, names in enumerate(self._entities):
            for name in names:
                self._holders[name].append(number)
        self._size = len(passages)
        self._links = _link_targets(passages)

    def holders(self, question: str) -> dict[int, float]:
        """Return the passages that hold entities of `question`, with the sum of their rarities.

        A single word of the question counts where the documents use it as a name.
        """
        names = set(entities(question))
        names.update(word for word in re.findall(r"[\w.\-/]+", question.lower()) if len(word) >= SHORTEST_NAME)
        found: dict[int, float] = defaultdict(float)
        for name in sorted(names & self._holders.keys()):
            for number in self._holders[name]:
                found[number] += self._rarity(name)
        return dict(found)

    def expand(self, hits: Iterable[int]) -> dict[int, float]:
        """Return the neighbours of `hits` that are not among them, with the weight of the edges."""
        start = list(hits)
        neighbours: dict[int, float] = defaultdict(float)
        for hit in start:
            for name in sorted(self._entities[hit]):
                holders = self._holders[name]
                if len(holders) <= RARE_AT_MOST:
                    for number in holders:
                        neighbours[number] += self._rarity(name)
            for number in self._links[hit]:
                neighbours[number] += LINK_WEIGHT
        return {number: weight for number, weight in neighbours.items() if number not in start}

    def _rarity(self, name: str) -> float:
        return math.log1p(self._size / len(self._holders[name]))


def _link_targets(passages: Sequence[Passage]) -> list[list[int]]:
    """Return for each passage those that its Markdown links lead to."""
    by_section: dict[tuple[str, str], list[int]] = defaultdict(list)
    for number, passage in enumerate(passages):
        by_section[(passage.document_id, "")].append(number)
        for heading in passage.heading.split(" > "):
            by_section[(passage.document_id, anchor(heading))].append(number)
    targets: list[list[int]] = []
    for passage in passages:
        found: list[int] = []
        for target in dict.fromkeys(_LINK.findall(passage.text)):
            path, _, fragment = target.partition("#")
            document_id = _resolve(passage.document_id, path) if path else passage.document_id
            whole = by_section.get((document_id, fragment), [])
            found.extend(whole[: LINKED_AT_MOST if fragment else 1])
        targets.append(list(dict.fromkeys(found)))
    return targets


def _resolve(document_id: str, path: str) -> str:
    """Return the id of the document that `path` names, seen from `document_id`."""
    parts = document_id.split("/")[:-1]
    for part in path.split("/"):
        if part == "..":
            del parts[-1:]
        elif part not in {"", "."}:
            parts.append(part)
    return "/".join(parts)
