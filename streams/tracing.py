"""Traces: one trace a request over all hops, kept in the messages' headers and exported by OpenTelemetry where that is asked for.

In: the ``OTEL_*`` variables, and the W3C headers (``traceparent``, ``tracestate``) of what is handled. Out: the headers of what is
published, and spans (``streams/otlp.py``). Keeps whether this process traces. Fails with ``Unconfigured`` for a protocol that we
do not speak. Where no endpoint is set nothing is imported and no span is made: the headers of a request are handed on as they
came, so that a trace of the application's survives stages that do not trace.

A span carries ids, names and numbers (``streams/spans.py``, closed), never a text: neither a message nor what an exception says.
A second delivery is known by the same partition and offset and by ``penstock.repeat``; another attempt by the event
``attempt_failed``.
"""

import sys
from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager
from contextvars import ContextVar, Token
from types import TracebackType
from typing import Final, Literal, Protocol, Self

from streams.errors import Unconfigured
from streams.identity import ids_of
from streams.spans import Attribute, Attributes, Kind, Operation, Value

Headers = tuple[tuple[str, bytes], ...]
"""A message's headers, as Kafka has them."""
CARRIED: Final = {"traceparent": 128, "tracestate": 512}
"""The headers that are handed on, and how many bytes of each at most: longer, and what is published for it might not fit."""


class Place(Protocol):
    """Where a message came from: ``streams.delivery.Origin``."""

    @property
    def topic(self) -> str:
        """Its topic, without the prefix."""

    @property
    def partition(self) -> int:
        """Its partition."""

    @property
    def offset(self) -> int:
        """Its offset."""

    @property
    def headers(self) -> Headers:
        """Those of its headers that are handed on."""


class Tracer(Protocol):
    """What makes spans; ``streams.otlp.Otlp``."""

    def process(self, place: Place) -> AbstractContextManager[object]:
        """A span that continues the trace in a message's headers, or begins one."""

    def span(
        self, operation: Operation, target: str, kind: Kind, attributes: Attributes, *, begins: bool
    ) -> AbstractContextManager[object]:
        """A span under the current one; without a current one only where it ``begins`` a trace."""

    def resume(self, headers: Headers) -> AbstractContextManager[object]:
        """Go on in the trace of these headers, in no span of our own."""

    def note(self, attributes: Attributes) -> None:
        """Set attributes of the current span."""

    def happened(self, name: str, attributes: Attributes) -> None:
        """Add an event to the current span."""

    def failed(self, what: str) -> None:
        """Mark the current span as failed."""

    def outgoing(self) -> Headers:
        """The headers of what is published now."""

    def trace_id(self) -> str | None:
        """The id of the current trace, 32 hexadecimal digits."""

    def stop(self) -> None:
        """Export what is left, within a moment."""


class _Nothing:
    """A span where nothing is traced."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Nothing was begun."""


class _Passing:
    """Hands headers on while a message is handled."""

    __slots__ = ("_headers", "_token")

    def __init__(self, headers: Headers) -> None:
        self._headers = headers
        self._token: Token[Headers] | None = None

    def __enter__(self) -> Self:
        self._token = _passing.set(self._headers)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._token is not None:
            _passing.reset(self._token)


_NOTHING: Final = _Nothing()
_passing: ContextVar[Headers] = ContextVar("passing", default=())
_tracer: Tracer | None = None
_users = 0


def endpoint(environ: Mapping[str, str]) -> str | None:
    """Give the endpoint that traces go to by the standard variables; None where tracing is off. ``Unconfigured`` for gRPC."""
    address = environ.get("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT") or environ.get("OTEL_EXPORTER_OTLP_ENDPOINT")
    disabled = environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true"
    exporter = environ.get("OTEL_TRACES_EXPORTER", "otlp").strip() or "otlp"
    if not address or disabled or exporter == "none":
        return None
    protocol = environ.get("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL") or environ.get("OTEL_EXPORTER_OTLP_PROTOCOL")
    if exporter != "otlp" or protocol not in (None, "", "http/protobuf"):
        raise Unconfigured(
            f"Traces cannot be exported by {exporter} over {protocol or 'http/protobuf'}.",
            remedy="Set OTEL_TRACES_EXPORTER=otlp (or none) and OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf.",
        )
    return address


def start(role: str, worker: str, environ: Mapping[str, str]) -> bool:
    """Trace from now on, if the variables ask for it; whether they do. Each that was told so calls ``stop`` once."""
    global _tracer, _users  # noqa: PLW0603 - one tracer a process, as logs have one configuration
    if endpoint(environ) is None:
        return False
    _users += 1
    if _tracer is None:
        from streams.otlp import Otlp  # noqa: PLC0415 - the SDK costs 0.2 s and 20 MiB: only where it is asked for

        _tracer = Otlp(role, worker)
    return True


