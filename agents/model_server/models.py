"""The three embedded models: really different in quality, latency and price.

In: a question, passages, the turns before, a length. Out: a text made of units of the passages, or
the sentence that they do not hold the answer. Kept: the encoders. Fails: never on any text.
Deterministic: the same input gives the same answer.

- penstock-lexical (simple): units by the words they share with the question (BM25).
- penstock-static (balanced): units by the cosine of static vectors, joined with shared words.
- penstock-minilm (premium): units by the sentence-transformers model, for the question and each of
  its parts, and by the section they stand in; then a choice from several passages that does not say
  a thing twice, with its sources.

All three say the chosen units in the order in which the documents have them.
"""

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Protocol

import numpy as np

from agents.answering import Passage
from agents.answering.ranking import LexicalIndex, Scores, cosines, terms
from agents.encoding.encoder import Encoder
from agents.model_server.composing import choose, choose_varied, compose, name_sources
from agents.model_server.units import Unit, read_units

DEFAULT_ANSWER_CHARACTERS = 800
NO_ANSWER = "The given documents do not answer this question."

_WHO = re.compile(
    r"\b(?:who|what) are you\b|\bare you (?:an? |really )?(?:human|person|real|ai|bot|machine|chatgpt)"
    r"|\b(?:which|what) (?:language )?model (?:are you|is this|am i)\b",
    re.IGNORECASE,
)
_WHO_AT_MOST = 80
_TERMS_ENOUGH = 3
_PARTS_AT_MOST = 8
# For a question with single spaces only: runs of white space would be read from each of their characters.
_PART = re.compile(
    r"[?;] |,? and (?=(?:who|what|when|where|which|why|how|is|are|do|does|can|should)\b)",
    re.IGNORECASE,
)


class EmbeddedModel(Protocol):
    """Something that answers from passages."""

    @property
    def name(self) -> str:
        """The model's name in the protocol."""
        ...

    @property
    def description(self) -> str:
        """What it is and is not, in sentences for people."""
        ...

    def rank_and_choose(self, question: str, units: Sequence[Unit], limit: int) -> list[Unit]:
        """Return the units to say within `limit` characters; none where nothing supports one."""
        ...


def answer(
    model: EmbeddedModel,
    question: str,
    passages: Sequence[Passage],
    history: Sequence[Mapping[str, str]],
    max_answer_characters: int | None,
) -> str:
    """Return the answer of `model`, at most `max_answer_characters` long."""
    limit = DEFAULT_ANSWER_CHARACTERS if max_answer_characters is None else max_answer_characters
    if len(question) <= _WHO_AT_MOST and _WHO.search(question):
        return f"I am {model.name}. {model.description}"[:limit]
    units = read_units(passages)
    asked = _with_history(question, history)
    chosen = model.rank_and_choose(asked, units, limit) if units else []
    return compose(chosen, limit) if chosen else NO_ANSWER[:limit]


def _with_history(question: str, history: Sequence[Mapping[str, str]]) -> str:
    """Put the user's last turn before a question that says too little alone."""
    if len(set(terms(question))) >= _TERMS_ENOUGH:
        return question
    earlier = [turn["content"] for turn in history if turn["role"] == "user"]
    return f"{earlier[-1]} {question}" if earlier else question


def _shared_words(question: str, units: Sequence[Unit], heading_share: float) -> Scores:
    """Return BM25 of the units' texts, and at a share that of their headings and contexts."""
    texts = LexicalIndex([unit.text for unit in units]).scores(question)
    around = LexicalIndex([f"{unit.title} {unit.heading} {unit.context}" for unit in units])
    return texts + np.float32(heading_share) * around.scores(question)


def _scaled(scores: Scores) -> Scores:
    return scores / np.float32(max(float(scores.max(initial=0.0)), 1e-12))


def _situated(unit: Unit) -> str:
    """Return the text by which a unit is encoded: with its heading and what it refers to."""
    return f"{unit.heading}: {unit.context} {unit.text}" if unit.context else (f"{unit.heading}: {unit.text}")


class LexicalModel:
    """Sentence extraction by shared words."""

    name = "penstock-lexical"
    description = (
        "I am an extractive program, not a language model: I quote the sentences of the given "
        "documents that share most words with the question. I know nothing else."
    )

    def rank_and_choose(self, question: str, units: Sequence[Unit], limit: int) -> list[Unit]:
        """Return the units with the highest BM25 that fit into `limit`."""
        return choose(units, _shared_words(question, units, 0.3), limit, at_least=0.0)


