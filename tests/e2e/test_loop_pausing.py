"""A bad deploy pauses its role instead of draining a topic into the dead letters; a mended one or the operator resumes it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from infra.broker import RunningBroker
from schemas import DeadLettered, RequestRouted, ResponseFailed, StagePaused, StageResumed
from streams.admin import delete_topics
from streams.deployment import Deployment
from tests.loop import Loop, deployment_in
from tests.waiting import eventually

MOST = 5
REQUESTS = 30
BROKEN = """
import os, sys
from pathlib import Path
import agents.router
from streams import worker

mended, plan = Path(os.environ["MENDED"]), agents.router.Router.handle

async def handle(self, event):
    if not mended.exists():
        raise RuntimeError("a bad deploy")
    await plan(self, event)

agents.router.Router.handle = handle
sys.exit(worker.main(sys.argv[1:]))
"""
"""The router, with a handler that fails until a file is there."""


class BadDeploy(Loop):
    """A loop whose router comes from a bad deploy, until `mend`."""

    def __init__(self, deployment: Deployment, folder: Path) -> None:
        self.program = folder / "broken.py"
        self.program.write_text(BROKEN, encoding="utf-8")
        self.mended = folder / "mended"
        environ = {"PENSTOCK_PROVIDER": "embedded", "MENDED": str(self.mended)}
        limited = deployment.model_copy(update={"dead_letters_most": MOST})
        super().__init__(limited, ["router", "analytics"], environ)

    def mend(self) -> None:
        """What another deploy does."""
        self.mended.touch()

    def letters(self) -> int:
        """How many requests the router has dead-lettered."""
        return len(self.events("router-dlq", DeadLettered))

    def planned(self) -> set[str]:
        """The requests that were planned."""
        return {event.request.request_id for event in self.events("routing", RequestRouted)}


@pytest.fixture
def bad(broker: RunningBroker, tmp_path: Path) -> Iterator[BadDeploy]:
    deployment = deployment_in(tmp_path, broker.bootstrap_servers, "pausing")
    loop = BadDeploy(deployment, tmp_path)
    try:
        loop.up("analytics")
        loop.up("router", program=loop.program)
        yield loop
    finally:
        loop.close()
        if broker.kind == "given":
            delete_topics(deployment)


def drained(loop: BadDeploy) -> set[str]:
    """Ask for much, and wait until the role is paused; the ids of what was asked."""
    asked = [loop.request(workflow="help") for _ in range(REQUESTS)]
    for request in asked:
        loop.publish("requests", request)
    paused = loop.first("metrics", StagePaused)
    assert (paused.stage, paused.source, paused.letters, paused.handled) == ("router", "requests", MOST, 0)
    assert (paused.most, paused.code) == (MOST, "handler_failed")
    eventually(lambda: not loop.is_ready("router"), 10, describe="a router that says that it is paused")
    assert loop.letters() == MOST
    return {request.request_id for request in asked}


@pytest.mark.slow
def test_a_bad_deploy_pauses_the_router_and_the_operators_word_resumes_it_once_it_is_mended(bad: BadDeploy) -> None:
    asked = drained(bad)
    assert "paused: requests" in bad.penstock("status", exit_code=1).stdout
    bad.penstock("resume", "router", "--reason", "to see whether it is mended")  # it is not
    eventually(lambda: len(bad.events("metrics", StagePaused)) == 2, 20, describe="another pause")
    assert bad.letters() == 2 * MOST
    assert len(bad.events("metrics", StageResumed)) == 1
    bad.mend()
    bad.penstock("resume", "router")
    failed = {event.request_id for event in bad.events("responses", ResponseFailed)}
    assert len(failed) == 2 * MOST, "what was dead-lettered was ended, and nothing else"
    eventually(lambda: bad.planned() == asked - failed, 20, describe="a plan for everything that was held")
    eventually(lambda: bad.is_ready("router"), 10, describe="a router that is ready again")
    assert "paused" not in bad.penstock("status").stdout


@pytest.mark.slow
def test_a_mended_deploy_resumes_by_being_started(bad: BadDeploy) -> None:
    asked = drained(bad)
    bad.mend()
    bad.down("router")
    bad.up("router", program=bad.program)
    failed = {event.request_id for event in bad.events("responses", ResponseFailed)}
    assert len(failed) == MOST
    eventually(lambda: bad.planned() == asked - failed, 20, describe="a plan for everything that was held")
