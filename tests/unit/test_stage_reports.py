"""A stage's reports: each has an id of its own, also after a restart in a container, where the process id comes again."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from faust.types.tuples import Message

from schemas import StageMeasured
from streams.codec import Codec
from streams.delivery import Origin
from streams.deployment import Deployment
from streams.stage import Stage

CODEC = Codec()
BEGIN_US = 1_800_000_000_000_000


class NoBroker:
    """What a stage needs of a Faust app, and a producer that keeps what is sent."""

    def __init__(self) -> None:
        self.on_partitions_assigned = self.on_before_shutdown = self
        self.producer = self
        self.sent: list[StageMeasured] = []
        self.report: Callable[[], Awaitable[None]] | None = None

    def connect(self, *_: Any, **__: Any) -> None:
        """A signal that never comes."""

    def timer(self, *_: Any, **__: Any) -> Callable[[Any], None]:
        def take(report: Callable[[], Awaitable[None]]) -> None:
            self.report = report

        return take

    def task(self, _: Any) -> None:
        """Nothing runs beside the reports."""

    async def send(self, _: str, __: bytes, value: bytes, *___: Any) -> Awaitable[Any]:
        event = CODEC.decode(value)
        if isinstance(event, StageMeasured):
            self.sent.append(event)
        return asyncio.sleep(0, SimpleNamespace(timestamp=None, timestamp_type=None))


def reports_of_a_process(folder: Path, started_us: int) -> list[StageMeasured]:
    app: Any = NoBroker()
    stage = Stage("router", Deployment(var=folder), partitions=1, clock=lambda: started_us, app=app)

    async def run() -> None:
        for offset in range(2):
            await stage.delivery.dead_letter(Origin("requests", 0, offset, None, b"?"), ValueError(), attempts=1)
            await app.report()

    asyncio.run(run())
    return list(app.sent)


def test_reports_of_a_worker_that_was_restarted_with_the_same_process_id_are_no_repeats(tmp_path: Path) -> None:
    before = reports_of_a_process(tmp_path, BEGIN_US)
    after = reports_of_a_process(tmp_path, BEGIN_US + 1)
    assert [event.worker for event in before] == [event.worker for event in after]
    assert [event.sequence for event in before] == [event.sequence for event in after] == [0, 1]
    assert len({event.event_id for event in (*before, *after)}) == 4


class Acknowledging:
    """What a message's acknowledgement needs of Faust's consumer: nothing."""


def an_event() -> Any:
    message = Message("requests", 0, 7, 0.0, 0, (), None, b"?", None)
    message.incref()
    return SimpleNamespace(message=message)


def a_stage(folder: Path) -> Stage:
    app: Any = NoBroker()
    return Stage("router", Deployment(var=folder), partitions=1, app=app)


def test_an_event_that_was_handled_is_acknowledged(tmp_path: Path) -> None:
    event = an_event()
    with a_stage(tmp_path)._acknowledged_only_at_its_end(event):
        pass
    consumer: Any = Acknowledging()
    assert event.message.ack(consumer)


@pytest.mark.parametrize("raised", [asyncio.CancelledError, GeneratorExit, KeyError])
def test_an_event_whose_agent_was_cancelled_is_never_acknowledged(tmp_path: Path, raised: type[BaseException]) -> None:
    stage, event = a_stage(tmp_path), an_event()
    with pytest.raises(raised), stage._acknowledged_only_at_its_end(event):
        raise raised
    consumer: Any = Acknowledging()
    assert not event.message.ack(consumer)
    assert stage._unfinished == [event.message], "Faust knows what is under way only while somebody holds it"
