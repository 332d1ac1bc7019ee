"""Who waits for an answer hears of it when answers are no longer read."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from schemas import ChunkGenerated, Record, RequestReceived
from streams.client import Client
from streams.deployment import Deployment


class Broker:
    """Gives the pieces of an answer when it is told to."""

    def __init__(self, client: "Asking") -> None:
        self._client = client

    async def __aiter__(self) -> AsyncIterator[Any]:
        asked = await self._client.asked.get()
        chunk = ChunkGenerated(
            event_id="a",
            occurred_at_us=1,
            tenant=asked.tenant,
            conversation_id=asked.conversation_id,
            request_id=asked.request_id,
            step=0,
            index=0,
            text="Your",
        )
        yield SimpleNamespace(value=self._client.codec.encode(chunk))


class Asking(Client):
    """A client without a broker."""

    def __init__(self, folder: Path) -> None:
        super().__init__(Deployment(var=folder), on_chunk=self._spill)
        self.asked: asyncio.Queue[RequestReceived] = asyncio.Queue()

    def _spill(self, chunk: ChunkGenerated) -> None:
        raise OSError(f"nobody takes {chunk.text}")

    async def publish(self, topic: str, event: Record) -> None:
        assert isinstance(event, RequestReceived)
        self.asked.put_nowait(event)

    def read(self) -> None:
        played: Any = Broker(self)
        self._consumer = played
        self._reading = asyncio.create_task(self._read())
        self._reading.add_done_callback(self._tell_that_reading_ended)


async def ask_twice(folder: Path) -> list[str]:
    client = Asking(folder)
    client.read()
    said = []
    for _ in range(2):
        with pytest.raises(OSError, match="nobody takes Your") as failed:
            await client.ask("help", "Where is my order?", within_s=30)
        said.append(str(failed.value))
    return said


def test_a_callback_that_fails_is_told_to_who_waits_and_to_who_asks_later(tmp_path):
    assert len(asyncio.run(asyncio.wait_for(ask_twice(tmp_path), 10))) == 2
