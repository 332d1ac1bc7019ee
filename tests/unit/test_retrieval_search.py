"""Search: ranking, fusion, the entity graph, and what each retrieval strategy finds."""

import hashlib
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pytest

from agents.answering import Document, Passage
from agents.answering.graph import LINKED_AT_MOST, EntityGraph, entities
from agents.answering.ranking import LexicalIndex, best, fuse, stem, terms
from agents.answering.retrieval import RETRIEVAL_STRATEGIES, KnowledgeBase
from agents.answering.splitting import CHUNK_SIZES, split


class HashedWords:
    """An encoder without a model: each term adds a direction of its own."""

    name = "hashed-words"
    version = "1"
    dimensions = 64

    def __init__(self) -> None:
        self.encoded: list[str] = []

    def encode(self, texts: Sequence[str]) -> npt.NDArray[np.float32]:
        self.encoded.extend(texts)
        matrix = np.zeros((len(texts), self.dimensions), dtype=np.float32)
        for row, text in enumerate(texts):
            for term in terms(text):
                digest = hashlib.sha256(term.encode()).digest()
                matrix[row, digest[0] % self.dimensions] += 1
            matrix[row] /= max(float(np.linalg.norm(matrix[row])), 1e-12)
        return matrix


DOCUMENTS = [
    Document(
        document_id="gates.md",
        title="Gates",
        text="# Gates\n\n## Opening\n\nThe gate opens when `gate_pressure` is low. See "
        "[pumps](pumps.md#priming).\n\n## Closing\n\nThe gate closes at night.",
    ),
    Document(
        document_id="pumps.md",
        title="Pumps",
        text="# Pumps\n\n## Priming\n\nPrime with clean water.\n\n## Alarms\n\nAn alarm rings when "
        "`gate_pressure` rises.",
    ),
    Document(document_id="cats.md", title="Cats", text="# Cats\n\nCats sleep all day."),
]


@pytest.fixture
def base() -> KnowledgeBase:
    return KnowledgeBase(DOCUMENTS, HashedWords())


@pytest.mark.parametrize("strategy", RETRIEVAL_STRATEGIES)
def test_every_strategy_finds_the_passage_that_answers(base, strategy):
    found = base.search("When does the gate close at night?", [], strategy, 1, graph=False)
    assert [passage.document_id for passage in found] == ["gates.md"]
    assert "closes at night" in found[0].text


@pytest.mark.parametrize("strategy", RETRIEVAL_STRATEGIES)
def test_the_same_question_finds_the_same_in_the_same_order(strategy):
    searches = [
        KnowledgeBase(DOCUMENTS, HashedWords()).search("gate pressure alarm", [], strategy, 3, graph=True)
        for _ in range(2)
    ]
    assert searches[0] == searches[1]


@pytest.mark.parametrize("strategy", RETRIEVAL_STRATEGIES)
def test_a_question_about_nothing_known_finds_nothing(base, strategy):
    assert base.search("", [], strategy, 5, graph=True) == []


def test_graph_lookups_add_passages_that_share_a_rare_name_or_are_linked(base):
    plain = base.search("gate opens", [], "entity_based", 1, graph=False)
    linked = base.search("gate opens", [], "entity_based", 4, graph=True)
    texts = " ".join(passage.text for passage in linked)
    assert [passage.heading for passage in plain] == ["Opening"]
    assert "Prime with clean water." in texts
    assert "An alarm rings" in texts
    assert "Cats" not in texts


def test_the_turns_before_help_a_question_that_names_nothing(base):
    history = [{"role": "user", "content": "Tell me about cats that sleep"}]
    found = base.search("And at day?", history, "conversation_turn", 1, graph=False)
    assert [passage.document_id for passage in found] == ["cats.md"]


@pytest.mark.parametrize("strategy", RETRIEVAL_STRATEGIES)
def test_an_override_of_the_chunk_size_is_obeyed(base, strategy):
    found = base.search("gate pressure water cats", [], strategy, 10, graph=True, max_chunk_size=30)
    assert found
    assert all(len(passage.text) <= 30 for passage in found)


def test_an_override_never_raises_the_size_of_a_strategy(base):
    assert base.search("gate", [], "entity_based", 3, graph=False, max_chunk_size=10**6) == (
        base.search("gate", [], "entity_based", 3, graph=False)
    )


@pytest.mark.parametrize("strategy", RETRIEVAL_STRATEGIES)
def test_a_search_makes_the_index_of_its_own_strategy_only(strategy):
    encoder = HashedWords()
    base = KnowledgeBase(DOCUMENTS, encoder)
    base.search("gate", [], strategy, 1, graph=False)
    passages = [passage for document in DOCUMENTS for passage in split(document, strategy, CHUNK_SIZES[strategy])]
    assert base.passages == len(passages)
    encoded = [text for text in encoder.encoded if text not in {"gate", ""}]
    assert len(encoded) == (0 if strategy == "entity_based" else len(passages))


def linking(passage_id: str, heading: str, text: str) -> Passage:
    document_id = passage_id.partition("#")[0]
    return Passage(passage_id=passage_id, document_id=document_id, title="T", heading=heading, text=text)


def test_a_link_to_a_long_section_leads_to_its_first_passages_only():
    section = [linking(f"b#{n}", "Long", f"text {n}") for n in range(50)]
    graph = EntityGraph([linking("a#1", "", "[see](b#long) and [again](b#long)"), *section])
    assert sorted(graph.expand([0])) == list(range(1, 1 + LINKED_AT_MOST))


@pytest.mark.parametrize(("strategy", "top_k"), [("fuzzy", 3), ("semantic", 0)])
def test_an_impossible_search_is_refused(base, strategy, top_k):
    with pytest.raises(ValueError, match=r"unknown retrieval strategy|at least 1"):
        base.search("gate", [], strategy, top_k, graph=False)


@pytest.mark.parametrize("strategy", RETRIEVAL_STRATEGIES)
def test_a_base_without_documents_answers_with_nothing(strategy):
    assert KnowledgeBase([], HashedWords()).search("gate", [], strategy, 3, graph=True) == []


def test_a_rare_shared_word_counts_more_than_a_frequent_one():
    index = LexicalIndex(["gate gate water", "gate pump", "gate rust", "gate oil"])
    scores = index.scores("gate pump")
    assert best(scores, 1) == [1]
    assert scores.min() > 0


def test_fusion_ignores_what_a_ranking_did_not_find():
    fused = fuse([(1.0, np.array([3, 0, 1], np.float32)), (1.0, np.array([0, 0, 1], np.float32))])
    assert best(fused, 3) == [2, 0]


@pytest.mark.parametrize(
    ("one", "other"), [("retries", "retry"), ("decoded", "decode"), ("stopped", "stop"), ("needs", "needed")]
)
def test_forms_of_a_word_share_a_stem(one, other):
    assert stem(one) == stem(other)


def test_identifiers_are_found_whole_and_by_their_parts():
    assert {"top_k", "top"} <= set(terms("top_k"))
    assert {"request", "receiv"} <= set(terms("RequestReceived"))


def test_entities_are_names_and_not_words():
    found = entities("Use `penstock send` with top_k on Apache Kafka, not RequestReceived or plain words")
    assert found == {"penstock send", "top_k", "apache kafka", "requestreceived"}


def test_neighbours_exclude_the_hits_themselves():
    passages = [
        Passage(passage_id=f"d#{n}", document_id="d", title="t", heading="", text="`shared_name`") for n in range(3)
    ]
    assert set(EntityGraph(passages).expand([0, 2])) == {1}
