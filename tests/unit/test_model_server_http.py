"""The model server as the official client sees it: whole, streamed, and every error."""

import asyncio
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest
from openai import AsyncOpenAI

from agents.answering import Passage
from agents.answering.prompt import build_messages
from agents.model_server.models import LexicalModel
from agents.model_server.protocol import pieces
from agents.model_server.server import ModelServer, build_app
from agents.model_server.units import Unit
from agents.model_server.work import MeasuringThread, QueueFull

ROOT = Path(__file__).resolve().parents[2]
MODELS = Path(os.environ.get("PENSTOCK_VAR", ROOT / "var")) / "models"
PASSAGE = Passage(
    passage_id="d.md#1",
    document_id="d.md",
    title="Dam",
    heading="Gate",
    text="The gate weighs nine tonnes. It is made of steel and painted grey every second year.",
)
MESSAGES = build_messages("How many tonnes weighs the gate?", [PASSAGE], [], 200)


class Failing(LexicalModel):
    name = "failing"

    def rank_and_choose(self, question: str, units: Sequence[Unit], limit: int) -> list[Unit]:
        raise ArithmeticError("on purpose")


class Holding(LexicalModel):
    """Answers only when it may."""

    name = "holding"

    def __init__(self) -> None:
        self.begun = threading.Event()
        self.may_go_on = threading.Event()
        self.answers = 0

    def rank_and_choose(self, question: str, units: Sequence[Unit], limit: int) -> list[Unit]:
        self.begun.set()
        assert self.may_go_on.wait(timeout=20)
        self.answers += 1
        return super().rank_and_choose(question, units, limit)


@asynccontextmanager
async def served(*models: LexicalModel, **limits: int) -> AsyncIterator[AsyncOpenAI]:
    async with (
        ModelServer(build_app(models or (LexicalModel(),), **limits)) as server,
        AsyncOpenAI(base_url=server.base_url, api_key="none", max_retries=0) as client,
    ):
        yield client


async def ask(client: AsyncOpenAI, **changed: Any) -> Any:
    asked = {"model": "penstock-lexical", "messages": MESSAGES, **changed}
    return await client.chat.completions.create(**asked)


def test_a_whole_answer_with_its_usage_and_cpu_time():
    async def run() -> None:
        async with served() as client:
            got = await ask(client)
            assert "nine tonnes" in got.choices[0].message.content
            assert got.choices[0].finish_reason == "stop"
            assert got.usage.total_tokens == got.usage.prompt_tokens + got.usage.completion_tokens
            assert got.usage.cpu_seconds > 0
            assert got.usage.tokens_estimated_by == "characters / 4"

    asyncio.run(run())


def test_a_streamed_answer_says_the_same_and_ends_with_usage():
    async def run() -> None:
        async with served() as client:
            whole = (await ask(client)).choices[0].message.content
            stream = await ask(client, stream=True, stream_options={"include_usage": True})
            chunks = [chunk async for chunk in stream]
            texts = [chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices]
            assert "".join(texts) == whole
            assert len([text for text in texts if text]) > 1
            assert chunks[-2].choices[0].finish_reason == "stop"
            assert chunks[-1].choices == []
            assert chunks[-1].usage.cpu_seconds > 0
            assert all(chunk.usage is None for chunk in chunks[:-1])

    asyncio.run(run())


def test_without_asking_for_usage_a_stream_has_none():
    async def run() -> None:
        async with served() as client:
            chunks = [chunk async for chunk in await ask(client, stream=True)]
            assert all(chunk.choices for chunk in chunks)

    asyncio.run(run())


def test_content_in_parts_and_a_limit_in_tokens_are_obeyed():
    async def run() -> None:
        async with served() as client:
            parts = [{"type": "text", "text": MESSAGES[-1]["content"]}]
            messages = [MESSAGES[0], {"role": "user", "content": parts}]
            got = await ask(client, messages=messages, max_completion_tokens=5)
            assert 0 < len(got.choices[0].message.content) <= 20

    asyncio.run(run())


def test_models_are_listed_with_honest_descriptions_and_health_is_told():
    async def run() -> None:
        async with served() as client, httpx.AsyncClient() as plain:
            (model,) = (await client.models.list()).data
            assert model.id == "penstock-lexical"
            assert "not a language model" in model.model_dump()["description"]
            health = await plain.get(str(client.base_url).replace("/v1/", "/healthz"))
            assert health.json() == {"status": "ok", "waiting": 0}

    asyncio.run(run())


