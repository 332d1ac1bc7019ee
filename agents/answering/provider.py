"""Calls language models through OpenAI's chat protocol, one try at a time.

In: a model of the catalogue, messages, a time limit. Out: an ``Answer`` with what it cost, and its pieces while they
arrive where somebody wants them. Keeps one client an address, with its connections. Fails with ``CallFailed``, whose
kind says what can be done about it; retries belong to whoever calls. A key is read from the environment and goes
nowhere but into the request.

Usage. Where a server reports no tokens, they are estimated as a quarter of the characters; where a model is priced by
CPU time and the server reports none, the call's duration counts as CPU time (an upper bound for one core).
``Answer.estimated`` says so, and ``cpu_seconds`` stays None. A number that cannot be one (negative, infinite, a text)
counts as not reported.
"""

import asyncio
import contextlib
import json
import math
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any, Literal

import httpx2
from openai import APIConnectionError, APIStatusError, APITimeoutError, AsyncOpenAI, BaseModel

from agents.answering.prompt import Message
from agents.answering.wire import client_for
from agents.deciding.catalogue import Catalogue, Model
from streams.errors import PenstockError

OnPiece = Callable[[str], Awaitable[None]]
"""Takes a piece of an answer as it arrives."""

Kind = Literal["unreachable", "timed_out", "busy", "broken", "rejected", "internal"]
"""unreachable: no connection; timed_out; busy: 408, 409, 429 or 5xx; broken: an answer that is none; rejected: any other status;
internal: not the provider's doing but an error of ours, which no provider raises."""

LONGEST_ANSWER_CHARACTERS = 262_144
"""What is longer is cut: an event must fit on its topic."""
LONGEST_ERROR_CHARACTERS = 500
CHARACTERS_PER_TOKEN = 4
RETRYABLE_4XX = frozenset({408, 409, 429})
_SERVER_ERRORS = 500
_MOST_TOKENS = 1_000_000_000
_NO_KEY = "none"  # the client insists on a key; servers of one's own mostly want none
_SECRETS = re.compile(r"(?i)\b(?:sk-[\w*.-]{4,}|bearer\s+\S+)")
_WITHHELD = "(withheld)"


@dataclass(frozen=True)
class Answer:
    """What a model answered. ``estimated``: the provider did not report the usage that the price rests on."""

    text: str
    finish_reason: str
    input_tokens: int
    output_tokens: int
    cpu_seconds: float | None
    cost_usd: float
    estimated: bool = False


class CallFailed(Exception):
    """A try gave no answer. ``error`` holds no secret; ``retry_after_s`` is what the provider asked for; ``cost_usd`` was paid."""

    def __init__(self, kind: Kind, error: str, *, retry_after_s: float | None = None, cost_usd: float = 0.0) -> None:
        self.kind = kind
        self.error = error
        self.retry_after_s = retry_after_s
        self.cost_usd = cost_usd
        super().__init__(f"{kind}: {error}")


