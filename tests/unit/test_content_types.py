"""Content types by examples, with an encoder small enough to follow by eye."""

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import agents.deciding.content_types as module
from agents.deciding.content_types import BUILT_IN_TYPES, BadExamples, ContentTypes, parse_examples, with_own_types
from agents.deciding.content_weights import (
    BadWeights,
    NothingToLearn,
    Utterances,
    Weights,
    inputs_of,
    learn,
    parse_weights,
    written,
)
from agents.deciding.sentence_form import FORM_FEATURES, FORM_WORDS, form_of
from agents.encoding.onnx_encoder import OnnxEncoder
from agents.encoding.static import StaticEncoder
from agents.router import WEIGHTS

DIMENSIONS = 256
ROOT = Path(__file__).resolve().parents[2]
MODELS = Path(os.environ.get("PENSTOCK_VAR", ROOT / "var")) / "models"
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


TAUGHT = Utterances(
    texts=("what is a heron", "who painted it", "paint it blue", "send the parcel", "it is torn", "hello you"),
    intents=("birds", "art", "painting", "sending", "damage", "greeting"),
    types=("informational", "informational", "transactional", "transactional", "support", "general"),
)


def learned(examples: dict[str, tuple[str, ...]]) -> Weights:
    every = [text for given in examples.values() for text in given]
    inputs = [inputs_of(texts, encode_words(texts)) for texts in (TAUGHT.texts, every)]
    return learn("words", TAUGHT, inputs[0], examples, inputs[1])


LEARNED = learned(BUILT_IN)
TYPES = ContentTypes.build(BUILT_IN, encode_words, LEARNED)


def vector_of(text: str) -> npt.NDArray[np.float32]:
    row: npt.NDArray[np.float32] = encode_words([text])[0]
    return row


def test_the_built_in_examples_define_the_four_types_with_60_to_200_different_sentences_each():
    assert tuple(BUILT_IN) == BUILT_IN_TYPES
    for sentences in BUILT_IN.values():
        assert 60 <= len(sentences) <= 200
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
    types = ContentTypes.build(with_own_types(BUILT_IN, own), encode_words, LEARNED)
    text = "review the non-disclosure agreement with the supplier"
    assert types.classify(text, vector_of(text)).content_type == "legal"


def test_a_users_type_does_not_take_the_texts_of_the_others():
    own = {"legal": ("draft an agreement", "review the liability clause", "terminate the contract")}
    types = ContentTypes.build(with_own_types(BUILT_IN, own), encode_words, LEARNED)
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
    found = {name for name, present in zip(FORM_FEATURES, form_of(text).features, strict=True) if present}
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


NAMES = st.text(alphabet="abcdefgh", min_size=1, max_size=8)
SENTENCES = st.lists(
    st.text(alphabet="pqrstuvwxyz ", min_size=3, max_size=30).filter(str.strip), min_size=3, max_size=6, unique=True
)


@settings(max_examples=20, deadline=None)
@given(NAMES, SENTENCES)
def test_a_type_added_by_examples_alone_is_found_by_them(name, sentences):
    types = ContentTypes.build(with_own_types(BUILT_IN, {name: sentences}), encode_words, LEARNED)
    found = [types.classify(text, vector_of(text)).content_type for text in sentences]
    assert found.count(name) >= len(sentences) - 1  # one of them may be what a built-in example is


@settings(max_examples=10, deadline=None)
@given(st.data())
def test_the_order_of_the_examples_does_not_matter(data):
    few = {name: BUILT_IN[name][:6] for name in BUILT_IN_TYPES}
    turned = {name: data.draw(st.permutations(given)) for name, given in few.items()}
    text = data.draw(st.sampled_from([each for given in BUILT_IN.values() for each in given]))
    one, other = (
        ContentTypes.build(each, encode_words, learned(each)).classify(text, vector_of(text)).scores
        for each in (few, turned)
    )
    assert one == pytest.approx(other, abs=2e-3)  # weights are kept to four decimals


def test_types_without_any_built_in_one_are_told_apart_by_their_examples_with_the_weights_too():
    examples = {"birds": ("which heron is grey", "a heron flies"), "cars": ("which car is grey", "a car drives")}
    types = ContentTypes.build(examples, encode_words, LEARNED)
    assert types.classify("which heron flies", vector_of("which heron flies")).content_type == "birds"
    assert types.classify("which car drives", vector_of("which car drives")).content_type == "cars"


