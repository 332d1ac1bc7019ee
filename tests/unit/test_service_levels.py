"""Promises, their budgets, and when somebody is told."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from agents.deciding.service_levels import DAY_S, HOUR_S, Count, ServiceLevels, burn_limit, standing

MONTH_S = 30 * DAY_S
LEVELS = ServiceLevels.model_validate({"answered": {"objective": 0.99}})


def stands(whole, **windows):
    spans = {"hour": HOUR_S, "six": 6 * HOUR_S, "days": 3 * DAY_S}
    return standing("answered", LEVELS, whole, {spans[name]: counts for name, counts in windows.items()})


@pytest.mark.parametrize(
    ("window_s", "limit"), [(HOUR_S, 14.4), (6 * HOUR_S, 6.0), (DAY_S, 3.0), (3 * DAY_S, 1.0), (20 * DAY_S, 1.0)]
)
def test_the_limits_are_those_of_the_workbook(window_s, limit):
    assert burn_limit(window_s, MONTH_S) == pytest.approx(limit)


def test_the_budget_is_what_may_go_wrong_and_what_went_wrong_is_taken_from_it():
    found = stands(Count(10_000, 9_950))
    assert (found.share, found.state) == (0.995, "kept")
    assert found.budget_left == pytest.approx(0.5)
    assert stands(Count(10_000, 9_900)).state == "gone"
    assert stands(Count(10_000, 9_850)).budget_left == pytest.approx(-0.5)


def test_a_burn_of_one_spends_the_budget_in_just_its_time():
    (burn,) = stands(Count(10_000, 9_999), hour=(Count(100, 99), Count(10, 10))).burns
    assert (burn.rate, burn.short_rate) == (pytest.approx(1.0), 0.0)


@pytest.mark.parametrize(
    ("long", "short", "state"),
    [
        (Count(100, 80), Count(10, 8), "burning_fast"),
        (Count(100, 80), Count(10, 10), "kept"),
        (Count(100, 95), Count(10, 0), "kept"),
        (Count(100, 80), Count(0, 0), "kept"),
    ],
)
def test_it_burns_fast_where_the_long_and_the_short_window_do(long, short, state):
    assert stands(Count(100_000, 99_900), hour=(long, short)).state == state


def test_a_slow_burn_is_told_and_is_not_fast():
    assert stands(Count(100_000, 99_900), days=(Count(1_000, 980), Count(100, 98))).state == "burning"


def test_without_a_case_there_is_nothing_to_tell():
    found = stands(Count(), hour=(Count(), Count()))
    assert (found.share, found.budget_left, found.state, found.burns[0].rate) == (None, None, "kept", None)


@pytest.mark.parametrize(
    "wrong",
    [
        {"answered": {"objective": 1.0}},
        {"answered": {"objective": 0}},
        {"latency": {"threshold_ms": 700}},
        {"latency": {"threshold_ms": True}},
        {"floor": {"quality": 0.81}},
        {"budget_window_d": 0},
        {"speed": {"objective": 0.9}},
    ],
)
def test_an_objective_that_cannot_be_is_refused(wrong):
    with pytest.raises(ValidationError):
        ServiceLevels.model_validate(wrong)
