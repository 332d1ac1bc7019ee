"""SIGTERM stops every role in its time, and what is asked meanwhile is answered when it is back."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from schemas import RequestReceived, ResponseReady, RewardComputed
from streams.client import Client, Response
from streams.supervisor import ROLES
from tests.loop import Loop
from tests.waiting import eventually

WAIT_BETWEEN_S = 0.25
ANSWER_WITHIN_S = 60.0


class Caller:
    """Asks steadily, in a thread, until it is told to stop; then waits for all answers."""

    def __init__(self, loop: Loop) -> None:
        self._loop = loop
        self._enough = threading.Event()
        self.answers: list[Response] = []
        self.asked: list[RequestReceived] = []

    def run(self) -> None:
        asyncio.run(self._run())

    def stop(self) -> None:
        self._enough.set()

    async def _run(self) -> None:
        async with Client(self._loop.deployment) as client:
            waiting = []
            while not self._enough.is_set():
                request = client.request("help", "How are dead letters replayed?", deadline_ms=60_000)
                self.asked.append(request)
                waiting.append(asyncio.create_task(client.answer_to(request, within_s=ANSWER_WITHIN_S)))
                await asyncio.to_thread(self._enough.wait, WAIT_BETWEEN_S)
            self.answers = list(await asyncio.gather(*waiting))


@contextmanager
def asking(loop: Loop) -> Iterator[Caller]:
    """Ask steadily within the context; at its end every answer was waited for."""
    caller = Caller(loop)
    thread = threading.Thread(target=caller.run)
    thread.start()
    try:
        yield caller
    finally:
        caller.stop()
        thread.join()


@pytest.mark.parametrize("role", ROLES)
def test_a_role_that_is_restarted_under_load_stops_in_its_time_and_loses_nothing(loop: Loop, role: str) -> None:
    begin = len(loop.happened)
    with asking(loop) as caller:
        loop.down(role)
        loop.up(role)
    ends = [each.what for each in loop.happened[begin:] if each.role == role]
    assert ends == ["stopping", "stopped", "starting", "ready"]
    assert len(caller.answers) == len(caller.asked) > 0
    assert all(isinstance(answer, ResponseReady) for answer in caller.answers)
    assert len({answer.event_id for answer in caller.answers}) == len(caller.asked)
    answered = {answer.request_id for answer in caller.answers}
    eventually(
        lambda: answered <= {each.request_id for each in loop.events("rewards", RewardComputed)},
        30,
        describe="a reward for each",
    )
