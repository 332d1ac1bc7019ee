"""The sentence of a plan: one sentence, with the strategy, the numbers, the pins and the overrides."""

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from agents.deciding.reasoning import Circumstances, money, reasoning
from schemas import Candidate
from tests.deciding_parts import LAWS

ABOUT = Circumstances(
    content_type="transactional",
    complexity=2,
    complexity_reasons=("one plain request",),
    learned=True,
    learning_off=False,
    pinned=(),
    overrides=(),
    floor=0.8,
    floor_met=True,
    incumbent="simple-semantic",
)


def candidate(name: str = "simple-semantic", **fields: Any) -> Candidate:
    given: dict[str, Any] = {
        "probability": 0.71,
        "quality": 0.86,
        "quality_lower": 0.82,
        "cost_usd": 0.012,
        "latency_ms": 40.0,
        "requests": 57,
    }
    return Candidate(strategy=name, **{**given, **fields})


SIMPLE = candidate()
PREMIUM = candidate("premium-semantic", probability=0.29, quality=0.91, quality_lower=0.88, cost_usd=0.034)
BOTH = (SIMPLE, PREMIUM)


def is_one_sentence(text: str) -> bool:
    return text[0].isupper() and text.endswith(".") and not text.endswith("..") and ". " not in text


def test_a_learned_choice_says_quality_price_evidence_and_whom_it_is_compared_with():
    assert reasoning(SIMPLE, BOTH, ABOUT) == (
        "A transactional request of complexity 2 (one plain request): simple-semantic meets the quality floor of 0.80; "
        "expected quality 0.86 (at least 0.82) for $0.01, against 0.91 for $0.03 from premium-semantic, "
        "from 57 rewarded requests of this kind."
    )


def test_found_personal_data_is_named_by_its_kind():
    said = reasoning(SIMPLE, BOTH, replace(ABOUT, personal=("an e-mail address", "a telephone number")))
    assert (
        "its text holds an e-mail address and a telephone number, so only models that may see personal data may answer"
        in said
    )
    assert is_one_sentence(said)


def test_a_challenger_is_compared_with_the_incumbent():
    said = reasoning(PREMIUM, (*BOTH, candidate("balanced-semantic", quality=0.99)), ABOUT)
    assert "against 0.86 for $0.01 from simple-semantic" in said


def test_before_anything_was_learned_the_rules_are_named():
    said = reasoning(SIMPLE, BOTH, replace(ABOUT, learned=False))
    assert said.endswith("simple-semantic answers by the built-in rules, nothing being learned yet.")


def test_with_learning_off_that_is_said():
    said = reasoning(SIMPLE, BOTH, replace(ABOUT, learned=False, learning_off=True))
    assert said.endswith("simple-semantic answers by the built-in rules, learning being off.")


def test_a_strategy_tried_before_anything_was_learned_says_with_what_probability():
    said = reasoning(PREMIUM, BOTH, replace(ABOUT, learned=False))
    assert "premium-semantic is tried, chosen with probability 0.290, to learn how good it is" in said


def test_a_strategy_that_may_miss_the_floor_is_tried_to_learn_whether_it_meets_it():
    unsure = candidate("balanced-semantic", probability=0.08, quality_lower=0.7)
    said = reasoning(unsure, (*BOTH, unsure), ABOUT)
    assert "balanced-semantic is tried, chosen with probability 0.080" in said
    assert "whether it meets the quality floor of 0.80; expected quality 0.86 (at least 0.70)" in said


def test_an_incumbent_whose_expected_quality_meets_the_floor_goes_on_and_is_not_called_a_trial():
    old = candidate(quality_lower=0.77)
    said = reasoning(old, (old, PREMIUM), ABOUT)
    assert "tried" not in said
    assert "simple-semantic goes on answering, its expected quality meeting the quality floor of 0.80" in said
    assert "(at least 0.77)" in said


def test_where_no_strategy_is_known_to_meet_the_floor_that_is_said():
    said = reasoning(SIMPLE, BOTH, replace(ABOUT, floor=0.95, floor_met=False))
    assert "no strategy is known to meet the quality floor of 0.95" in said
    assert "simple-semantic: expected quality 0.86 (at least 0.82)" in said


def test_the_only_candidate_says_that_it_is_the_only_one():
    assert "simple-semantic is the only strategy that may answer it" in reasoning(SIMPLE, (SIMPLE,), ABOUT)


@pytest.mark.parametrize("learned", [True, False])
def test_pins_and_overrides_are_named(learned):
    about = replace(ABOUT, learned=learned, pinned=("tier", "strategy"), overrides=("disable_graph_queries",))
    said = reasoning(SIMPLE, BOTH, about)
    assert said.endswith(
        "; the workflow or the caller stated tier, strategy; overrides in force: disable_graph_queries."
    )


def test_one_rewarded_request_is_one_request():
    assert "from 1 rewarded request of this kind." in reasoning(candidate(requests=1), BOTH, ABOUT)


def test_a_content_type_that_begins_with_a_vowel_gets_its_article():
    assert reasoning(SIMPLE, BOTH, replace(ABOUT, content_type="informational")).startswith("An informational request")


NAMES = st.sampled_from(["a-semantic", "b-semantic", "c-semantic", "d-semantic"])
CANDIDATES = st.builds(
    Candidate,
    strategy=NAMES,
    probability=st.floats(0, 1),
    quality=st.floats(0, 1),
    quality_lower=st.floats(0, 1),
    cost_usd=st.floats(0, 100),
    latency_ms=st.floats(0, 1e6),
    requests=st.integers(0, 10_000),
)
WORDS = st.lists(st.sampled_from(["tier", "top_k", "graph"]), unique=True, max_size=3).map(tuple)


@LAWS
@given(
    st.lists(CANDIDATES, min_size=1, max_size=4, unique_by=lambda each: each.strategy),
    st.builds(
        Circumstances,
        content_type=st.sampled_from(["general", "orders", "informational"]),
        complexity=st.integers(1, 10),
        complexity_reasons=st.lists(st.sampled_from(["two questions", "asks for reasons"]), max_size=3).map(tuple),
        learned=st.booleans(),
        learning_off=st.booleans(),
        pinned=WORDS,
        overrides=WORDS,
        floor=st.floats(0, 1),
        floor_met=st.booleans(),
        incumbent=st.none() | NAMES,
    ),
)
def test_whatever_the_numbers_it_is_one_sentence_that_names_the_choice_and_every_bound(candidates, about):
    chosen = candidates[0]
    said = reasoning(chosen, candidates, about)
    assert is_one_sentence(said)
    assert chosen.strategy in said
    assert re.search(rf"complexity {about.complexity}\b", said)
    assert all(word in said for word in (*about.pinned, *about.overrides))
    if about.learned and len(candidates) > 1:
        assert f"expected quality {chosen.quality:.2f} (at least {chosen.quality_lower:.2f})" in said
        assert money(chosen.cost_usd) in said
    assert said == reasoning(chosen, candidates, about)


@pytest.mark.parametrize(
    ("cost_usd", "said"),
    [
        (1.5, "$1.50"),
        (0.01, "$0.01"),
        (0.0025, "$2.50 per 1,000 answers"),
        (0.00000125, "$1.25 per million answers"),
        (0.0, "$0.00 per million answers"),
    ],
)
def test_an_amount_is_said_so_that_a_person_can_compare_it(cost_usd, said):
    assert money(cost_usd) == said
