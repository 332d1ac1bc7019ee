"""The HTTP server of the embedded models.

In: POST /v1/chat/completions, GET /v1/models, GET /healthz. Out: answers, streamed or whole, whose
`usage` carries `cpu_seconds`. Kept: the encoders, one computing thread. Fails: with OpenAI's error
objects: 400 for what is malformed, 404 for an unknown model or path, 413 for a body that is too
large, 429 with Retry-After when too many wait, 500 for our own faults, which are logged.

An answer is computed whole before its first byte is sent, streamed or not, so that every error has
its right status.
"""

import asyncio
import contextlib
import os
import signal
import socket
import time
import uuid
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import msgspec
import structlog
import uvicorn
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from agents.answering.prompt import PromptUnreadable, parse_messages
from agents.encoding.onnx_encoder import OnnxEncoder
from agents.encoding.static import StaticEncoder
from agents.model_server.models import (
    EmbeddedModel,
    LexicalModel,
    MiniLmModel,
    StaticModel,
    answer,
)
from agents.model_server.protocol import (
    CHARACTERS_PER_TOKEN,
    ChatRequest,
    ProtocolError,
    read_request,
    streamed_answer,
    usage_of,
    whole_answer,
)
from agents.model_server.work import Measured, MeasuringThread, QueueFull

LONGEST_QUEUE = 512
LARGEST_BODY_BYTES = 2 * 1024 * 1024
_ENDING_SIGNALS = (signal.SIGINT, signal.SIGTERM)

_log = structlog.get_logger(__name__)


def open_models(models_dir: Path) -> tuple[EmbeddedModel, ...]:
    """Open the three embedded models; raises ArtefactsMissing or ArtefactsBroken."""
    minilm = OnnxEncoder(models_dir)
    minilm.encode(["The first run of a session takes longer."])
    return LexicalModel(), StaticModel(StaticEncoder(models_dir)), MiniLmModel(minilm)


class _Endpoints:
    """The handlers, with what they share."""

    def __init__(self, models: Sequence[EmbeddedModel], thread: MeasuringThread, largest_body_bytes: int) -> None:
        self._models = {model.name: model for model in models}
        self._thread = thread
        self._largest_body_bytes = largest_body_bytes
        self._started_at_s = int(time.time())

    async def health(self, _request: Request) -> Response:
        return _json({"status": "ok", "waiting": self._thread.waiting})

    async def list_models(self, _request: Request) -> Response:
        listed = [
            {
                "id": model.name,
                "object": "model",
                "created": self._started_at_s,
                "owned_by": "penstock",
                "description": model.description,
            }
            for model in self._models.values()
        ]
        return _json({"object": "list", "data": listed})

    async def chat(self, request: Request) -> Response:
        asked = read_request(await self._body(request))
        model = self._models.get(asked.model)
        if model is None:
            known = ", ".join(self._models)
            raise ProtocolError(
                404,
                f"the model {asked.model!r} does not exist; these do: {known}",
                param="model",
                code="model_not_found",
            )
        messages = asked.plain_messages
        measured = await self._compute(request, model, asked, messages)
        text = measured.result
        head = {
            "id": f"chatcmpl-{uuid.uuid4().hex}",
            "created": int(time.time()),
            "model": model.name,
        }
        usage = usage_of(messages, text, measured.cpu_seconds)
        if not asked.stream:
            return _json(whole_answer(head, text, usage))
        wanted = asked.stream_options is not None and asked.stream_options.include_usage
        events = _server_sent(streamed_answer(head, text, usage if wanted else None))
        return StreamingResponse(events, media_type="text/event-stream")

    async def _body(self, request: Request) -> bytes:
        body = bytearray()
        async for part in request.stream():
            body += part
            if len(body) > self._largest_body_bytes:
                raise ProtocolError(
                    413,
                    f"the body has more than {self._largest_body_bytes} bytes",
                    code="request_too_large",
                )
        return bytes(body)

    async def _compute(
        self,
        request: Request,
        model: EmbeddedModel,
        asked: ChatRequest,
        messages: list[dict[str, str]],
    ) -> Measured[str]:
        """Compute the answer, unless the caller hangs up while it waits."""
        computing = asyncio.ensure_future(self._thread.run(lambda: _answer_text(model, asked, messages)))
        leaving = asyncio.ensure_future(request.receive())
        try:
            await asyncio.wait({computing, leaving}, return_when=asyncio.FIRST_COMPLETED)
            if not computing.done():
                computing.cancel()
                raise ClientDisconnect
            return computing.result()
        except QueueFull as full:
            raise ProtocolError(
                429,
                f"{full.waiting} requests wait already; try again in {full.retry_after_s} s",
                kind="rate_limit_error",
                code="queue_full",
                retry_after_s=full.retry_after_s,
            ) from full
        except PromptUnreadable as error:
            raise ProtocolError(400, str(error), param="messages") from error
        finally:
            leaving.cancel()


def _answer_text(model: EmbeddedModel, asked: ChatRequest, messages: list[dict[str, str]]) -> str:
    question, passages, history, limit = parse_messages(messages)
    if asked.token_limit is not None:
        by_tokens = asked.token_limit * CHARACTERS_PER_TOKEN
        limit = by_tokens if limit is None else min(limit, by_tokens)
    return answer(model, question, passages, history, limit)


