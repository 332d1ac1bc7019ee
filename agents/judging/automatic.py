"""Automatic scores: how far an answer is supported by its passages, and how far it is about its question.

In: question, passages and answer (``Material``), and the vectors of ``Material.texts``. Out: ``Scores``, both in [0, 1]. Keeps
nothing. Fails with ``ValueError`` where vectors and texts do not match. Pure, and no language model.

With W(t) the content words of a text, folded to a stem, and near(a, b) = clip((cos(a, b) - LOW) / (HIGH - LOW), 0, 1):

    support   = mean over the answer's sentences s of
                max over the passages p of max(|W(s) & W(p)| / |W(s)|, near(s, p))
    relevance = NEARNESS_SHARE * max over t in {answer, its sentences} of near(question, t)
                + (1 - NEARNESS_SHARE) * |W(question) & W(answer)| / |W(question)|

A sentence without content words is left out. Without a passage support is 0; without text in the answer both are. A question
without content words is compared by nearness alone. An answer that says that it cannot answer has at most
``REFUSAL_RELEVANCE``: it repeats the question's words and says nothing about it.

LOW and HIGH belong to the static encoder. On eight questions and answers of our own the cosine of a question with the answers to
the others was 0.10 in the mean (nine in ten under 0.26), with its own answer 0.64 in the median and 0.87 at most. Trap: stems
and refusals know English only; elsewhere the words count as they are.
"""

import re
from functools import cached_property
from typing import Final

import msgspec
import numpy as np
import numpy.typing as npt

from agents.answering.splitting import sentences

Floats = npt.NDArray[np.float32]

LOW: Final = 0.15
HIGH: Final = 0.75
NEARNESS_SHARE: Final = 0.6
REFUSAL_RELEVANCE: Final = 0.1
MOST_SENTENCES: Final = 64
"""Sentences of an answer that are looked at, the first ones; and passages."""
MOST_CHARACTERS: Final = 8_000
"""Characters of a question, a sentence or a passage that are looked at, the first ones."""

_WORD = re.compile(r"[^\W_]+(?:['\u2019][^\W_]+)?")


def _words(spaced: str) -> frozenset[str]:
    return frozenset(spaced.split())


_STOP_WORDS: Final = _words(
    "a about after again all also am an and any are as at be because been before being but by can could did do does doing done "
    "for from had has have having he her here hers him his how i if in into is it its itself just may me might mine more most "
    "must my no nor not of off on once one only or other our ours out over own please said same shall she should so some such "
    "than that the their theirs them then there these they this those through to too under until up us very was we were what "
    "when where which while who whom whose why will with would yes yet you your yours"
)
_NOT = r"(?:do not|don't|does not|doesn't|did not|didn't|cannot|can't|can not|could not|couldn't|never)"
_GIVEN = r"(?:passages?|documents?|context|sources?|material|text|documentation)"
_SAYS = r"(?:say|contain|mention|answer|include|provide|cover|state|tell|explain|describe)"
_OPENING = r"^(?:sorry|unfortunately)?\W*"
_REFUSALS: Final = tuple(
    re.compile(pattern)
    for pattern in (
        rf"\b(?:i|we) (?:\w+ )?{_NOT} (?:\w+ ){{0,4}}(?:know|answer|find|say|tell|help|determine)\b",
        r"\b(?:i|we)(?:'m| am|'re| are) (?:\w+ )?(?:unable|not able|not sure)\b",
        r"\b(?:i|we) (?:have|found|find) (?:no|nothing|not enough)\b",
        rf"\b{_GIVEN}\b.{{0,40}}\b{_NOT} (?:\w+ )?{_SAYS}\b",
        rf"{_OPENING}(?:there is |there's )?(?:no|not enough) (?:\w+ )?(?:information|answer)\b",
        rf"{_OPENING}(?:unable|not able) to (?:answer|find|say|tell|help|determine)\b",
        rf"{_OPENING}(?:this|that|the question|your question) {_NOT} be answered\b",
    )
)
_SENTENCES_OF_A_REFUSAL: Final = 2


class Scores(msgspec.Struct, frozen=True):
    """Both in [0, 1]."""

    support: float
    relevance: float


