"""One try at a provider: what each kind of trouble becomes, what an answer costs, and that no key leaves."""

import asyncio
import json
import socket
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from agents.answering.provider import Answer, CallFailed, Provider, retry_after_s
from agents.deciding.catalogue import Catalogue, Model
from agents.model_server.server import ModelServer
from streams.delivery import wall_clock_us
from streams.errors import Unconfigured

KEY = "secret-key-of-the-test"
MESSAGES = [{"role": "system", "content": "Read."}, {"role": "user", "content": "Where?"}]
USAGE = {"prompt_tokens": 10, "completion_tokens": 4, "total_tokens": 14}

Behave = Callable[[dict[str, Any], Request], Awaitable[Response]]


def whole(text: str | None = "Here.", usage: dict[str, Any] | None = USAGE, **more: Any) -> dict[str, Any]:
    choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
    head = {"id": "x", "object": "chat.completion", "created": 1, "model": "m"}
    return {**head, "choices": [choice], **({"usage": usage} if usage is not None else {}), **more}


def event(delta: dict[str, str] | None, finish_reason: str | None = None, usage: dict[str, Any] | None = None) -> bytes:
    choices = [] if delta is None else [{"index": 0, "delta": delta, "finish_reason": finish_reason}]
    part = {
        "id": "x",
        "object": "chat.completion.chunk",
        "created": 1,
        "model": "m",
        "choices": choices,
        "usage": usage,
    }
    return b"data: " + json.dumps(part).encode() + b"\n\n"


def model_at(base_url: str | None, **price: Any) -> Model:
    return Model(
        name="m",
        tier="simple",
        provider="p",
        base_url=base_url,
        runs="local",
        sees="personal",
        api_key_env="TEST_KEY",
        **(price or {"input_usd_per_million": 1.0, "output_usd_per_million": 10.0}),
    )


def provider_at(base_url: str | None, embedded_url: Callable[[], str] = lambda: "", **price: Any) -> Provider:
    return Provider(
        catalogue=Catalogue({"simple": model_at(base_url, **price)}, ()),
        environ={"TEST_KEY": KEY},
        embedded_url=embedded_url,
        clock=wall_clock_us,
    )


def tried(behave: Behave, *, timeout_s: float = 5.0, on_piece: Any = None, model: str = "m", **price: Any) -> Answer:
    async def chat(request: Request) -> Response:
        return await behave(await request.json(), request)

    async def run() -> Answer:
        app = Starlette(routes=[Route("/v1/chat/completions", chat, methods=["POST"])])
        async with ModelServer(app) as server:
            provider = provider_at(server.base_url, **price)
            try:
                return await provider.call("p", model, MESSAGES, timeout_s=timeout_s, on_piece=on_piece)
            finally:
                await provider.close()

    return asyncio.run(run())


def fails(behave: Behave, **how: Any) -> CallFailed:
    with pytest.raises(CallFailed) as caught:
        tried(behave, **how)
    return caught.value


def gives(body: Any, status: int = 200, headers: dict[str, str] | None = None) -> Behave:
    async def behave(_: dict[str, Any], __: Request) -> Response:
        return JSONResponse(body, status, headers)

    return behave


def test_an_answer_is_priced_by_the_tokens_that_the_provider_counted() -> None:
    answer = tried(gives(whole()))
    assert (answer.text, answer.finish_reason, answer.input_tokens, answer.output_tokens) == ("Here.", "stop", 10, 4)
    assert answer.cost_usd == pytest.approx(50e-6)
    assert not answer.estimated


def test_a_model_that_states_its_cpu_time_is_priced_by_it() -> None:
    answer = tried(gives(whole(usage={**USAGE, "cpu_seconds": 0.25})), per_cpu_second_usd=0.000014)
    assert answer.cpu_seconds == 0.25
    assert answer.cost_usd == pytest.approx(0.25 * 0.000014)
    assert not answer.estimated


@pytest.mark.parametrize(
    "usage",
    [None, {"prompt_tokens": -1, "completion_tokens": 10**30}, {"prompt_tokens": "7", "completion_tokens": None}],
)
def test_usage_that_is_not_reported_or_impossible_is_estimated_and_says_so(usage: dict[str, Any] | None) -> None:
    answer = tried(gives(whole(usage=usage)))
    assert answer.estimated
    assert (answer.input_tokens, answer.output_tokens) == (3, 2)


@pytest.mark.parametrize("cpu_seconds", [None, -1, "much", True])
def test_cpu_time_that_is_not_reported_is_bounded_by_the_duration_and_not_claimed(cpu_seconds: object) -> None:
    answer = tried(gives(whole(usage={**USAGE, "cpu_seconds": cpu_seconds})), per_cpu_second_usd=1.0)
    assert answer.estimated
    assert answer.cpu_seconds is None
    assert 0 < answer.cost_usd < 5


@pytest.mark.parametrize("status", [408, 409, 429, 500, 502, 503, 529])
def test_statuses_that_pass_are_busy_and_carry_the_pause_asked_for(status: int) -> None:
    failure = fails(gives({"error": {"message": "later"}}, status, {"Retry-After": "3"}))
    assert (failure.kind, failure.retry_after_s) == ("busy", 3.0)


@pytest.mark.parametrize("status", [400, 401, 403, 404, 413, 422])
def test_other_statuses_are_rejections(status: int) -> None:
    assert fails(gives({"error": {"message": "no"}}, status)).kind == "rejected"


def test_a_model_that_the_catalogue_lacks_is_a_rejection_without_a_call() -> None:
    assert fails(gives(whole()), model="another").kind == "rejected"