def _server_sent(objects: Iterator[dict[str, Any]]) -> Iterator[bytes]:
    for one in objects:
        yield b"data: " + msgspec.json.encode(one) + b"\n\n"
    yield b"data: [DONE]\n\n"


def _json(body: Any, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    encoded = msgspec.json.encode(body)
    return Response(encoded, status, headers, media_type="application/json")


async def _on_protocol_error(_request: Request, error: Exception) -> Response:
    if not isinstance(error, ProtocolError):
        raise error
    wait = error.retry_after_s
    headers = None if wait is None else {"retry-after": str(wait)}
    return _json(error.body(), error.status, headers)


async def _on_http_error(request: Request, error: Exception) -> Response:
    if not isinstance(error, HTTPException):
        raise error
    message = f"{request.method} {request.url.path}: {error.detail}"
    return _json(ProtocolError(error.status_code, message).body(), error.status_code)


async def _on_disconnect(_request: Request, _error: Exception) -> Response:
    return Response(status_code=499)


async def _on_fault(request: Request, error: Exception) -> Response:
    _log.error("model_server_fault", path=request.url.path, exc_info=error)
    failed = ProtocolError(500, "the model server failed; its log says why", kind="server_error")
    return _json(failed.body(), 500)


def build_app(
    models: Sequence[EmbeddedModel],
    *,
    longest_queue: int = LONGEST_QUEUE,
    largest_body_bytes: int = LARGEST_BODY_BYTES,
) -> Starlette:
    """Return the application; its computing thread ends with its lifespan."""
    thread = MeasuringThread(longest_queue)
    endpoints = _Endpoints(models, thread, largest_body_bytes)

    @contextlib.asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        yield
        await asyncio.to_thread(thread.close)

    return Starlette(
        routes=[
            Route("/v1/chat/completions", endpoints.chat, methods=["POST"]),
            Route("/v1/models", endpoints.list_models, methods=["GET"]),
            Route("/healthz", endpoints.health, methods=["GET"]),
        ],
        exception_handlers={
            ProtocolError: _on_protocol_error,
            HTTPException: _on_http_error,
            ClientDisconnect: _on_disconnect,
            Exception: _on_fault,
        },
        lifespan=lifespan,
    )


class _Uvicorn(uvicorn.Server):
    """A server that leaves signals to the program it runs in."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


class _UntilSignal(uvicorn.Server):
    """A server that ends on a signal and returns; uvicorn's own would raise the signal again."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        before = {one: signal.signal(one, self.handle_exit) for one in _ENDING_SIGNALS}
        try:
            yield
        finally:
            for one, handler in before.items():
                signal.signal(one, handler)


class ModelServer:
    """The server inside another program: `async with ModelServer(app) as server`."""

    def __init__(self, app: Starlette, *, host: str = "127.0.0.1", port: int = 0) -> None:
        self._socket = _bound(host, port)
        self._host = host
        self._uvicorn = _Uvicorn(_settings(app))
        self._serving: asyncio.Task[None] | None = None

    @property
    def base_url(self) -> str:
        """The address for an OpenAI client, `/v1` included."""
        return _base_url(self._host, self._socket)

    async def __aenter__(self) -> Self:
        self._serving = asyncio.create_task(self._uvicorn.serve(sockets=[self._socket]))
        while not self._uvicorn.started:
            if self._serving.done():
                self._serving.result()
                raise RuntimeError("the model server ended while it started")
            await asyncio.sleep(0.005)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._uvicorn.should_exit = True
        if self._serving is not None:
            await self._serving
        self._socket.close()


def serve(host: str, port: int, models_dir: Path, run_file: Path | None = None) -> None:
    """Serve until SIGINT or SIGTERM; port 0 takes a free one. Blocks.

    `run_file` gets {"base_url", "pid"} as soon as connections are accepted, and is removed at the
    end. Raises ArtefactsMissing, ArtefactsBroken, or OSError where the port is taken.
    """
    app = build_app(open_models(models_dir))
    with contextlib.closing(_bound(host, port)) as bound:
        bound.listen()
        base_url = _base_url(host, bound)
        if run_file is not None:
            _write_run_file(run_file, base_url)
        _log.info("model_server_started", base_url=base_url)
        try:
            _UntilSignal(_settings(app)).run(sockets=[bound])
        finally:
            if run_file is not None:
                run_file.unlink(missing_ok=True)


def _write_run_file(run_file: Path, base_url: str) -> None:
    run_file.parent.mkdir(parents=True, exist_ok=True)
    unfinished = run_file.with_suffix(f".{os.getpid()}")
    unfinished.write_bytes(msgspec.json.encode({"base_url": base_url, "pid": os.getpid()}))
    unfinished.replace(run_file)


def _settings(app: Starlette) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        loop="uvloop",
        http="httptools",
        ws="none",
        log_config=None,
        access_log=False,
        timeout_graceful_shutdown=5,
    )


def _bound(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    bound = socket.socket(family, socket.SOCK_STREAM)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        bound.bind((host, port))
    except OSError:
        bound.close()
        raise
    return bound


def _base_url(host: str, bound: socket.socket) -> str:
    shown = f"[{host}]" if ":" in host else host
    return f"http://{shown}:{bound.getsockname()[1]}/v1"
