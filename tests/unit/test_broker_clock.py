"""Workers tell the time by the broker's clock where theirs is apart from it, and by their own where it is not."""

from __future__ import annotations

import pytest

from streams.broker_clock import LOG_APPEND, BrokerClock

BEGIN_US = 1_800_000_000_000_000
S = 1_000_000
MINUTES_5 = 300 * S


class World:
    """A broker with the right time, and a machine whose clock is ``apart_us`` ahead of it."""

    def __init__(self, apart_us: int = 0) -> None:
        self.true_us = BEGIN_US
        self.apart_us = apart_us
        self.clock = BrokerClock(lambda: self.true_us + self.apart_us)

    def publish(self, *, there_us: int = 1_000, back_us: int = 1_000, kind: int | None = LOG_APPEND) -> None:
        sent_us = self.clock.own()
        self.true_us += there_us
        logged_at_ms = self.true_us // 1_000
        self.true_us += back_us
        self.clock.confirmed(sent_us, logged_at_ms, kind)

    @property
    def wrong_us(self) -> int:
        return abs(self.clock() - self.true_us)


@pytest.mark.parametrize("apart_us", [MINUTES_5, -MINUTES_5, 86_400 * S])
def test_a_clock_that_is_apart_is_right_after_one_publication(apart_us):
    world = World(apart_us)
    assert world.wrong_us == abs(apart_us)
    world.publish()
    assert world.wrong_us <= 2_000


@pytest.mark.parametrize("apart_us", [0, 900_000, -900_000])
def test_clocks_that_differ_by_less_than_a_second_are_left_alone(apart_us):
    world = World(apart_us)
    world.publish()
    assert world.clock() == world.clock.own()


def test_a_slow_confirmation_is_no_sign_of_a_clock_that_is_apart():
    world = World()
    world.publish(there_us=1_000, back_us=30 * S)
    assert world.wrong_us == 0
    world.publish(there_us=30 * S)
    assert world.wrong_us == 0


def test_what_was_learned_from_a_slow_confirmation_is_corrected_by_a_fast_one():
    world = World(MINUTES_5)
    world.publish(there_us=1_000, back_us=30 * S)
    assert world.wrong_us <= 15 * S + 2_000
    world.publish()
    assert world.wrong_us <= 2_000


def test_a_clock_that_is_set_right_is_trusted_again():
    world = World(MINUTES_5)
    world.publish()
    world.apart_us = 0
    world.publish()
    assert world.clock() == world.clock.own() == world.true_us


@pytest.mark.parametrize(("logged", "kind"), [(1, 0), (1, None), (None, LOG_APPEND), (-1, LOG_APPEND)])
def test_a_time_that_is_not_the_brokers_tells_nothing(logged, kind):
    world = World(MINUTES_5)
    world.clock.confirmed(world.clock.own(), logged, kind)
    assert world.clock() == world.clock.own()