@pytest.mark.parametrize(
    "body", [b"<html>not json</html>", b"{", b"[]", b'"text"', b"null", b'{"choices": []}', b'{"choices": [{}]}', b""]
)
@pytest.mark.parametrize("content_type", ["application/json", "text/html"])
def test_an_answer_that_is_none_is_broken(body: bytes, content_type: str) -> None:
    async def behave(_: dict[str, Any], __: Request) -> Response:
        return Response(body, media_type=content_type)

    assert fails(behave).kind == "broken"


@pytest.mark.parametrize("text", [None, "", "  \n"])
def test_an_empty_answer_is_a_rejection_that_was_paid_all_the_same(text: str | None) -> None:
    failure = fails(gives(whole(text)))
    assert failure.kind == "rejected"
    assert failure.cost_usd == pytest.approx(50e-6)


def test_half_characters_do_not_get_into_an_event() -> None:
    async def behave(_: dict[str, Any], __: Request) -> Response:
        return Response(json.dumps(whole("a\ud800b")), media_type="application/json")

    assert tried(behave).text == "a?b"


def test_an_endless_answer_is_cut() -> None:
    answer = tried(gives(whole("a" * 300_000)))
    assert (len(answer.text), answer.finish_reason) == (262_144, "length")


def test_a_provider_that_hangs_is_left_in_time() -> None:
    async def behave(_: dict[str, Any], request: Request) -> Response:
        while not await request.is_disconnected():  # noqa: ASYNC110 - starlette has no event for it
            await asyncio.sleep(0.01)
        return JSONResponse({})

    assert fails(behave, timeout_s=0.1).kind == "timed_out"


def test_a_closed_port_is_unreachable_and_the_embedded_address_is_read_again() -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        nobody = f"http://127.0.0.1:{closed.getsockname()[1]}/v1"
    asked: list[str] = []

    async def run() -> Answer:
        async def chat(_: Request) -> Response:
            return JSONResponse(whole())

        app = Starlette(routes=[Route("/v1/chat/completions", chat, methods=["POST"])])
        async with ModelServer(app) as server:
            addresses = [nobody, server.base_url]

            def address() -> str:
                asked.append(addresses[0])
                return addresses.pop(0)

            provider = provider_at(None, address)
            with pytest.raises(CallFailed) as caught:
                await provider.call("p", "m", MESSAGES, timeout_s=5)
            assert caught.value.kind == "unreachable"
            await provider.call("p", "m", MESSAGES, timeout_s=5)
            answer = await provider.call("p", "m", MESSAGES, timeout_s=5)
            await provider.close()
            return answer

    assert asyncio.run(run()).text == "Here."
    assert len(asked) == 2, "an address that works is not read again"


def test_a_model_server_that_never_started_is_unreachable() -> None:
    def nowhere() -> str:
        raise Unconfigured("The embedded model server is not running.")

    with pytest.raises(CallFailed) as caught:
        asyncio.run(provider_at(None, nowhere).call("p", "m", MESSAGES, timeout_s=5))
    assert caught.value.kind == "unreachable"


@pytest.mark.parametrize("said", [KEY, "sk-abcdef123456", "Bearer abcdef"])
def test_a_key_that_the_provider_repeats_stays_out_of_the_error(said: str) -> None:
    failure = fails(gives({"error": {"message": f"Incorrect key: {said}"}}, 401))
    assert said not in str(failure)
    assert "(withheld)" in failure.error


def test_the_key_reaches_the_provider() -> None:
    seen: list[str] = []

    async def behave(_: dict[str, Any], request: Request) -> Response:
        seen.append(request.headers["authorization"])
        return JSONResponse(whole())

    tried(behave)
    assert seen == [f"Bearer {KEY}"]


def streams(*events: bytes) -> Behave:
    async def behave(asked: dict[str, Any], _: Request) -> Response:
        assert asked["stream"]
        assert asked["stream_options"] == {"include_usage": True}

        async def body() -> Any:
            for each in events:
                yield each

        return StreamingResponse(body(), media_type="text/event-stream")

    return behave


def collecting(pieces: list[str]) -> Any:
    async def on_piece(text: str) -> None:
        pieces.append(text)

    return on_piece


def test_a_streamed_answer_arrives_in_pieces_with_its_usage_at_the_end() -> None:
    pieces: list[str] = []
    behave = streams(
        event({"role": "assistant", "content": ""}),
        event({"content": "He"}),
        event({"content": "re."}),
        event({}, "stop"),
        event(None, usage=USAGE),
        b"data: [DONE]\n\n",
    )
    answer = tried(behave, on_piece=collecting(pieces))
    assert pieces == ["He", "re."]
    assert (answer.text, answer.input_tokens, answer.estimated) == ("Here.", 10, False)


def test_a_stream_that_ends_early_is_broken() -> None:
    assert fails(streams(event({"content": "He"})), on_piece=collecting([])).kind == "broken"


def test_a_stream_of_garbage_is_broken() -> None:
    assert fails(streams(b"data: {nonsense\n\n"), on_piece=collecting([])).kind == "broken"


NOW_US = 1_800_000_000_000_000


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"retry-after": "2"}, 2.0),
        ({"retry-after": "0.5"}, 0.5),
        ({"retry-after": "-3"}, 0.0),
        ({"retry-after-ms": "250", "retry-after": "9"}, 0.25),
        ({"retry-after": "Fri, 15 Jan 2027 08:00:30 GMT"}, 30.0),
        ({"retry-after": "Fri, 15 Jan 2027 07:00:00 GMT"}, 0.0),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "inf"}, None),
        ({"retry-after": "nan"}, None),
        ({"retry-after-ms": "soon", "retry-after": "4"}, 4.0),
    ],
)
def test_the_pause_asked_for_is_read_in_all_its_forms(headers: dict[str, str], seconds: float | None) -> None:
    assert retry_after_s(headers, NOW_US) == seconds
