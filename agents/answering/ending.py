"""How a request ends: the terminal response of one without an answer, and events no larger than their topics take.

In: the events of an end, the terminal response last. Out: the same, encoded. Keeps nothing. Fails with nothing: what is
too large is shortened, and where that is not enough, or an event has no bytes at all, a small ``ResponseFailed``
(internal_error) stands for all of them. Without this an end could be kept that nobody can publish.

What is shortened, in this order, only as far as needed:

1. of a generation the passages' texts from the last backwards, then the passages themselves, the question, the answer;
2. of a response the sources from the last backwards, the reasoning, the answer;
3. of a failure its error and its remedy.
"""

from collections.abc import Callable, Sequence
from typing import TypeVar

from msgspec.structs import replace

from schemas import (
    GenerationCompleted,
    GenerationFailed,
    Record,
    RequestReceived,
    RequestRouted,
    ResponseFailed,
    ResponseReady,
)
from streams.errors import RESPONSE_CODES, Code
from streams.identity import event_id
from streams.topics import MAX_EVENT_BYTES, MAX_MESSAGE_BYTES

P = TypeVar("P")
Encode = Callable[[Record], bytes]
"""Gives an event's bytes; ``ValueError`` where a field has none."""
ENVELOPE_BYTES = 16 * 1024
"""What a kept end may take beside its events: the table's own framing, and the broker's."""
TOO_LARGE = "The answer cannot be published: the end of this request is too large, or not text."
_SHORTEN = "Shorten the ids of the request and its documents, and send it again under a new id."


def fitting(events: Sequence[tuple[str, Record]], encode: Encode, *, key_bytes: int) -> list[tuple[str, bytes]]:
    """Encode (topic, event), none larger than an event may be, all of them with ``key_bytes`` no more than one message.

    The last is the terminal response.
    """
    try:
        encoded = [(topic, _fitted(event, encode)) for topic, event in events]
    except ValueError:
        encoded = []
    together = sum(len(raw) for _, raw in encoded) + key_bytes + ENVELOPE_BYTES
    if encoded and all(len(raw) <= MAX_EVENT_BYTES for _, raw in encoded) and together <= MAX_MESSAGE_BYTES:
        return encoded
    topic, response = events[-1]
    return [(topic, _fitted(_small(response), encode))]


def response_id(request: RequestReceived) -> str:
    """Give the event id of a request's terminal response, whichever it is."""
    return event_id("Response", request.tenant, request.conversation_id, request.request_id)


def failed_response(
    request: RequestReceived,
    code: Code,
    error: str,
    *,
    remedy: str = "",
    routing_id: str | None = None,
    cost_usd: float = 0.0,
    now_us: int,
    asked_us: int | None = None,
) -> ResponseFailed:
    """The terminal response of a request that got no answer; the remedy is the catalogue's where none is given."""
    return ResponseFailed(
        event_id=response_id(request),
        occurred_at_us=now_us,
        tenant=request.tenant,
        conversation_id=request.conversation_id,
        request_id=request.request_id,
        workflow=request.workflow,
        code=str(code),
        error=error,
        remedy=remedy or RESPONSE_CODES[code].remedy,
        routing_id=routing_id,
        cost_usd=cost_usd,
        latency_ms=max(0.0, (now_us - (request.occurred_at_us if asked_us is None else asked_us)) / 1_000),
    )


def asked_at_us(routed: RequestRouted) -> int:
    """Give when a request was asked, as its plan says; as its caller says where the plan is of the first release."""
    stated = routed.plan.asked_at_us
    return routed.request.occurred_at_us if stated is None else stated


def response_failed(
    routed: RequestRouted, code: Code, error: str, *, remedy: str = "", cost_usd: float = 0.0, now_us: int
) -> ResponseFailed:
    """The same for a request that had a plan."""
    return failed_response(
        routed.request,
        code,
        error,
        remedy=remedy,
        routing_id=routed.event_id,
        cost_usd=cost_usd,
        now_us=now_us,
        asked_us=asked_at_us(routed),
    )


def _small(response: Record) -> ResponseFailed:
    if not isinstance(response, ResponseReady | ResponseFailed):
        raise TypeError(f"{type(response).__name__} ends no request")
    return ResponseFailed(
        event_id=response.event_id,
        occurred_at_us=response.occurred_at_us,
        tenant=response.tenant,
        conversation_id=response.conversation_id,
        request_id=response.request_id,
        workflow=response.workflow,
        code=str(Code.INTERNAL_ERROR),
        error=TOO_LARGE,
        remedy=_SHORTEN,
        routing_id=response.routing_id,
        cost_usd=response.cost_usd,
        latency_ms=response.latency_ms,
    )


def _fitted(event: Record, encode: Encode) -> bytes:
    raw = encode(event)
    if len(raw) > MAX_EVENT_BYTES:
        raw = encode(_shortened(event, _Excess(len(raw) - MAX_EVENT_BYTES)))
    return raw


class _Excess:
    """How many bytes must still go."""

    def __init__(self, left: int) -> None:
        self.left = left

    def cut(self, text: str) -> str:
        """The text without as much of its end as must go."""
        if self.left <= 0:
            return text
        raw = text.encode()
        kept = raw[: max(0, len(raw) - self.left)].decode("utf-8", "ignore")  # not half a character
        self.left -= len(raw) - len(kept.encode())
        return kept


def _first(parts: Sequence[P], excess: _Excess, id_of: Callable[[P], str]) -> tuple[P, ...]:
    """The parts without as many of the last as must go."""
    kept = list(parts)
    while kept and excess.left > 0:
        excess.left -= len(id_of(kept.pop()).encode())
    return tuple(kept)


def _shortened(event: Record, excess: _Excess) -> Record:
    match event:
        case GenerationCompleted():
            cut = [replace(passage, text=excess.cut(passage.text)) for passage in reversed(event.passages)]
            passages = _first(cut[::-1], excess, lambda passage: passage.passage_id)
            return replace(event, passages=passages, question=excess.cut(event.question), text=excess.cut(event.text))
        case ResponseReady():
            sources = _first(event.sources, excess, str)
            return replace(event, sources=sources, reasoning=excess.cut(event.reasoning), text=excess.cut(event.text))
        case GenerationFailed():
            return replace(event, error=excess.cut(event.error))
        case ResponseFailed():
            return replace(event, error=excess.cut(event.error), remedy=excess.cut(event.remedy))
        case _:
            return event
