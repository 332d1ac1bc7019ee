"""Fixtures that tests of all kinds share. A broker starts when the first test asks for one."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from infra.broker import RunningBroker, provide_broker

_ROOT = Path(__file__).resolve().parents[1]
_STARTING = {"broker", "shared_world", "own_world"}
"""Fixtures that start a broker, or roles on one."""
_PROCESSES = "processes"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Group the tests for `-n 2 --dist loadgroup`, as `make test` asks: all that start processes first, in one process of pytest.

    They wait most of the time, one after the other, and share the brokers and the loops of the session; the other process has the
    processor meanwhile for what only computes, a group for each file.
    """
    for item in items:
        item.add_marker(pytest.mark.xdist_group(_PROCESSES if _starts_processes(item) else item.path.stem))
    items.sort(key=lambda item: not _starts_processes(item))


def _starts_processes(item: pytest.Item) -> bool:
    said = item.get_closest_marker("xdist_group")
    if said is not None:
        return bool(said.args[0] == _PROCESSES)
    return item.path.parent.name == "e2e" or not _STARTING.isdisjoint(getattr(item, "fixturenames", ()))


@pytest.fixture(scope="session")
def broker() -> Iterator[RunningBroker]:
    """One real Kafka for the session, with no data of earlier ones. See `topic_prefix`."""
    with provide_broker(_ROOT / "var", ephemeral=True, name="tests") as running:
        yield running


@pytest.fixture
def topic_prefix(request: pytest.FixtureRequest) -> str:
    """A prefix for topics and groups that no other test has: its name, readable, and its hash."""
    digest = hashlib.sha256(request.node.nodeid.encode()).hexdigest()[:8]
    readable = re.sub(r"[^a-z0-9]+", "-", request.node.name.lower())[:40].strip("-")
    return f"{readable}-{digest}-"
