"""Workers with tables join, leave and are killed under load: every request is answered, and in one way only."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from infra.broker import RunningBroker
from streams.admin import create_topics, delete_topics
from streams.deployment import ROOT, Deployment
from streams.supervisor import Supervisor
from tests.instant_model import InstantModel, instant_model
from tests.steady_load import Load
from tests.waiting import eventually

PARTITIONS = 4
RATE = 15
ROLES = ("router", "generator", "evaluator")


@pytest.fixture(scope="module")
def model() -> Iterator[InstantModel]:
    with instant_model() as running:
        yield running


@pytest.fixture(scope="module")
def deployment(broker: RunningBroker, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    folder: Path = tmp_path_factory.mktemp("rebalance")
    made = Deployment(
        bootstrap_servers=broker.bootstrap_servers,
        topic_prefix=f"rebalance-{folder.name}-",
        var=folder,
        models=ROOT / "var" / "models",
        watch_every_s=0.5,
    )
    create_topics(made, partitions=PARTITIONS)
    yield made
    if broker.kind == "given":
        delete_topics(made)


@pytest.mark.timeout(300)
def test_nothing_is_lost_or_answered_differently_while_workers_with_tables_come_go_and_die(
    deployment: Deployment, model: InstantModel
) -> None:
    with Supervisor(deployment, roles=ROLES, environ={**os.environ, **model.environ()}) as supervisor:
        load = Load(deployment, partitions=PARTITIONS, rate=RATE, deadline_ms=300_000)
        load.start()
        try:
            eventually(lambda: sum(map(len, load.seen["responses"].values())) > RATE, 60, describe="the first answers")
            for role in ("generator", "evaluator"):
                second = supervisor.add(role)
                supervisor.remove(role, 0)
                pid = next(each.pid for each in supervisor.status() if (each.role, each.number) == (role, second))
                assert pid is not None
                os.kill(pid, signal.SIGKILL)
                eventually(
                    lambda role=role, pid=pid: any(  # type: ignore[misc]
                        each.role == role and each.state == "ready" and each.pid != pid for each in supervisor.status()
                    ),
                    60,
                    describe=f"another {role}",
                )
        finally:
            load.stop(settle_s=60)
    tally = load.tally()
    assert tally.requests > 4 * RATE
    assert (tally.lost, tally.failed, tally.answered_differently) == (0, 0, 0)
    assert all(load.seen["rewards"][number] for number in range(PARTITIONS))
