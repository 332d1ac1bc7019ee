"""What Prometheus is given: the closed catalogue, from a port of the worker's own that never waits for its event loop."""

from __future__ import annotations

import asyncio
import http.client
import json
import os
import shutil
import socket
import subprocess
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace
from prometheus_client.parser import text_string_to_metric_families

from schemas import GenerationCompleted, ResponseFailed, ResponseReady, RewardComputed
from streams import run_files
from streams.deployment import Deployment
from streams.errors import RESPONSE_CODES, Code, Unconfigured
from streams.exported import COMMON, EXPORTED, REPORTED_ONLY, histograms_of
from streams.exposition import exposition, run_file_of
from streams.measuring import OF_THE_CALLER, Published
from streams.metrics import METRICS, Histogram
from streams.observed import OfAnalytics, OfAStage, OfTheModels
from tests.event_examples import example

ROLES = ("router", "generator", "evaluator", "analytics", "models")


class Watched(OfTheModels):
    """Something of a role that has one of everything; blocked until `released`, where it is `stuck`."""

    def __init__(self, role: str = "generator") -> None:
        self.role = role
        self.stuck = False
        self.counted: dict[str, float] = {name: 1.0 for name in METRICS if not name.endswith("_total")}
        self.measured = {name: Histogram(each.bounds) for name, each in histograms_of(role).items()}

    def totals(self) -> dict[str, float]:
        return dict(self.counted)

    def histograms(self) -> dict[str, Histogram]:
        return self.measured

    def lag(self) -> dict[tuple[str, int], int]:
        return {("routing", 0): 7, ("routing", 1): 0}

    def paused(self) -> tuple[str, ...]:
        return ("routing",)

    def is_alive(self, within_s: float) -> bool:
        return not self.stuck


@contextmanager
def served(folder: Path, watched: Any, **settings: Any) -> Iterator[str]:
    deployment = Deployment(var=folder, worker="3", **settings)
    with exposition(watched, deployment) as port:
        yield f"http://127.0.0.1:{port}"


