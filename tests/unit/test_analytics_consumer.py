"""The loop of analytics: what comes first after a start, and what a stop leaves to the next process."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest

from analytics.consumer import AnalyticsConsumer
from analytics.intake import Message
from analytics.publisher import Publisher
from analytics.query import rows
from analytics.reporting import Reports
from analytics.storage import Storage
from schemas import StageMeasured
from streams.codec import Codec
from streams.delivery import wall_clock_us
from streams.deployment import Deployment
from tests.analytics_events import CODEC, T0_US, TOPIC_OF, story

NOBODY = "127.0.0.1:1"


class GivenMessages:
    """A reader that gives its messages once, and then nothing; ``before`` is called with each reading's number, from 1."""

    def __init__(self, messages: list[Message], before: Any) -> None:
        self._messages = messages
        self._before = before
        self._readings = 0
        self.assigned: frozenset[tuple[str, int]] = frozenset({("requests", 0)})
        self.ended: dict[tuple[str, int], int] = {}
        self.has_answered = True

    def assign(self, next_offsets: Any, stop: threading.Event) -> None:
        self.began_at = next_offsets

    def ends(self, topic: str) -> dict[tuple[str, int], int]:
        return {}

    def read(self, stop: threading.Event) -> list[Message]:
        self._readings += 1
        given, self._messages = self._messages, []
        self._before(self._readings)
        return given

    def look_again(self, next_offsets: Any) -> None:
        return

    def close(self) -> None:
        return


class Watching:
    """A learner that remembers how many requests readers saw at its first step, and then ends the process."""

    def __init__(self, deployment: Deployment, stop: threading.Event) -> None:
        self._deployment = deployment
        self._stop = stop
        self.seen: list[int] = []

    def step(self, *_: Any) -> list[Any]:
        self.seen.append(rows(self._deployment, "SELECT count(*) FROM requests").rows[0][0])
        self._stop.set()
        return []


@pytest.fixture
def deployment(tmp_path: Path) -> Deployment:
    return Deployment(bootstrap_servers=NOBODY, var=tmp_path)


@pytest.fixture
def stop() -> threading.Event:
    return threading.Event()


def messages() -> list[Message]:
    events = story("one")
    return [
        Message(TOPIC_OF[type(e).__name__], 0, n, T0_US // 1_000, None, CODEC.encode(e)) for n, e in enumerate(events)
    ]


def consumer(deployment: Deployment, reader: Any, learner: Any) -> AnalyticsConsumer:
    storage = Storage(deployment.analytics_folder, "c")
    return AnalyticsConsumer(deployment, storage, learner, Codec(), wall_clock_us, reader)


def test_readers_see_what_came_before_a_start_before_the_learner_takes_its_time(deployment, stop):
    learner = Watching(deployment, stop)
    shown: list[int] = []
    reader = GivenMessages(messages(), lambda _: None)
    consumer(deployment, reader, learner).run(stop, when_shown=lambda: shown.append(len(learner.seen)))
    assert learner.seen == [1]
    assert shown == [0]


def test_what_was_read_when_the_stop_came_is_left_to_the_next_process(deployment, stop):
    learner = Watching(deployment, stop)
    consumer(deployment, GivenMessages(messages(), lambda _: stop.set()), learner).run(stop)
    next_one = Storage(deployment.analytics_folder, "c")
    assert next_one.next_offsets() == {}
    assert next_one.segments() == []
    next_one.close()
    assert learner.seen == []


class Schemas:
    """The topic of schemas, which is read when the test allows it; ``fails`` is raised then."""

    def __init__(self, fails: Exception | None = None) -> None:
        self.may_be_read = threading.Event()
        self._fails = fails

    def unpublished(self, *_: Any, now_us: int) -> list[Any]:
        self.may_be_read.wait()
        if self._fails:
            raise self._fails
        return []

    def close(self) -> None:
        return


def test_nothing_is_published_before_the_schemas_are_known_and_the_start_does_not_wait_for_them(deployment, stop):
    publisher, schemas = Publisher(deployment, Codec(), stop), Schemas()
    publisher.begin_with(schemas, 0)  # type: ignore[arg-type]
    happened: list[str] = []

    def publish() -> None:
        publisher.publish("metrics", report())
        happened.append("published")

    other = threading.Thread(target=publish)
    other.start()
    happened.append("allowed")
    schemas.may_be_read.set()
    other.join()
    publisher.close()
    assert happened == ["allowed", "published"]


def test_where_the_schemas_could_not_be_made_known_nothing_is_published(deployment, stop):
    publisher, schemas = Publisher(deployment, Codec(), stop), Schemas(TimeoutError("not read to its end"))
    publisher.begin_with(schemas, 0)  # type: ignore[arg-type]
    schemas.may_be_read.set()
    with pytest.raises(TimeoutError, match="not read"):
        publisher.publish("metrics", report())
    publisher.close()


def report() -> StageMeasured:
    return Reports("analytics", "0", wall_clock_us).made({"lag_events_sum": 0.0})