class StaticModel:
    """Extraction by static embeddings."""

    name = "penstock-static"
    description = (
        "I am an extractive program, not a language model: I quote the sentences of the given "
        "documents that are nearest to the question by static word vectors and shared words. "
        "I know nothing else."
    )
    _LOWEST_COSINE = 0.4
    _LOWEST_WITH_WORDS = 0.3
    _LEXICAL_SHARE = 0.5

    def __init__(self, encoder: Encoder) -> None:
        self._encoder = encoder

    def rank_and_choose(self, question: str, units: Sequence[Unit], limit: int) -> list[Unit]:
        """Return the units with the highest joint score that fit into `limit`."""
        vectors = self._encoder.encode([question, *(_situated(unit) for unit in units)])
        similar = cosines(vectors[1:], vectors[0])
        shared = _shared_words(question, units, 0.3)
        supported = similar.max() >= self._LOWEST_COSINE
        if not supported and (shared.max() <= 0 or similar.max() < self._LOWEST_WITH_WORDS):
            return []
        joint = similar + np.float32(self._LEXICAL_SHARE) * _scaled(shared)
        return choose(units, joint, limit, at_least=0.3 * float(joint.max()))


class MiniLmModel:
    """Extraction by a sentence transformer, with composition over several passages."""

    name = "penstock-minilm"
    description = (
        "I am an extractive program, not a language model that writes: with a small sentence "
        "transformer (all-MiniLM-L6-v2) I quote the sentences of the given documents that fit the "
        "question and its parts best, and name where they stand. I know nothing else."
    )
    _LOWEST_COSINE = 0.3
    _LEXICAL_SHARE = 0.2
    _SECTION_SHARE = 0.6
    _PARTS_SHARE = 0.3
    _SOURCES_CHARACTERS = 30

    def __init__(self, encoder: Encoder) -> None:
        self._encoder = encoder

    def rank_and_choose(self, question: str, units: Sequence[Unit], limit: int) -> list[Unit]:
        """Return units that together answer `question` and its parts, then their sources."""
        asked = _parts(question)
        encoded = self._encoder.encode([*asked, *(_situated(unit) for unit in units)])
        vectors = encoded[len(asked) :]
        sections = _section_vectors(units, vectors)
        if max(float(cosines(vectors, query).max()) for query in encoded[: len(asked)]) < (self._LOWEST_COSINE):
            return []
        by_part = [
            cosines(vectors, query)
            + np.float32(self._SECTION_SHARE) * cosines(sections, query)
            + np.float32(self._LEXICAL_SHARE) * _scaled(_shared_words(part, units, 0.3))
            for part, query in zip(asked, encoded[: len(asked)], strict=True)
        ]
        scores = by_part[0]
        if len(by_part) > 1:
            scores = scores + np.float32(self._PARTS_SHARE) * np.max(by_part[1:], axis=0)
        has_room = limit > 5 * self._SOURCES_CHARACTERS
        room = limit - self._SOURCES_CHARACTERS if has_room else limit
        chosen = choose_varied(units, scores, vectors, room)
        return [*chosen, *name_sources(chosen, limit)]


def _section_vectors(units: Sequence[Unit], vectors: Scores) -> Scores:
    """Return for each unit the normalised mean of the vectors of its section."""
    members: dict[tuple[int, str], list[int]] = defaultdict(list)
    for number, unit in enumerate(units):
        members[(unit.passage_number, unit.heading)].append(number)
    sections = np.zeros_like(vectors)
    for numbers in members.values():
        total = vectors[numbers].sum(axis=0)
        sections[numbers] = total / np.float32(max(float(np.sqrt(np.sum(total * total))), 1e-12))
    return sections


def _parts(question: str) -> list[str]:
    """Return the question, and after it its parts (the first eight) where it asks for several things."""
    parts = [part.strip(" ?,.;") for part in _PART.split(" ".join(question.split()))]
    long_enough = [part for part in parts if len(terms(part)) > 1][:_PARTS_AT_MOST]
    return [question, *long_enough] if len(long_enough) > 1 else [question]
