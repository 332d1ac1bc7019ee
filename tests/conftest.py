"""Fixtures that tests of all kinds share. A broker starts when the first test asks for one."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from infra.broker import RunningBroker, provide_broker

_ROOT = Path(__file__).resolve().parents[1]


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