class Provider:
    """Calls the models of a catalogue."""

    def __init__(
        self,
        *,
        catalogue: Catalogue,
        environ: Mapping[str, str],
        embedded_url: Callable[[], str],
        clock: Callable[[], int],
    ) -> None:
        """``embedded_url`` gives the address of models without one of their own; ``clock`` microseconds since 1970."""
        self._models = {(model.provider, model.name): model for model in catalogue.models.values()}
        self._environ = environ
        self._embedded_url = embedded_url
        self._clock = clock
        self._address: str | None = None
        self._clients: dict[tuple[str, str], AsyncOpenAI] = {}

    async def call(
        self,
        provider: str,
        model_name: str,
        messages: Sequence[Message],
        *,
        timeout_s: float,
        on_piece: OnPiece | None = None,
    ) -> Answer:
        """Try once, for at most ``timeout_s`` seconds in all; with ``on_piece`` the answer is streamed. Raises CallFailed."""
        model = self._models.get((provider, model_name))
        if model is None:
            raise CallFailed("rejected", f"The catalogue has no model {model_name} of provider {provider}.")
        client = self._client(model)
        begun_us = self._clock()
        try:
            async with asyncio.timeout(timeout_s):
                raw = await _received(client, model.name, messages, timeout_s, on_piece)
        except (TimeoutError, APITimeoutError) as error:
            raise CallFailed("timed_out", f"No answer within {timeout_s:.1f} s.") from error
        except APIConnectionError as error:
            self._address = None  # an embedded server that was restarted listens elsewhere
            raise CallFailed("unreachable", f"No connection: {self._clean(_cause(error), model)}") from error
        except APIStatusError as error:
            raise self._refused(error, model) from error
        except CallFailed:
            raise
        except Exception as error:  # what a foreign server's bytes provoke in the parser
            what = self._clean(f"{type(error).__name__}: {error}", model)
            raise CallFailed("broken", f"The answer cannot be read: {what}") from error
        return _answer(raw, model, messages, took_s=(self._clock() - begun_us) / 1e6)

    async def close(self) -> None:
        """Close all connections."""
        clients, self._clients = list(self._clients.values()), {}
        for client in clients:
            with contextlib.suppress(Exception):
                await client.close()

    def _client(self, model: Model) -> AsyncOpenAI:
        embedded = model.base_url is None
        try:
            self._address = self._address or self._embedded_url() if embedded else self._address
        except PenstockError as error:
            raise CallFailed("unreachable", str(error)) from error
        url = (self._address if embedded else model.base_url) or ""
        key = self._key(model)
        client = self._clients.get((url, key))
        if client is None:
            # A proxy of the environment is for addresses outside, never for the server on this machine.
            http = client_for(url, trust_env=not embedded)
            client = AsyncOpenAI(base_url=url, api_key=key or _NO_KEY, max_retries=0, http_client=http)
            self._clients[url, key] = client
        return client

    def _key(self, model: Model) -> str:
        return self._environ.get(model.api_key_env or "", "").strip()

    def _refused(self, error: APIStatusError, model: Model) -> CallFailed:
        status = error.status_code
        again = status in RETRYABLE_4XX or status >= _SERVER_ERRORS
        return CallFailed(
            "busy" if again else "rejected",
            f"HTTP {status}: {self._clean(error.message, model)}",
            retry_after_s=retry_after_s(error.response.headers, self._clock()),
        )

    def _clean(self, text: str, model: Model) -> str:
        key = self._key(model)
        text = text.replace(key, _WITHHELD) if key else text
        return _well_formed(_SECRETS.sub(_WITHHELD, text))[:LONGEST_ERROR_CHARACTERS]


def retry_after_s(headers: Mapping[str, str], now_us: int) -> float | None:
    """Seconds that a provider asks to wait: ``retry-after-ms``, else ``Retry-After`` in seconds or as a date; None without."""
    for name, unit_s in (("retry-after-ms", 0.001), ("retry-after", 1.0)):
        stated = headers.get(name)
        if stated is None:
            continue
        try:
            seconds = float(stated) * unit_s
        except ValueError:
            try:
                seconds = parsedate_to_datetime(stated).timestamp() - now_us / 1e6
            except (ValueError, TypeError, OverflowError):
                continue
        if math.isfinite(seconds):
            return max(0.0, seconds)
    return None


@dataclass
class _Received:
    """What came over the line, not yet believed."""

    text: str = ""
    finish_reason: Any = None
    usage: Any = None


async def _received(
    client: AsyncOpenAI, model: str, messages: Sequence[Message], timeout_s: float, on_piece: OnPiece | None
) -> _Received:
    if on_piece is None:
        return await _received_whole(client, model, messages, timeout_s)
    chat: Any = client.chat.completions
    stream = await chat.create(
        model=model, messages=list(messages), timeout=timeout_s, stream=True, stream_options={"include_usage": True}
    )
    received = _Received()
    async for text in _pieces(stream, received):
        await on_piece(text)
    if received.finish_reason is None:
        raise CallFailed("broken", "The stream ended before the answer did.")
    return received


