"""OpenAI's chat-completions protocol, as far as the embedded models speak it.

In: the bytes of a request. Out: a checked request; and the objects to send back, whole or in parts.
Kept: nothing. Fails: ProtocolError, which carries the status and OpenAI's error object. Pure.

Sampling parameters (temperature, seed and the like) are accepted and change nothing: the models are
deterministic. What would be a lie to accept (several choices, tools, images) is refused by name.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any, Literal

import msgspec

CHARACTERS_PER_TOKEN = 4
PIECE_CHARACTERS = 24

_PATH = re.compile(r"`\$\.?([^`]*)`$")


class ProtocolError(Exception):
    """A request that gets an error instead of an answer, in OpenAI's form."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        kind: str = "invalid_request_error",
        param: str | None = None,
        code: str | None = None,
        retry_after_s: int | None = None,
    ) -> None:
        self.status = status
        self.message = message
        self.kind = kind
        self.param = param
        self.code = code
        self.retry_after_s = retry_after_s
        super().__init__(message)

    def body(self) -> dict[str, Any]:
        """Return the error object of the protocol."""
        error = {"message": self.message, "type": self.kind, "param": self.param, "code": self.code}
        return {"error": error}


class ContentPart(msgspec.Struct, frozen=True):
    """A part of a message; only text is read."""

    type: str
    text: str = ""


class ChatMessage(msgspec.Struct, frozen=True):
    """One message as it was sent."""

    role: Literal["system", "developer", "user", "assistant"]
    content: str | list[ContentPart] | None = None


class StreamOptions(msgspec.Struct, frozen=True):
    """What else the stream carries."""

    include_usage: bool = False


class ChatRequest(msgspec.Struct, frozen=True, kw_only=True):
    """The parameters that are obeyed. Others are ignored, but for those that `read_request` refuses."""

    model: str
    messages: list[ChatMessage]
    stream: bool = False
    stream_options: StreamOptions | None = None
    n: int | None = None
    max_tokens: int | None = None
    longest_answer_tokens: int | None = msgspec.field(default=None, name="max_completion_tokens")
    tools: list[Any] | None = None

    @property
    def plain_messages(self) -> list[dict[str, str]]:
        """The messages with their text as one string each."""
        return [{"role": one.role, "content": _text(one, at)} for at, one in enumerate(self.messages)]

    @property
    def token_limit(self) -> int | None:
        """The stated limit in tokens, the newer parameter first."""
        newer = self.longest_answer_tokens
        return self.max_tokens if newer is None else newer


def _text(message: ChatMessage, at: int) -> str:
    if message.content is None or isinstance(message.content, str):
        return message.content or ""
    for part in message.content:
        if part.type != "text":
            raise ProtocolError(
                400,
                f"content parts of type {part.type!r} are not supported, only 'text'",
                param=f"messages[{at}].content",
                code="unsupported_content",
            )
    return "\n".join(part.text for part in message.content)


def read_request(body: bytes) -> ChatRequest:
    """Check the body of a request; raises ProtocolError (400)."""
    try:
        request = msgspec.json.decode(body, type=ChatRequest)
    except msgspec.ValidationError as error:
        path = _PATH.search(str(error))
        raise ProtocolError(400, str(error), param=path.group(1) or None if path else None) from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ProtocolError(400, f"the body is not JSON ({error})", code="invalid_json") from error
    if request.n is not None and request.n != 1:
        raise ProtocolError(400, "these models give one choice only", param="n")
    if request.tools:
        raise ProtocolError(400, "these models call no tools", param="tools")
    if request.token_limit is not None and request.token_limit < 1:
        raise ProtocolError(400, "an answer needs at least 1 token", param="max_completion_tokens")
    return request


def estimate_tokens(characters: int) -> int:
    """Return the tokens of so many characters, by rule of thumb: four to a token, rounded up."""
    return -(-characters // CHARACTERS_PER_TOKEN)


def usage_of(messages: list[dict[str, str]], text: str, cpu_seconds: float) -> dict[str, Any]:
    """Return the usage object, with the CPU time of the answer as an extra field, in seconds."""
    asked = estimate_tokens(sum(len(message["content"]) for message in messages))
    answered = estimate_tokens(len(text))
    return {
        "prompt_tokens": asked,
        "completion_tokens": answered,
        "total_tokens": asked + answered,
        "tokens_estimated_by": f"characters / {CHARACTERS_PER_TOKEN}",
        "cpu_seconds": round(cpu_seconds, 6),
    }


def whole_answer(head: Mapping[str, Any], text: str, usage: Mapping[str, Any]) -> dict[str, Any]:
    """Return the one object of an answer that is not streamed; `head` is id, created, model."""
    message = {"role": "assistant", "content": text, "refusal": None}
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": "stop"}
    return {**head, "object": "chat.completion", "choices": [choice], "usage": usage}


def streamed_answer(head: Mapping[str, Any], text: str, usage: Mapping[str, Any] | None) -> Iterator[dict[str, Any]]:
    """Yield the objects of a streamed answer; `usage` comes last, if it was asked for."""
    common = {**head, "object": "chat.completion.chunk"}
    if usage is not None:
        common["usage"] = None
    yield {**common, "choices": [_delta({"role": "assistant", "content": ""}, None)]}
    for piece in pieces(text):
        yield {**common, "choices": [_delta({"content": piece}, None)]}
    yield {**common, "choices": [_delta({}, "stop")]}
    if usage is not None:
        yield {**common, "choices": [], "usage": usage}


def _delta(delta: Mapping[str, str], finish_reason: str | None) -> dict[str, Any]:
    return {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish_reason}


def pieces(text: str) -> Iterator[str]:
    """Yield `text` in parts that end behind a space, where there is one within reach."""
    at = 0
    while at < len(text):
        furthest = at + 2 * PIECE_CHARACTERS
        space = text.find(" ", at + PIECE_CHARACTERS - 1, furthest)
        end = furthest if space < 0 else space + 1
        yield text[at:end]
        at = end
