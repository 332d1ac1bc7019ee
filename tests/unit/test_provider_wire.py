"""The wire under the openai package: what it makes of a connection that is never made."""

from __future__ import annotations

import asyncio
import socket
from contextlib import ExitStack

import httpx2
import pytest

from agents.answering.wire import AiohttpTransport


def test_a_server_that_takes_no_connection_was_not_reached() -> None:
    async def ask(port: int) -> None:
        transport = AiohttpTransport(verify=True)
        request = httpx2.Request("POST", f"http://127.0.0.1:{port}/v1", extensions={"timeout": {"connect": 0.2}})
        try:
            await transport.handle_async_request(request)
        finally:
            await transport.aclose()

    with ExitStack() as stack:
        full = stack.enter_context(socket.socket())
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        for _ in range(4):  # more than wait; the kernel answers nobody after them
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(full.getsockname())
        with pytest.raises(httpx2.ConnectError):
            asyncio.run(ask(full.getsockname()[1]))
