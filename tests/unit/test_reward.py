"""The reward's formula, as docs/feedback.md says it."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.judging.automatic import Scores
from agents.judging.reward import DONE, EVALUATOR, SAID, Signal, mapped, out_of_range, reward

AT = st.integers(min_value=0, max_value=10**15)
UNIT = st.floats(min_value=0, max_value=1)
RATINGS = st.builds(Signal, st.just("rating"), st.floats(min_value=1, max_value=5), AT)
THUMBS = st.builds(Signal, st.just("thumb"), st.sampled_from([0.0, 1.0]), AT)
EDITS = st.builds(Signal, st.just("edit"), UNIT, AT)
OTHERS = st.builds(Signal, st.sampled_from(["retry", "abandon"]), st.just(1.0), AT)
SIGNALS = st.lists(RATINGS | THUMBS | EDITS | OTHERS, max_size=8)
SCORES = st.builds(Scores, UNIT, UNIT)


@pytest.mark.parametrize(
    ("kind", "value", "expected"),
    [
        ("rating", 5, 1.0),
        ("rating", 4, 0.75),
        ("rating", 3, 0.5),
        ("rating", 1, 0.0),
        ("thumb", 1, 1.0),
        ("thumb", 0, 0.0),
        ("edit", 0.3, 0.7),
        ("retry", 1, 0.2),
        ("abandon", 1, 0.0),
    ],
)
def test_each_kind_alone_gives_what_the_documentation_promises(kind, value, expected):
    value_of, parts, rated = reward([Signal(kind, value, 0)], Scores(0.9, 0.9))
    assert value_of == pytest.approx(expected)
    assert [(part.name, part.share) for part in parts] == [(kind, 1.0)]
    assert rated


def test_the_newest_of_what_the_user_said_decides_whatever_the_order_of_arrival():
    signals = [Signal("thumb", 0, 20), Signal("rating", 5, 10), Signal("abandon", 1, 30)]
    assert reward(signals, None)[0] == reward(reversed(signals), None)[0] == 0.0
    assert reward([Signal("thumb", 0, 20), Signal("rating", 5, 21)], None)[0] == 1.0


def test_the_lowest_of_what_the_user_did_decides_where_nothing_was_said():
    value, parts, rated = reward([Signal("edit", 0.1, 5), Signal("retry", 1, 1)], Scores(1, 1))
    assert (value, parts[0].name, rated) == (0.2, "retry", True)


def test_without_feedback_the_mean_of_the_automatic_scores_is_the_reward_and_it_is_not_rated():
    value, parts, rated = reward([], Scores(support=0.4, relevance=0.8))
    assert value == pytest.approx(0.6)
    assert [(part.name, part.value, part.share) for part in parts] == [("support", 0.4, 0.5), ("relevance", 0.8, 0.5)]
    assert not rated


def test_there_is_no_reward_from_nothing():
    with pytest.raises(ValueError, match="neither feedback nor a score"):
        reward([], None)


def test_the_rule_carries_its_version():
    assert EVALUATOR == "reward@1"


@given(SIGNALS, SCORES)
def test_a_reward_is_always_a_number_from_0_to_1_and_the_shares_sum_to_1(signals, scores):
    value, parts, rated = reward(signals, scores)
    assert 0.0 <= value <= 1.0
    assert math.isclose(sum(part.share for part in parts), 1.0)
    assert math.isclose(value, sum(part.value * part.share for part in parts), abs_tol=1e-12)
    assert rated == bool(signals)


@given(st.floats(min_value=1, max_value=5), st.floats(min_value=1, max_value=5))
def test_a_higher_rating_never_gives_a_lower_reward(one, other):
    low, high = sorted((one, other))
    assert mapped(Signal("rating", low, 0)) <= mapped(Signal("rating", high, 0))


@given(st.sampled_from(sorted(SAID | DONE)), st.floats(allow_nan=True, allow_infinity=True))
def test_any_value_is_either_refused_or_gives_a_number_from_0_to_1(kind, value):
    if out_of_range(kind, value) is None:
        assert 0.0 <= mapped(Signal(kind, value, 0)) <= 1.0
    else:
        with pytest.raises(ValueError, match=kind):
            mapped(Signal(kind, value, 0))


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("rating", 0.99),
        ("rating", 7),
        ("rating", math.nan),
        ("thumb", 0.5),
        ("thumb", math.nan),
        ("edit", -0.1),
        ("edit", math.inf),
        ("retry", 0),
        ("abandon", 2),
        ("unknown", 1),
    ],
)
def test_impossible_feedback_is_refused_with_a_sentence(kind, value):
    assert out_of_range(kind, value)
