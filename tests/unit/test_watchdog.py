"""The watchdog: lag without progress and without excuse ends the worker; nothing else does; ready is only who consumes."""

from __future__ import annotations

import json
from collections.abc import Hashable, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from faust.types import TP
from hypothesis import given
from hypothesis import strategies as st

from streams.condition import Condition
from streams.deployment import Deployment
from streams.lag import Place
from streams.run_files import ready_pid
from streams.stalling import LONGEST_STEP_S, UNSETTLED_TIMES, Look, Standstill
from streams.under_way import CallsUnderWay
from streams.watchdog import LOST_AFTER, Watchdog

AFTER_S = 15.0


def hangs(*looks: tuple[Look, float]) -> list[bool]:
    standstill = Standstill(AFTER_S)
    return [standstill.look(look, passed_s) for look, passed_s in looks]


def test_lag_without_progress_for_fifteen_seconds_hangs():
    look = Look(lag=3, progress=1)
    assert hangs((look, 0.0), *[(look, 3.0)] * 5) == [False] * 5 + [True]


@pytest.mark.parametrize(
    "between",
    [
        Look(lag=0, progress=1),
        Look(lag=None, progress=1),
        Look(lag=3, progress=2),
        Look(lag=3, progress=1, excuse="a call is within its deadline"),
    ],
    ids=["no lag", "lag unknown", "progress", "an excuse"],
)
def test_no_lag_unknown_lag_progress_and_an_excuse_each_give_the_whole_time_again(between):
    before = Look(lag=3, progress=1)
    after = Look(lag=3, progress=between.progress)
    found = hangs((before, 0.0), *[(before, 4.0)] * 3, (between, 4.0), *[(after, 4.0)] * 3)
    assert found == [False] * 8


def test_a_process_that_was_stopped_has_not_hung():
    look = Look(lag=3, progress=1)
    assert hangs((look, 0.0), (look, 600.0), (look, 3.0)) == [False, False, False]
    assert LONGEST_STEP_S + 3.0 < AFTER_S


def test_who_is_not_settled_gets_longer_but_not_for_ever():
    look = Look(lag=3, progress=1, settled=False)
    found = hangs((look, 0.0), *[(look, 5.0)] * (3 * UNSETTLED_TIMES))
    assert found == [False] * (3 * UNSETTLED_TIMES) + [True]


Looks = st.builds(
    Look, lag=st.sampled_from([None, 0, 7]), progress=st.integers(0, 2), excuse=st.sampled_from(["", "", "waits"])
)


@given(st.lists(st.tuples(Looks, st.floats(0, 10)), max_size=60))
def test_only_who_had_the_whole_time_with_lag_without_progress_and_without_excuse_hangs(looks):
    standstill = Standstill(AFTER_S)
    had_s, last = 0.0, None
    for look, passed_s in looks:
        still = last is not None and look.progress == last and look.lag and not look.excuse
        had_s = had_s + min(passed_s, LONGEST_STEP_S) if still else 0.0
        last = look.progress
        assert standstill.look(look, passed_s) == (had_s >= AFTER_S)
        assert standstill.since_progress_s >= standstill.seconds == had_s


def test_a_call_excuses_until_its_deadline_and_not_after_its_end():
    now_s = 100.0
    calls = CallsUnderWay(lambda: now_s)
    assert not calls.any_in_time()
    with calls.within(10), calls.within(30):
        now_s = 129.0
        assert calls.any_in_time()
        now_s = 131.0
        assert not calls.any_in_time()
        with calls.within(5):
            assert calls.any_in_time()
    assert not calls.any_in_time()
    assert calls._deadlines == {}


class PlayedApp:
    """What ``Condition`` reads of an app: positions, and what is under way."""

    def __init__(self, positions: Mapping[int, int | None], under_way: list[Any]) -> None:
        states = {
            TP("t", number): SimpleNamespace(has_valid_position=position is not None, position=position)
            for number, position in positions.items()
        }
        assignment = SimpleNamespace(state_value=states.__getitem__)
        thread = SimpleNamespace(
            _consumer=SimpleNamespace(
                _subscription=SimpleNamespace(subscription=SimpleNamespace(assignment=assignment))
            )
        )
        self.consumer = SimpleNamespace(assignment=lambda: set(states), unacked=under_way, _thread=thread)


def test_what_was_read_past_without_being_given_waits_for_nobody_unless_something_is_under_way():
    under_way = [SimpleNamespace(tp=TP("t", 1), acked=False), SimpleNamespace(tp=TP("t", 2), acked=True)]
    app: Any = PlayedApp({0: 11, 1: 11, 2: 7, 3: None}, under_way)
    assert Condition(app, {"t": "requests"}).passed() == {("requests", 0): 11, ("requests", 2): 7}
    app.consumer._thread = SimpleNamespace(_consumer=None)  # it is being stopped
    assert Condition(app, {"t": "requests"}).passed() == {}


