"""Rolling restart: who is started and stopped in which order, and what is answered; the workers are only played."""

from __future__ import annotations

from pathlib import Path

import pytest

from streams import restarting
from streams.errors import Unconfigured
from streams.restarting import RestartDesk, replace_workers


class PlayedWorkers:
    def __init__(self, **numbers: list[int]) -> None:
        self.running = numbers
        self.said: list[str] = []
        self.never_ready = ""

    def numbers(self, role: str) -> list[int]:
        return list(self.running.get(role, []))

    def add(self, role: str, *, keep_trying: bool = False) -> int:
        number = next(n for n in range(9) if n not in self.running[role])
        self.said.append(f"start {role}-{number}" + (" for good" if keep_trying else ""))
        if role == self.never_ready:
            raise Unconfigured(f"{role}-{number} was not ready.", remedy="Look at its log.")
        self.running[role].append(number)
        return number

    def remove(self, role: str, number: int) -> None:
        self.said.append(f"stop {role}-{number}")
        self.running[role].remove(number)


def test_each_worker_is_stopped_only_when_its_successor_is_ready_and_one_role_after_the_other():
    workers = PlayedWorkers(router=[0], generator=[0, 1])
    replaced = replace_workers(workers, ["router", "generator"])
    assert workers.said == [
        "start router-1",
        "stop router-0",
        "start generator-2",
        "stop generator-0",
        "start generator-0",
        "stop generator-1",
    ]
    assert replaced == ["router-0 by router-1", "generator-0 by generator-2", "generator-1 by generator-0"]


def test_what_there_can_be_one_of_only_stops_first_and_is_started_until_it_runs():
    workers = PlayedWorkers(models=[0], analytics=[0])
    replace_workers(workers, ["models", "analytics"])
    assert workers.said == [
        "stop models-0",
        "start models-0 for good",
        "stop analytics-0",
        "start analytics-0 for good",
    ]


def test_a_successor_that_is_not_ready_leaves_the_old_worker_running_and_ends_the_restart():
    workers = PlayedWorkers(router=[0], generator=[0])
    workers.never_ready = "router"
    with pytest.raises(Unconfigured):
        replace_workers(workers, ["router", "generator"])
    assert workers.running == {"router": [0], "generator": [0]}


def test_a_role_that_does_not_run_is_passed_over():
    assert replace_workers(PlayedWorkers(), ["router"]) == []


def test_an_order_is_carried_out_once_and_answered_to_who_gave_it(tmp_path: Path):
    workers = PlayedWorkers(router=[0])
    desk = RestartDesk(tmp_path, workers)
    desk.look()
    mine = restarting.order(tmp_path, ["router"])
    assert restarting.answer(tmp_path, mine) is None
    desk.look()
    desk.look()
    assert workers.said == ["start router-1", "stop router-0"]
    assert restarting.answer(tmp_path, mine) == {"id": mine, "replaced": ["router-0 by router-1"], "error": None}
    assert restarting.answer(tmp_path, "another's") is None


def test_a_restart_that_failed_says_why(tmp_path: Path):
    workers = PlayedWorkers(router=[0])
    workers.never_ready = "router"
    mine = restarting.order(tmp_path, ["router"])
    RestartDesk(tmp_path, workers).look()
    found = restarting.answer(tmp_path, mine)
    assert found is not None
    assert "router-1 was not ready." in found["error"]


def test_what_was_ordered_of_a_former_run_is_not_carried_out(tmp_path: Path):
    workers = PlayedWorkers(router=[0])
    restarting.order(tmp_path, ["router"])
    desk = RestartDesk(tmp_path, workers)
    with desk:
        pass
    desk.look()
    assert workers.said == []
