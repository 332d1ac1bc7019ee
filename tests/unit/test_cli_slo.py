"""``penstock slo`` on the public file of a small storage."""

from __future__ import annotations

import json

import pytest

from agents.deciding.service_levels import LATENCY_BOUNDS_MS, QUALITY_BOUNDS
from analytics.public import VIEWS, publish
from analytics.storage import Storage
from streams.errors import RESPONSE_CODES
from streams.exported import WAIT_S
from streams.measuring import OF_THE_CALLER
from tests.analytics_events import Log, answered, ask_public, failed, request, rewarded, routed
from tests.cli_world import NOW_US, World

MINUTE_US = 60_000_000
DAY_US = 1_440 * MINUTE_US


def stored(tmp_path, *events):
    storage, log = Storage(tmp_path / "analytics", "cluster"), Log()
    storage.take(log.batch(*events), NOW_US)
    publish(storage, NOW_US)
    storage.close()
    return World(tmp_path)


def asked(name, ago_us, *, latency_ms=20.0, reward=0.9):
    plan = routed(request(name, at_us=NOW_US - ago_us))
    return [plan.request, plan, answered(plan, latency_ms=latency_ms), rewarded(plan, reward=reward)]


def lost(name, ago_us, code="provider_unavailable"):
    return [(one := request(name, at_us=NOW_US - ago_us)), failed(one, code=code)]


def levels(result):
    return {each["level"]: each for each in json.loads(result.stdout)["levels"]}


def test_promises_that_are_kept_end_with_0(tmp_path):
    world = stored(tmp_path, *(e for n in range(20) for e in asked(f"r{n}", n * MINUTE_US)))
    result = world.penstock("slo", "--json")
    assert result.exit_code == 0, result.output
    assert {name: (each["valid"], each["good"], each["state"]) for name, each in levels(result).items()} == {
        "answered": (20, 20, "kept"),
        "latency": (20, 20, "kept"),
        "floor": (20, 20, "kept"),
    }
    assert [burn["window"] for burn in levels(result)["answered"]["burns"]] == ["1h", "6h", "3d"]
    assert "100.000%" in world.penstock("slo").stdout


def test_failures_of_ours_count_and_a_callers_mistakes_do_not(tmp_path):
    mistakes = [e for n, code in enumerate(OF_THE_CALLER) for e in lost(f"m{n}", MINUTE_US, code)]
    ours = [e for n, code in enumerate(set(RESPONSE_CODES) - OF_THE_CALLER) for e in lost(f"o{n}", MINUTE_US, code)]
    world = stored(tmp_path, *asked("good", MINUTE_US), *mistakes, *ours)
    result = world.penstock("slo", "--json")
    found = levels(result)["answered"]
    assert (found["valid"], found["good"]) == (1 + len(RESPONSE_CODES) - len(OF_THE_CALLER), 1)
    assert (found["state"], result.exit_code) == ("gone", 1)


def test_slow_and_bad_answers_break_the_other_two_promises(tmp_path):
    world = stored(tmp_path, *asked("slow", MINUTE_US, latency_ms=5_001.0), *asked("bad", MINUTE_US, reward=0.79))
    found = levels(world.penstock("slo", "--json"))
    assert {name: (each["valid"], each["good"]) for name, each in found.items()} == {
        "answered": (2, 2),
        "latency": (2, 1),
        "floor": (2, 1),
    }


def test_a_fast_burn_ends_with_1_while_budget_is_left(tmp_path):
    old = [e for n in range(300) for e in asked(f"old{n}", 10 * DAY_US + n * MINUTE_US, reward=0.9)]
    now = [e for n in range(20) for e in asked(f"now{n}", n * MINUTE_US // 10, latency_ms=9_000.0 if n < 15 else 1.0)]
    world = stored(tmp_path, *old, *now)
    result = world.penstock("slo", "--json")
    found = levels(result)["latency"]
    assert found["budget_left"] > 0
    assert (found["state"], result.exit_code) == ("burning_fast", 1)
    assert [burn["firing"] for burn in found["burns"]] == [True, True, True]
    assert "burning fast" in world.penstock("slo").stdout


def test_a_request_that_never_ended_counts_after_an_hour(tmp_path):
    silent = [request(f"s{n}", at_us=NOW_US - ago) for n, ago in enumerate((MINUTE_US, 67 * MINUTE_US))]
    found = levels(stored(tmp_path, *asked("good", 0), *silent).penstock("slo", "--json"))["answered"]
    assert (found["valid"], found["good"]) == (2, 1)


def test_only_what_lies_in_the_budgets_window_and_in_the_workflow_counts(tmp_path):
    world = stored(tmp_path, *asked("good", MINUTE_US), *lost("long-ago", 31 * DAY_US))
    assert levels(world.penstock("slo", "--json"))["answered"]["valid"] == 1
    assert levels(world.penstock("slo", "--workflow", "it's another", "--json"))["answered"]["valid"] == 0


def test_windows_are_five_minutes_for_three_days_and_hours_before(tmp_path):
    ago = (0, 71 * 60, 71 * 60 + 20, 75 * 60, 75 * 60 + 20)  # now is the beginning of an hour
    whole_hour_us = NOW_US - NOW_US % (60 * MINUTE_US)
    events = [request(f"r{n}", at_us=whole_hour_us - each * MINUTE_US) for n, each in enumerate(ago)]
    storage, log = Storage(tmp_path / "analytics", "cluster"), Log()
    storage.take(log.batch(*(each for asks in events for each in (asks, failed(asks, code="internal")))), NOW_US)
    found = ask_public(storage, "SELECT epoch_us(window_start), valid, good FROM service_levels ORDER BY 1 DESC")
    storage.close()
    minutes = [(round((whole_hour_us - began) / MINUTE_US), valid, good) for began, valid, good in found]
    assert minutes == [(0, 1, 0), (71 * 60, 1, 0), (71 * 60 + 20, 1, 0), (75 * 60, 1, 0), (76 * 60, 1, 0)]


def test_old_figures_are_called_old_and_none_at_all_end_with_3(tmp_path):
    world = stored(tmp_path, *asked("good", DAY_US))
    assert "is stored" in world.penstock("slo").stderr
    assert World(tmp_path / "nowhere").penstock("slo").exit_code == 3
    assert world.penstock("slo", "--window", "soon").exit_code == 2


def test_the_view_counts_every_bound_that_an_objective_may_name():
    sql = next(VIEWS.glob("*_service_levels.sql")).read_text(encoding="utf-8")
    assert f"unnest([{', '.join(map(str, LATENCY_BOUNDS_MS))}])" in sql
    assert f"unnest([{', '.join(f'in_{bound}_ms' for bound in LATENCY_BOUNDS_MS)}])" in sql
    assert f"unnest([{', '.join(f'{each:g}' for each in QUALITY_BOUNDS)}])" in sql
    assert f"unnest([{', '.join(f'good_{bound * 100:.0f}' for bound in QUALITY_BOUNDS)}])" in sql


@pytest.mark.parametrize("bound_ms", LATENCY_BOUNDS_MS)
def test_every_latency_that_an_objective_may_name_is_a_bound_of_prometheus_too(bound_ms):
    assert bound_ms / 1_000 in WAIT_S
