"""How every worker stands, and the word that ends a pause: with a log in memory."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from schemas import Measure, ResumeOrdered, StageMeasured, StagePaused, StageRestarted, StageResumed
from tests.cli_world import NOW_US, World

MINUTE_US = 60_000_000


@pytest.fixture
def world(tmp_path: Path) -> World:
    (tmp_path / "run").mkdir()
    return World(tmp_path)


def measured(worker: str, *, stage: str = "router", at_us: int = NOW_US, **measures: float) -> StageMeasured:
    return StageMeasured(
        event_id=f"{stage} {worker} {at_us}",
        occurred_at_us=at_us,
        stage=stage,
        worker=worker,
        sequence=0,
        measures=tuple(Measure(name=name, value=value) for name, value in measures.items()),
    )


def paused(worker: str) -> StagePaused:
    return StagePaused(
        event_id="p",
        occurred_at_us=NOW_US,
        stage="router",
        worker=worker,
        source="requests",
        letters=100,
        handled=3,
        window_s=60.0,
        most=100,
        share=0.2,
        code="handler_failed",
        held_partition=3,
        held_offset=17,
    )


def says(world: World, worker: str, **said: object) -> None:
    number, _, pid = worker.partition(":")
    content = {"pid": int(pid), "ready": True, "why_not": "", "partitions": 8, "paused": [], **said}
    (world.var / "run" / f"worker-router-{number}.json").write_text(json.dumps(content))


def test_with_nothing_running_it_says_so(world):
    result = world.penstock("status")
    assert (result.exit_code, result.stdout) == (0, "no worker is running\n")


def test_a_worker_is_shown_with_its_state_and_what_waits_for_it(world):
    says(world, "0:41")
    world.log.put("metrics", measured("0:41", lag_events_sum=1_234, since_progress_s=2, dead_lettered_total=5))
    result = world.penstock("status")
    assert result.exit_code == 0
    for word in ("router", "0:41", "ready", "1,234", "2 s", "5"):
        assert word in result.stdout


def test_a_worker_that_does_not_consume_is_shown_with_the_reason_and_the_status_is_1(world):
    says(world, "0:41", ready=False, why_not="the broker does not answer")
    result = world.penstock("status")
    assert result.exit_code == 1
    assert "the broker does not answer" in result.stdout


def test_a_paused_worker_is_shown_with_the_evidence_and_the_way_out(world):
    says(world, "0:41", ready=False, why_not="paused: requests", paused=["requests"])
    world.log.put("metrics", paused("0:41"))
    result = world.penstock("status")
    assert result.exit_code == 1
    assert "100 dead letters beside 3 handled within 60 s" in result.stdout
    assert "penstock resume router" in result.stdout
    (row,) = json.loads(world.penstock("status", "--json").stdout)
    assert (row["state"], row["paused"][0]["code"]) == ("paused: requests", "handler_failed")


@pytest.mark.parametrize("end", ["resumed", "restarted", "its run file"])
def test_a_pause_that_ended_is_shown_no_more(world, end):
    says(world, "0:41") if end == "its run file" else None
    world.log.put("metrics", paused("0:41"), measured("0:41"))
    about: dict[str, Any] = {"event_id": "e", "occurred_at_us": NOW_US, "stage": "router", "worker": "0:41"}
    if end == "resumed":
        world.log.put("metrics", StageResumed(**about, source="requests", paused_s=9.0))
    elif end == "restarted":
        world.log.put("metrics", StageRestarted(**about, lag_events=1, stalled_s=15.0, reason="It hung."))
    result = world.penstock("status")
    assert result.exit_code == 0
    assert "paused" not in result.stdout


def test_a_worker_of_another_machine_is_shown_while_it_reports(world):
    world.log.put("metrics", measured("1:7", stage="generator"))
    world.log.put("metrics", measured("2:8", stage="generator", at_us=NOW_US - 2 * MINUTE_US))
    shown = world.penstock("status").stdout
    assert "1:7" in shown
    assert "running elsewhere" in shown
    assert "2:8" not in shown


def test_the_order_to_resume_is_published_with_who_and_why(world):
    result = world.penstock("resume", "evaluator", "--topic", "feedback", "--reason", "the producer is mended")
    assert result.exit_code == 0
    (order,) = world.events("controls")
    assert isinstance(order, ResumeOrdered)
    assert (order.subject, order.role, order.source) == ("stage:evaluator", "evaluator", "feedback")
    assert (order.reason, order.ordered_by) == ("the producer is mended", "mika")


@pytest.mark.parametrize(
    ("arguments", "said"), [(["routr"], "router"), (["router", "--topic", "request"], "requests"), (["models"], "role")]
)
def test_a_role_or_a_topic_that_there_is_not_is_refused_and_nothing_is_published(world, arguments, said):
    result = world.penstock("resume", *arguments)
    assert result.exit_code == 2
    assert said in result.stderr
    assert world.events("controls") == []
