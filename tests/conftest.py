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
_PROCESSES, _FAULTS = "processes", "faults"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Group the tests for `-n 2 --dist loadgroup`, as `make test` asks: those that start processes first, in two groups.

    One process of pytest has all that share the session's broker and loops, and mostly waits. The other has the fault suite's part,
    and then what only computes, a group for each file, while the first waits.
    """
    for item in items:
        item.add_marker(pytest.mark.xdist_group(_group(item)))
    order = (_PROCESSES, _FAULTS)
    items.sort(key=lambda item: order.index(group) if (group := _group(item)) in order else len(order))


def _group(item: pytest.Item) -> str:
    said = item.get_closest_marker("xdist_group")
    if said is not None:
        return str(said.args[0])
    if item.path.parent.name != "e2e" and _STARTING.isdisjoint(getattr(item, "fixturenames", ())):
        return item.path.stem
    return _FAULTS if item.path.parent.name == "chaos" else _PROCESSES


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
