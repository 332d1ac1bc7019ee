"""Topics are there when creating them returns."""

from __future__ import annotations

from concurrent.futures import Future
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from streams import admin
from streams.deployment import Deployment


class SlowBroker:
    """Stands in for the administration client of a broker that lists a topic only when it is asked for the third time."""

    def __init__(self, _settings: Any) -> None:
        self.asked = 0
        self.created: dict[str, int] = {}

    def create_topics(self, topics: list[Any], **_: Any) -> dict[str, Future[None]]:
        self.created = {topic.topic: topic.num_partitions for topic in topics}
        done: Future[None] = Future()
        done.set_result(None)
        return dict.fromkeys(self.created, done)

    def list_topics(self, **_: Any) -> Any:
        self.asked += 1
        seen = self.created if self.asked > 3 else {}
        return SimpleNamespace(topics={name: SimpleNamespace(partitions=range(count)) for name, count in seen.items()})


def test_it_returns_when_the_broker_lists_what_was_created(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    broker = SlowBroker({})
    monkeypatch.setattr(admin, "AdminClient", lambda _: broker)
    created = admin.create_topics(Deployment(bootstrap_servers="nowhere:1", var=tmp_path), partitions=4)
    assert set(created) == broker.created.keys()
    assert broker.asked == 4