class Material(msgspec.Struct, frozen=True, dict=True):
    """What is scored: texts as they were given to the model and came from it."""

    question: str
    passages: tuple[str, ...]
    answer: str

    @cached_property
    def sentences(self) -> tuple[str, ...]:
        """The answer's sentences that have content words, the first ``MOST_SENTENCES``."""
        found = (each for line in self.answer.splitlines() for each in sentences(line.strip()))
        return tuple(each[:MOST_CHARACTERS] for each in found if content_words(each))[:MOST_SENTENCES]

    @cached_property
    def texts(self) -> tuple[str, ...]:
        """What needs a vector, in this order: question, answer, sentences, passages."""
        passages = (passage[:MOST_CHARACTERS] for passage in self.passages[:MOST_SENTENCES])
        return (self.question[:MOST_CHARACTERS], self.answer[:MOST_CHARACTERS], *self.sentences, *passages)


def content_words(text: str) -> frozenset[str]:
    """Give the stems of the words that carry a meaning."""
    words = (word.replace("\u2019", "'").removesuffix("'s") for word in _WORD.findall(text[:MOST_CHARACTERS].lower()))
    return frozenset(_stem(word) for word in words if word not in _STOP_WORDS)


def says_it_cannot_answer(answer: str) -> bool:
    """Say whether an answer begins by declining to answer."""
    plain = answer[:MOST_CHARACTERS].replace("\u2019", "'")
    opening = [each.lower() for each in sentences(plain)[:_SENTENCES_OF_A_REFUSAL]]
    return any(pattern.search(each) for each in opening for pattern in _REFUSALS)


def score(material: Material, vectors: Floats) -> Scores:
    """Score an answer; ``vectors`` has shape (len(material.texts), dimensions), rows of length one or zero."""
    if vectors.ndim != 2 or len(vectors) != len(material.texts):  # noqa: PLR2004
        raise ValueError(f"{len(material.texts)} texts need as many vectors, not an array of shape {vectors.shape}")
    if not material.answer.strip():
        return Scores(0.0, 0.0)
    first_passage = 2 + len(material.sentences)
    return Scores(
        support=_support(material, vectors[2:first_passage], vectors[first_passage:]),
        relevance=_relevance(material, vectors[0], vectors[1:first_passage]),
    )


def _support(material: Material, of_sentences: Floats, of_passages: Floats) -> float:
    if not material.sentences or not len(of_passages):
        return 0.0
    passages = [content_words(passage) for passage in material.passages[: len(of_passages)]]
    by_words = np.array(
        [max(_share(words, passage) for passage in passages) for words in map(content_words, material.sentences)]
    )
    by_meaning = _near(of_sentences @ of_passages.T).max(axis=1)
    return float(np.maximum(by_words, by_meaning).mean())


def _relevance(material: Material, of_question: Floats, of_answer: Floats) -> float:
    nearness = float(_near(of_answer @ of_question).max())
    asked = content_words(material.question)
    if asked:
        overlap = _share(asked, content_words(material.answer))
        nearness = NEARNESS_SHARE * nearness + (1 - NEARNESS_SHARE) * overlap
    return min(nearness, REFUSAL_RELEVANCE) if says_it_cannot_answer(material.answer) else nearness


def _near(cosines: npt.NDArray[np.floating]) -> npt.NDArray[np.float64]:
    """Calibrate; what is no number counts as unlike."""
    return np.clip((np.nan_to_num(cosines.astype(np.float64), nan=-1.0) - LOW) / (HIGH - LOW), 0.0, 1.0)


def _share(of: frozenset[str], within: frozenset[str]) -> float:
    return len(of & within) / len(of)


def _stem(word: str) -> str:
    """Fold plural and the commonest endings of verbs; short words and numbers stay."""
    for ending, instead, least in (("ies", "y", 5), ("ing", "", 6), ("ed", "", 5), ("es", "", 5), ("s", "", 4)):
        if word.endswith(ending) and len(word) >= least and not word.endswith("ss"):
            return (word.removesuffix(ending) + instead).rstrip("e")
    return word.rstrip("e") if len(word) > 3 else word  # noqa: PLR2004 - "see", "the": too short to fold
