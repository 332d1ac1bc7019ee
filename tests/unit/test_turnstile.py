"""How many begin each time the event loop comes round."""

from __future__ import annotations

import asyncio

from agents.answering.turnstile import Turnstile


async def rounds_of(count: int, at_once: int) -> list[int]:
    """In which round of the event loop each of ``count`` that came at once began."""
    turnstile, began, now = Turnstile(at_once), [], 0

    async def begin() -> None:
        await turnstile.enter()
        began.append(now)

    waiting = [asyncio.ensure_future(begin()) for _ in range(count)]
    while not all(each.done() for each in waiting):
        await asyncio.sleep(0)
        now += 1
    return began


def test_few_wait_for_nothing() -> None:
    assert len(set(asyncio.run(rounds_of(8, 8)))) == 1


def test_of_many_no_more_than_so_many_begin_in_a_round_and_all_in_the_end() -> None:
    began = asyncio.run(rounds_of(100, 8))
    assert len(began) == 100
    assert max(began.count(each) for each in set(began)) == 8
    assert len(set(began)) <= 14, "each round lets as many in as it may"


def test_who_came_first_begins_first_and_who_left_takes_nobodys_turn() -> None:
    async def scenario() -> None:
        turnstile, began = Turnstile(1), []

        async def begin(number: int) -> None:
            await turnstile.enter()
            began.append(number)

        waiting = [asyncio.ensure_future(begin(number)) for number in range(5)]
        await asyncio.sleep(0)
        waiting[2].cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
        assert began == [0, 1, 3, 4]

    asyncio.run(scenario())


def test_it_asks_for_no_more_rounds_than_it_needs() -> None:
    async def scenario() -> None:
        turnstile = Turnstile(2)
        await turnstile.enter()
        for _ in range(4):
            await asyncio.sleep(0)
        assert not turnstile._comes_round

    asyncio.run(scenario())


def test_where_the_loop_comes_round_late_fewer_begin_and_one_always() -> None:
    async def began_at_first(took_s: float) -> int:
        times = iter(number * took_s for number in range(1_000))
        turnstile = Turnstile(8, clock_s=lambda: next(times))
        for _ in range(8):
            await turnstile.enter()
        waiting = [asyncio.ensure_future(turnstile.enter()) for _ in range(100)]
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        begun = sum(each.done() for each in waiting)
        await asyncio.gather(*waiting)
        return begun

    assert [asyncio.run(began_at_first(took_s)) for took_s in (0.001, 0.02, 0.04, 10.0)] == [8, 8, 4, 1]
