"""The benchmark's rows say what was reached, and against what."""

import json
from pathlib import Path

import pytest

from tests.benchmarks.table import alone, beside, drawn, write


def test_a_reach_is_of_the_ratio_where_there_is_a_baseline() -> None:
    row = beside("latency_p50", 12.0, "ms", 10.0, reach=1.3)

    assert (row.ratio, row.met) == (1.2, True)
    assert beside("latency_p50", 14.0, "ms", 10.0, reach=1.3).met is False


def test_a_reach_is_of_the_value_where_there_is_none() -> None:
    assert alone("latency_p95_ms", 199.0, "ms", reach=200).met is True
    assert alone("latency_p95_ms", 201.0, "ms", reach=200).met is False


def test_more_is_better_where_the_row_says_so() -> None:
    assert beside("throughput", 350.0, "1/s", 1_700.0, reach=0.2, higher_is_better=True).met is True
    assert alone("in_flight", 499.0, "calls", reach=500, higher_is_better=True).met is False


def test_what_was_not_asked_for_is_neither_met_nor_missed() -> None:
    assert (alone("cpu", 1.0, "ms").reach, alone("cpu", 1.0, "ms").met) == (None, None)


@pytest.mark.parametrize("number", [float("nan"), float("inf")])
def test_what_is_no_number_is_no_figure(number: float) -> None:
    with pytest.raises(ValueError, match="is no figure"):
        alone("cpu", number, "ms")


def test_a_baseline_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="cannot be divided by"):
        beside("throughput", 1.0, "1/s", 0.0)


def test_the_file_is_a_list_of_rows_with_every_field(tmp_path: Path) -> None:
    write([alone("cpu", 1.5, "ms")], tmp_path / "var" / "bench.json")

    (row,) = json.loads((tmp_path / "var" / "bench.json").read_text())
    assert row == {
        "name": "cpu",
        "value": 1.5,
        "unit": "ms",
        "baseline": None,
        "ratio": None,
        "reach": None,
        "higher_is_better": False,
        "met": None,
    }


def test_the_table_shows_what_was_missed() -> None:
    lines = drawn([alone("cpu", 1.5, "ms"), alone("latency_p95_ms", 201.0, "ms", reach=200)]).splitlines()

    assert lines[0].split() == ["what", "value", "unit", "baseline", "ratio", "reach", "met"]
    assert lines[2].split() == ["latency_p95_ms", "201", "ms", "<=", "200", "NO"]
