"""Finds the passages worth reading for a question.

In: documents, an encoder; then questions. Out: passages, the best first, those found by graph
lookups last. Kept: one index for each retrieval strategy and chunk size, made when first asked
for, with nothing in it that its strategy does not read. Fails: ValueError for an unknown strategy or top_k below 1. Pure but
for the encoder. Safe for several threads: an index is made under a lock and never changed.

What a strategy ranks by: semantic the static vectors; hierarchical vectors over heading and text,
fused with BM25; entity_based BM25, raised by the entities that question and passage share;
conversation_turn both, for the question and, at half its weight, the last turns before it.
"""

import threading
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property

import numpy as np

from agents.answering import Document, Passage
from agents.answering.graph import EntityGraph
from agents.answering.ranking import LexicalIndex, Scores, best, cosines, fuse
from agents.answering.splitting import CHUNK_SIZES, split
from agents.encoding.encoder import Encoder

RETRIEVAL_STRATEGIES = tuple(CHUNK_SIZES)
LOWEST_COSINE = 0.28
TURNS_READ = 3
CHARACTERS_OF_A_TURN = 400
HISTORY_SHARE = 0.5
ENTITY_SHARE = 0.6
GRAPH_SHARE = 0.5

History = Sequence[Mapping[str, str]]


class _Index:
    """One way to split the documents, with everything that ranking reads; the graph when first asked for."""

    def __init__(self, passages: list[Passage], vectors: Scores, lexical: LexicalIndex) -> None:
        self.passages = passages
        self.vectors = vectors
        self.lexical = lexical

    @cached_property
    def graph(self) -> EntityGraph:
        """Two threads may both make it; they make the same."""
        return EntityGraph(self.passages)


def _searched_text(passage: Passage) -> str:
    return f"{passage.title} {passage.heading}\n{passage.text}"


class KnowledgeBase:
    """Documents that can be searched by any retrieval strategy."""

    def __init__(self, documents: Iterable[Document], encoder: Encoder) -> None:
        self._documents = tuple(documents)
        self._encoder = encoder
        self._indexes: dict[tuple[str, int], _Index] = {}
        self._lock = threading.Lock()

    @property
    def documents(self) -> tuple[Document, ...]:
        """The documents that it was made of."""
        return self._documents

    @property
    def passages(self) -> int:
        """How many passages all indexes made so far hold together."""
        return sum(len(index.passages) for index in tuple(self._indexes.values()))

    def warm(self, strategies: Iterable[str] = RETRIEVAL_STRATEGIES) -> None:
        """Make the indexes of `strategies` at their own chunk sizes now instead of when asked."""
        for strategy in strategies:
            _ = self._index(strategy, None).graph

    def search(
        self,
        question: str,
        history: History,
        strategy: str,
        top_k: int,
        graph: bool,
        max_chunk_size: int | None = None,
    ) -> list[Passage]:
        """Return at most `top_k` passages, and with `graph` up to half as many linked with them.

        `max_chunk_size` lowers the strategy's own limit of characters in a passage, never raises
        it. Passages that have nothing to do with the question are not returned.
        """
        if top_k < 1:
            raise ValueError(f"top_k is at least 1, not {top_k}")
        index = self._index(strategy, max_chunk_size)
        if not index.passages:
            return []
        scores = self._scores(index, question, history, strategy)
        hits = best(scores, top_k)
        if graph and hits:
            hits = hits + self._linked(index, question, scores, hits, max(1, (top_k + 1) // 2))
        return [index.passages[number] for number in hits]

    def _index(self, strategy: str, max_chunk_size: int | None) -> _Index:
        own_size = CHUNK_SIZES.get(strategy)
        if own_size is None:
            known = ", ".join(RETRIEVAL_STRATEGIES)
            raise ValueError(f"unknown retrieval strategy {strategy!r}, expected one of {known}")
        size = own_size if max_chunk_size is None else min(own_size, max_chunk_size)
        with self._lock:
            if (strategy, size) not in self._indexes:
                self._indexes[(strategy, size)] = self._make(strategy, size)
            return self._indexes[(strategy, size)]

    def _make(self, strategy: str, size: int) -> _Index:
        passages = [passage for document in self._documents for passage in split(document, strategy, size)]
        if strategy == "semantic":
            return _Index(passages, self._encode([f"{p.title}\n{p.text}" for p in passages]), LexicalIndex([]))
        texts = [_searched_text(passage) for passage in passages]
        vectors = self._encode([] if strategy == "entity_based" else texts)
        return _Index(passages, vectors, LexicalIndex(texts))

    def _encode(self, texts: list[str]) -> Scores:
        return self._encoder.encode(texts) if texts else np.zeros((0, self._encoder.dimensions), dtype=np.float32)

    def _scores(self, index: _Index, question: str, history: History, strategy: str) -> Scores:
        """Return one score for each passage of `index`, zero where it is out of the question."""
        if strategy == "entity_based":
            lexical = index.lexical.scores(question)
            return lexical + ENTITY_SHARE * _as_scores(index, index.graph.holders(question))
        if strategy == "semantic":
            return _floored(cosines(index.vectors, self._encoder.encode([question])[0]))
        if strategy == "hierarchical":
            similar = _floored(cosines(index.vectors, self._encoder.encode([question])[0]))
            return fuse([(1.0, index.lexical.scores(question)), (1.0, similar)])
        before = "\n".join(turn["content"][:CHARACTERS_OF_A_TURN] for turn in history[-TURNS_READ:])
        own, earlier = self._encoder.encode([question, before])
        query = own + np.float32(HISTORY_SHARE) * earlier
        length = max(float(np.sqrt(np.sum(query * query))), 1e-12)
        similar = _floored(cosines(index.vectors, query / np.float32(length)))
        lexical = index.lexical.scores(question)
        if before:
            lexical = lexical + np.float32(HISTORY_SHARE) * index.lexical.scores(before)
        return fuse([(1.0, lexical), (1.0, similar)])

    @staticmethod
    def _linked(index: _Index, question: str, scores: Scores, hits: list[int], count: int) -> list[int]:
        """Return the best passages one step from `hits` or from the question's entities.

        A neighbour's own score and the weight of its edges each count as a share of the highest.
        """
        graph = index.graph
        edges = graph.expand(hits)
        for number, weight in graph.holders(question).items():
            if number not in hits:
                edges[number] = edges.get(number, 0.0) + weight
        if not edges:
            return []
        strengths = _as_scores(index, edges)
        own = scores / np.float32(max(float(scores.max()), 1e-12))
        linked = strengths / np.float32(max(float(strengths.max()), 1e-12))
        rescored = np.where(strengths > 0, own + np.float32(GRAPH_SHARE) * linked, 0)
        return best(rescored.astype(np.float32), count)


def _as_scores(index: _Index, by_number: Mapping[int, float]) -> Scores:
    scores = np.zeros(len(index.passages), dtype=np.float32)
    for number, weight in by_number.items():
        scores[number] = weight
    return scores


def _floored(similarities: Scores) -> Scores:
    return np.where(similarities >= LOWEST_COSINE, similarities, 0).astype(np.float32)
