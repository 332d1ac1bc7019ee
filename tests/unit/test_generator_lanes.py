"""Lanes: one tenant's slow calls never stop another's, and nobody waits for ever."""

import asyncio
from collections.abc import Coroutine
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.answering.lanes import Lanes, Turn
from tests.waiting import eventually_async

A, B, C = ("acme", "hosted"), ("blue", "hosted"), ("acme", "local")
LONG_S = 60.0


async def entered(lanes: Lanes, lane: tuple[str, str], count: int) -> list[Turn]:
    return [await lanes.enter(lane, within_s=0.0, may_defer=False) for _ in range(count)]


async def waiting(lanes: Lanes, lane: tuple[str, str], *, may_defer: bool = False) -> asyncio.Task[Turn]:
    before = lanes.waiting
    task = asyncio.create_task(lanes.enter(lane, within_s=LONG_S, may_defer=may_defer))
    await eventually_async(lambda: lanes.waiting > before or task.done())
    return task


def run(test: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(test, 10))


@pytest.mark.parametrize("calls", [1, 2, 5, 32, 256])
def test_a_lane_that_is_alone_gets_as_many_slots_as_there_are_calls_and_no_more(calls: int) -> None:
    async def test() -> None:
        lanes = Lanes(calls)
        turns = await entered(lanes, A, calls + 3)
        assert turns == [Turn.NOW] * calls + [Turn.LATE] * 3

    run(test())


def test_whoever_comes_after_a_lane_that_took_all_it_may_finds_slots_free() -> None:
    async def test() -> None:
        lanes = Lanes(100)
        await entered(lanes, A, 200)
        assert (await entered(lanes, B, 200)).count(Turn.NOW) == 20
        assert (await entered(lanes, C, 200)).count(Turn.NOW) == 4

    run(test())


def test_a_freed_slot_goes_to_the_lane_that_uses_fewest_and_there_to_the_first() -> None:
    async def test() -> None:
        lanes = Lanes(4)
        await entered(lanes, A, 4)
        await entered(lanes, B, 1)
        first_a = await waiting(lanes, A)
        first_b, second_b = await waiting(lanes, B), await waiting(lanes, B)
        lanes.leave(A)
        assert await first_b is Turn.NOW
        assert not second_b.done()
        assert not first_a.done()
        for task in (first_a, second_b):
            task.cancel()

    run(test())


def test_who_may_be_deferred_is_when_the_lane_is_slow_and_later_comers_at_once() -> None:
    async def test() -> None:
        lanes = Lanes(1, patience_s=0.01)
        await entered(lanes, A, 1)
        assert await lanes.enter(A, within_s=LONG_S, may_defer=True) is Turn.DEFERRED
        again = asyncio.create_task(Lanes.enter(lanes, A, within_s=LONG_S, may_defer=True))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert again.done(), "the lane is known to be slow: nobody waits for its patience again"
        assert again.result() is Turn.DEFERRED

    run(test())


def test_a_lane_is_slow_no_longer_once_a_slot_is_free_for_who_comes() -> None:
    async def test() -> None:
        lanes = Lanes(2, patience_s=0.2)
        await entered(lanes, A, 2)
        assert await lanes.enter(A, within_s=LONG_S, may_defer=True) is Turn.DEFERRED
        lanes.leave(A)
        assert await lanes.enter(A, within_s=LONG_S, may_defer=True) is Turn.NOW
        patient = await waiting(lanes, A, may_defer=True)
        assert not patient.done()
        patient.cancel()

    run(test())


def test_who_waits_elsewhere_already_waits_until_its_time_is_over() -> None:
    async def test() -> None:
        lanes = Lanes(1, patience_s=0.001)
        await entered(lanes, A, 1)
        assert await lanes.enter(A, within_s=0.02, may_defer=False) is Turn.LATE
        assert lanes.waiting == 0

    run(test())


def test_who_is_cancelled_leaves_the_line_and_gives_back_what_it_was_just_given() -> None:
    async def test() -> None:
        lanes = Lanes(1)
        await entered(lanes, A, 1)
        gone = await waiting(lanes, A)
        lanes.leave(A)  # grants to it, which is cancelled before it can go on
        gone.cancel()
        with pytest.raises(asyncio.CancelledError):
            await gone
        assert (lanes.in_use, lanes.waiting) == (0, 0)
        assert await entered(lanes, A, 1) == [Turn.NOW]

    run(test())


@given(
    calls=st.integers(1, 12),
    steps=st.lists(st.tuples(st.sampled_from([A, B, C]), st.booleans()), max_size=60),
)
def test_slots_are_never_given_twice_and_never_lost(calls: int, steps: list[tuple[tuple[str, str], bool]]) -> None:
    async def test() -> None:
        lanes = Lanes(calls)
        holding = {A: 0, B: 0, C: 0}
        for lane, comes in steps:
            if comes:
                holding[lane] += await lanes.enter(lane, within_s=0.0, may_defer=False) is Turn.NOW
            elif holding[lane]:
                lanes.leave(lane)
                holding[lane] -= 1
            assert lanes.in_use == sum(holding.values()) <= lanes.slots
            assert max(holding.values()) <= calls
        for lane, count in holding.items():
            for _ in range(count):
                lanes.leave(lane)
        assert await entered(lanes, A, calls) == [Turn.NOW] * calls

    run(test())
