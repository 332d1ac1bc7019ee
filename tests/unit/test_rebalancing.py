"""What a worker's consumer commits as generations come and go, and how long its partitions are surely its own.

The app is ours and whole, but never started: no broker is asked.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from faust.types import TP
from faust.types.tuples import ConsumerMessage

from streams.app import build_app
from streams.deployment import Deployment
from streams.rebalancing import REBALANCE_GRACE_S, TABLES_GRACE_S

PLACE = TP("routing", 0)


@pytest.fixture
def app(tmp_path: Path) -> Iterator[Any]:
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    made: Any = build_app(
        "generator", Deployment(var=tmp_path, bootstrap_servers="localhost:1"), partitions=1, loop=loop
    )
    made.finalize()
    made.topics._acking_topics.add("routing")
    yield made
    made.consumer._thread.thread_loop.close()
    loop.close()
    asyncio.set_event_loop(None)


async def nothing() -> None:
    """Do nothing."""


def taken(app: Any, offset: int) -> ConsumerMessage:
    """A message that a handler is at."""
    message = ConsumerMessage("routing", 0, offset, 0.0, 0, None, b"", b"", None, tp=PLACE)
    message.refcount = 1
    app.consumer.track_message(message)
    return message


def committed(app: Any) -> int | None:
    offset: int | None = app.consumer._new_offset(PLACE)
    return offset


def test_what_is_acknowledged_in_its_generation_is_committed(app):
    first, second = taken(app, 10), taken(app, 11)
    second.ack(app.consumer)
    assert committed(app) is None
    first.ack(app.consumer)
    assert committed(app) == 12


def test_what_was_under_way_when_its_generation_ended_is_committed_by_its_redelivery_only(app):
    before = taken(app, 12)
    app.consumer.disown()
    again = taken(app, 10)
    before.ack(app.consumer)
    assert committed(app) is None
    again.ack(app.consumer)
    assert committed(app) == 11


def test_what_was_acknowledged_but_not_committed_when_the_generation_ended_is_not_committed_later(app):
    taken(app, 12).ack(app.consumer)
    app.consumer.disown()
    assert committed(app) is None
    assert app.consumer.under_way() == 0


def test_who_finishes_waits_for_what_was_begun_and_not_for_what_is_held_back(app):
    begun, waits = taken(app, 10), taken(app, 11)
    with app.held_back():
        assert (app.consumer.under_way(), app.begun()) == (2, 1)
        begun.ack(app.consumer)
        assert app.begun() == 0
    assert app.begun() == 1
    assert not waits.acked


def test_what_was_held_back_before_partitions_went_does_not_count_afterwards(app):
    with app.held_back():
        before = taken(app, 10)
        app.consumer.disown()
        again = taken(app, 10)
        assert (before.acked, again.acked, app.begun()) == (True, False, 1)
    assert app.begun() == 1


@pytest.mark.parametrize(("tables", "grace_s"), [({}, REBALANCE_GRACE_S), ({"ended": None}, TABLES_GRACE_S)])
def test_what_is_under_way_gets_longer_to_finish_where_partitions_may_pause_longer(app, monkeypatch, tables, grace_s):
    graces: list[float] = []

    async def finish(within_s: float) -> None:
        assert app.finishing is False, "the tables were not complete before"
        graces.append(within_s)

    monkeypatch.setattr(app.tables, "data", tables)
    monkeypatch.setattr(app.consumer, "assignment", set)
    monkeypatch.setattr(app.consumer, "pause_partitions", lambda _: None)
    monkeypatch.setattr(app.consumer, "finish", finish)
    monkeypatch.setattr(app.consumer, "conclude", nothing)
    app.loop.run_until_complete(app.finish_before_rebalance())
    assert graces == [grace_s]


def test_partitions_go_when_the_broker_has_what_was_published_and_then_what_is_done_is_committed(app, monkeypatch):
    told: list[str] = []

    async def flush() -> None:
        assert not app.finishing, "who flushes writes nothing more"
        told.append("flushed")

    async def commit() -> bool:
        told.append("committed")
        return True

    monkeypatch.setattr(app.consumer, "assignment", set)
    monkeypatch.setattr(app.consumer, "pause_partitions", lambda _: None)
    monkeypatch.setattr(app.producer, "flush", flush)
    monkeypatch.setattr(app.consumer, "commit", commit)
    app.loop.run_until_complete(app.finish_before_rebalance())
    assert told == ["flushed", "committed"]


def test_the_partitions_are_ours_only_as_long_as_the_coordinator_was_heard_within_the_session(app, monkeypatch):
    now_s = 100.0
    monkeypatch.setattr("streams.rebalancing.monotonic", lambda: now_s)
    app.consumer._thread.heard_s = 95.0
    assert app.holds_lease()
    now_s = 95.0 + app.conf.broker_session_timeout
    assert not app.holds_lease()


def test_a_worker_without_partitions_that_stood_still_goes_on(app):
    app.consumer._thread.heard_s = 0.0
    app.end_if_lapsed()


def test_only_what_is_ours_is_committed_and_a_commit_that_failed_counts_for_nothing(app, monkeypatch):
    asked: list[dict[TP, int]] = []
    done = False

    async def commit(offsets: dict[TP, int]) -> bool:
        asked.append(offsets)
        return done

    monkeypatch.setattr(app.consumer, "_commit", commit)
    monkeypatch.setattr(app.consumer, "assignment", lambda: {PLACE})
    offsets = {PLACE: 5, TP("routing", 1): 7}
    assert not app.loop.run_until_complete(app.consumer._commit_offsets(offsets))
    assert app.consumer._committed_offset[PLACE] is None
    done = True
    assert app.loop.run_until_complete(app.consumer._commit_offsets(offsets))
    assert asked == [{PLACE: 5}, {PLACE: 5}]
    assert app.consumer._committed_offset[PLACE] == 5


def test_fausts_monitor_is_told_of_no_event(app):
    assert app.monitor not in list(app.on_init_dependencies())
    assert not list(app.sensors)
