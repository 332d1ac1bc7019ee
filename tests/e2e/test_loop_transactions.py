"""An application publishes requests in Kafka transactions: what it aborted is not answered and not paid for."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from confluent_kafka import Producer

from infra.broker import RunningBroker
from schemas import RequestReceived, RequestRouted, ResponseReady, StageRestarted
from streams.admin import delete_topics
from streams.codec import Codec
from streams.topics import key_of
from tests.hosted import hosted_at
from tests.loop import Loop, deployment_in
from tests.paid_model import PaidModel, paid_model
from tests.waiting import eventually

STALLED_AFTER_S = 2.0
ROLES = ("router", "generator")


@pytest.fixture
def model() -> Iterator[PaidModel]:
    with paid_model() as model:
        yield model


@pytest.fixture
def loop(tmp_path: Path, broker: RunningBroker, model: PaidModel) -> Iterator[Loop]:
    deployment = deployment_in(tmp_path, broker.bootstrap_servers, "transactions")
    quick = deployment.model_copy(update={"stalled_after_s": STALLED_AFTER_S, "watch_every_s": 0.5})
    loop = Loop(quick, ROLES, hosted_at(model.base_url))
    yield loop
    loop.close()
    if broker.kind == "given":
        delete_topics(quick)


def begun(loop: Loop, request: RequestReceived) -> Producer:
    """A transaction that is open, with the request in it and on the broker."""
    servers = loop.deployment.bootstrap()
    producer = Producer(
        {
            "bootstrap.servers": servers,
            "transactional.id": uuid.uuid4().hex,
            "partitioner": "murmur2_random",
            "log_level": 0,
        }
    )
    producer.init_transactions(20)
    producer.begin_transaction()
    topic = loop.deployment.topic("requests")
    producer.produce(topic, key=key_of("requests", request), value=Codec().encode(request))
    assert producer.flush(20) == 0
    return producer


def stay_ready(loop: Loop, seconds: float) -> None:
    """See each role ready for so long: an idle one reports nothing, so it is looked at."""
    until_s = time.monotonic() + seconds

    def over() -> bool:
        assert not [each for each in loop.happened if each.what == "died"]
        return time.monotonic() >= until_s and all(loop.is_ready(role) for role in ROLES)

    eventually(over, seconds + 20, describe="workers that are ready for so long")


@pytest.mark.slow
def test_what_was_aborted_is_not_answered_what_was_committed_is_and_nobody_restarts_meanwhile(
    loop: Loop, model: PaidModel
) -> None:
    for role in ROLES:
        loop.up(role)
    never = loop.request("What would this have cost?", conversation_id="one talk")
    wanted = loop.request("What does this cost?", conversation_id="one talk")
    aborted = begun(loop, never)
    loop.publish("requests", wanted)  # in the same partition: it waits behind the transaction
    stay_ready(loop, 3 * STALLED_AFTER_S)  # both wait for the transaction's end, and are no lag
    assert loop.events("routing", RequestRouted) == []
    aborted.abort_transaction(20)
    loop.first("responses", ResponseReady, wanted.request_id)
    also = loop.request("And what does that cost?", conversation_id="one talk")
    begun(loop, also).commit_transaction(20)
    loop.first("responses", ResponseReady, also.request_id)
    stay_ready(loop, 2 * STALLED_AFTER_S)  # at a marker
    assert loop.events("routing", RequestRouted, never.request_id) == []
    assert loop.events("responses", ResponseReady, never.request_id) == []
    assert (model.calls(never.message), model.calls(wanted.message), model.calls(also.message)) == (0, 1, 1)
    assert loop.events("metrics", StageRestarted) == []
    assert not [each for each in loop.happened if each.what == "died"]
