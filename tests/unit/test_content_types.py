"""Content types by examples, with an encoder small enough to follow by eye."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

import agents.deciding.content_types as module
from agents.deciding.content_types import (
    BUILT_IN_TYPES,
    FORM_FEATURES,
    BadExamples,
    ContentTypes,
    form_of,
    parse_examples,
    with_own_types,
)

DIMENSIONS = 256
BUILT_IN = parse_examples((Path(module.__file__).parent / "content_type_examples.yaml").read_text(encoding="utf-8"))


def encode_words(texts: Sequence[str]) -> npt.NDArray[np.float32]:
    """A bag of words, each word in a place computed from its letters; rows of length one."""
    rows = np.zeros((len(texts), DIMENSIONS), dtype=np.float32)
    for row, text in enumerate(texts):
        for word in text.lower().split():
            rows[row, sum(ord(letter) * 31**i for i, letter in enumerate(word)) % DIMENSIONS] += 1
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    found: npt.NDArray[np.float32] = (rows / np.maximum(lengths, 1e-12)).astype(np.float32)
    return found


TYPES = ContentTypes.build(BUILT_IN, encode_words)


def vector_of(text: str) -> npt.NDArray[np.float32]:
    row: npt.NDArray[np.float32] = encode_words([text])[0]
    return row


def test_the_built_in_examples_define_the_four_types_with_60_to_160_different_sentences_each():
    assert tuple(BUILT_IN) == BUILT_IN_TYPES
    for sentences in BUILT_IN.values():
        assert 60 <= len(sentences) <= 160
    every = [sentence.lower() for sentences in BUILT_IN.values() for sentence in sentences]
    assert len(set(every)) == len(every)


@pytest.mark.parametrize("content_type", BUILT_IN_TYPES)
def test_an_example_is_of_its_own_type(content_type):
    guesses = [TYPES.classify(text, vector_of(text)) for text in BUILT_IN[content_type]]
    right = sum(guess.content_type == content_type for guess in guesses)
    assert right >= 0.95 * len(guesses)


@given(st.text(max_size=300))
def test_scores_are_probabilities_of_every_type_and_the_guess_is_the_largest(text):
    guess = TYPES.classify(text, vector_of(text))
    assert set(guess.scores) == set(BUILT_IN_TYPES)
    assert sum(guess.scores.values()) == pytest.approx(1.0)
    assert guess.confidence == max(guess.scores.values()) == guess.scores[guess.content_type]


def test_a_users_type_of_three_examples_wins_for_a_text_like_them():
    own = {
        "legal": (
            "draft a non-disclosure agreement for the supplier",
            "review the liability clause of the contract",
            "does the agreement bind the supplier after termination",
        )
    }
    types = ContentTypes.build(with_own_types(BUILT_IN, own), encode_words)
    text = "review the non-disclosure agreement with the supplier"
    assert types.classify(text, vector_of(text)).content_type == "legal"


def test_a_users_type_does_not_take_the_texts_of_the_others():
    own = {"legal": ("draft an agreement", "review the liability clause", "terminate the contract")}
    types = ContentTypes.build(with_own_types(BUILT_IN, own), encode_words)
    every = [text for sentences in BUILT_IN.values() for text in sentences]
    taken = [text for text in every if types.classify(text, vector_of(text)).content_type == "legal"]
    assert len(taken) <= 0.02 * len(every)


def test_a_type_may_have_a_single_example_and_be_the_only_type():
    types = ContentTypes.build({"only": ["a sentence"]}, encode_words)
    assert types.classify("anything", vector_of("anything")).scores == {"only": 1.0}


def test_a_sentence_added_by_the_user_to_a_built_in_type_stands_beside_the_built_in_ones():
    merged = with_own_types(BUILT_IN, {"support": ["the flux capacitor is drained"]})
    assert merged["support"] == (*BUILT_IN["support"], "the flux capacitor is drained")
    assert merged["general"] == BUILT_IN["general"]


def test_the_version_changes_with_a_name_or_an_example_and_with_nothing_else():
    one = {"a": ["x y", "z"], "b": ["q"]}
    versions = {
        ContentTypes.build(examples, encode_words).version
        for examples in (one, {"a": ["x", "y z"], "b": ["q"]}, {"a": ["x y", "z"], "c": ["q"]})
    }
    assert len(versions) == 3
    assert ContentTypes.build(dict(one), encode_words).version in versions


def test_texts_without_any_known_word_are_told_apart_by_their_form():
    examples = {"asked": ["what is blue", "what is red"], "ordered": ["paint it blue", "paint that red"]}
    types = ContentTypes.build(examples, encode_words)
    unknown = np.zeros(DIMENSIONS, dtype=np.float32)
    assert types.classify("which are green", unknown).content_type == "asked"
    assert types.classify("colour everything green", unknown).content_type == "ordered"


@pytest.mark.parametrize(
    ("text", "features"),
    [
        ("What is a topic", {"begins with a wh-word"}),
        ("how many partitions are there", {"asks how much, how long or how often"}),
        ("how do I bake bread", {"asks how something is or is done"}),
        ("Please restart the worker now", {"is an imperative"}),
        ("could you restart the worker now", {"begins with can, could, would or might"}),
        ("who made you anyway", {"begins with a wh-word", "is about the assistant"}),
        ("my parcel didn\u2019t arrive yesterday", {"is about the speaker's own", "names a problem"}),
        ("I want to buy bread", {"begins with I", "states a wish"}),
        ("tell me about whales", {"asks to be told"}),
        ("", {"is three words or fewer"}),
    ],
)
def test_the_form_of_a_sentence_is_read_off_its_words(text, features):
    found = {name for name, present in zip(FORM_FEATURES, form_of(text), strict=True) if present}
    assert found == features


@pytest.mark.parametrize(
    ("examples", "at_fault"),
    [({}, ""), ({"a": []}, "a"), ({"a": ["x", " "]}, "a"), ({" ": ["x"]}, ""), ({"a": "x"}, "a")],
)
def test_examples_that_define_nothing_are_refused_naming_the_type(examples, at_fault):
    with pytest.raises(BadExamples) as refusal:
        ContentTypes.build(examples, encode_words)
    assert refusal.value.content_type == at_fault
    assert refusal.value.remedy


@pytest.mark.parametrize("text", ["- a\n- b", "a: text", "a: [yes]", "1: [x]", "a: ["])
def test_a_file_that_is_no_mapping_from_type_to_sentences_is_refused(text):
    with pytest.raises(BadExamples):
        parse_examples(text)