def test_a_users_type_is_scored_as_the_built_in_types_that_its_examples_are_of():
    asked = {"birds": ("what is a heron", "who painted the heron")}
    types = ContentTypes.build(with_own_types(BUILT_IN, asked), encode_words, LEARNED)
    scored_as = dict(zip(types.names, types._resembled, strict=True))
    assert np.flatnonzero(np.isfinite(scored_as["birds"])).tolist() == [BUILT_IN_TYPES.index("informational")]
    assert np.flatnonzero(np.isfinite(scored_as["support"])).tolist() == [BUILT_IN_TYPES.index("support")]


def test_weights_change_the_version():
    assert ContentTypes.build(BUILT_IN, encode_words).version != TYPES.version


def test_weights_move_a_text_towards_the_type_that_its_words_were_learned_for():
    with_ones = dict.fromkeys(BUILT_IN_TYPES, ("x",))
    plain = ContentTypes.build(with_ones, encode_words)
    weighted = ContentTypes.build(with_ones, encode_words, LEARNED)
    text = "who painted the heron"
    gained = weighted.classify(text, vector_of(text)).scores["informational"]
    assert gained > plain.classify(text, vector_of(text)).scores["informational"] + 0.1


def test_weights_are_read_back_as_they_were_written():
    assert parse_weights(written([LEARNED])) == {"words": LEARNED}


def test_learning_twice_gives_the_same_weights():
    assert learned(BUILT_IN) == LEARNED


def test_learning_from_a_type_without_examples_or_from_nothing_is_refused():
    nothing = Utterances(texts=(), intents=(), types=())
    rows = inputs_of(["a"], encode_words(["a"]))
    with pytest.raises(NothingToLearn):
        learn("words", nothing, rows[:0], {"general": ("a",)}, rows)
    with pytest.raises(NothingToLearn, match="support"):
        learn("words", Utterances(texts=("a",), intents=("i",), types=("support",)), rows, {"general": ("a",)}, rows)


@pytest.mark.parametrize(
    "text",
    ["", "{}", '[{"encoder": "words"}]', written([LEARNED]).replace('"offset":[', '"offset":[1,'), "[1]"],
)
def test_a_damaged_file_of_weights_is_refused_with_what_to_do(text):
    with pytest.raises(BadWeights, match="write-weights"):
        parse_weights(text)


def test_weights_for_another_form_of_the_sentence_are_refused():
    told = written([Weights(encoder="e", types=("a",), vector=[], form=[[0.0]], words=[], offset=[0.0])])
    with pytest.raises(BadWeights, match="another version"):
        parse_weights(told)


def test_the_words_of_the_form_name_each_word_once_and_are_read_at_the_beginning_too():
    form = form_of("please cancel the heron and cancel it")
    words = [FORM_WORDS[row] for row in form.words if row < len(FORM_WORDS)]
    assert sorted(words) == ["and", "cancel", "it", "the"]
    assert [FORM_WORDS[row - len(FORM_WORDS)] for row in form.words if row >= len(FORM_WORDS)] == ["cancel"]


FAR = parse_examples((Path(__file__).parent / "content_types_far.yaml").read_text(encoding="utf-8"))


@pytest.mark.parametrize(("encoder", "share"), [(StaticEncoder, 0.75), (OnnxEncoder, 0.85)])
def test_subjects_that_no_example_has_are_told_apart_by_what_is_wanted(encoder, share):
    opened = encoder(MODELS)
    weights = parse_weights(WEIGHTS.read_text(encoding="utf-8"))[opened.name]
    types = ContentTypes.build(BUILT_IN, opened.encode, weights)
    found = [
        types.classify(text, vector).content_type == name
        for name, texts in FAR.items()
        for text, vector in zip(texts, opened.encode(texts), strict=True)
    ]
    assert sum(found) >= share * len(found)


def test_the_far_utterances_are_no_examples():
    assert {text for texts in FAR.values() for text in texts}.isdisjoint(
        text for texts in BUILT_IN.values() for text in texts
    )
