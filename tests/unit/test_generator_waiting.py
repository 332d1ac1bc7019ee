"""The generator under a slow provider: who waits, where, and who is not held up; no broker."""

import asyncio
from itertools import pairwise
from typing import Any

from agents.answering.lanes import Lanes
from agents.generator import BEGUN_AT_ONCE
from schemas import RequestRouted, ResponseFailed, ResponseReady
from tests.generator_parts import BEGIN_US, Models, Time, World, answer, routed
from tests.waiting import eventually_async

CALLS = 4


def world_with_slow_calls(**more: object) -> World:
    world = World(Models(Time(), simple=[answer()]), lanes=Lanes(CALLS, patience_s=0.01), **more)  # type: ignore[arg-type]
    world.models.gate = asyncio.Event()
    return world


def plan(number: int, tenant: str = "acme", **more: Any) -> RequestRouted:
    return routed(
        "simple", request={"tenant": tenant, "request_id": f"r{number}", "conversation_id": f"c{number}"}, **more
    )


def test_of_many_that_come_at_once_few_begin_each_time_the_event_loop_comes_round() -> None:
    world = World(Models(Time(), simple=[answer()]), lanes=Lanes(64))
    world.models.gate = asyncio.Event()
    begun: list[int] = []

    async def test() -> None:
        many = [asyncio.create_task(world.generator.handle(plan(n))) for n in range(40)]
        while len(world.models.calls) < len(many):
            await asyncio.sleep(0)
            begun.append(len(world.models.calls))
        assert world.models.gate is not None
        world.models.gate.set()
        await asyncio.gather(*many)

    asyncio.run(test())
    assert max(after - before for before, after in pairwise([0, *begun])) == BEGUN_AT_ONCE


def test_another_tenant_is_answered_while_one_fills_all_that_it_may() -> None:
    world = world_with_slow_calls()

    async def test() -> None:
        slow = [asyncio.create_task(world.generator.handle(plan(n))) for n in range(CALLS + 3)]
        await eventually_async(lambda: len(world.on("deferred")) == 3)
        assert len(world.models.calls) == CALLS
        deferred = asyncio.create_task(world.generator.handle_deferred(world.on("deferred")[0]))
        await eventually_async(lambda: world.kept.only_waiting == 1)
        other = asyncio.create_task(world.generator.handle(plan(100, "blue")))
        await eventually_async(lambda: len(world.models.calls) == CALLS + 1)
        assert world.models.gate is not None
        world.models.gate.set()
        await asyncio.gather(*slow, other, deferred)
        assert world.kept.only_waiting == 0

    asyncio.run(test())
    assert [each.tenant for each in world.on("responses")].count("blue") == 1
    assert world.counted.count("deferred_total") == 3


def test_what_was_deferred_is_answered_when_there_is_a_slot_again_and_paid_once() -> None:
    world = world_with_slow_calls()

    async def test() -> None:
        slow = [asyncio.create_task(world.generator.handle(plan(n))) for n in range(CALLS + 1)]
        await eventually_async(lambda: len(world.on("deferred")) == 1)
        (deferred,) = world.on("deferred")
        waits = asyncio.create_task(world.generator.handle_deferred(deferred))
        assert world.models.gate is not None
        world.models.gate.set()
        await asyncio.gather(*slow, waits)

    asyncio.run(test())
    assert sorted(each.request_id for each in world.on("responses")) == [f"r{n}" for n in range(CALLS + 1)]
    assert all(isinstance(each, ResponseReady) for each in world.on("responses"))
    assert len(world.models.calls) == CALLS + 1


def test_a_repeat_that_waited_while_the_first_was_answered_is_not_paid() -> None:
    world = world_with_slow_calls()

    async def test() -> None:
        slow = [asyncio.create_task(world.generator.handle(plan(n))) for n in range(CALLS)]
        await eventually_async(lambda: len(world.models.calls) == CALLS)
        twice = [asyncio.create_task(world.generator.handle_deferred(plan(50))) for _ in range(2)]
        await asyncio.sleep(0)
        assert world.models.gate is not None
        world.models.gate.set()
        await asyncio.gather(*slow, *twice)

    asyncio.run(test())
    assert len(world.models.calls) == CALLS + 1
    assert [each.request_id for each in world.on("responses")].count("r50") == 2


def test_a_request_whose_deadline_passed_while_it_waited_is_answered_without_being_paid_for() -> None:
    world = world_with_slow_calls()

    async def test() -> None:
        slow = [asyncio.create_task(world.generator.handle(plan(n))) for n in range(CALLS)]
        await eventually_async(lambda: len(world.models.calls) == CALLS)
        late = plan(50, deadline_at_us=BEGIN_US + 20_000)
        waits = asyncio.create_task(world.generator.handle_deferred(late))
        await asyncio.sleep(0)
        world.time.passes(0.02)
        await waits
        assert world.models.gate is not None
        world.models.gate.set()
        await asyncio.gather(*slow)

    asyncio.run(test())
    (failed,) = [each for each in world.on("responses") if isinstance(each, ResponseFailed)]
    assert (failed.request_id, failed.code, failed.cost_usd) == ("r50", "deadline_exceeded", 0.0)
    assert len(world.models.calls) == CALLS


def test_an_event_whose_partition_went_away_while_it_waited_is_left_to_the_other_worker() -> None:
    world = world_with_slow_calls()

    async def test() -> None:
        slow = [asyncio.create_task(world.generator.handle(plan(n))) for n in range(CALLS)]
        await eventually_async(lambda: len(world.models.calls) == CALLS)
        waits = asyncio.create_task(world.generator.handle_deferred(plan(50)))
        await asyncio.sleep(0)
        world.kept.ours = False
        assert world.models.gate is not None
        world.models.gate.set()
        await asyncio.gather(*slow, waits)

    asyncio.run(test())
    assert len(world.models.calls) == CALLS
    assert world.on("responses") == []
