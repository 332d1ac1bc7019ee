"""A router with hand-written surroundings: an outbox that records, a clock that stands still, an encoder that remembers."""

import asyncio
from typing import Any

import numpy as np
import numpy.typing as npt

from agents.deciding.held import Held
from agents.router import Router
from schemas import Record
from streams.codec import Codec
from streams.outbox import Outbox
from streams.tracing import Headers
from tests.deciding_parts import NOW_US, VECTOR, planner, request

CODEC = Codec()


class Desk:
    """A router, an outbox that records, an encoder that remembers what it read."""

    def __init__(self, now_us: int = NOW_US + 20_000) -> None:
        self.sent: list[tuple[str, bytes, Record]] = []
        self.encoded: list[str] = []
        self.held = Held()
        outbox = Outbox("router", CODEC, self._send)
        self.router = Router(planner(), self.held, self._encode, outbox, lambda: now_us)

    async def _send(self, topic: str, key: bytes, value: bytes, headers: Headers) -> None:
        self.sent.append((topic, key, CODEC.decode(value)))

    def _encode(self, text: str) -> npt.NDArray[np.float32]:
        self.encoded.append(text)
        return VECTOR

    def take(self, **fields: Any) -> tuple[str, Any]:
        asyncio.run(self.router.handle(request(**fields)))
        (topic, key, event) = self.sent[-1]
        assert key == b"c1"
        return topic, event
