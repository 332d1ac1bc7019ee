"""A provider that is slow for one tenant: its backlog waits in Kafka, others are called for, and in the end all are answered."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from infra.broker import RunningBroker
from schemas import RequestReceived, RequestRouted, ResponseFailed, ResponseReady
from streams.admin import delete_topics
from streams.client import Client
from tests.hosted import hosted_at
from tests.loop import Loop, deployment_in
from tests.paid_model import PaidModel, paid_model
from tests.waiting import eventually

CALLS = 4
BACKLOG = 30


@pytest.fixture(scope="module")
def model() -> Iterator[PaidModel]:
    with paid_model() as running:
        yield running


@pytest.fixture(scope="module")
def slow(broker: RunningBroker, model: PaidModel, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Loop]:
    deployment = deployment_in(tmp_path_factory.mktemp("slow"), broker.bootstrap_servers, "slow")
    running = Loop(
        deployment.model_copy(update={"generator_concurrency": CALLS}),
        ["router", "generator"],
        hosted_at(model.base_url),
    )
    try:
        running.start()
        yield running
    finally:
        running.close()
        if broker.kind == "given":
            delete_topics(deployment)


def publish(loop: Loop, requests: list[RequestReceived]) -> None:
    async def publish_all() -> None:
        async with Client(loop.deployment) as client:
            await asyncio.gather(*(client.publish("requests", each) for each in requests))

    asyncio.run(publish_all())


def test_one_tenants_backlog_waits_in_kafka_and_the_next_tenant_is_called_for(slow: Loop, model: PaidModel) -> None:
    backlog = [slow.request(f"Slow {n}?", tenant="slow", deadline_ms=120_000) for n in range(BACKLOG)]
    hopeless = slow.request("Too late?", tenant="slow", deadline_ms=3_000)
    other = slow.request("And mine?", tenant="other", deadline_ms=120_000)
    with model.held():
        publish(slow, backlog)
        eventually(lambda: len(slow.events("deferred", RequestRouted)) >= BACKLOG - CALLS, 60)
        publish(slow, [other])
        eventually(lambda: model.calls("And mine?"), 30)
        publish(slow, [hopeless])  # every slot is in use
        assert sum(model.calls(each.message) for each in backlog) == CALLS, "no more than the tenant may have"
        late = slow.first("responses", ResponseFailed, hopeless.request_id)
        assert (late.code, late.cost_usd, model.calls("Too late?")) == ("deadline_exceeded", 0.0, 0)
    for request in (*backlog, other):
        slow.first("responses", ResponseReady, request.request_id)
        assert model.calls(request.message) == 1
