"""Complexity: the levels people expect, and what must hold for any text."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.deciding.complexity import HIGHEST, LOWEST, complexity_of

PIECES = st.lists(
    st.one_of(
        st.text(max_size=40),
        st.sampled_from(
            [
                "hello", "thanks", "what is a topic?", "and how", "compare", "if", "why", "```", "1. first",
                "\n", "explain", "at most", "better", "?", "...", "x() -> y", "import os\n", "SELECT a FROM",
            ]
        ),
    ),
    max_size=12,
).map(" ".join)  # fmt: skip


@given(PIECES, st.integers(min_value=0, max_value=500))
def test_any_text_has_a_level_from_1_to_10_and_a_reason(text, turns):
    found = complexity_of(text, turns)
    assert LOWEST <= found.level <= HIGHEST
    assert found.reasons
    assert all(reason and reason == reason.strip() for reason in found.reasons)


@given(PIECES, PIECES, st.integers(min_value=0, max_value=20))
def test_a_second_question_never_lowers_the_level(first, second, turns):
    both = complexity_of(f"{first} {second}?", turns).level
    assert both >= complexity_of(first, turns).level


@given(PIECES, st.integers(min_value=0, max_value=20), st.integers(min_value=0, max_value=20))
def test_a_longer_history_never_lowers_the_level(text, turns, more):
    assert complexity_of(text, turns + more).level >= complexity_of(text, turns).level


@given(PIECES)
def test_the_same_text_has_the_same_complexity(text):
    assert complexity_of(text) == complexity_of(text)


@pytest.mark.parametrize("text", ["", "hi", "Hello!", "thanks", "yes", "ok thank you very much", "Kafka"])
def test_a_greeting_or_a_single_word_is_level_1(text):
    assert complexity_of(text).level == 1


def test_thanks_stays_level_1_in_a_long_conversation():
    assert complexity_of("thanks a lot", history_turns=40).level == 1


@pytest.mark.parametrize(
    "text",
    [
        "What is a consumer group?",
        "where is my parcel",
        "How many partitions does the requests topic have?",
        "Cancel my subscription",
        "Why is the sky blue?",
    ],
)
def test_a_plain_question_or_order_is_level_2_or_3(text):
    assert complexity_of(text).level in {2, 3}


@pytest.mark.parametrize(
    ("text", "turns"),
    [
        ("What is a topic? How is it declared?", 0),
        ("What is a profile and how is it rolled back?", 0),
        ("Which is better for analytics, DuckDB or SQLite?", 0),
        (
            (
                "I already read the page on retries. In other words, what does the generator do when a provider "
                "answers with 429 and the deadline is near?"
            ),
            2,
        ),
    ],
)
def test_two_parts_or_a_paraphrase_with_context_are_level_4_to_6(text, turns):
    assert complexity_of(text, turns).level in {4, 5, 6}


@pytest.mark.parametrize(
    "text",
    [
        (
            "Compare Kafka and RabbitMQ for 10,000 messages a second within 50 ms and at most two brokers, and explain "
            "which one we should choose if the budget is limited, and why."
        ),
        (
            "What are the trade-offs between exactly-once and at-least-once delivery? Which one fits if we must not lose "
            "an event, and how would the latency change when at most one broker is down?"
        ),
    ],
)
def test_a_comparison_of_several_parts_with_constraints_is_level_8_or_more(text):
    assert complexity_of(text).level >= 8


@pytest.mark.parametrize(
    ("text", "turns", "reason"),
    [
        ("What is a topic? Who reads it?", 0, "two questions"),
        ("What is a topic and who reads it?", 0, "two parts"),
        ("Compare a router with a gateway", 0, "asks to compare"),
        ("What happens if the broker is down?", 0, "sets a condition"),
        ("Why does it stop?", 0, "asks for reasons"),
        ("What does `run()` return?", 0, "contains code"),
        ("Which one did you mean?", 3, "continues a conversation"),
        ("What is a topic?", 0, "one plain request"),
        ("hello", 0, "a short message"),
    ],
)
def test_the_reasons_say_what_was_found(text, turns, reason):
    assert reason in complexity_of(text, turns).reasons


def test_a_question_mark_inside_an_address_is_no_question():
    address = "open https://example.org/a?b=1&c=2 for me"
    assert complexity_of(f"{address} and https://example.org/?d=3") == complexity_of(address)


@pytest.mark.parametrize("piece", ["\n", " ", ", ", "a", "and ", "?", "`", "SELECT ", "at ", "1. \n"])
def test_a_text_of_the_greatest_length_made_of_one_piece_has_a_level(piece):
    text = (piece * 65_536)[:65_536]
    assert LOWEST <= complexity_of(text).level <= HIGHEST
