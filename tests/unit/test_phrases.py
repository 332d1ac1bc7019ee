"""Phrases: found as a plain search finds them, only sooner."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.deciding.phrases import Phrases, beginnings

WRITTEN = (
    r"compar\w+",
    "vs",
    "trade-offs?",
    "pros and cons",
    r"under \d",
    "in case",
    "can't (?:find|open)",
    "i mean",
    "fix",
    "broken?",
    r"fail\w*",
)
PLAIN = re.compile(rf"\b(?:{'|'.join(WRITTEN)})\b", re.IGNORECASE)
PARTS = (
    "compare", "Comparing", "compar", "VS", "vs.", "trade-off", "trade-offs", "pros", "and", "cons", "under", "5", "in", "case",
    "can't", "can\u2019t", "find", "opened", "i", "mean", "fix", "fixed", "_fix", "broke", "broken", "fail", "fails", "\u017f",
    "ca\u017fe", "\u0130n", "é", "'", "-", "\n", "x'fix",
)  # fmt: skip


@given(
    text=st.lists(st.sampled_from(PARTS), max_size=12).flatmap(
        lambda parts: st.sampled_from((" ", " ", "", "-")).map(lambda between: between.join(parts))
    )
    | st.text(max_size=40)
)
def test_phrases_are_found_where_a_plain_search_finds_them(text):
    phrases, begun = Phrases(*WRITTEN), beginnings(text)
    assert phrases.are_in(text, begun) == (PLAIN.search(text) is not None)
    assert phrases.count_in(text, begun) == len(PLAIN.findall(text))


def test_a_text_without_a_telling_word_is_not_searched():
    phrases = Phrases("pros and cons", "in case")
    assert beginnings("Nothing of the sort") == frozenset({"noth", "of", "the", "sort"})
    assert not phrases.are_in("pros and cons", frozenset({"and", "in"}))


@pytest.mark.parametrize("phrase", [r"\w+ing", "(?:a|b) c", "ab(?:c|d)", r"do\w+"])
def test_a_phrase_without_a_word_that_must_be_there_is_refused(phrase):
    with pytest.raises(ValueError, match="no plain word"):
        Phrases(phrase)
