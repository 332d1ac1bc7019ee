"""Whether a second generator doubles what is answered, and how many calls one worker has under way at once.

In: a folder. Out: rows ``scale_out`` and ``in_flight``. Keeps nothing. Fails as its parts do.

``scale_out``: requests a second of two generator workers over those of one, each with 32 calls under way at most, a provider that
takes 300 ms, 8 partitions. One can do 32 / 0.3 = 107 a second at most. ``in_flight``: the most calls that the provider saw at the
same time from one worker.
"""

import json
import urllib.request
from pathlib import Path
from typing import Any

from infra.broker import RunningBroker
from streams.deployment import Deployment
from tests.benchmarks.load import Load
from tests.benchmarks.running import broker, deployment_in, loop, provider, requests
from tests.benchmarks.table import Row, alone, beside

PAUSE_MS = 300.0
CALLS_EACH = 32
MANY_CALLS = 640
MANY_PAUSE_MS = 4_000.0
WARM_UP = 200


def rows(folder: Path, *, quick: bool = False) -> list[Row]:
    """Measure both."""
    count = 600 if quick else 2_000
    with broker(folder) as running:
        with provider(folder, pause_ms=PAUSE_MS) as (url, _):
            rates = [_rate(folder, running, url, workers, count * workers) for workers in (1, 2)]
        with provider(folder, pause_ms=MANY_PAUSE_MS) as (url, _):
            at_once = _at_once(folder, running, url)
    return [
        beside("scale_out", rates[1], "1/s", rates[0], reach=1.9, higher_is_better=True),
        alone("in_flight", at_once, "calls", reach=500, higher_is_better=True),
    ]


def _rate(folder: Path, running: RunningBroker, url: str, workers: int, count: int) -> float:
    deployment = _deployment(folder, running, f"scale{workers}", CALLS_EACH)
    with (
        loop(deployment, url, ("router", "generator"), workers={"generator": workers}),
        _load(deployment, running) as load,
    ):
        under_way = 4 * CALLS_EACH * workers
        load.flat_out(requests(WARM_UP, "plain", "w"), under_way)
        return count / load.flat_out(requests(count, "plain", "f"), under_way)


def _at_once(folder: Path, running: RunningBroker, url: str) -> int:
    deployment = _deployment(folder, running, "many", MANY_CALLS)
    with loop(deployment, url, ("router", "generator")), _load(deployment, running) as load:
        load.flat_out(requests(WARM_UP, "plain", "w"), WARM_UP)
        _ask(url)  # the count begins anew
        load.flat_out(requests(2 * MANY_CALLS, "plain", "f"), MANY_CALLS)
        return int(_ask(url)["at_once"])


def _deployment(folder: Path, running: RunningBroker, name: str, calls: int) -> Deployment:
    return deployment_in(folder / name, running.bootstrap_servers, topic_prefix=f"{name}-", generator_concurrency=calls)


def _load(deployment: Deployment, running: RunningBroker) -> Load:
    return Load(running.bootstrap_servers, deployment.topic("requests"), deployment.topic("responses"))


def _ask(url: str) -> Any:
    with urllib.request.urlopen(url) as answered:  # noqa: S310 - our own process
        return json.load(answered)
