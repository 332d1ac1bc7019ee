"""The loop as an operator sees it: one trace a request over every hop, metrics of every role, and logs without a text."""

from __future__ import annotations

import json
import urllib.request
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from infra.broker import RunningBroker
from schemas import GivenDocument, ResponseFailed, ResponseReady, RewardComputed, Turn
from streams.admin import delete_topics
from streams.codec import Codec
from streams.run_files import TARGETS_FILE
from streams.topics import STAGES
from tests.collector import Collected, Collector
from tests.hosted import hosted_at
from tests.loop import Loop, deployment_in
from tests.paid_model import PaidModel, paid_model
from tests.waiting import eventually

CANARY = "zxqv the parcel of Ann 4711 never came"
REFUSED = "zxqv refuse this"


class Quoting(PaidModel):
    """A provider that quotes the question in its answers."""

    def answer(self, body: dict[str, Any]) -> bytes:
        """As a paid model does; what it is to refuse gets no JSON at all, but the question."""
        question = body["messages"][-1]["content"]
        return question.encode() if REFUSED in question else super().answer(body)


@pytest.fixture(scope="module")
def collector() -> Iterator[Collector]:
    with Collector() as listening:
        yield listening


@pytest.fixture(scope="module")
def seen(broker: RunningBroker, tmp_path_factory: pytest.TempPathFactory, collector: Collector) -> Iterator[Loop]:
    """Every stage, traced, at a model that quotes."""
    with paid_model(Quoting) as model, pytest.MonkeyPatch.context() as patched:
        patched.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url)
        patched.setenv("OTEL_BSP_SCHEDULE_DELAY", "100")
        environ = {
            **hosted_at(model.base_url),
            "PENSTOCK_LOG_LEVEL": "DEBUG",
            **{f"PENSTOCK_MODEL_{tier}": tier.lower() for tier in ("SIMPLE", "BALANCED", "PREMIUM")},
        }
        running = Loop(
            deployment_in(tmp_path_factory.mktemp("seen"), broker.bootstrap_servers, "seen"), STAGES, environ
        )
        try:
            running.start()
            yield running
        finally:
            running.close()
            if broker.kind == "given":
                delete_topics(running.deployment)


def spans_of(collector: Collector, request_id: str) -> list[Collected]:
    """Every span of the trace in which the request was published."""
    spans = collector.spans()
    traces = {span.trace_id for span in spans if span.attributes.get("penstock.request_id") == request_id}
    assert len(traces) <= 1, traces
    return [span for span in spans if span.trace_id in traces]


def test_one_trace_goes_from_the_client_over_every_stage_to_the_reward(seen: Loop, collector: Collector) -> None:
    (answer,) = seen.ask(seen.request(strategy="simple-semantic"))
    assert isinstance(answer, ResponseReady)
    seen.first("rewards", RewardComputed, answer.request_id)
    expected = {
        ("penstock-client", "send requests"),
        ("penstock-router", "process requests"),
        ("penstock-router", "plan"),
        ("penstock-router", "send routing"),
        ("penstock-generator", "process routing"),
        ("penstock-generator", "retrieval"),
        ("penstock-generator", f"chat {answer.model}"),
        ("penstock-generator", "send generation"),
        ("penstock-generator", "send responses"),
        ("penstock-evaluator", "process generation"),
        ("penstock-evaluator", "evaluate"),
        ("penstock-evaluator", "process responses"),
        ("penstock-evaluator", "send rewards"),
    }

    def whole() -> bool:
        found = {(span.service, span.name) for span in spans_of(collector, answer.request_id)}
        assert found == expected
        return True

    eventually(whole, 15, describe="the whole trace")
    spans = spans_of(collector, answer.request_id)
    by_id = {span.span_id: span for span in spans}
    (root,) = (span for span in spans if not span.parent_id)
    assert root.name == "send requests"
    parents = {span.name: by_id[span.parent_id].name for span in spans if span.parent_id}
    assert parents == {
        "process requests": "send requests",
        "plan": "process requests",
        "send routing": "process requests",
        "process routing": "send routing",
        "retrieval": "process routing",
        f"chat {answer.model}": "process routing",
        "send generation": "process routing",
        "send responses": "process routing",
        "process generation": "send generation",
        "evaluate": "process generation",
        "process responses": "send responses",
        "send rewards": parents["send rewards"],  # whichever of the two came last
    }
    assert parents["send rewards"] in {"process generation", "process responses"}
    (chat,) = (span for span in spans if span.name.startswith("chat"))
    assert chat.attributes["gen_ai.usage.input_tokens"] == 10
    assert chat.attributes["gen_ai.response.finish_reasons"] == ["stop"]


