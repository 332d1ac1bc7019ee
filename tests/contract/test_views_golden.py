"""Each documented view on a small log made by hand, with the rows that it must give."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from analytics.public import NAME, VIEWS, publish
from analytics.storage import Storage
from schemas import (
    Evidence,
    Experiment,
    ExperimentEvidence,
    ExperimentStepped,
    FallPart,
    Measure,
    Optimization,
    OverrideSet,
    ProfileUpdated,
    QualityFell,
    RollbackOrdered,
    StageMeasured,
)
from tests.analytics_events import (
    HOUR_US,
    LOCAL,
    REMOTE,
    T0_US,
    Log,
    answered,
    ask_file,
    failed,
    generated,
    generation_failed,
    rating,
    request,
    rewarded,
    routed,
    story,
)

HOUR = timedelta(hours=1)
T0 = datetime(2024, 10, 4, tzinfo=UTC).replace(tzinfo=None)

FIRST = request("a")
FIRST_PLAN = routed(FIRST)
SECOND = request("b", at_us=T0_US + HOUR_US, tenant="globex")
SECOND_PLAN = routed(SECOND, complexity=9, strategy=REMOTE)
LOST = request("c", at_us=T0_US + 24 * HOUR_US)
CHANGE = Optimization(
    kind="strategy_took_over",
    content_type="transactional",
    band="middle",
    before=REMOTE,
    after="simple-semantic",
    quality_before=0.8,
    quality_after=0.9,
    cost_usd_before=0.01,
    cost_usd_after=0.001,
    requests=412,
    sentence="Better at a tenth of the price; 412 requests.",
)
PROFILE = ProfileUpdated(
    event_id="e" * 32,
    occurred_at_us=T0_US,
    scope="customer_support",
    version=3,
    parent=2,
    learner="gaussian@1",
    beliefs=(),
    incumbents=(),
    optimizations=(CHANGE,),
    evidence=Evidence(requests=412, rated=40, watermark={"routing/0": 2}),
    sentence="One change.",
)
REPORT = StageMeasured(
    event_id="f" * 32,
    occurred_at_us=T0_US,
    stage="router",
    worker="0",
    sequence=4,
    measures=(Measure(name="handled_total", value=7.0), Measure(name="in_flight", value=1.0)),
)
OVERRIDE = OverrideSet(
    event_id="d" * 32,
    occurred_at_us=T0_US,
    subject="override:force_simple_agents",
    name="force_simple_agents",
    value="true",
)
ROLLBACK = RollbackOrdered(
    event_id="b" * 32,
    occurred_at_us=T0_US + HOUR_US,
    subject="learning:customer_support",
    scope="customer_support",
    to_version=2,
    reason="It answers in riddles.",
    ordered_by="ada",
)
ROLLED_BACK = ProfileUpdated(
    event_id="9" * 32,
    occurred_at_us=ROLLBACK.occurred_at_us,
    scope="customer_support",
    version=4,
    parent=3,
    learner="gaussian@1",
    kind="rolled_back",
    restored_version=2,
    beliefs=(),
    incumbents=(),
    optimizations=(
        Optimization(
            kind="rolled_back", content_type="", before="version 3", after="version 2", requests=412, sentence="Back."
        ),
    ),
    evidence=PROFILE.evidence,
    sentence="Back.",
)
STEP = ExperimentStepped(
    event_id="c" * 32,
    occurred_at_us=T0_US,
    subject="experiment:try",
    experiment=Experiment(
        name="try", workflow="customer_support", kind="strategy", version=REMOTE, shares=(0.5,), floor=0.8
    ),
    number=2,
    state="rolled_back",
    share=0.0,
    conversations=60,
    given=29,
    evidence=(
        ExperimentEvidence(name="quality", estimate=-0.5, lower=-0.7, upper=-0.3, old=0.9, new=0.4),
        ExperimentEvidence(name="cost_usd", estimate=0.0, lower=None, upper=None, old=0.001, new=0.01),
    ),
    reason="quality is below the floor",
)
FALL = QualityFell(
    event_id="b" * 32,
    occurred_at_us=T0_US + HOUR_US,
    workflow="customer_support",
    measure="quality",
    since_us=T0_US,
    earliest_us=T0_US,
    latest_us=T0_US + HOUR_US,
    before=0.9,
    after=0.7,
    chance=0.001,
    requests_before=100,
    requests_after=50,
    parts=(
        FallPart(
            dimension="strategy",
            group=REMOTE,
            share_before=0.5,
            share_after=0.5,
            quality_before=0.9,
            quality_after=0.5,
            within=0.2,
            mix=0.0,
            error=0.01,
        ),
    ),
    sentence="It fell.",
)

GOLDEN: dict[str, tuple[str, list[tuple[Any, ...]]]] = {
    "requests": (
        "SELECT request_id, tenant, message, occurred_at FROM requests ORDER BY 1",
        [
            ("a", "acme", "Where is order a?", T0),
            ("b", "globex", "Where is order b?", T0 + HOUR),
            ("c", "acme", "Where is order c?", T0 + 24 * HOUR),
        ],
    ),
    "plans": (
        "SELECT request_id, strategy, propensity, len(candidates), profile_version, requested_at FROM plans ORDER BY 1",
        [
            ("a", "balanced-semantic", 0.75, 2, 1, T0),
            ("b", "premium-semantic", 0.75, 2, 1, T0 + HOUR),
        ],
    ),
    "generations": (
        "SELECT request_id, step, completed, text, cost_usd, code FROM generations ORDER BY 1, 2",
        [
            ("a", 0, True, "An answer.", 0.002, None),
            ("b", 0, False, None, 0.001, "provider_unavailable"),
            ("b", 1, True, "An answer.", 0.004, None),
        ],
    ),
    "responses": (
        "SELECT request_id, answered, strategy, code, cost_usd FROM responses ORDER BY 1",
        [
            ("a", True, "balanced-semantic", None, 0.002),
            ("b", True, "premium-semantic", None, 0.005),
            ("c", False, None, "unknown_workflow", 0.0),
        ],
    ),
    "feedback": (
        "SELECT request_id, source, kind, value, comment FROM feedback",
        [("a", "user", "rating", 5.0, "Thanks.")],
    ),
    "rewards": (
        "SELECT request_id, revision, reward, rated, parts[1].name FROM rewards ORDER BY 1, 2",
        [("a", 0, 0.5, False, "rating"), ("a", 1, 1.0, True, "rating"), ("b", 0, 0.25, False, "rating")],
    ),
    "outcomes": (
        """SELECT request_id, tenant, band, strategy, calls, cost_usd, answered, response_code, reward, reward_revision,
        rated, requested_at, window_start FROM outcomes ORDER BY 1""",
        [
            ("a", "acme", "middle", "balanced-semantic", 1, 0.002, True, None, 1.0, 1, True, T0, T0),
            (
                "b",
                "globex",
                "high",
                "premium-semantic",
                2,
                0.005,
                True,
                None,
                0.25,
                0,
                False,
                T0 + HOUR,
                T0 + HOUR,
            ),
            (
                "c",
                "acme",
                None,
                None,
                0,
                0.0,
                False,
                "unknown_workflow",
                None,
                None,
                None,
                T0 + 24 * HOUR,
                T0 + 24 * HOUR,
            ),
        ],
    ),
    "strategy_performance": (
        """SELECT window_start, workflow, content_type, band, strategy, requests, answered, failed, rewarded, rated,
        fallbacks FROM strategy_performance ORDER BY 1""",
        [
            (T0, "customer_support", "transactional", "middle", "balanced-semantic", 1, 1, 0, 1, 1, 0),
            (T0 + HOUR, "customer_support", "transactional", "high", "premium-semantic", 1, 1, 0, 1, 0, 1),
            (T0 + 24 * HOUR, "customer_support", "", "", "", 1, 0, 1, 0, 0, 0),
        ],
    ),
    "strategy_totals": (
        """SELECT content_type, strategy, requests, answered, failed, mean_reward, mean_cost_usd, round(p50_latency_ms),
        round(p95_latency_ms) FROM strategy_totals ORDER BY 1, 2""",
        [
            ("", "", 1, 0, 1, None, 0.0, None, None),
            ("transactional", "balanced-semantic", 1, 1, 0, 1.0, 0.002, 20.0, 20.0),
            ("transactional", "premium-semantic", 1, 1, 0, 0.25, 0.005, 20.0, 20.0),
        ],
    ),
    "optimizations": (
        """SELECT scope, version, occurred_at, kind, before, after, quality_after, requests, sentence
        FROM optimizations WHERE kind <> 'rolled_back'""",
        [
            (
                "customer_support",
                3,
                T0,
                "strategy_took_over",
                "premium-semantic",
                "simple-semantic",
                0.9,
                412,
                "Better at a tenth of the price; 412 requests.",
            )
        ],
    ),
    "profiles": (
        "SELECT scope, version, parent, evidence.requests, evidence.watermark['routing/0'] FROM profiles ORDER BY 2",
        [("customer_support", 3, 2, 412, 2), ("customer_support", 4, 3, 412, 2)],
    ),
    "cost_by_org_day": (
        "SELECT tenant, day, requests, answered, failed, cost_usd FROM cost_by_org_day ORDER BY 1, 2",
        [
            ("acme", date(2024, 10, 4), 1, 1, 0, 0.002),
            ("acme", date(2024, 10, 5), 1, 0, 1, 0.0),
            ("globex", date(2024, 10, 4), 1, 1, 0, 0.005),
        ],
    ),
    "stage_metrics": (
        "SELECT stage, worker, sequence, name, value FROM stage_metrics ORDER BY name",
        [("router", "0", 4, "handled_total", 7.0), ("router", "0", 4, "in_flight", 1.0)],
    ),
    "service_levels": (
        """SELECT window_start, workflow, level, threshold, valid, good FROM service_levels
        WHERE threshold IS NULL OR threshold IN (200, 0.8) ORDER BY level, window_start""",
        [
            (T0, "customer_support", "answered", None, 1, 1),
            (T0 + HOUR, "customer_support", "answered", None, 1, 1),
            (T0, "customer_support", "floor", 0.8, 1, 1),
            (T0 + HOUR, "customer_support", "floor", 0.8, 1, 0),
            (T0, "customer_support", "latency", 200.0, 1, 1),
            (T0 + HOUR, "customer_support", "latency", 200.0, 1, 1),
        ],
    ),
    "experiments": (
        """SELECT name, number, kind, version, state, share, conversations, given, quality_old, quality_upper, cost_usd_new,
        latency_ms_new, len(evidence), reason, newest FROM experiments""",
        [
            (
                *("try", 2, "strategy", "premium-semantic", "rolled_back", 0.0, 60, 29, 0.9, -0.3, 0.01, None, 2),
                *("quality is below the floor", True),
            )
        ],
    ),
    "quality_falls": (
        "SELECT workflow, since, latest, quality_before, quality_after, parts[1].group, sentence FROM quality_falls",
        [("customer_support", T0, T0 + HOUR, 0.9, 0.7, "premium-semantic", "It fell.")],
    ),
    "model_drift": (
        """SELECT window_start, workflow, strategy, requests, round(predicted_quality, 6), observed_quality, round(residual, 6),
        residual_sd, predicted_cost_usd, observed_cost_usd FROM model_drift ORDER BY 1""",
        [
            (T0, "customer_support", "balanced-semantic", 1, 0.8, 1.0, 0.2, None, 0.001, 0.002),
            (T0 + HOUR, "customer_support", "premium-semantic", 1, 0.8, 0.25, -0.55, None, 0.001, 0.005),
        ],
    ),
    "model_calibration": (
        "SELECT day, workflow, strategy, decile, requests, predicted_quality, observed_quality FROM model_calibration ORDER BY 3",
        [
            (date(2024, 10, 4), "customer_support", "balanced-semantic", 9, 1, 0.8, 1.0),
            (date(2024, 10, 4), "customer_support", "premium-semantic", 9, 1, 0.8, 0.25),
        ],
    ),
    "fixed_strategies": (
        """SELECT day, workflow, strategy, requests, chosen, quality, round(fixed_quality, 6), round(regret, 6),
        round(cost_usd, 6), round(fixed_cost_usd, 6) FROM fixed_strategies ORDER BY 3""",
        [
            # 0.8 + 0.2 / 0.75 and 0.8; 0.8 and 0.8 - 0.55 / 0.75
            (date(2024, 10, 4), "customer_support", LOCAL, 2, 1, 0.625, 0.933333, 0.308333, 0.0035, 0.001667),
            (date(2024, 10, 4), "customer_support", REMOTE, 2, 1, 0.625, 0.433333, -0.191667, 0.0035, 0.003667),
        ],
    ),
    "regret": (
        """SELECT workflow, best_fixed, requests, chosen, quality, round(fixed_quality, 6), round(regret, 6),
        regret_lower < regret, regret_upper > regret, round(fixed_cost_usd, 6) FROM regret""",
        [("customer_support", LOCAL, 2, 1, 0.625, 0.933333, 0.308333, True, True, 0.001667)],
    ),
    "rollbacks": (
        "SELECT occurred_at, kind, name, before, after, cause, reason, ordered_by FROM rollbacks ORDER BY 1 DESC",
        [
            (
                *(T0 + HOUR, "profile", "customer_support", "version 3", "version 2"),
                *("operator", "It answers in riddles.", "ada"),
            ),
            (
                *(T0, "experiment", "try", "strategy premium-semantic", "what was before"),
                *("evidence", "quality is below the floor", ""),
            ),
        ],
    ),
    "overrides": (
        "SELECT name, value, reason FROM overrides",
        [("force_simple_agents", "true", "")],
    ),
}


@pytest.fixture(scope="module")
def public(tmp_path_factory: pytest.TempPathFactory) -> Path:
    storage = Storage(tmp_path_factory.mktemp("golden"), "cluster")
    log = Log()
    storage.take(log.batch(FIRST, FIRST_PLAN, generated(FIRST_PLAN), answered(FIRST_PLAN), rating(FIRST_PLAN)), T0_US)
    storage.take(
        log.batch(
            rewarded(FIRST_PLAN),
            rewarded(FIRST_PLAN, revision=1, reward=1.0, rated=True),
            routed(FIRST, version=2, strategy=REMOTE),
            SECOND,
            SECOND_PLAN,
            generation_failed(SECOND_PLAN),
            generated(SECOND_PLAN, step=1, cost_usd=0.004),
            answered(SECOND_PLAN, step=1, cost_usd=0.005),
            rewarded(SECOND_PLAN, reward=0.25),
            LOST,
            failed(LOST),
            PROFILE,
            REPORT,
            OVERRIDE,
            STEP,
            FALL,
            ROLLBACK,
            ROLLED_BACK,
        ),
        T0_US,
    )
    path = publish(storage, T0_US)
    storage.close()
    return path


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    storage = Storage(tmp_path_factory.mktemp("empty"), "cluster")
    path = publish(storage, T0_US)
    storage.close()
    return path


@pytest.mark.parametrize("view", GOLDEN)
def test_the_view_gives_the_rows_that_its_log_means(public: Path, view: str):
    sql, expected = GOLDEN[view]
    assert ask_file(public, sql) == expected


def test_means_and_deviations_of_performance_come_from_the_sums(tmp_path: Path):
    storage, log = Storage(tmp_path, "cluster"), Log()
    storage.take(log.batch(*story("a", reward=0.5), *story("b", reward=1.0)), T0_US)
    sql = """SELECT requests, mean_reward, round(reward_sd, 12), mean_cost_usd, mean_latency_ms, max_latency_ms
        FROM strategy_performance"""
    assert ask_file(publish(storage, T0_US), sql) == [(2, 0.75, 0.353553390593, 0.002, 20.0, 20.0)]
    totals = "SELECT requests, mean_reward, round(reward_sd, 12) FROM strategy_totals"
    assert ask_file(storage.folder / NAME, totals) == [(2, 0.75, 0.353553390593)]
    storage.close()


@pytest.mark.parametrize("view", GOLDEN)
def test_the_view_of_an_empty_store_has_the_same_columns_and_types_and_no_rows(public: Path, empty: Path, view: str):
    assert ask_file(empty, f"DESCRIBE {view}") == ask_file(public, f"DESCRIBE {view}")
    assert ask_file(empty, f"FROM {view}") == []
    assert ask_file(public, f"FROM {view}") != []


def test_every_view_and_every_column_has_a_comment(empty: Path):
    bare = """
        SELECT view_name, '' FROM duckdb_views()
        WHERE schema_name = 'main' AND NOT internal AND comment IS NULL
        UNION ALL
        SELECT table_name, column_name FROM duckdb_columns()
        WHERE schema_name = 'main' AND NOT internal AND comment IS NULL
    """
    assert ask_file(empty, bare) == []


def test_a_file_of_views_makes_the_view_that_it_is_named_after(empty: Path):
    made = ask_file(empty, "SELECT view_name FROM duckdb_views() WHERE schema_name = 'main' AND NOT internal")
    files = sorted(VIEWS.glob("*.sql"))
    assert sorted(name for (name,) in made) == sorted(path.stem[3:] for path in files) == sorted(GOLDEN)
    assert [int(path.name[:2]) for path in files] == list(range(1, len(made) + 1))


def test_every_moment_is_a_timestamp(empty: Path):
    wrong = """
        SELECT table_name, column_name, data_type FROM duckdb_columns()
        WHERE schema_name = 'main' AND NOT internal
            AND (column_name LIKE '%\\_us' ESCAPE '\\' OR (column_name LIKE '%\\_at' ESCAPE '\\' AND data_type <> 'TIMESTAMP'))
    """
    assert ask_file(empty, wrong) == []
