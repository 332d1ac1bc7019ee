"""A coroutine that is begun without a task: done at once where nothing has to be waited for, and gone on with where it has."""

from __future__ import annotations

import asyncio

import pytest

from streams.begun import Begun


def test_what_need_not_wait_is_done_when_it_was_begun() -> None:
    async def work() -> int:
        return 3

    async def scenario() -> None:
        begun = Begun(work())
        assert begun.is_done
        assert begun.result == 3
        assert await begun == 3

    asyncio.run(scenario())


def test_what_waits_goes_on_where_it_is_awaited() -> None:
    async def scenario() -> None:
        room, steps = asyncio.Event(), []

        async def work() -> int:
            steps.append("begun")
            await room.wait()
            steps.append("room")
            await asyncio.sleep(0)
            return 3

        begun = Begun(work())
        assert steps == ["begun"]
        assert not begun.is_done
        asyncio.get_running_loop().call_soon(room.set)
        assert await begun == 3
        assert steps == ["begun", "room"]

    asyncio.run(scenario())


def test_what_fails_before_it_waits_fails_where_it_was_begun() -> None:
    async def work() -> None:
        raise ConnectionError("away")

    with pytest.raises(ConnectionError):
        Begun(work())


def test_what_fails_after_waiting_fails_where_it_is_awaited() -> None:
    async def work() -> None:
        await asyncio.sleep(0)
        raise ConnectionError("away")

    async def scenario() -> None:
        begun = Begun(work())
        with pytest.raises(ConnectionError):
            await begun

    asyncio.run(scenario())


def test_a_cancellation_reaches_what_waits() -> None:
    async def scenario() -> None:
        seen = []

        async def work() -> None:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                seen.append("cancelled")
                raise

        begun = Begun(work())
        waiting = asyncio.ensure_future(begun)
        await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        assert seen == ["cancelled"]

    asyncio.run(scenario())