def test_a_second_delivery_is_in_the_same_trace_and_marked_as_a_repeat(seen: Loop, collector: Collector) -> None:
    request = seen.request()
    seen.ask(request)
    (message,) = (
        each for each in seen.watched.messages("routing") if each.event and _is(each.event, request.request_id)
    )
    (first,) = eventually(lambda: _processed(collector, request.request_id), 15)
    assert "penstock.repeat" not in first.attributes
    parent = f"00-{first.trace_id}-{first.parent_id}-01".encode()
    seen.publish_raw("routing", message.message.key, message.message.value, headers=[("traceparent", parent)])
    spans = eventually(lambda: _processed(collector, request.request_id, at_least=2), 15)
    assert Counter(span.attributes.get("penstock.repeat") for span in spans) == {None: 1, True: 1}
    assert {span.trace_id for span in spans} == {first.trace_id}


def _is(event: Any, request_id: str) -> bool:
    return bool(event.request.request_id == request_id)


def _processed(collector: Collector, request_id: str, *, at_least: int = 1) -> list[Collected]:
    found = [span for span in spans_of(collector, request_id) if span.name == "process routing"]
    return found if len(found) >= at_least else []


def test_prometheus_finds_every_worker_and_reads_what_it_did(seen: Loop) -> None:
    (answer,) = seen.ask(seen.request())
    assert isinstance(answer, ResponseReady)
    targets = json.loads((seen.deployment.run_folder / TARGETS_FILE).read_text())
    found: dict[tuple[str, str], float] = {}
    for each in targets:
        (address,) = each["targets"]
        with urllib.request.urlopen(f"http://{address}/metrics", timeout=5) as said:
            for family in text_string_to_metric_families(said.read().decode()):
                for sample in family.samples:
                    place = (sample.labels["role"], sample.name)
                    found[place] = found.get(place, 0) + sample.value
    assert {role for role, _ in found} == set(STAGES)
    assert all(found[role, "penstock_ready"] == 1 for role in STAGES)
    assert found["generator", "penstock_responses_answered_total"] >= 1
    assert found["generator", "penstock_response_seconds_count"] >= 1
    assert found["generator", "penstock_cost_usd_total"] > 0
    assert found["analytics", "penstock_ingested_total"] >= 0


def test_no_log_of_any_role_holds_a_text_and_every_line_is_json(seen: Loop, collector: Collector) -> None:
    full: dict[str, Any] = {
        "history": (Turn(role="user", text=CANARY),),
        "documents": (GivenDocument(document_id="d-1", title=CANARY, text=CANARY),),
    }
    answered, failed = seen.ask(seen.request(CANARY, **full), seen.request(REFUSED, **full, deadline_ms=10_000))
    assert isinstance(answered, ResponseReady)
    assert "zxqv" in answered.text
    assert isinstance(failed, ResponseFailed)
    event = Codec().encode(seen.request(CANARY, **full))
    letters = len(seen.watched.messages("router-dlq"))
    seen.publish_raw("requests", CANARY.encode(), event[:-20])
    seen.publish_raw("requests", CANARY.encode(), CANARY.encode())
    eventually(lambda: len(seen.watched.messages("router-dlq")) == letters + 2, 15, describe="two dead letters")
    for log in seen.deployment.logs_folder.glob("*.log"):
        text = log.read_text(encoding="utf-8")
        assert "zxqv" not in text, log.name
        for line in text.splitlines():
            assert json.loads(line)["event"], line
    assert all(b"zxqv" not in body for body in collector.raw)
