"""What is seen from outside is documented and alerted on by the names that exist: metrics, spans, log events, alerts."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from agents.deciding.service_levels import DAY_S, HOUR_S, LATENCY_BOUNDS_MS, burn_limit
from agents.loading.reading import load_settings
from streams.deployment import Deployment
from streams.exported import ALL, COMMON, EXPORTED
from streams.log_events import LOG_EVENTS
from streams.spans import ATTRIBUTES, SPANS

ROOT = Path(__file__).resolve().parents[2]
RULES = ROOT / "infra" / "prometheus" / "rules.yaml"
TESTS = ROOT / "infra" / "prometheus" / "rules_test.yaml"
PAGE = (ROOT / "docs" / "observability.md").read_text(encoding="utf-8")
WINDOWS = ("5m", "30m", "1h", "2h", "6h", "1d", "3d")
PROMISED = load_settings(Deployment().settings).operations.slo
SERIES = {
    "answered": "penstock:unanswered:ratio",
    "latency": "penstock:slow:ratio",
    "floor": "penstock:below_floor:ratio",
}
"""The recorded share of what broke a promise, by service level."""
BURNS = {
    "page": [("1h", "5m", HOUR_S), ("6h", "30m", 6 * HOUR_S)],
    "ticket": [("1d", "2h", DAY_S), ("3d", "6h", 3 * DAY_S)],
}
"""A long window, the short one beside it, and the long one in seconds, by severity."""


def rules() -> list[dict[str, Any]]:
    groups = yaml.safe_load(RULES.read_text(encoding="utf-8"))["groups"]
    return [rule for group in groups for rule in group["rules"]]


def alerts() -> dict[str, dict[str, Any]]:
    return {rule["alert"]: rule for rule in rules() if "alert" in rule}


def table(heading: str, head: str) -> dict[str, list[str]]:
    """The rows of the table with this head under a heading of the page, by the name in their first cell."""
    (part,) = re.findall(rf"^## {heading}\n(.*?)(?=^## |\Z)", PAGE, flags=re.MULTILINE | re.DOTALL)
    (body,) = re.findall(rf"^\| {head} \|[^\n]*\n\|[-| ]+\|\n((?:\|[^\n]*\n)+)", part, flags=re.MULTILINE)
    found = [[cell.strip() for cell in line.strip("|").split(" | ")] for line in body.splitlines()]
    return {cells[0].strip("` "): cells[1:] for cells in found}


def unknown_metrics(expression: str) -> Iterator[str]:
    """The metrics of an expression that no worker exports."""
    suffixes = {"histogram": ("_bucket", "_count", "_sum"), "counter": ("",), "gauge": ("",)}
    exported = {name + suffix for name, metric in EXPORTED.items() for suffix in suffixes[metric.kind]}
    for name in re.findall(r"\bpenstock_\w+", expression):
        if name not in exported:
            yield name


# --------------------------------------------------------------------------------------------------------------- docs


def test_every_metric_is_documented_as_the_catalogue_has_it_and_no_other():
    documented = table("Metrics", "metric")
    assert set(documented) == set(EXPORTED)
    for name, metric in EXPORTED.items():
        kind, roles, says = documented[name]
        assert kind == metric.kind
        assert roles == ("all" if set(metric.roles) == set(ALL) else ", ".join(metric.roles))
        more = [f"`{label}`" for label in metric.labels if label not in COMMON]
        assert says.strip() == metric.meaning + (f"; by {' and '.join(more)}" if more else "")


def test_every_span_attribute_and_log_event_is_documented_as_the_catalogue_has_it():
    assert {name: cells[0].strip() for name, cells in table("Traces", "span").items()} == SPANS
    assert {name: cells[0].strip() for name, cells in table("Traces", "attribute").items()} == ATTRIBUTES
    assert {name: cells[0].strip() for name, cells in table("Logs", "event").items()} == LOG_EVENTS


def test_every_alert_is_documented_with_its_severity_and_what_to_do():
    documented = table("Alerts", "alert")
    assert {name: cells[0] for name, cells in documented.items()} == {
        name: rule["labels"]["severity"] for name, rule in alerts().items()
    }
    assert all(cells[2] for cells in documented.values())


# -------------------------------------------------------------------------------------------------------------- rules


def test_every_metric_of_the_rules_and_of_their_tests_is_exported():
    expressions = " ".join(str(rule["expr"]) for rule in rules())
    assert list(unknown_metrics(expressions)) == []
    assert list(unknown_metrics(TESTS.read_text(encoding="utf-8"))) == []
    said = " ".join(str(rule["annotations"]) for rule in alerts().values())
    assert set(re.findall(r"\bpenstock_\w+", said)) <= set(EXPORTED)


def test_a_metric_that_nobody_exports_would_be_found():
    text = "sum(rate(penstock_handled_total[5m])) / penstock_nonsense + penstock_handling_seconds"
    assert list(unknown_metrics(text)) == ["penstock_nonsense", "penstock_handling_seconds"]


def test_every_recorded_series_of_the_rules_is_recorded():
    recorded = {rule["record"] for rule in rules() if "record" in rule}
    used = {name for rule in rules() for name in re.findall(r"penstock:[\w:]+", str(rule["expr"]))}
    assert recorded == {f"{series}_rate{window}" for series in SERIES.values() for window in WINDOWS}
    assert used <= recorded


@pytest.mark.parametrize("level", SERIES)
@pytest.mark.parametrize("severity", BURNS)
def test_the_alerts_of_a_service_level_fire_where_penstock_slo_says_that_its_budget_burns(level, severity):
    budget = 1 - PROMISED.objective(level)
    conditions = []
    for long, short, window_s in BURNS[severity]:
        limit = burn_limit(window_s, PROMISED.budget_window_d * DAY_S) * budget
        if limit < 1:  # more than all cannot be bad
            stated = f"{limit:.4f}".rstrip("0").rstrip(".")
            series = SERIES[level]
            conditions.append(f"({series}_rate{long} > {stated} and {series}_rate{short} > {stated})")
    found = [rule for rule in alerts().values() if rule["labels"].get("level") == level]
    found = [rule for rule in found if rule["labels"]["severity"] == severity]
    expected = [" or ".join(conditions)] if conditions else []
    assert [" ".join(rule["expr"].split()) for rule in found] == expected


def test_every_latency_that_may_be_promised_is_a_bound_of_the_histogram_and_the_rules_use_the_promised_one():
    assert {bound_ms / 1_000 for bound_ms in LATENCY_BOUNDS_MS} <= set(EXPORTED["penstock_response_seconds"].bounds)
    used = set(re.findall(r'\ble="([^"]+)"', " ".join(str(rule["expr"]) for rule in rules())))
    assert used == {str(PROMISED.latency.threshold_ms / 1_000)}


def test_every_alert_is_shown_a_case_in_which_it_fires_and_one_in_which_it_does_not():
    fires: set[str] = set()
    silent: set[str] = set()
    for case in yaml.safe_load(TESTS.read_text(encoding="utf-8"))["tests"]:
        for check in case["promql_expr_test"]:
            (name,) = re.findall(r'alertname="(\w+)"', check["expr"])
            (fires if check["exp_samples"] else silent).add(name)
    assert fires == set(alerts())
    assert silent == set(alerts())


@pytest.fixture
def promtool() -> str:
    found = shutil.which("promtool")
    if found is None:
        pytest.skip("promtool is not installed: on Debian, apt-get install --no-install-recommends prometheus")
    return found


@pytest.mark.parametrize(
    "arguments",
    [
        ["check", "rules", "infra/prometheus/rules.yaml"],
        ["check", "config", "infra/prometheus/prometheus.yaml"],
        ["test", "rules", "infra/prometheus/rules_test.yaml"],
    ],
    ids=lambda arguments: " ".join(arguments[:2]),
)
def test_promtool_finds_the_rules_right(promtool, arguments):
    done = subprocess.run([promtool, *arguments], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_promtool_would_find_a_rule_that_is_wrong(promtool, tmp_path):
    broken = RULES.read_text(encoding="utf-8").replace("penstock_paused) == 1", "penstock_paused) == 2")
    (tmp_path / "rules.yaml").write_text(broken, encoding="utf-8")
    (tmp_path / "rules_test.yaml").write_text(TESTS.read_text(encoding="utf-8"), encoding="utf-8")
    done = subprocess.run(
        [promtool, "test", "rules", "rules_test.yaml"], cwd=tmp_path, capture_output=True, check=False
    )
    assert done.returncode != 0
