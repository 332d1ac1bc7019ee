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

from streams.exported import ALL, COMMON, EXPORTED
from streams.levels import BURNS, LATENCY_S, LEVELS, Burn
from streams.log_events import LOG_EVENTS
from streams.spans import ATTRIBUTES, SPANS

ROOT = Path(__file__).resolve().parents[2]
RULES = ROOT / "infra" / "prometheus" / "rules.yaml"
TESTS = ROOT / "infra" / "prometheus" / "rules_test.yaml"
PAGE = (ROOT / "docs" / "observability.md").read_text(encoding="utf-8")
WINDOWS = ("5m", "30m", "1h", "2h", "6h", "1d", "3d")


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


def test_every_service_level_is_documented_with_its_objective():
    documented = table("Service levels", "level")
    assert {name: cells[0] for name, cells in documented.items()} == {
        name: f"{level.objective * 100:g} %" for name, level in LEVELS.items()
    }


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
    assert recorded == {f"{level.bad_ratio}_rate{window}" for level in LEVELS.values() for window in WINDOWS}
    assert used <= recorded


def condition(ratio: str, burn: Burn, budget: float) -> str:
    limit = f"{burn.factor * budget:.4f}".rstrip("0").rstrip(".")
    return f"({ratio}_rate{burn.long} > {limit} and {ratio}_rate{burn.short} > {limit})"


@pytest.mark.parametrize("name", LEVELS)
@pytest.mark.parametrize("severity", ["page", "ticket"])
def test_the_alerts_of_a_level_burn_as_fast_as_the_catalogue_says(name, severity):
    level = LEVELS[name]
    possible = [burn for burn in BURNS if burn.severity == severity and burn.factor * level.budget < 1]
    found = [
        rule
        for rule in alerts().values()
        if rule["labels"].get("level") == name and rule["labels"]["severity"] == severity
    ]
    expected = " or ".join(condition(level.bad_ratio, burn, level.budget) for burn in possible)
    assert [" ".join(rule["expr"].split()) for rule in found] == ([expected] if possible else [])


def test_the_bound_of_the_latency_level_is_a_bound_of_the_histogram():
    assert LATENCY_S in EXPORTED["penstock_response_seconds"].bounds
    assert f'le="{LATENCY_S}"' in RULES.read_text(encoding="utf-8")
    assert f"{LATENCY_S:g} s" in LEVELS["latency"].means


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