async def _received_whole(client: AsyncOpenAI, model: str, messages: Sequence[Message], timeout_s: float) -> _Received:
    """As ``chat.completions.create``, without its records: they cost more than the call, and nothing is believed of them."""
    response = await client.post(
        "/chat/completions",
        body={"model": model, "messages": list(messages)},
        cast_to=httpx2.Response,
        options={"timeout": timeout_s},
    )
    whole = json.loads(response.content)  # unlike msgspec it reads half characters, which some servers send
    choices = whole.get("choices") if isinstance(whole, dict) else None
    if not choices:
        raise CallFailed("broken", "The answer has no choices.")
    text = choices[0]["message"].get("content") or ""
    return _Received(text if isinstance(text, str) else "", choices[0].get("finish_reason"), whole.get("usage"))


async def _pieces(stream: Any, received: _Received) -> AsyncIterator[str]:
    async for part in stream:
        if part.usage is not None:
            received.usage = part.usage.to_dict() if isinstance(part.usage, BaseModel) else part.usage
        if not part.choices:
            continue
        choice = part.choices[0]
        received.finish_reason = choice.finish_reason or received.finish_reason
        text = choice.delta.content if choice.delta is not None else None
        if isinstance(text, str) and text and len(received.text) < LONGEST_ANSWER_CHARACTERS:
            received.text += text
            yield _well_formed(text)


def _answer(raw: _Received, model: Model, messages: Sequence[Message], *, took_s: float) -> Answer:
    text = _well_formed(raw.text)
    cut = len(text) > LONGEST_ANSWER_CHARACTERS
    usage = raw.usage if isinstance(raw.usage, dict) else {}
    reported_in = _count(usage.get("prompt_tokens"))
    reported_out = _count(usage.get("completion_tokens"))
    cpu_seconds = _seconds(usage.get("cpu_seconds"))
    input_tokens = _estimate(sum(len(m["content"]) for m in messages)) if reported_in is None else reported_in
    output_tokens = _estimate(len(text)) if reported_out is None else reported_out
    by_cpu = model.per_cpu_second_usd is not None
    answer = Answer(
        text=text[:LONGEST_ANSWER_CHARACTERS],
        finish_reason="length" if cut else str(raw.finish_reason or "unknown")[:64],
        input_tokens=input_tokens,
        output_tokens=output_tokens,
        cpu_seconds=cpu_seconds,
        cost_usd=model.cost_usd(
            input_tokens=input_tokens,
            output_tokens=output_tokens,
            cpu_seconds=took_s if cpu_seconds is None else cpu_seconds,
        ),
        estimated=cpu_seconds is None if by_cpu else None in (reported_in, reported_out),
    )
    if not answer.text.strip():
        reason = f"The model gave no text (finish_reason {answer.finish_reason})."
        raise CallFailed("rejected", reason, cost_usd=answer.cost_usd)
    return answer


def _count(stated: Any) -> int | None:
    whole = isinstance(stated, int) and not isinstance(stated, bool)
    return stated if whole and 0 <= stated <= _MOST_TOKENS else None


def _seconds(stated: Any) -> float | None:
    number = isinstance(stated, int | float) and not isinstance(stated, bool)
    return float(stated) if number and math.isfinite(stated) and stated >= 0 else None


def _estimate(characters: int) -> int:
    return -(-characters // CHARACTERS_PER_TOKEN)


def _well_formed(text: str) -> str:
    """The text without half characters, which no event can carry."""
    return text.encode("utf-8", "replace").decode("utf-8")


def _cause(error: BaseException) -> str:
    below = error.__cause__
    return f"{type(below).__name__}: {below}" if below is not None else str(error)
