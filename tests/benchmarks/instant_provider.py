"""A model server that costs almost nothing: it answers every chat call with the same bytes, at once or after a pause.

In: ``python -m tests.benchmarks.instant_provider RUN_FILE [PAUSE_MS]``; HTTP/1.1 with a Content-Length. Out: OpenAI's answer; for a
GET ``{"calls": so far, "at_once": most at the same time, "open": connections}``, and ``at_once`` begins anew. Keeps counters. Fails
never: what is no request gets no answer.
"""

import asyncio
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import uvloop

from tests.hosted import completion

ANSWER = "Requests are kept for seven days. A request that cannot be answered ends in a response that says why."
_BODY = json.dumps(completion("instant", ANSWER)).encode()
_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
_LENGTH = b"content-length:"


class Counts:
    """What the server has seen."""

    def __init__(self, pause_s: float) -> None:
        self.pause_s = pause_s
        self.calls = self.now = self.at_once = self.open = 0

    def begin(self) -> None:
        """A call came."""
        self.calls += 1
        self.now += 1
        self.at_once = max(self.at_once, self.now)


class Line(asyncio.Protocol):
    """One connection; requests on it come one after the other."""

    def __init__(self, counts: Counts) -> None:
        self._counts = counts
        self._received = b""
        self._transport: Any = None  # uvloop's transports are no asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the way back."""
        self._transport = transport
        self._counts.open += 1

    def connection_lost(self, exc: Exception | None) -> None:
        """Count it."""
        del exc
        self._counts.open -= 1

    def data_received(self, data: bytes) -> None:
        """Answer every request that is complete."""
        self._received += data
        while (end := self._received.find(b"\r\n\r\n")) >= 0:
            head = self._received[:end].lower()
            at = head.find(_LENGTH)
            length = int(head[at + len(_LENGTH) :].split(b"\r\n", 1)[0]) if at >= 0 else 0
            whole = end + 4 + length
            if len(self._received) < whole:
                return
            self._received = self._received[whole:]
            if head.startswith(b"get"):
                self._tell()
            else:
                self._counts.begin()
                if self._counts.pause_s:
                    asyncio.get_running_loop().call_later(self._counts.pause_s, self._answer)
                else:
                    self._answer()

    def _answer(self) -> None:
        self._counts.now -= 1
        self._write(_BODY)

    def _tell(self) -> None:
        counts = self._counts
        self._write(json.dumps({"calls": counts.calls, "at_once": counts.at_once, "open": counts.open}).encode())
        counts.at_once = counts.now

    def _write(self, body: bytes) -> None:
        if self._transport is not None:
            self._transport.write(_HEAD % len(body) + body)


async def _serve(tell: Callable[[str], object], pause_s: float) -> None:
    counts = Counts(pause_s)
    server = await asyncio.get_running_loop().create_server(lambda: Line(counts), "127.0.0.1", 0, backlog=4096)
    port = server.sockets[0].getsockname()[1]
    tell(f"http://127.0.0.1:{port}/v1")
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(_serve(Path(sys.argv[1]).write_text, float(sys.argv[2] if len(sys.argv) > 2 else 0) / 1_000))