class PlayedWorker:
    role = "router"

    def __init__(self) -> None:
        self.lag: Mapping[Place, int] | None = {("requests", 0): 0}
        self.answers = True
        self.held: dict[str, Any] = {}
        self.handled = 0
        self.waits_for = ""
        self.hindered_by = ""
        self.blocked = False

    def ask_lag(self) -> Mapping[Place, int] | None:
        if not self.answers:
            raise TimeoutError
        return self.lag

    def paused(self) -> Mapping[str, Any]:
        return self.held

    def progress(self) -> Hashable:
        return self.handled

    def excuse(self) -> str:
        return self.waits_for

    def obstacle(self) -> str:
        return self.hindered_by

    def is_settled(self) -> bool:
        return not self.hindered_by or self.blocked

    def partitions(self) -> int:
        return len(self.lag or {})


class World:
    def __init__(self, folder: Path) -> None:
        self.now_s = 1_000.0
        self.worker = PlayedWorker()
        self.ended: list[tuple[float, int]] = []
        self.watchdog = Watchdog(
            self.worker,
            Deployment(var=folder, stalled_after_s=AFTER_S),
            end=lambda seconds, lag: self.ended.append((seconds, lag)),
            clock_s=lambda: self.now_s,
        )

    def look(self, times: int = 1) -> None:
        for _ in range(times):
            self.now_s += 3.0
            self.watchdog.look()
            self.watchdog.say_readiness()

    @property
    def said(self) -> dict[str, Any]:
        content: dict[str, Any] = json.loads(self.watchdog.run_file.read_text())
        return content


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def test_a_worker_that_hangs_is_ended_with_its_lag(world):
    world.worker.lag = {("requests", 0): 5, ("requests", 1): 4}
    world.look(6)
    assert world.ended == [(15.0, 9)]
    assert world.watchdog.lag == world.worker.lag
    assert world.watchdog.since_progress_s == 15.0


def test_a_blocked_event_loop_gets_no_more_time_than_any_other_that_hangs(world):
    world.worker.lag, world.worker.hindered_by = {("requests", 0): 5}, "its event loop is blocked"
    world.worker.blocked = True
    world.look(6)
    assert world.ended == [(15.0, 5)]


def test_a_worker_that_gets_on_is_left_alone_however_much_waits(world):
    world.worker.lag = {("requests", 0): 10**6}
    for _ in range(20):
        world.worker.handled += 1
        world.look(4)
    assert world.ended == []


def test_a_worker_that_waits_for_a_call_within_its_deadline_is_left_alone(world):
    world.worker.lag, world.worker.waits_for = {("requests", 0): 5}, "a call"
    world.look(20)
    assert world.ended == []
    assert world.watchdog.since_progress_s > AFTER_S


def test_while_the_broker_does_not_answer_nobody_is_ended_and_nobody_is_ready(world):
    world.worker.lag = {("requests", 0): 5}
    world.look(4)
    assert world.said["ready"]
    world.worker.answers = False
    world.look(LOST_AFTER)
    assert not world.said["ready"]
    assert world.said["why_not"] == "the broker does not answer"
    world.look(20)
    world.worker.answers = True
    world.look(4)
    assert world.said["ready"]
    assert world.ended == []


def test_what_is_paused_is_no_lag_that_hangs_but_the_rest_is(world):
    world.worker.lag = {("requests", 0): 5, ("feedback", 0): 0}
    world.worker.held = {"requests": "evidence"}
    world.look(20)
    assert world.ended == []
    world.worker.lag = {("requests", 0): 5, ("feedback", 0): 2}
    world.look(5)
    assert world.ended == [(15.0, 2)]


def test_a_worker_is_ready_once_nothing_hinders_it_and_says_why_not_before(world):
    world.worker.hindered_by, world.worker.lag = "its tables are being recovered", None
    world.look()
    assert (world.said["ready"], world.said["why_not"]) == (False, "its tables are being recovered")
    assert ready_pid(world.watchdog.run_file) is None
    world.worker.hindered_by = ""
    world.look()
    assert world.said["why_not"] == "it has not heard from the broker yet"
    world.worker.lag = {("requests", 0): 0}
    world.look()
    assert (world.said["ready"], world.said["why_not"], world.said["partitions"]) == (True, "", 1)
    assert ready_pid(world.watchdog.run_file) == world.said["pid"]


def test_what_waits_for_a_worker_to_be_ready_is_done_once_however_often_it_becomes_so(world):
    done: list[str] = []
    world.watchdog.when_first_ready = lambda: done.append("stepped back")
    world.worker.hindered_by = "its tables are being recovered"
    world.look()
    assert done == []
    for world.worker.hindered_by in ("", "it lost its partitions", ""):
        world.look()
    assert done == ["stepped back"]


def test_a_worker_without_any_partition_left_for_it_is_ready(world):
    world.worker.lag = {}
    world.look()
    assert world.said["ready"]


def test_a_paused_worker_and_one_that_stops_are_not_ready(world):
    world.look()
    world.worker.held = {"requests": "evidence"}
    world.look()
    assert (world.said["ready"], world.said["why_not"], world.said["paused"]) == (
        False,
        "paused: requests",
        ["requests"],
    )
    world.worker.held = {}
    world.look()
    assert world.said["ready"]
    world.watchdog.stop()
    assert not world.watchdog.is_ready
    assert not world.watchdog.run_file.exists()