def get(url: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:  # noqa: S310 - our own server
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as refused:
        return refused.code, refused.read().decode()


def samples(url: str) -> dict[str, list[tuple[dict[str, str], float]]]:
    found: dict[str, list[tuple[dict[str, str], float]]] = {}
    for family in text_string_to_metric_families(get(f"{url}/metrics")[1]):
        for sample in family.samples:
            found.setdefault(sample.name, []).append((sample.labels, sample.value))
    return found


# --------------------------------------------------------------------------------------------------------- catalogue


def test_every_metric_that_a_stage_reports_is_exported_or_says_which_one_says_more():
    exported = {metric.of for metric in EXPORTED.values() if metric.of}
    assert exported | set(REPORTED_ONLY) == set(METRICS)
    assert exported & set(REPORTED_ONLY) == set()
    assert set(REPORTED_ONLY.values()) <= set(EXPORTED)


@pytest.mark.parametrize(("name", "metric"), EXPORTED.items())
def test_a_name_follows_prometheus_and_its_labels_are_bounded(name, metric):
    assert name.startswith("penstock_")
    assert name.endswith("_total") is (metric.kind == "counter")
    assert not name.endswith(("_ms", "_us", "_mib", "_s"))
    assert metric.labels[:2] == COMMON
    assert set(metric.labels) <= {"role", "worker", "topic", "partition"}
    assert set(metric.roles) <= set(ROLES)
    assert metric.meaning
    assert bool(metric.bounds) is (metric.kind == "histogram")


@pytest.mark.parametrize("role", ROLES)
def test_a_worker_serves_exactly_the_metrics_that_the_catalogue_gives_its_role(tmp_path, role):
    with served(tmp_path, Watched(role)) as url:
        families = {family.name: family for family in text_string_to_metric_families(get(f"{url}/metrics")[1])}
    declared = {name: metric for name, metric in EXPORTED.items() if role in metric.roles}
    assert set(families) == {name.removesuffix("_total") for name in declared}
    for name, metric in declared.items():
        family = families[name.removesuffix("_total")]
        assert (family.type, family.documentation) == (metric.kind, metric.meaning)
        assert family.samples
        for sample in family.samples:
            assert set(sample.labels) - {"le"} == set(metric.labels)
            assert (sample.labels["role"], sample.labels["worker"]) == (role, "3")


@pytest.mark.parametrize("role", ROLES)
def test_promtool_finds_nothing_to_say_of_the_metrics(tmp_path, role):
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("promtool is not installed (Debian's package prometheus has it)")
    with served(tmp_path, Watched(role)) as url:
        text = get(f"{url}/metrics")[1]
    checked = subprocess.run([promtool, "check", "metrics"], input=text, capture_output=True, text=True, check=False)
    assert checked.stdout + checked.stderr == ""


def test_a_counter_is_there_before_anything_is_counted_so_that_the_first_is_an_increase(tmp_path):
    with served(tmp_path, Watched("generator")) as url:
        found = samples(url)
    assert [value for _, value in found["penstock_responses_unanswered_total"]] == [0.0]


def test_lag_is_by_topic_and_partition_and_a_paused_topic_is_named(tmp_path):
    with served(tmp_path, Watched()) as url:
        found = samples(url)
    common = {"role": "generator", "worker": "3", "topic": "routing"}
    assert found["penstock_lag_events"] == [({**common, "partition": "0"}, 7.0), ({**common, "partition": "1"}, 0.0)]
    assert found["penstock_paused"] == [(common, 1.0)]


# ------------------------------------------------------------------------------------------------------------- values


def test_a_histogram_counts_a_value_below_its_bound_and_all_below_infinity():
    histogram = Histogram((0.1, 0.5))
    for value in (0.05, 0.1, 0.3, 9.0):
        histogram.observe(value)
    cumulative, total = histogram.read()
    assert cumulative == [2, 3, 4]
    assert total == pytest.approx(9.45)


def test_what_a_stage_publishes_is_counted_by_how_the_request_ended_and_what_it_cost():
    counted: dict[str, float] = {}
    histograms = {
        name: Histogram(each.bounds)
        for role in ("generator", "evaluator")
        for name, each in histograms_of(role).items()
    }

    def count(name: str, by: float = 1) -> None:
        assert name in METRICS
        counted[name] = counted.get(name, 0) + by

    published = Published(count, histograms)
    published.quality_floor = 0.8
    ready, failed = example("ResponseReady"), example("ResponseFailed")
    generation, reward = example("GenerationCompleted"), example("RewardComputed")
    assert isinstance(ready, ResponseReady)
    assert isinstance(failed, ResponseFailed)
    assert isinstance(generation, GenerationCompleted)
    assert isinstance(reward, RewardComputed)
    published(replace(ready, latency_ms=250.0))
    for code in RESPONSE_CODES:
        published(replace(failed, code=str(code), latency_ms=4_000.0))
    published(replace(generation, cost_usd=0.25, input_tokens=7, output_tokens=2))
    published(example("GenerationFailed"))
    for value in (0.79, 0.8):
        published(replace(reward, reward=value))
    published(example("ChunkGenerated"))
    assert counted["responses_answered_total"] == 1
    assert counted["responses_refused_total"] == len(OF_THE_CALLER)
    assert counted["responses_unanswered_total"] == len(RESPONSE_CODES) - len(OF_THE_CALLER)
    assert counted["cost_usd_total"] >= 0.25
    assert (counted["input_tokens_total"], counted["output_tokens_total"]) == (7, 2)
    assert counted["rewards_below_floor_total"] == 1
    cumulative, total_s = histograms["response_seconds"].read()
    assert cumulative[-1] == 1 + len(RESPONSE_CODES)
    assert total_s == pytest.approx(0.25 + 4.0 * len(RESPONSE_CODES))
    assert histograms["reward"].read()[0][-1] == 2


def test_who_is_to_blame_is_said_of_every_code_that_a_response_may_have():
    assert set(RESPONSE_CODES) - OF_THE_CALLER == {
        Code.PROVIDER_UNAVAILABLE,
        Code.PROVIDER_REJECTED,
        Code.DEADLINE_EXCEEDED,
        Code.INTERNAL_ERROR,
    }


# ------------------------------------------------------------------------------------------------------------- server


def test_ready_means_that_the_run_file_says_so_and_is_this_processs(tmp_path):
    path = run_file_of("generator", Deployment(var=tmp_path, worker="3"))
    with served(tmp_path, Watched()) as url:
        assert get(f"{url}/readyz")[0] == 503
        path.write_text(json.dumps({"pid": os.getpid() + 1, "ready": True}))
        assert get(f"{url}/readyz")[0] == 503
        path.write_text(json.dumps({"pid": os.getpid(), "ready": True}))
        assert get(f"{url}/readyz") == (200, '{"ready": true}')
        assert samples(url)["penstock_ready"][0][1] == 1.0
        path.write_text(json.dumps({"pid": os.getpid(), "ready": False, "why_not": "the broker does not answer"}))
        assert get(f"{url}/readyz") == (503, '{"ready": false, "reason": "the broker does not answer"}')
        assert samples(url)["penstock_ready"][0][1] == 0.0


def test_a_worker_that_does_not_come_round_is_not_live_but_its_metrics_still_are(tmp_path):
    watched = Watched()
    with served(tmp_path, watched) as url:
        assert get(f"{url}/livez") == (200, '{"live": true}')
        watched.stuck = True
        assert get(f"{url}/livez")[0] == 503
        assert get(f"{url}/metrics")[0] == 200


def test_an_event_loop_is_asked_for_a_sign():
    stage: Any = None
    loop = asyncio.new_event_loop()
    observed = OfAStage(stage, loop)
    assert not observed.is_alive(0.01)
    running = threading.Thread(target=loop.run_forever)
    running.start()
    assert observed.is_alive(5)
    loop.call_soon_threadsafe(loop.stop)
    running.join()
    loop.close()
    assert not observed.is_alive(0.01)


def test_a_reader_that_says_nothing_holds_up_no_other(tmp_path):
    with served(tmp_path, Watched()) as url:
        port = int(url.rpartition(":")[2])
        silent = [socket.create_connection(("127.0.0.1", port)) for _ in range(20)]
        assert get(f"{url}/metrics")[0] == 200
        for each in silent:
            each.close()


def test_what_is_not_served_is_said_and_a_body_is_refused(tmp_path):
    with served(tmp_path, Watched()) as url:
        assert get(f"{url}/") == (404, "There are /metrics, /livez and /readyz.\n")
        connection = http.client.HTTPConnection(url.removeprefix("http://"), timeout=5)
        connection.request("POST", "/metrics", body=b"x")
        assert connection.getresponse().status == 501
        connection.close()


def test_a_port_that_is_taken_is_said_with_what_to_do(tmp_path):
    with served(tmp_path, Watched()) as url, pytest.raises(Unconfigured, match="PENSTOCK_METRICS_PORT"):
        exposition(Watched(), Deployment(var=tmp_path, metrics_port=int(url.rpartition(":")[2]))).__enter__()


def test_it_can_be_turned_off(tmp_path):
    with exposition(Watched(), Deployment(var=tmp_path, metrics=False)) as port:
        assert port is None
    assert not list(tmp_path.rglob("*"))


def test_analytics_gives_what_its_consumer_counted():
    class Consumer:
        def totals(self) -> dict[str, float]:
            return {"ingested_total": 5.0}

        def histograms(self) -> dict[str, Histogram]:
            return {}

        def lag(self) -> dict[tuple[str, int], int]:
            return {("requests", 0): 3}

        def paused(self) -> tuple[str, ...]:
            return ("feedback",)

    analytics = OfAnalytics(Consumer())
    assert analytics.totals() == {"ingested_total": 5.0}
    assert (analytics.lag(), analytics.paused()) == ({("requests", 0): 3}, ("feedback",))


# ------------------------------------------------------------------------------------------------------------ targets


def test_prometheus_is_told_where_every_worker_is_and_of_none_that_ended(tmp_path):
    deployment = Deployment(var=tmp_path)
    targets = deployment.run_folder / run_files.TARGETS_FILE
    with served(tmp_path, Watched("router")) as first, served(tmp_path, Watched()) as second:
        run_files.write_targets(deployment.run_folder)
        said = json.loads(targets.read_text())
        addresses = {first.removeprefix("http://"), second.removeprefix("http://")}
        assert {address for each in said for address in each["targets"]} == addresses
        assert all(each["labels"] == {"job": "penstock"} for each in said)
    run_files.write_targets(deployment.run_folder)
    assert not targets.exists()


@pytest.mark.parametrize(
    ("host", "target"),
    [
        ("0.0.0.0", "127.0.0.1:9"),  # noqa: S104 - as an example
        ("::", "[::1]:9"),
        ("10.1.2.3", "10.1.2.3:9"),
        ("", "127.0.0.1:9"),
    ],
)
def test_a_target_is_an_address_that_can_be_reached_from_this_machine(tmp_path, host, target):
    run_files.replace_json(run_files.metrics_file(tmp_path, "router", "0"), {"host": host, "port": 9})
    run_files.write_targets(tmp_path)
    assert json.loads((tmp_path / run_files.TARGETS_FILE).read_text())[0]["targets"] == [target]