def stop() -> None:
    """Export what is left and trace no longer, once all who started it have said so."""
    global _tracer, _users  # noqa: PLW0603 - as in start
    _users = max(0, _users - 1)
    if _tracer is not None and not _users:
        stopped, _tracer = _tracer, None
        stopped.stop()


def is_on() -> bool:
    """Say whether this process traces."""
    return _tracer is not None


def carried(headers: Iterable[tuple[str, bytes | None]] | None) -> Headers:
    """Give those of a message's headers that are handed on, each once."""
    if not headers:
        return ()
    fitting = {name: value for name, value in headers if value is not None and len(value) <= CARRIED.get(name, -1)}
    return tuple(fitting.items())


def processing(place: Place) -> AbstractContextManager[object]:
    """While a message is handled: the span of it, or its headers handed on."""
    if _tracer is not None:
        return _tracer.process(place)
    return _Passing(place.headers) if place.headers else _NOTHING


def span(
    operation: Operation,
    target: str = "",
    *,
    kind: Kind = "internal",
    attributes: Attributes | None = None,
    begins: bool = False,
) -> AbstractContextManager[object]:
    """Give a span of part of the work; ``begins`` allows it to begin a trace."""
    if _tracer is None:
        return _NOTHING
    return _tracer.span(operation, target, kind, attributes or {}, begins=begins)


def resuming(headers: Headers) -> AbstractContextManager[object]:
    """While something is acted upon that waited: in the trace of the message that it came from."""
    if not headers:
        return _NOTHING
    return _tracer.resume(headers) if _tracer is not None else _Passing(headers)


def sending(topic: str, *, begins: bool = False) -> AbstractContextManager[object]:
    """Give the span of a publication; what is sent within it carries ``outgoing()``."""
    if _tracer is None:
        return _NOTHING
    attributes: dict[Attribute, Value] = {
        "messaging.system": "kafka",
        "messaging.operation.name": "send",
        "messaging.operation.type": "send",
        "messaging.destination.name": topic,
    }
    return _tracer.span("send", topic, "producer", attributes, begins=begins)


def note(attributes: Attributes) -> None:
    """Set attributes of the current span."""
    if _tracer is not None:
        _tracer.note(attributes)


def note_ids(event: object) -> None:
    """Say in the current span which request an event is about."""
    if _tracer is not None:
        ids = ids_of(event)
        named: dict[str, Attribute] = {
            "tenant": "penstock.tenant",
            "conversation_id": "gen_ai.conversation.id",
            "request_id": "penstock.request_id",
        }
        _tracer.note({named[name]: value for name, value in ids.items() if name in named})


def happened(name: Literal["attempt_failed"], attributes: Attributes) -> None:
    """Add an event to the current span."""
    if _tracer is not None:
        _tracer.happened(name, attributes)


def failed(what: str) -> None:
    """Mark the current span as failed; ``what`` is a code or a type, never a text."""
    if _tracer is not None:
        _tracer.failed(what)


def outgoing() -> Headers:
    """Give the headers of what is published now: the current trace, or what came and is handed on."""
    if _tracer is not None:
        return _tracer.outgoing()
    return _passing.get() or _of_the_application()


def trace_id() -> str | None:
    """Give the id of the current trace, as 32 hexadecimal digits; None without one."""
    if _tracer is not None:
        return _tracer.trace_id()
    for name, value in _passing.get():
        if name == "traceparent":
            return value.decode("ascii", "replace").split("-")[1] if value.count(b"-") > 1 else None
    return None


def _of_the_application() -> Headers:
    """The trace that the application around us is in, if it uses OpenTelemetry itself; without importing it."""
    api = sys.modules.get("opentelemetry.trace")
    if api is None:
        return ()
    return headers_of(api.get_current_span().get_span_context())


class SpanContext(Protocol):
    """OpenTelemetry's."""

    @property
    def trace_id(self) -> int:
        """Of 128 bits."""

    @property
    def span_id(self) -> int:
        """Of 64 bits."""

    @property
    def trace_flags(self) -> int:
        """Bit 0: the trace is sampled."""

    @property
    def is_valid(self) -> bool:
        """Whether there is a trace."""

    @property
    def trace_state(self) -> "TraceState":
        """What vendors added."""


class TraceState(Protocol):
    """OpenTelemetry's."""

    def to_header(self) -> str:
        """As a header."""


def headers_of(context: SpanContext) -> Headers:
    """Give the W3C headers of a span's context; none of an invalid one."""
    if not context.is_valid:
        return ()
    parent = f"00-{context.trace_id:032x}-{context.span_id:016x}-{context.trace_flags:02x}".encode()
    state = context.trace_state.to_header()
    return (("traceparent", parent), ("tracestate", state.encode())) if state else (("traceparent", parent),)
