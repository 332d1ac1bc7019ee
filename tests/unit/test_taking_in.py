"""Handing messages over costs no task unless it has to wait, then it is raced against a stop; the consumer is in the same loop."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from streams.app import build_app
from streams.deployment import Deployment
from streams.taking_in import ConsumerThread, Racing


class Handing(Racing):
    """A service that hands over."""


def tasks() -> int:
    return len(asyncio.all_tasks())


def test_what_need_not_wait_is_done_without_a_task() -> None:
    async def scenario() -> None:
        service, seen = Handing(), []

        async def hand_over() -> str:
            seen.append(tasks())
            return "handed over"

        found = await service.wait_first(hand_over(), asyncio.Event().wait())
        assert found.results == ["handed over"]
        assert not found.stopped
        assert seen == [1]

    asyncio.run(scenario())


def test_what_has_to_wait_goes_on_where_it_began() -> None:
    async def scenario() -> None:
        service, room, steps = Handing(), asyncio.Event(), []

        async def hand_over() -> int:
            steps.append("begun")
            await room.wait()
            steps.append("room")
            await asyncio.sleep(0)
            return 3

        asyncio.get_running_loop().call_later(0.001, room.set)
        found = await service.wait_first(hand_over(), asyncio.Event().wait())
        assert found.results == [3]
        assert steps == ["begun", "room"]

    asyncio.run(scenario())


def test_a_stop_ends_the_waiting_and_cancels_what_waits() -> None:
    async def scenario() -> None:
        service, stop, ends = Handing(), asyncio.Event(), []

        async def hand_over() -> None:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                ends.append("cancelled")
                raise

        asyncio.get_running_loop().call_later(0.001, stop.set)
        found = await service.wait_first(hand_over(), stop.wait())
        assert found.results == [True]
        await asyncio.sleep(0)
        assert ends == ["cancelled"]

    asyncio.run(scenario())


@pytest.mark.parametrize("waits", [False, True])
def test_what_fails_fails_at_whoever_waits(waits: bool) -> None:
    async def scenario() -> None:
        async def hand_over() -> None:
            if waits:
                await asyncio.sleep(0)
            raise ConnectionError("the broker is away")

        with pytest.raises(ConnectionError):
            await Handing().wait_first(hand_over(), asyncio.Event().wait())

    asyncio.run(scenario())


def test_an_error_that_is_thrown_at_what_waits_can_be_dealt_with_there() -> None:
    async def scenario() -> Any:
        refused: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        async def hand_over() -> str:
            try:
                await refused
            except ConnectionError:
                await asyncio.sleep(0)
                return "dealt with"
            return "not refused"

        asyncio.get_running_loop().call_soon(refused.set_exception, ConnectionError("the broker is away"))
        return (await Handing().wait_first(hand_over(), asyncio.Event().wait())).results

    assert asyncio.run(scenario()) == ["dealt with"]


class Consumers(ConsumerThread):
    """Keeps a consumer that only notes what becomes of it."""

    def __init__(self, app: Any) -> None:
        self.steps: list[str] = []
        super().__init__(app.consumer, loop=asyncio.get_running_loop(), beacon=app.beacon)

    def _create_consumer(self, loop: asyncio.AbstractEventLoop) -> Any:
        assert loop is asyncio.get_running_loop()

        async def start() -> None:
            self.steps.append("started")

        async def stop() -> None:
            self.steps.append("stopped")

        return SimpleNamespace(start=start, stop=stop)


def test_the_consumer_runs_in_the_event_loop_that_asks_it(tmp_path: Path) -> None:
    async def scenario() -> None:
        deployment = Deployment(bootstrap_servers="localhost:9", var=tmp_path)
        app = build_app("router", deployment, partitions=8, loop=asyncio.get_running_loop())
        app.finalize()
        threads = threading.active_count()
        consumers = Consumers(app)
        await consumers.start()

        async def ask(what: str) -> asyncio.AbstractEventLoop:
            consumers.steps.append(what)
            return asyncio.get_running_loop()

        assert await consumers.call_thread(ask, "asked") is asyncio.get_running_loop()
        assert threading.active_count() == threads
        await consumers.stop()
        await consumers.stop()
        assert consumers.steps == ["started", "asked", "stopped"]

    asyncio.run(scenario())
