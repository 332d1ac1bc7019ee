"""The wire under the openai package: what it makes of a connection that is never made."""

from __future__ import annotations

import asyncio
import socket
from contextlib import ExitStack

import httpx2
import pytest

from agents.answering.wire import AiohttpTransport, client_for, is_proxied


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


@pytest.mark.parametrize(
    ("named", "behind_a_proxy"),
    [
        ({}, False),
        ({"no_proxy": "127.0.0.1"}, False),
        ({"http_proxy": "http://proxy:3128"}, True),
        ({"all_proxy": "http://proxy:3128"}, True),
        ({"https_proxy": "http://proxy:3128"}, False),
        ({"http_proxy": "http://proxy:3128", "no_proxy": "127.0.0.1,models.internal"}, False),
    ],
)
def test_only_what_a_proxy_stands_before_takes_the_dearer_wire(
    named: dict[str, str], behind_a_proxy: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    for name, value in named.items():
        monkeypatch.setenv(name, value)
    assert is_proxied("http://user:secret@127.0.0.1:8000/v1") == behind_a_proxy
    assert is_proxied("http://elsewhere/v1") == ("http_proxy" in named or "all_proxy" in named)


def test_an_address_in_no_proxy_is_called_over_the_cheap_wire(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    client = client_for("http://127.0.0.1:8000/v1", trust_env=True)
    assert isinstance(client._transport, AiohttpTransport)
