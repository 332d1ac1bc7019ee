"""Scores texts against a question: by shared words, by vectors, and by both together.

In: texts or vectors, and a question. Out: arrays of scores, one for each text, higher is better.
Kept: an inverted index. Fails: never. Pure.

BM25 (Robertson and Zaragoza 2009): sum over the question's terms of
idf(t) * tf * (k1 + 1) / (tf + k1 * (1 - b + b * length / mean length)), with
idf(t) = ln(1 + (n - df + 0.5) / (df + 0.5)). Reciprocal-rank fusion (Cormack et al. 2009): the sum
over rankings of weight / (k + rank).
"""

import re
from collections import Counter, defaultdict
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Scores = npt.NDArray[np.float32]

TERM_SATURATION = 1.2
LENGTH_NORMALISATION = 0.6
FUSION_CONSTANT = 20.0
SHORTEST_ROOT = 3

_WORD = re.compile(r"\w+(?:[.\-/']\w+)*")
_PARTS = re.compile(r"[^\W_]+")
_CAMEL = re.compile(r"[A-Z]?[a-z0-9]+|[A-Z]+(?![a-z])")
STOPWORDS = frozenset(
    """a about after all also am an and any are as at be because been before being between both but
    by can could did do does doing down during each few for from further had has have having he her
    here hers him his how i if in into is it its itself just me more most my no nor not now of off
    on once only or other our ours out over own please s same she should so some such t tell than
    that the their theirs them then there these they this those through to too under until up us
    very was we were what when where which while who whom why will with would you your yours
    happen happens mean means need want get got does exactly explain describe give penstock""".split()  # noqa: SIM905
)


def terms(text: str) -> list[str]:
    """Return the stemmed terms of `text`; an identifier gives itself and its parts."""
    found: list[str] = []
    for word in _WORD.findall(text):
        whole = word.lower()
        parts = [part for piece in _PARTS.findall(word) for part in _camel_parts(piece)]
        if len(parts) > 1:
            found.append(whole)
        found.extend(stem(part) for part in (piece.lower() for piece in parts) if part not in STOPWORDS)
    return found


def _camel_parts(word: str) -> list[str]:
    has_hump = any(char.isupper() for char in word[1:]) and any(char.islower() for char in word)
    return _CAMEL.findall(word) or [word] if has_hump else [word]


def stem(word: str) -> str:
    """Take off the commonest English endings: enough that `retries` finds `retry`."""
    if len(word) <= SHORTEST_ROOT or not word.isascii():
        return word
    for ending, instead in (("ies", "y"), ("sses", "ss"), ("ied", "y")):
        if word.endswith(ending) and len(word) > len(ending) + 1:
            return word[: -len(ending)] + instead
    if word.endswith("s") and not word.endswith(("ss", "us", "is")):
        word = word[:-1]
    for ending in ("ing", "ed"):
        root = word[: -len(ending)]
        if word.endswith(ending) and len(root) >= SHORTEST_ROOT and re.search("[aeiouy]", root):
            word = root[:-1] if len(root) > SHORTEST_ROOT and root[-1] == root[-2] not in "lsz" else root
            break
    return word[:-1] if word.endswith("e") and len(word) > SHORTEST_ROOT else word


class LexicalIndex:
    """An inverted index over texts; a query costs its terms' postings."""

    def __init__(self, texts: Sequence[str]) -> None:
        self.size = len(texts)
        counts = [Counter(terms(text)) for text in texts]
        lengths = np.array([sum(count.values()) for count in counts], dtype=np.float32)
        mean_length = float(lengths.mean()) if self.size else 1.0
        postings: dict[str, list[tuple[int, int]]] = defaultdict(list)
        for number, count in enumerate(counts):
            for term, frequency in count.items():
                postings[term].append((number, frequency))
        relative = lengths / np.float32(max(mean_length, 1.0))
        norms = TERM_SATURATION * (1 - LENGTH_NORMALISATION + LENGTH_NORMALISATION * relative)
        self._postings: dict[str, tuple[npt.NDArray[np.int32], Scores]] = {}
        for term, entries in postings.items():
            numbers = np.array([number for number, _ in entries], dtype=np.int32)
            frequencies = np.array([frequency for _, frequency in entries], dtype=np.float32)
            share = frequencies * (TERM_SATURATION + 1) / (frequencies + norms[numbers])
            self._postings[term] = (numbers, (share * self.idf_of(len(entries))).astype(np.float32))

    def idf_of(self, document_frequency: int) -> float:
        """Return the inverse document frequency of a term that so many texts hold."""
        return float(np.log1p((self.size - document_frequency + 0.5) / (document_frequency + 0.5)))

    def idf(self, term: str) -> float:
        """Return the inverse document frequency of `term`; an unknown one is the rarest of all."""
        posting = self._postings.get(term)
        return self.idf_of(0 if posting is None else len(posting[0]))

    def scores(self, question: str) -> Scores:
        """Return the BM25 score of every text, zero where nothing is shared."""
        result = np.zeros(self.size, dtype=np.float32)
        for term in dict.fromkeys(terms(question)):
            posting = self._postings.get(term)
            if posting is not None:
                result[posting[0]] += posting[1]
        return result


def cosines(vectors: Scores, query: Scores) -> Scores:
    """Return the cosine of each unit row of `vectors` (n, d) with the unit vector `query` (d).

    einsum and not matmul: a BLAS may use threads whose CPU time nobody measures, and may sum in
    another order on another machine.
    """
    result: Scores = np.einsum("ij,j->i", vectors, query)
    return result


def fuse(rankings: Sequence[tuple[float, Scores]]) -> Scores:
    """Return the reciprocal-rank fusion of (weight, scores); a score of zero or less ranks nowhere."""
    fused = np.zeros(len(rankings[0][1]) if rankings else 0, dtype=np.float32)
    for weight, scores in rankings:
        order = np.argsort(-scores, kind="stable")
        order = order[scores[order] > 0]
        fused[order] += (weight / (FUSION_CONSTANT + np.arange(1, len(order) + 1))).astype(np.float32)
    return fused


def best(scores: Scores, count: int) -> list[int]:
    """Return the positions of the `count` highest positive scores, best first, ties in order."""
    order = np.argsort(-scores, kind="stable")[:count]
    return [int(number) for number in order if scores[number] > 0]
