"""Spans by OpenTelemetry's SDK, exported by OTLP over HTTP; imported only where tracing is on.

In: the role, and the standard variables, which the SDK reads itself: endpoint and headers, sampler (``OTEL_TRACES_SAMPLER``, by
default the parent's decision), resource, batch and queue. Out: spans on their way to a collector; the current span is in
OpenTelemetry's own context. Keeps a bounded queue and a thread of the SDK's: a collector that is away costs spans, never events.
Fails with nothing while it runs.
"""

import threading
from types import TracebackType
from typing import Final, Self

from opentelemetry import context as contexts
from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from streams.spans import Attribute, Attributes, Kind, Operation, Value
from streams.tracing import Headers, Place, headers_of

STOP_WITHIN_S: Final = 2.0
_KINDS: Final[dict[Kind, trace.SpanKind]] = {
    "internal": trace.SpanKind.INTERNAL,
    "producer": trace.SpanKind.PRODUCER,
    "consumer": trace.SpanKind.CONSUMER,
    "client": trace.SpanKind.CLIENT,
}
_W3C: Final = TraceContextTextMapPropagator()


class _Current:
    """A span that is the current one while it lasts; what an exception says stays out of it."""

    __slots__ = ("_span", "_token")

    def __init__(self, span: trace.Span) -> None:
        self._span = span
        self._token: object = None

    def __enter__(self) -> Self:
        self._token = contexts.attach(trace.set_span_in_context(self._span))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace_of_it: TracebackType | None
    ) -> None:
        contexts.detach(self._token)  # type: ignore[arg-type]
        known = getattr(self._span, "attributes", None) or {}
        if kind is not None and "error.type" not in known:
            _mark_failed(self._span, kind.__name__)
        self._span.end()


class _Resumed:
    """The context that headers name, while it lasts."""

    __slots__ = ("_context", "_token")

    def __init__(self, context: contexts.Context) -> None:
        self._context = context
        self._token: object = None

    def __enter__(self) -> Self:
        self._token = contexts.attach(self._context)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace_of_it: TracebackType | None
    ) -> None:
        contexts.detach(self._token)  # type: ignore[arg-type]


class Otlp:
    """Makes the spans of this process."""

    def __init__(self, role: str, worker: str) -> None:
        resource = Resource.create(
            {"service.name": f"penstock-{role}", "service.namespace": "penstock", "service.instance.id": worker}
        )
        self._provider = TracerProvider(resource=resource, shutdown_on_exit=False)
        self._provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
        self._tracer = self._provider.get_tracer("penstock")

    def process(self, place: Place) -> _Current:
        """A span that continues the trace in a message's headers, or begins one."""
        attributes: dict[Attribute, Value] = {
            "messaging.system": "kafka",
            "messaging.operation.name": "process",
            "messaging.operation.type": "process",
            "messaging.destination.name": place.topic,
            "messaging.destination.partition.id": str(place.partition),
            "messaging.kafka.offset": place.offset,
        }
        name = f"process {place.topic}"
        return _Current(
            self._tracer.start_span(
                name, _context_of(place.headers), trace.SpanKind.CONSUMER, attributes=_plain(attributes)
            )
        )

    def span(self, operation: Operation, target: str, kind: Kind, attributes: Attributes, *, begins: bool) -> _Current:
        """A span under the current one; without a current one only where it ``begins`` a trace."""
        if not begins and not trace.get_current_span().get_span_context().is_valid:
            return _Current(trace.INVALID_SPAN)
        name = f"{operation} {target}" if target else operation
        return _Current(self._tracer.start_span(name, kind=_KINDS[kind], attributes=_plain(attributes)))

    def resume(self, headers: Headers) -> _Resumed:
        """Go on in the trace of these headers."""
        return _Resumed(_context_of(headers))

    def note(self, attributes: Attributes) -> None:
        """Set attributes of the current span."""
        trace.get_current_span().set_attributes(_plain(attributes))

    def happened(self, name: str, attributes: Attributes) -> None:
        """Add an event to the current span."""
        trace.get_current_span().add_event(name, _plain(attributes))

    def failed(self, what: str) -> None:
        """Mark the current span as failed."""
        _mark_failed(trace.get_current_span(), what)

    def outgoing(self) -> Headers:
        """The headers of what is published now."""
        return headers_of(trace.get_current_span().get_span_context())

    def trace_id(self) -> str | None:
        """The id of the current trace."""
        context = trace.get_current_span().get_span_context()
        return f"{context.trace_id:032x}" if context.is_valid else None

    def stop(self) -> None:
        """Export what is left, within ``STOP_WITHIN_S``: a collector that is away must not hold up the stop."""
        ending = threading.Thread(target=self._provider.shutdown, name="penstock-traces-end", daemon=True)
        ending.start()
        ending.join(STOP_WITHIN_S)


def _context_of(headers: Headers) -> contexts.Context:
    carrier = {name: value.decode("ascii", "replace") for name, value in headers}
    return _W3C.extract(carrier, contexts.Context())


def _plain(attributes: Attributes) -> dict[str, Value]:
    return {str(name): value for name, value in attributes.items()}


def _mark_failed(span: trace.Span, what: str) -> None:
    span.set_attribute("error.type", what)
    span.set_status(trace.Status(trace.StatusCode.ERROR))
