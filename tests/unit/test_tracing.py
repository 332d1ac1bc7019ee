"""Tracing: off it costs nothing and hands headers on; on, a trace goes through every hop and says no text."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import pytest
from opentelemetry import context as contexts
from opentelemetry import trace

from schemas import Record
from streams import spans, tracing
from streams.client import Client
from streams.codec import Codec
from streams.delivery import Delivery, Origin
from streams.deployment import Deployment
from streams.errors import Unconfigured
from streams.outbox import Outbox
from streams.tracing import Headers
from tests.collector import Collected, Collector
from tests.event_examples import example

ROOT = Path(__file__).resolve().parents[2]
CODEC = Codec()
REQUEST, ROUTED = example("RequestReceived"), example("RequestRouted")
TRACE = "0af7651916cd43dd8448eb211c80319c"
PARENT = f"00-{TRACE}-b7ad6b7169203331-01".encode()
CANARY = "where is my order 4711"


class Hop:
    """A stage that takes a message and publishes a plan; what left it."""

    def __init__(self, *outcomes: Exception | None) -> None:
        self.outcomes = list(outcomes)
        self.sent: list[Headers] = []
        self.outbox = Outbox("router", CODEC, self._send)
        self.delivery = Delivery("router", CODEC, self.outbox, pause=self._pause)

    async def _send(self, topic: str, key: bytes, value: bytes, headers: Headers) -> None:
        self.sent.append(headers)

    async def _pause(self, _: float) -> None:
        """No time passes."""

    async def _handle(self, _: Record) -> None:
        outcome = self.outcomes.pop(0) if self.outcomes else None
        if outcome is not None:
            raise outcome
        await self.outbox.publish("routing", ROUTED)

    def take_in(self, headers: Headers = (), value: bytes | None = None) -> Headers:
        value = CODEC.encode(REQUEST) if value is None else value
        asyncio.run(self.delivery.take_in(Origin("requests", 3, 17, b"k", value, headers), self._handle))
        return self.sent[-1]


class Asking(Client):
    """A client whose broker keeps the headers."""

    def __init__(self, folder: Path) -> None:
        super().__init__(Deployment(var=folder))
        self.sent: list[Headers] = []

    async def publish_raw(self, topic: str, key: bytes | None, value: bytes | None, headers: Headers = ()) -> None:
        self.sent.append(headers)


@pytest.fixture
def collector(monkeypatch: pytest.MonkeyPatch) -> Iterator[Collector]:
    with Collector() as listening:
        for name in ("OTEL_TRACES_SAMPLER", "OTEL_TRACES_SAMPLER_ARG", "OTEL_SDK_DISABLED", "OTEL_TRACES_EXPORTER"):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", listening.url)
        yield listening
        tracing.stop()


def start(role: str = "router") -> None:
    assert tracing.start(role, "0", os.environ)


def ended(collector: Collector) -> dict[str, Collected]:
    tracing.stop()
    return {span.name: span for span in collector.spans()}


def traceparent(headers: Headers) -> str:
    return dict(headers)["traceparent"].decode()


def is_sampled(headers: Headers) -> bool:
    return bool(int(traceparent(headers)[-2:], 16) & 1)


# --------------------------------------------------------------------------------------------------------------- off


def test_a_stage_that_does_not_trace_hands_the_trace_on_as_it_came_and_nothing_else():
    came = (("traceparent", PARENT), ("tracestate", b"vendor=1"))
    assert Hop().take_in(came) == came
    assert tracing.carried([*came, ("x-user", b"Ann"), ("baggage", b"user=Ann"), ("tracestate", None)]) == came
    assert Hop().take_in() == ()


def test_a_header_so_long_that_what_is_published_might_not_fit_is_not_handed_on():
    long = [("tracestate", b"v=" + b"1" * 1_000_000), ("traceparent", PARENT * 1_000)]
    assert tracing.carried([*long, ("traceparent", PARENT)]) == (("traceparent", PARENT),)
    assert tracing.carried([("traceparent", PARENT)] * 10_000) == (("traceparent", PARENT),)


def test_what_one_message_brought_is_not_handed_on_with_the_next():
    hop = Hop()
    hop.take_in((("traceparent", PARENT),))
    assert hop.take_in() == ()


def test_without_an_endpoint_no_line_of_the_sdk_is_imported():
    code = (
        "import asyncio, sys, streams.worker, streams.client\nfrom streams import tracing\n"
        "assert not tracing.start('router', '0', {})\n"
        "with tracing.sending('routing'): assert tracing.outgoing() == ()\n"
        "print([name for name in sys.modules if name.startswith('opentelemetry')])"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("variables", "traces"),
    [
        ({}, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": ""}, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c"}, True),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://c"}, True),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c", "OTEL_SDK_DISABLED": "True"}, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c", "OTEL_TRACES_EXPORTER": "none"}, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c", "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf"}, True),
    ],
)
def test_the_standard_variables_turn_tracing_on_and_off(variables, traces):
    assert (tracing.endpoint(variables) is not None) is traces


@pytest.mark.parametrize(
    "other", [{"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, {"OTEL_TRACES_EXPORTER": "zipkin"}], ids=["grpc", "zipkin"]
)
def test_a_protocol_that_we_do_not_speak_is_refused_with_what_to_set(other):
    with pytest.raises(Unconfigured, match="OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf"):
        tracing.endpoint({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4317"} | other)


# ---------------------------------------------------------------------------------------------------------------- on


def test_a_stage_continues_the_trace_that_a_message_brought_and_sends_its_own_span_on(collector):
    start()
    sent = traceparent(Hop().take_in((("traceparent", PARENT), ("tracestate", b"vendor=1"))))
    spans = ended(collector)
    process, send = spans["process requests"], spans["send routing"]
    assert (process.trace_id, send.trace_id) == (TRACE, TRACE)
    assert process.parent_id == "b7ad6b7169203331"
    assert send.parent_id == process.span_id
    assert sent == f"00-{TRACE}-{send.span_id}-01"
    assert process.service == "penstock-router"
    assert collector.paths == ["/v1/traces"]
    assert process.attributes | {"messaging.kafka.offset": 17, "messaging.destination.partition.id": "3"} == (
        process.attributes
    )


def test_a_message_without_a_trace_begins_one_of_its_own(collector):
    start()
    hop = Hop()
    first, second = (traceparent(hop.take_in()).split("-")[1] for _ in range(2))
    assert first != second
    assert {span.trace_id for span in (ended(collector), collector.spans())[1]} == {first, second}


@pytest.mark.parametrize("broken", [b"", b"\xff\xfe", b"00-zz", b"00-" + b"0" * 32 + b"-" + b"0" * 16 + b"-01"])
def test_a_broken_header_is_no_trace_and_stops_nothing(collector, broken):
    start()
    sent = Hop().take_in((("traceparent", broken),))
    assert len(traceparent(sent)) == 55
    assert ended(collector)["process requests"].parent_id == ""


def test_a_retry_is_seen_in_the_span_and_an_event_that_was_given_up_is_marked_with_its_code(collector):
    start()
    Hop(RuntimeError(CANARY), None).take_in()
    Hop(*[KeyError(CANARY)] * 3).take_in((("traceparent", PARENT),))
    tracing.stop()
    again, given_up = (span for span in collector.spans() if span.name == "process requests")
    assert again.events == [("attempt_failed", {"penstock.attempt": 1, "error.type": "RuntimeError"})]
    assert not again.failed
    assert [name for name, _ in given_up.events] == ["attempt_failed"] * 3
    assert given_up.failed
    assert given_up.attributes["error.type"] == "handler_failed"
    assert all(CANARY.encode() not in body for body in collector.raw)


def test_what_a_stage_publishes_for_no_message_makes_no_trace(collector):
    start()
    hop = Hop()
    asyncio.run(hop.outbox.publish("metrics", example("StageMeasured")))
    assert hop.sent == [()]
    assert ended(collector) == {}


def test_the_sampler_of_the_standard_variables_decides_and_its_decision_is_handed_on(collector, monkeypatch):
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", "parentbased_always_off")
    start()
    hop = Hop()
    assert not is_sampled(hop.take_in())
    assert is_sampled(hop.take_in((("traceparent", PARENT),)))
    assert set(ended(collector)) == {"process requests", "send routing"}
    assert {span.trace_id for span in collector.spans()} == {TRACE}


def test_an_exception_that_leaves_a_span_gives_it_its_type_and_not_its_words(collector):
    start()
    with pytest.raises(ValueError, match="4711"), tracing.span("plan", begins=True):
        raise ValueError(CANARY)
    span = ended(collector)["plan"]
    assert (span.failed, span.attributes["error.type"], span.events) == (True, "ValueError", [])


def test_a_collector_that_is_away_holds_up_neither_the_stage_nor_its_stop(monkeypatch):
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9")
    start()
    assert Hop().take_in()
    tracing.stop()
    assert not tracing.is_on()


# ------------------------------------------------------------------------------------------------------------ client


def application_in_a_trace() -> Any:
    context = trace.SpanContext(int(TRACE, 16), 0xB7AD6B7169203331, is_remote=False, trace_flags=trace.TraceFlags(1))
    return contexts.attach(trace.set_span_in_context(trace.NonRecordingSpan(context)))


def test_a_client_continues_the_trace_of_its_application_and_does_so_without_tracing_itself(tmp_path):
    client = Asking(tmp_path)
    token = application_in_a_trace()
    try:
        asyncio.run(client.publish("requests", REQUEST))
    finally:
        contexts.detach(token)
    assert traceparent(client.sent[0]) == PARENT.decode()
    asyncio.run(client.publish("requests", REQUEST))
    assert client.sent[1] == ()


def test_a_client_that_traces_publishes_in_a_span_of_its_own_under_the_applications(tmp_path, collector):
    start("client")
    client = Asking(tmp_path)
    token = application_in_a_trace()
    try:
        asyncio.run(client.publish("requests", REQUEST))
    finally:
        contexts.detach(token)
    send = ended(collector)["send requests"]
    assert (send.trace_id, send.parent_id) == (TRACE, "b7ad6b7169203331")
    assert traceparent(client.sent[0]) == f"00-{TRACE}-{send.span_id}-01"


# --------------------------------------------------------------------------------------------------------- catalogue


def test_every_span_and_attribute_of_the_catalogue_has_a_meaning():
    assert set(spans.ATTRIBUTES) == set(get_args(spans.Attribute))
    assert set(spans.SPANS) == set(get_args(spans.Operation))
    assert all(spans.ATTRIBUTES.values())
    assert all(spans.SPANS.values())
