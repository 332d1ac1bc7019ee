"""A model server for measurements: answers every call at once, in a process of its own, with hardly any CPU.

In: ``python -m tests.instant_model``. Out: its port on standard output; OpenAI's chat completions on that port, each with the text
``You asked: ...``; ``GET /calls`` gives how often each question was asked, as JSON: what would have had to be paid. Keeps
those counts. Ends with its standard input.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import subprocess
import sys
import urllib.request
from collections import Counter
from collections.abc import Iterator
from typing import Any

from tests.hosted import completion, hosted_at

_ANSWER_S = 10.0


class _Server:
    def __init__(self) -> None:
        self._calls: Counter[str] = Counter()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).lower()
                _, found, rest = head.partition(b"content-length:")
                body = await reader.readexactly(int(rest.split(b"\r\n", 1)[0])) if found else b""
                answer = json.dumps(self._answer(body) if body else self._calls).encode()
                writer.write(
                    b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(answer)
                )
                writer.write(answer)
                await writer.drain()
        writer.close()

    def _answer(self, body: bytes) -> dict[str, Any]:
        asked = json.loads(body)
        question = asked["messages"][-1]["content"]
        self._calls[question] += 1
        return completion(asked["model"], f"You asked: {question} (call {self._calls.total()})")


class InstantModel:
    """A running server."""

    def __init__(self, port: int) -> None:
        self.base_url = f"http://127.0.0.1:{port}/v1"

    def calls(self) -> dict[str, int]:
        """How often each question was asked."""
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(f"{self.base_url}/calls", timeout=_ANSWER_S) as answer:
            counted: dict[str, int] = json.load(answer)
        return counted

    def environ(self) -> dict[str, str]:
        """The variables under which a role calls this server."""
        return hosted_at(self.base_url, price="0/0")


@contextlib.contextmanager
def instant_model() -> Iterator[InstantModel]:
    """A server for the context, in a process of its own."""
    with subprocess.Popen(
        [sys.executable, "-m", "tests.instant_model"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stdin is not None
        try:
            yield InstantModel(int(process.stdout.readline()))
        finally:
            process.stdin.close()


async def _main() -> None:
    server = await asyncio.start_server(_Server().serve, "127.0.0.1", 0, limit=2**22)
    sys.stdout.write(f"{server.sockets[0].getsockname()[1]}\n")
    sys.stdout.flush()
    await asyncio.to_thread(sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(_main())