@pytest.mark.parametrize(
    ("changed", "error", "param"),
    [
        ({"model": "gpt-unknown"}, openai.NotFoundError, "model"),
        ({"messages": []}, openai.BadRequestError, "messages"),
        ({"messages": [{"role": "wizard", "content": "x"}]}, openai.BadRequestError, "messages[0].role"),
        ({"messages": [{"role": "assistant", "content": "x"}]}, openai.BadRequestError, "messages"),
        (
            {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {}}]}]},
            openai.BadRequestError,
            "messages[0].content",
        ),
        ({"n": 2}, openai.BadRequestError, "n"),
        ({"tools": [{"type": "function"}]}, openai.BadRequestError, "tools"),
        ({"max_tokens": 0}, openai.BadRequestError, "max_completion_tokens"),
    ],
)
def test_what_cannot_be_answered_is_refused_by_name(changed, error, param):
    async def run() -> None:
        async with served() as client:
            with pytest.raises(error) as caught:
                await ask(client, **changed)
            assert caught.value.body["param"] == param
            assert caught.value.body["type"] == "invalid_request_error"

    asyncio.run(run())


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"\xff", b'{"model": 3}'])
def test_a_body_that_is_no_request_gets_an_error_object(body):
    async def run() -> None:
        async with served() as client, httpx.AsyncClient() as plain:
            got = await plain.post(f"{client.base_url}chat/completions", content=body)
            assert got.status_code == 400
            assert set(got.json()["error"]) == {"message", "type", "param", "code"}

    asyncio.run(run())


def test_unknown_paths_methods_and_large_bodies_have_their_status():
    async def run() -> None:
        async with served(largest_body_bytes=100) as client, httpx.AsyncClient() as plain:
            assert (await plain.get(f"{client.base_url}nothing")).json()["error"]["message"]
            assert (await plain.get(f"{client.base_url}chat/completions")).status_code == 405
            large = await plain.post(f"{client.base_url}chat/completions", content=b"x" * 101)
            assert large.status_code == 413
            assert large.json()["error"]["code"] == "request_too_large"

    asyncio.run(run())


def test_a_full_queue_says_when_to_come_back_and_the_waiting_are_answered():
    async def run() -> None:
        holding = Holding()
        async with served(holding, longest_queue=1) as client:
            first = asyncio.create_task(ask(client, model="holding"))
            assert await asyncio.to_thread(holding.begun.wait, 20)
            with pytest.raises(openai.RateLimitError) as caught:
                await ask(client, model="holding")
            assert int(caught.value.response.headers["retry-after"]) >= 1
            holding.may_go_on.set()
            assert "nine tonnes" in (await first).choices[0].message.content
            assert (await ask(client, model="holding")).choices

    asyncio.run(run())


def test_our_own_fault_is_a_500_that_tells_no_internals():
    async def run() -> None:
        async with served(Failing(), LexicalModel()) as client:
            with pytest.raises(openai.InternalServerError) as caught:
                await ask(client, model="failing")
            assert "on purpose" not in json.dumps(caught.value.body)
            assert (await ask(client)).choices

    asyncio.run(run())


def test_who_hangs_up_while_waiting_is_not_computed_for():
    async def run() -> None:
        thread = MeasuringThread(longest_queue=2)
        begun, may_go_on, computed = threading.Event(), threading.Event(), []

        def hold() -> bool:
            begun.set()
            return may_go_on.wait(20)

        running = asyncio.create_task(thread.run(hold))
        assert await asyncio.to_thread(begun.wait, 20)
        waiting = asyncio.create_task(thread.run(lambda: computed.append(1)))
        await asyncio.sleep(0)
        with pytest.raises(QueueFull):
            await thread.run(lambda: None)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        may_go_on.set()
        assert (await running).result
        assert (await thread.run(lambda: "next")).result == "next"
        assert computed == []
        thread.close()

    asyncio.run(run())


@pytest.mark.parametrize("text", ["", "a", "word " * 30, "x" * 200, "  spaced   out  "])
def test_pieces_join_to_the_text(text):
    assert "".join(pieces(text)) == text
    assert all(pieces(text))


def test_a_terminated_server_ends_well_and_takes_its_run_file_away(tmp_path):
    run_file = tmp_path / "run" / "models.json"
    command = [sys.executable, "-m", "agents.model_server", "--models", str(MODELS)]
    with subprocess.Popen([*command, "--run-file", str(run_file)], cwd=ROOT) as server:
        try:
            deadline_s = time.monotonic() + 30
            while not run_file.exists() and time.monotonic() < deadline_s:
                assert server.poll() is None
            written = json.loads(run_file.read_bytes())
            assert written["pid"] == server.pid
            assert httpx.get(f"{written['base_url']}/models").status_code == 200
        finally:
            server.terminate()
        assert server.wait(timeout=20) == 0
    assert not run_file.exists()
