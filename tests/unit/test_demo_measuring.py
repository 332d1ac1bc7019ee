"""The demo's schedule and its numbers, on examples that can be counted by hand."""

import random
from collections import Counter
from statistics import fmean
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from examples.demo.measuring import RESAMPLES, SEED, Answered, paired, percentile, report, shares, summary
from examples.demo.questions import PREMIUM_ONLY, PRIOR_ONLY, WORKFLOW, Question, load, schedule
from tests.deciding_parts import LAWS

WORKFLOWS = {WORKFLOW, PREMIUM_ONLY, PRIOR_ONLY}


def questions(prefix: str, count: int) -> list[Question]:
    return [
        Question(id=f"{prefix}{i}", content_type="general", message="?", facts=(("x",),), documents=("d",))
        for i in range(count)
    ]


KNOWN, LATE = questions("q", 30), questions("n", 10)


def test_the_same_seed_gives_the_same_schedule_and_another_one_another():
    assert schedule(KNOWN, LATE, requests=160, seed=7) == schedule(KNOWN, LATE, requests=160, seed=7)
    assert schedule(KNOWN, LATE, requests=160, seed=7) != schedule(KNOWN, LATE, requests=160, seed=8)


@LAWS
@given(st.integers(0, 400), st.integers(0, 5))
def test_late_questions_come_in_the_last_quarter_only_and_all_of_them_once_for_each_workflow(requests, seed):
    quarters = schedule(KNOWN, LATE, requests=requests, seed=seed)
    late = {question.id for question in LATE}
    assert len(quarters) == 4
    for quarter in quarters[:3]:
        assert len(quarter) == requests // 4
        assert {asking.workflow for asking in quarter} <= {WORKFLOW}
        assert not late & {asking.question.id for asking in quarter}
    counted = Counter((asking.question.id, asking.workflow) for asking in quarters[3] if asking.question.id in late)
    assert counted == {(name, each): 1 for name in late for each in WORKFLOWS}
    for number, quarter in enumerate(quarters, start=1):
        assert {asking.quarter for asking in quarter} <= {number}


