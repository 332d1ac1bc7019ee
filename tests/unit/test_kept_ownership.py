"""Ownership: what a worker may write, while partitions come and go; the app is a hand-written one."""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any, cast

import pytest
from faust.streams import _current_event  # the context that Faust sets for a handler
from faust.types import TP, AppT

from streams import rebalancing
from streams.kept import NotOurs, Ownership


class Event:
    """An event of a partition, as far as Faust's context needs it."""

    def __init__(self, partition: int) -> None:
        self.message = SimpleNamespace(partition=partition)


class App:
    """Our app with partition 3 of ``routing``; each of the conditions of being settled can be taken away."""

    def __init__(self) -> None:
        self.rebalancing = False
        self.should_stop = False
        self.finishing = False
        self.held = 0
        self.lease = True
        self.tables = SimpleNamespace(actives_ready=True)
        self.flow = True
        self.flow_control = SimpleNamespace(is_active=lambda: self.flow)
        self.assigned = {TP("routing", 3)}
        self.consumer = SimpleNamespace(assignment=lambda: self.assigned)

    def is_settled(self) -> bool:
        return rebalancing.App.is_settled(cast("Any", self))

    def holds_lease(self) -> bool:
        return self.lease

    @contextmanager
    def held_back(self) -> Iterator[None]:
        self.held += 1
        try:
            yield
        finally:
            self.held -= 1

    @property
    def ownership(self) -> Ownership:
        return Ownership(cast("AppT", self), "routing")


def rebalance(app: App) -> None:
    app.rebalancing = True


def read_the_changelogs(app: App) -> None:
    app.tables.actives_ready = False


def stop_the_flow(app: App) -> None:
    app.flow = False


def lose_the_lease(app: App) -> None:
    app.lease = False


def handled(event: Event) -> None:
    _current_event.set(cast("Any", weakref.ref(event)))


@pytest.mark.parametrize("unsettle", [rebalance, read_the_changelogs, stop_the_flow, lose_the_lease])
@pytest.mark.parametrize("stopping", [False, True])
def test_nobody_is_told_anything_before_a_rebalance_is_over_and_nothing_at_all_where_the_app_stops(unsettle, stopping):
    async def scenario() -> None:
        app, event = App(), Event(3)
        handled(event)
        unsettle(app)
        app.should_stop = stopping
        assert not app.ownership.is_ours_now()
        waiting = [asyncio.create_task(app.ownership.is_ours()), asyncio.create_task(app.ownership.wait_settled(3))]
        done, _ = await asyncio.wait(waiting, timeout=0)
        assert done == set()
        for task in waiting:
            task.cancel()
        ended = await asyncio.gather(*waiting, return_exceptions=True)
        assert [type(each) for each in ended] == [asyncio.CancelledError] * 2

    asyncio.run(scenario())


def test_after_a_rebalance_that_kept_the_partition_the_handler_goes_on():
    async def scenario() -> None:
        app, event = App(), Event(3)
        handled(event)
        rebalance(app)
        waiting = asyncio.gather(app.ownership.is_ours(), app.ownership.wait_settled(3))
        await asyncio.sleep(0)
        app.rebalancing = False
        is_ours, _ = await waiting
        assert is_ours
        assert app.ownership.is_ours_now()

    asyncio.run(scenario())


@pytest.mark.parametrize("unsettle", [rebalance, stop_the_flow])
def test_what_is_under_way_may_still_write_while_the_worker_finishes_before_its_partitions_go(unsettle):
    async def scenario() -> None:
        app, event = App(), Event(3)
        handled(event)
        unsettle(app)
        app.finishing = True
        assert app.ownership.is_ours_now()
        lose_the_lease(app)
        assert not app.ownership.is_ours_now()

    asyncio.run(scenario())


def stop(app: App) -> None:
    app.should_stop = True


@pytest.mark.parametrize("unsettle", [rebalance, stop_the_flow, lose_the_lease, stop])
def test_what_is_under_way_may_finish_but_nothing_new_begins_and_nobody_waits_for_it(unsettle):
    async def scenario() -> None:
        app, event = App(), Event(3)
        handled(event)
        assert await app.ownership.may_begin()
        unsettle(app)
        app.finishing = True
        waiting = asyncio.create_task(app.ownership.may_begin())
        done, _ = await asyncio.wait([waiting], timeout=0)
        assert (done, app.held) == (set(), 1)
        waiting.cancel()
        await asyncio.wait([waiting])
        assert app.held == 0

    asyncio.run(scenario())


def test_a_partition_that_went_away_is_not_ours():
    async def scenario() -> None:
        app, event = App(), Event(3)
        handled(event)
        app.assigned = {TP("routing", 2), TP("feedback", 3)}
        assert not await app.ownership.is_ours()
        assert not app.ownership.is_ours_now()
        with pytest.raises(NotOurs):
            await app.ownership.wait_settled(3)

    asyncio.run(scenario())


def test_where_no_event_is_handled_nothing_is_ours_to_write():
    async def scenario() -> None:
        assert not await App().ownership.is_ours()

    asyncio.run(scenario())
