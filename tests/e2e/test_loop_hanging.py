"""A worker that hangs restarts itself, says so, and loses nothing; one that waits for a call within its deadline is left alone."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from confluent_kafka import Producer

from infra.broker import RunningBroker
from schemas import FeedbackGiven, RequestReceived, RequestRouted, ResponseReady, StageMeasured, StageRestarted
from streams.admin import delete_topics
from streams.codec import Codec
from streams.identity import event_id
from streams.topics import key_of
from tests.hosted import hosted_at
from tests.loop import Loop, deployment_in
from tests.paid_model import paid_model
from tests.waiting import eventually

STALLED_AFTER_S = 3.0
HANGING = """
import asyncio, os, sys, time
from pathlib import Path
import agents.router
from streams import worker

mended, plan = Path(os.environ["MENDED"]), agents.router.Router.handle

async def handle(self, event):
    if not mended.exists():
        {hangs}
    await plan(self, event)

agents.router.Router.handle = handle
sys.exit(worker.main(sys.argv[1:]))
"""
"""The router, with a handler that hangs until a file is there."""


def feedback_about(asked: RequestReceived) -> FeedbackGiven:
    return FeedbackGiven(
        event_id=event_id("FeedbackGiven", asked.request_id),
        occurred_at_us=asked.occurred_at_us,
        tenant=asked.tenant,
        conversation_id=asked.conversation_id,
        request_id=asked.request_id,
        source="user",
        kind="thumb",
        value=1.0,
    )


Start = Callable[..., Loop]


@pytest.fixture
def start(broker: RunningBroker, tmp_path: Path) -> Iterator[Start]:
    loops: list[Loop] = []

    def start(roles: list[str], **environ: str) -> Loop:
        deployment = deployment_in(tmp_path, broker.bootstrap_servers, "hanging")
        quick = deployment.model_copy(update={"stalled_after_s": STALLED_AFTER_S, "watch_every_s": 0.5})
        loops.append(Loop(quick, roles, {"PENSTOCK_PROVIDER": "embedded", **environ}))
        return loops[0]

    yield start
    for loop in loops:
        loop.close()
        if broker.kind == "given":
            delete_topics(loop.deployment)


@pytest.mark.slow
@pytest.mark.parametrize(
    "hangs", ["await asyncio.Event().wait()", "time.sleep(3600)"], ids=["waits", "blocks the loop"]
)
def test_a_router_that_hangs_restarts_itself_and_plans_what_it_had_not(
    start: Start, tmp_path: Path, hangs: str
) -> None:
    program, mended = tmp_path / "hanging.py", tmp_path / "mended"
    program.write_text(HANGING.format(hangs=hangs), encoding="utf-8")
    loop = start(["router"], MENDED=str(mended))
    loop.up("router", program=program)
    first = loop.pid("router")
    asked = [loop.request() for _ in range(20)]
    for request in asked:
        loop.publish("requests", request)
    restarted = loop.first("metrics", StageRestarted)
    assert (restarted.stage, restarted.worker) == ("router", f"0:{first}")
    assert restarted.stalled_s >= STALLED_AFTER_S
    assert 1 <= restarted.lag_events <= len(asked)
    mended.touch()
    ids = {request.request_id for request in asked}
    eventually(
        lambda: {e.request.request_id for e in loop.events("routing", RequestRouted)} == ids, 40, describe="plans"
    )
    (died, *_) = [each for each in loop.happened if each.what == "died"]
    assert died.detail.startswith("hung, and ended itself; starts again in")


@pytest.mark.slow
def test_a_generator_that_waits_for_a_slow_call_is_left_alone(start: Start) -> None:
    with paid_model() as model:
        loop = start(["router", "generator"], **hosted_at(model.base_url))
        for role in ("router", "generator"):
            loop.up(role)
        request = loop.request("How long does it take?", deadline_ms=60_000)
        with model.held():
            loop.publish("requests", request)
            longest_s = 3 * STALLED_AFTER_S
            waits = "since_progress_s"
            eventually(lambda: loop.measured("generator", waits) > longest_s, 40, describe="a long wait")
        loop.first("responses", ResponseReady, request.request_id)
    assert loop.events("metrics", StageRestarted) == []
    assert not [each for each in loop.happened if each.what == "died"]


@pytest.mark.slow
def test_nobody_hangs_because_an_application_publishes_in_transactions(start: Start) -> None:
    loop = start(["router", "analytics"])
    for role in ("router", "analytics"):
        loop.up(role)
    asked = loop.request()
    rated = feedback_about(asked)
    servers = loop.deployment.bootstrap()
    producer = Producer({"bootstrap.servers": servers, "transactional.id": uuid.uuid4().hex, "log_level": 0})
    producer.init_transactions(10)
    producer.begin_transaction()
    for topic, event in (("requests", asked), ("feedback", rated)):
        producer.produce(loop.deployment.topic(topic), key=key_of(topic, event), value=Codec().encode(event))
    producer.commit_transaction(10)
    del producer
    loop.first("routing", RequestRouted, asked.request_id)

    def reports() -> int:
        return sum(each.stage == "analytics" for each in loop.events("metrics", StageMeasured))

    so_far, until_s = reports(), time.monotonic() + 3 * STALLED_AFTER_S
    eventually(lambda: time.monotonic() > until_s, 40, describe="three times as long as a worker may stand still")
    eventually(lambda: reports() > so_far, 40, describe="a report of analytics since")
    assert loop.events("metrics", StageRestarted) == []
    assert not [each for each in loop.happened if each.what == "died"]
