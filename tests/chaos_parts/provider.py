"""A model provider in a process of its own: OpenAI's protocol by raw asyncio, modes, and a ledger of what would have to be paid.

In: ``python -m tests.chaos_parts.provider LEDGER``; questions that carry ``[tenant/conversation/request]``; ``POST /mode`` with
``{"mode": ..., "delay_s": ...}``. Out: its port, one line on standard output; answers; the ledger, a JSON line when a call begins
and one when it ends. Keeps nothing else. It ends when standard input closes, which it does however its owner ends.

Modes: ``answer`` (after ``delay_s``), ``hang`` (no answer until the caller leaves or the mode changes), ``500``, ``429``.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import re
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Any

from tests.hosted import completion

ROOT = Path(__file__).resolve().parents[2]
GAVE_UP_WITHIN_S = 0.25
"""Who reads an answer keeps the connection for the next call."""
TOKEN = re.compile(r"\[([^\[\]]+)\]")


@dataclass(frozen=True)
class Call:
    """One call of the ledger; times in microseconds since 1970-01-01 UTC. ``whole``: the answer was written to its end, to a caller
    who was still there and had not already given up: that one closes the connection instead of reading."""

    token: str
    mode: str
    begun_us: int
    ended_us: int | None = None
    whole: bool = False


def read_ledger(path: Path) -> list[Call]:
    """The calls in the order in which they began."""
    calls: dict[int, Call] = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        said = json.loads(line)
        number = said.pop("call")
        calls[number] = replace(calls[number], **said) if number in calls else Call(**said)
    return list(calls.values())


class Provider:
    """The provider as its owner sees it."""

    def __init__(self, port: int, ledger: Path) -> None:
        self.base_url = f"http://127.0.0.1:{port}/v1"
        self.ledger = ledger
        self._opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        self._address = f"http://127.0.0.1:{port}/mode"

    def be(self, mode: str, delay_s: float = 0.0) -> None:
        """Change the mode."""
        body = json.dumps({"mode": mode, "delay_s": delay_s}).encode()
        with self._opener.open(self._address, body, timeout=10) as said:
            said.read()

    def calls(self) -> list[Call]:
        """What the ledger says until now."""
        return read_ledger(self.ledger)


@contextmanager
def provider(ledger: Path) -> Iterator[Provider]:
    """A provider that runs within the context."""
    command = [sys.executable, "-m", "tests.chaos_parts.provider", str(ledger)]
    process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        with process.stdout:
            yield Provider(int(process.stdout.readline()), ledger)
    finally:
        process.stdin.close()
        process.wait(20)


# ------------------------------------------------------------------------------------------------- inside the process


class _Server:
    def __init__(self, ledger: IO[str]) -> None:
        self._ledger = ledger
        self._numbers = itertools.count()
        self._mode, self._delay_s = "answer", 0.0
        self._changed = asyncio.Event()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        number, answered_s = None, 0.0
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).lower()
                found = re.search(rb"content-length: *(\d+)", head)
                body = json.loads(await reader.readexactly(int(found.group(1)) if found else 0))
                if head.startswith(b"post /mode "):
                    self._mode, self._delay_s = body["mode"], body["delay_s"]
                    self._changed.set()
                    self._changed = asyncio.Event()
                    await self._write(writer, "200 OK", {})
                else:
                    number = None
                    number = await self._call(body, reader, writer)
                    answered_s = time.monotonic()
        except (asyncio.IncompleteReadError, ConnectionError):  # who asked left, or was killed
            if number is not None and time.monotonic() - answered_s < GAVE_UP_WITHIN_S:
                self._note(call=number, whole=False)
        finally:
            writer.close()

    async def _call(self, body: dict[str, Any], reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> int:
        number, mode, delay_s = next(self._numbers), self._mode, self._delay_s
        question = body["messages"][-1]["content"]
        token = TOKEN.search(question)
        self._note(call=number, token=token.group(1) if token else "", mode=mode, begun_us=time.time_ns() // 1_000)
        whole = False
        try:
            if mode == "hang":
                changed = asyncio.ensure_future(self._changed.wait())
                await self._wait(reader, changed)
                raise ConnectionResetError
            if mode == "answer":
                await self._wait(reader, asyncio.ensure_future(asyncio.sleep(delay_s)))
                await self._write(writer, "200 OK", _answer(number, body["model"], question))
                whole = True
            else:
                await self._write(writer, f"{mode} Refused", {"error": {"message": f"status {mode}"}})
        finally:
            self._note(call=number, ended_us=time.time_ns() // 1_000, whole=whole)
        return number

    async def _wait(self, reader: asyncio.StreamReader, until: asyncio.Future[Any]) -> None:
        """Wait for something; ends at once where the caller leaves: its patience ended, or the caller."""
        left = asyncio.ensure_future(reader.read(1))
        done, waiting = await asyncio.wait({left, until}, return_when=asyncio.FIRST_COMPLETED)
        for each in waiting:
            each.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)  # nobody may read meanwhile
        if left in done:
            raise ConnectionResetError

    async def _write(self, writer: asyncio.StreamWriter, status: str, content: object) -> None:
        raw = json.dumps(content).encode()
        head = f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {len(raw)}\r\n\r\n"
        writer.write(head.encode() + raw)
        await writer.drain()

    def _note(self, **said: object) -> None:
        self._ledger.write(json.dumps(said) + "\n")


def _answer(number: int, model: str, question: str) -> dict[str, Any]:
    # No two answers are the same: a request that was answered by two calls shows it.
    return completion(model, f"Answer {number} to: {question[-80:]}")


async def _main(ledger: IO[str]) -> None:
    server = await asyncio.start_server(_Server(ledger).serve, "127.0.0.1", 0, backlog=1024)
    sys.stdout.write(f"{server.sockets[0].getsockname()[1]}\n")
    sys.stdout.flush()
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.buffer.read)
    server.close()


if __name__ == "__main__":
    with Path(sys.argv[1]).open("a", encoding="utf-8", buffering=1) as opened:
        asyncio.run(_main(opened))
