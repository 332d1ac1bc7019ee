"""A deadline begins when the broker took the request; what a caller's clock says can neither shorten nor lengthen it."""

from __future__ import annotations

import pytest

from agents.deciding.asked import CLOCKS_APART_US, asked_at_us

TAKEN_IN_US = 1_800_000_000_000_000
NOW_US = TAKEN_IN_US + 40_000
MINUTE_US = 60_000_000


@pytest.mark.parametrize("apart_us", [-CLOCKS_APART_US, -5 * MINUTE_US, -1, 0, 1, 5 * MINUTE_US, 600 * MINUTE_US])
def test_it_is_when_the_broker_took_the_request_whatever_the_callers_clock_says(apart_us):
    assert asked_at_us(TAKEN_IN_US + apart_us, TAKEN_IN_US, NOW_US) == TAKEN_IN_US


def test_an_old_request_that_is_sent_again_keeps_its_time():
    stated_us = TAKEN_IN_US - CLOCKS_APART_US - 1
    assert asked_at_us(stated_us, TAKEN_IN_US, NOW_US) == stated_us


@pytest.mark.parametrize(("stated_us", "taken_in_us"), [(NOW_US + 7, None), (NOW_US + 7, NOW_US + 8), (0, NOW_US + 8)])
def test_it_is_never_in_the_future(stated_us, taken_in_us):
    assert asked_at_us(stated_us, taken_in_us, NOW_US) == min(stated_us, NOW_US)


def test_where_nobody_says_when_it_was_taken_in_the_caller_is_believed():
    assert asked_at_us(TAKEN_IN_US, None, NOW_US) == TAKEN_IN_US
