"""How decisions are judged: predictions beside outcomes, and what each strategy alone would have brought."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest

from analytics.public import publish
from analytics.storage import Storage
from schemas import Candidate
from tests.analytics_events import LOCAL, REMOTE, T0_US, Log, answered, ask_file, failed, request, rewarded, routed

BELIEVED = {LOCAL: 0.9, REMOTE: 0.5}
"""Wrong on purpose: what is measured must not depend on it."""
TRULY = {LOCAL: 0.6, REMOTE: 0.8}
SHARE = {LOCAL: 0.7, REMOTE: 0.3}


def candidates() -> tuple[Candidate, ...]:
    return tuple(
        Candidate(
            strategy=name,
            probability=SHARE[name],
            quality=BELIEVED[name],
            quality_lower=0.1,
            cost_usd=0.001,
            latency_ms=9.0,
        )
        for name in (LOCAL, REMOTE)
    )


def drawn(name: str, chosen: str, reward: float, **fields: Any) -> list[Any]:
    plan = routed(request(name), strategy=chosen, **{"candidates": candidates(), "propensity": SHARE[chosen], **fields})
    return [plan, answered(plan), rewarded(plan, reward=reward)]


@pytest.fixture
def storage(tmp_path: Path):
    opened = Storage(tmp_path, "cluster")
    yield opened
    opened.close()


def test_what_a_strategy_alone_would_have_brought_is_right_though_the_predictions_are_wrong(storage: Storage):
    lots, events = random.Random(7), []
    for number in range(2_000):
        chosen = LOCAL if lots.random() < SHARE[LOCAL] else REMOTE
        events += drawn(f"r{number}", chosen, float(lots.random() < TRULY[chosen]))
    storage.take(Log().batch(*events), T0_US)
    found = ask_file(
        publish(storage, T0_US),
        "SELECT strategy, fixed_quality, regret, regret_se FROM fixed_strategies ORDER BY strategy",
    )
    decided = sum(SHARE[name] * TRULY[name] for name in SHARE)
    for strategy, fixed_quality, regret, regret_se in found:
        assert regret_se < 0.05
        assert fixed_quality == pytest.approx(TRULY[strategy], abs=4 * regret_se)
        assert regret == pytest.approx(TRULY[strategy] - decided, abs=4 * regret_se)
    assert ask_file(storage.folder / "penstock.duckdb", "SELECT best_fixed FROM regret") == [(REMOTE,)]


def test_a_strategy_that_was_never_chosen_is_not_the_best(storage: Storage):
    storage.take(Log().batch(*drawn("one", REMOTE, 0.2), *drawn("two", REMOTE, 0.4)), T0_US)
    path = publish(storage, T0_US)
    assert ask_file(path, "SELECT strategy, chosen FROM fixed_strategies ORDER BY 1") == [(LOCAL, 0), (REMOTE, 2)]
    assert ask_file(path, "SELECT best_fixed FROM regret") == [(REMOTE,)]


def test_only_answers_with_a_reward_whose_strategy_was_drawn_are_judged(storage: Storage):
    demanded = routed(request("two", strategy=LOCAL), candidates=candidates())
    lost = routed(request("three"), candidates=candidates())
    storage.take(
        Log().batch(
            *drawn("one", LOCAL, 0.9),
            *(demanded, answered(demanded), rewarded(demanded)),
            *(lost, failed(lost.request, code="internal")),
            *drawn("four", LOCAL, 0.9)[:2],
        ),
        T0_US,
    )
    assert ask_file(publish(storage, T0_US), "SELECT requests FROM model_drift") == [(1,)]


def test_a_reward_that_comes_later_is_judged_with_its_plan_and_a_better_one_takes_its_place(storage: Storage):
    log, (plan, answer, reward) = Log(), drawn("one", LOCAL, 0.2)
    storage.take(log.batch(plan, answer), T0_US)
    assert ask_file(publish(storage, T0_US), "FROM model_drift") == []
    storage.take(log.batch(reward), T0_US)
    question = "SELECT decile, predicted_quality, observed_quality FROM model_calibration"
    assert ask_file(publish(storage, T0_US), question) == [(10, 0.9, 0.2)]
    storage.take(log.batch(rewarded(plan, revision=1, reward=0.7)), T0_US)
    assert ask_file(publish(storage, T0_US, seldom=False), question) == [(10, 0.9, 0.2)]
    assert ask_file(publish(storage, T0_US), question) == [(10, 0.9, 0.7)]