@LAWS
@given(st.integers(0, 400), st.integers(0, 5))
def test_the_last_quarter_asks_each_of_its_questions_of_all_three_workflows_and_is_as_long_as_the_others(
    requests, seed
):
    last = schedule(KNOWN, LATE, requests=requests, seed=seed)[3]
    asked: dict[tuple[str, int], list[str]] = {}
    for asking in last:
        asked.setdefault((asking.question.id, asking.round), []).append(asking.workflow)
    assert all(sorted(each) == sorted(WORKFLOWS) for each in asked.values())
    assert len(asked) == max(requests // 4, len(LATE))


def test_no_request_identity_comes_twice():
    every = [asking for quarter in schedule(KNOWN, LATE, requests=400, seed=1) for asking in quarter]
    identities = [(each.workflow, each.quarter, each.round, each.question.id) for each in every]
    assert len(set(identities)) == len(identities)


def answered(question_id: str = "q1", workflow: str = WORKFLOW, **fields: Any) -> Answered:
    given: dict[str, Any] = {
        "quarter": 4,
        "content_type": "general",
        "strategy": "simple-semantic",
        "quality": 0.5,
        "cost_usd": 1e-6,
        "latency_ms": 40.0,
    }
    return Answered(workflow=workflow, question_id=question_id, **{**given, **fields})


def test_a_comparison_pairs_the_answers_to_the_same_question():
    rows = [
        answered("a", WORKFLOW, quality=1.0, cost_usd=1.0),
        answered("a", PREMIUM_ONLY, quality=0.5, cost_usd=4.0),
        answered("b", WORKFLOW, quality=0.5, cost_usd=1.0),
        answered("b", PREMIUM_ONLY, quality=0.75, cost_usd=1.0),
        answered("c", WORKFLOW, quality=0.0, cost_usd=99.0),
        answered("d", PREMIUM_ONLY, quality=0.0, cost_usd=99.0),
        answered("d", PRIOR_ONLY, quality=0.0, cost_usd=99.0),
    ]
    found = paired(rows, WORKFLOW, PREMIUM_ONLY)
    assert found["questions"] == 2
    assert found["quality_difference"] == pytest.approx((0.5 - 0.25) / 2)
    assert found["cost_ratio"] == pytest.approx(2 / 5)
    assert found["quality_difference_95"] == [-0.25, 0.5]
    assert found["cost_ratio_95"] == [0.25, 1.0]
    assert found == paired(rows, WORKFLOW, PREMIUM_ONLY)


def test_answers_that_differ_always_by_the_same_have_an_interval_without_width():
    rows = [
        answered(f"q{i}", each, quality=q, cost_usd=usd)
        for i in range(20)
        for each, q, usd in ((WORKFLOW, 0.75, 1.0), (PRIOR_ONLY, 0.5, 2.0))
    ]
    found = paired(rows, WORKFLOW, PRIOR_ONLY)
    assert found["quality_difference_95"] == [0.25, 0.25]
    assert found["cost_ratio_95"] == [0.5, 0.5]


def test_the_interval_of_95_percent_leaves_two_and_a_half_percent_of_the_resamples_on_each_side():
    differences = [i / 400 for i in range(400)]
    rows = [
        answered(f"q{i:03}", each, quality=difference if each == WORKFLOW else 0.0)
        for i, difference in enumerate(differences)
        for each in (WORKFLOW, PRIOR_ONLY)
    ]
    low, high = paired(rows, WORKFLOW, PRIOR_ONLY)["quality_difference_95"]
    chance = random.Random(SEED)
    means = [fmean(chance.choices(differences, k=len(differences))) for _ in range(RESAMPLES)]
    assert sum(mean < low for mean in means) == pytest.approx(0.025 * RESAMPLES, abs=1)
    assert sum(mean > high for mean in means) == pytest.approx(0.025 * RESAMPLES, abs=1)


@pytest.mark.parametrize(("percent", "found"), [(2.5, 2.5), (50, 50.0), (95, 95.0), (97.5, 97.5), (99, 99.0)])
def test_a_percentile_is_interpolated(percent, found):
    assert percentile([float(i) for i in range(101)], percent) == pytest.approx(found)
    assert percentile([7.0], percent) == 7.0


def test_a_summary_is_means_and_the_95th_percentile():
    rows = [answered(quality=q, cost_usd=c, latency_ms=ms) for q, c, ms in ((1.0, 1.0, 0.0), (0.0, 3.0, 100.0))]
    assert summary(rows) == {"quality": 0.5, "cost_usd_per_request": 2.0, "p95_ms": pytest.approx(95.0)}


def test_the_shares_are_of_what_was_answered_the_most_used_first():
    rows = [answered(strategy=name) for name in ("b", "a", "a")]
    assert list(shares([*rows, answered(strategy="", failed="no_response")]).items()) == [("a", 2 / 3), ("b", 1 / 3)]


def test_the_report_separates_quarters_workflows_and_late_questions():
    rows = [answered(f"q{i}", quarter=quarter, quality=quarter / 4) for quarter in (1, 2, 3) for i in range(3)]
    rows += [
        answered(name, each, quality=q)
        for name, extra in (("q1", 0.0), ("n1", 0.1))
        for each, q in ((WORKFLOW, 0.8 + extra), (PREMIUM_ONLY, 0.9), (PRIOR_ONLY, 0.4))
    ]
    found = report(rows, frozenset({"n1"}))
    assert found["first_quarter"]["quality"] == 0.25
    assert found["last_quarter"]["quality"] == pytest.approx(0.85)
    assert (found["premium_only"]["quality"], found["prior_only"]["quality"]) == (0.9, 0.4)
    assert found["late_questions_only"]["last_quarter"]["quality"] == pytest.approx(0.9)
    assert found["against_prior_only"]["quality_difference"] == pytest.approx(0.45)
    assert set(found["strategy_share"]) == {f"quarter_{number}" for number in (1, 2, 3, 4)}


@pytest.mark.parametrize("line", ["{", '{"id": "q1"}', '{"id": "q1", "tags": []}'])
def test_a_malformed_question_is_refused_with_file_and_line(tmp_path, line):
    good = '{"id": "q1", "content_type": "general", "message": "?", "facts": [["x"]], "documents": ["d"]}'
    path = tmp_path / "asked.jsonl"
    path.write_text(f"{good}\n{line}\n", encoding="utf-8")
    with pytest.raises(ValueError, match=r"asked\.jsonl:2: "):
        load(path)
