"""The loop, started once for all tests that kill nothing for good."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from infra.broker import RunningBroker
from streams.admin import delete_topics
from streams.supervisor import ROLES
from tests.loop import Loop, deployment_in


@pytest.fixture(scope="session")
def loop(broker: RunningBroker, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Loop]:
    """Every role on the embedded models. A test that stops a role starts it again."""
    deployment = deployment_in(tmp_path_factory.mktemp("loop"), broker.bootstrap_servers, "loop")
    running = Loop(deployment, ROLES, {"PENSTOCK_PROVIDER": "embedded"})
    try:
        running.start()
        yield running
    finally:
        running.close()
        if broker.kind == "given":
            delete_topics(deployment)
