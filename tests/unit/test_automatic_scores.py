"""Support and relevance of an answer, with vectors made by hand."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as run
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from agents.judging.automatic import (
    HIGH,
    LOW,
    MOST_SENTENCES,
    REFUSAL_RELEVANCE,
    Material,
    Scores,
    content_words,
    says_it_cannot_answer,
    score,
)

PASSAGE = "Feedback is accepted for 24 hours after the answer. Later feedback is late."
QUESTION = "How long is feedback accepted?"


def blind(material: Material) -> Scores:
    """Score by words alone: every vector is zero, as for texts without known tokens."""
    return score(material, np.zeros((len(material.texts), 4), dtype=np.float32))


def test_an_answer_in_the_words_of_its_passages_is_fully_supported():
    assert blind(Material(QUESTION, ("Something else.", PASSAGE), "It is accepted for 24 hours.")).support == 1.0


def test_each_sentence_counts_the_same_and_finds_its_own_passage():
    material = Material(QUESTION, (PASSAGE, "Dogs bark."), "Accepted for 24 hours. Dogs bark. Whales sing loudly.")
    assert blind(material).support == pytest.approx(2 / 3)


def test_an_answer_without_passages_has_no_support():
    assert blind(Material(QUESTION, (), "Feedback is accepted for 24 hours.")).support == 0.0


def test_an_empty_answer_scores_nothing():
    assert blind(Material(QUESTION, (PASSAGE,), " \n")) == Scores(0.0, 0.0)


def test_a_paraphrase_is_supported_by_its_meaning():
    material = Material("Q?", ("Alpha beta.",), "Gamma delta.")
    vectors = np.zeros((len(material.texts), 2), dtype=np.float32)
    middle = (LOW + HIGH) / 2
    vectors[2], vectors[3] = (1, 0), (middle, np.sqrt(1 - middle**2))
    assert score(material, vectors).support == pytest.approx(0.5, abs=1e-5)


def test_relevance_grows_with_the_words_of_the_question_and_with_nearness():
    off, on = "Dogs bark.", "Feedback is accepted for long."
    assert blind(Material(QUESTION, (), off)).relevance < blind(Material(QUESTION, (), on)).relevance
    material = Material(QUESTION, (), on)
    near = np.tile(np.array([1, 0], dtype=np.float32), (len(material.texts), 1))
    assert score(material, near).relevance == pytest.approx(1.0)


def test_a_question_without_content_words_is_compared_by_nearness_alone():
    material = Material("Why?", (), "Because dogs bark.")
    near = np.tile(np.array([1, 0], dtype=np.float32), (len(material.texts), 1))
    assert score(material, near).relevance == pytest.approx(1.0)


@pytest.mark.parametrize(
    "answer",
    [
        "I do not know how long feedback is accepted.",
        "Sorry, I couldn\u2019t find that.",
        "I'm not able to answer this question.",
        "The passages do not say how long feedback is accepted.",
        "The documentation doesn't mention it.",
        "There is no information about feedback.",
        "Unfortunately, the question cannot be answered from this.",
        "We have nothing on that.",
    ],
)
def test_an_answer_that_says_it_cannot_answer_has_low_relevance_whatever_words_it_repeats(answer):
    material = Material(answer, (), answer)
    near = np.tile(np.array([1, 0], dtype=np.float32), (len(material.texts), 1))
    assert score(material, near).relevance == REFUSAL_RELEVANCE


@pytest.mark.parametrize(
    "answer",
    [
        "A request that cannot be answered ends in ResponseFailed.",
        "The topic does not expire.",
        "You cannot pin a model that may not see personal data.",
        "No. Feedback is held for 30 seconds.",
        "A rating is known by its event id. I see three kinds.",
    ],
)
def test_an_answer_about_what_is_impossible_is_no_refusal(answer):
    assert not says_it_cannot_answer(answer)


def test_singular_and_plural_are_the_same_word_and_stop_words_are_none():
    assert content_words("The rewards are computed") == content_words("reward computes")
    assert content_words("is it of the") == frozenset()


def test_only_so_many_sentences_and_passages_are_looked_at():
    material = Material(
        "Q?", tuple(f"Passage {n}." for n in range(500)), " ".join(f"Sentence {n}." for n in range(500))
    )
    assert len(material.texts) == 2 + 2 * MOST_SENTENCES


def test_vectors_of_other_texts_are_refused():
    with pytest.raises(ValueError, match="need as many vectors"):
        score(Material("Q?", (), "A b."), np.zeros((1, 3), dtype=np.float32))


@run(max_examples=60)
@given(
    st.text(max_size=80),
    st.lists(st.text(max_size=80), max_size=4),
    st.text(max_size=160),
    st.data(),
)
def test_whatever_the_texts_and_vectors_both_scores_are_from_0_to_1(question, passages, answer, data):
    material = Material(question, tuple(passages), answer)
    floats = st.floats(min_value=-1, max_value=1, width=32) | st.just(float("nan"))
    found = score(material, data.draw(arrays.arrays(np.float32, (len(material.texts), 3), elements=floats)))
    assert 0.0 <= found.support <= 1.0
    assert 0.0 <= found.relevance <= 1.0
