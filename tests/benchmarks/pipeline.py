"""Latency, throughput, memory and CPU of the loop, beside the same two hops by others, on one broker in one run.

In: a folder. Out: rows ``latency_*``, ``throughput*``, ``memory_mib_*``, ``cpu_ms_*``, ``log_kib_*``. Keeps nothing. Fails as its
parts do.

Latency is from publishing a request to reading its response, at 100 requests a second, over two stages (router, generator);
evaluator and analytics run as well. Throughput is a fixed number of requests, 256 under way at a time, until evaluator and
analytics have followed: a backlog left behind is not sustained. The requests are for twelve strategies; of a workflow without
sources, and, as rows of their own, of one that searches the documentation. The provider answers at once and is another process
on the same two cores; its CPU is a row too.
"""

import os
import time
from collections.abc import Mapping
from pathlib import Path
from statistics import quantiles

from infra.broker import RunningBroker
from streams.deployment import Deployment
from tests.benchmarks.load import Load
from tests.benchmarks.log_size import log_bytes
from tests.benchmarks.peers import Kind, two_hops
from tests.benchmarks.running import (
    broker,
    cpu_s,
    deployment_in,
    has_mapped,
    loop,
    memory_mib,
    provider,
    requests,
)
from tests.benchmarks.table import Row, alone, beside

ROLES = ("router", "generator", "evaluator", "analytics")
RATE = 100.0
UNDER_WAY = 256
WARM_UP = 1_000
MEMORY_REACH = {"router": 200, "generator": 200, "evaluator": 200, "analytics": 600}
SETTLED_S = 1.0
SETTLED_CPU_S = 0.15
"""A process that used less CPU than this in ``SETTLED_S`` has nothing left to do."""


class Figures(dict[str, float]):
    """What was measured of one pipeline, by name."""


def rows(folder: Path, *, quick: bool = False) -> list[Row]:
    """Measure everything."""
    seconds = 5.0 if quick else 20.0
    with broker(folder) as running:
        servers = running.bootstrap_servers
        quix = _hops("quix", running, folder, seconds=seconds / 2, count=0)
        bare = _hops("bare", running, folder, seconds=seconds / 2, count=0)
        faust = _hops("faust", running, folder, seconds=seconds, count=3_000 if quick else 12_000)
        deployment = deployment_in(folder, servers)
        ours = _ours(deployment, running, folder, seconds=seconds, count=1_000 if quick else 10_000)
    p50, p99, rate = ours["p50"], ours["p99"], ours["rate"]
    return [
        beside("latency_p50", p50, "ms", faust["p50"], reach=1.3),
        beside("latency_p99", p99, "ms", faust["p99"], reach=1.5),
        beside("latency_floor_p50", p50, "ms", bare["p50"]),
        beside("latency_quix_p50", p50, "ms", quix["p50"]),
        alone("latency_p95_ms", ours["p95"], "ms", reach=200),
        beside("throughput", rate, "1/s", faust["rate"], reach=0.2, higher_is_better=True),
        beside("throughput_searching", ours["rate_searching"], "1/s", faust["rate"], higher_is_better=True),
        *(alone(f"memory_mib_{role}", ours[f"mib_{role}"], "MiB", reach=most) for role, most in MEMORY_REACH.items()),
        alone("log_kib_per_request", ours["log_kib"], "KiB"),
        alone("torch_imported", ours["torch"], "processes", reach=0),
        *(
            alone(f"cpu_ms_per_request_{name.removeprefix('cpu_')}", figure, "ms")
            for name, figure in ours.items()
            if name.startswith("cpu_")
        ),
        alone("cpu_ms_per_request_faust_hop", (faust["cpu_faust-0"] + faust["cpu_faust-1"]) / 2, "ms"),
        alone("cpu_ms_per_request_faust_broker", faust["cpu_broker"], "ms"),
    ]


def _hops(kind: Kind, running: RunningBroker, folder: Path, *, seconds: float, count: int) -> Figures:
    figures = Figures()
    with (
        two_hops(kind, running.bootstrap_servers, folder) as (source, target, pids),
        Load(running.bootstrap_servers, source, target) as load,
    ):
        load.flat_out(requests(WARM_UP, "plain", f"{kind}-w"), 64)
        figures |= _latency(load, "plain", seconds, run=f"{kind}-s")
        if count:
            using = {**pids, "broker": running.pid or 0}
            before = _cpu(using)
            took_s = load.flat_out(requests(count, "plain", f"{kind}-f"), UNDER_WAY)
            figures["rate"] = count / took_s
            figures |= {f"cpu_{name}": ms for name, ms in _cpu_ms(using, before, count).items()}
    return figures


def _ours(deployment: Deployment, running: RunningBroker, folder: Path, *, seconds: float, count: int) -> Figures:
    figures = Figures()
    with provider(folder) as (url, provider_pid), loop(deployment, url, ROLES) as pids:
        using = {**pids, "broker": running.pid or 0, "provider": provider_pid, "load": os.getpid()}
        source, target = deployment.topic("requests"), deployment.topic("responses")
        with Load(running.bootstrap_servers, source, target) as load:
            load.flat_out(requests(WARM_UP, "plain", "w"), 64)
            load.flat_out(requests(100, "documented", "wd"), 16)
            _settle(pids)
            figures |= _latency(load, "plain", seconds, run="s")
            _settle(pids)
            logged = log_bytes(deployment)
            before = _cpu(using)
            figures["rate"] = _sustained(load, pids, "plain", count, run="f")
            figures |= {f"cpu_{name}": ms for name, ms in _cpu_ms(using, before, count).items()}
            figures["log_kib"] = (log_bytes(deployment) - logged) / 1_024 / count
            figures["rate_searching"] = _sustained(load, pids, "documented", count // 3, run="d")
        figures |= {f"mib_{role}": memory_mib(pid) for role, pid in pids.items()}
        figures["torch"] = sum(has_mapped(pid, "libtorch") for pid in pids.values())
    return figures


def _sustained(load: Load, pids: Mapping[str, int], workflow: str, count: int, *, run: str) -> float:
    """Requests a second until those who follow have followed."""
    begun = time.perf_counter()
    load.flat_out(requests(count, workflow, run), UNDER_WAY, within_s=300)
    return count / (time.perf_counter() - begun + _settle(pids))


def _settle(pids: Mapping[str, int]) -> float:
    """Wait until no role has anything left to do; the seconds that took, without the time to see it."""
    begun = time.perf_counter()
    while True:
        before = _cpu(pids)
        time.sleep(SETTLED_S)
        if all(cpu_s(pid) - before[name] < SETTLED_CPU_S for name, pid in pids.items()):
            return time.perf_counter() - begun - SETTLED_S


def _latency(load: Load, workflow: str, seconds: float, *, run: str) -> Figures:
    took = load.steady(requests(int(RATE * seconds), workflow, run), RATE)
    points = quantiles(took, n=100, method="inclusive")
    return Figures(p50=points[49], p95=points[94], p99=points[98])


def _cpu(pids: Mapping[str, int]) -> dict[str, float]:
    return {name: cpu_s(pid) for name, pid in pids.items() if pid}


def _cpu_ms(pids: Mapping[str, int], before: Mapping[str, float], count: int) -> dict[str, float]:
    """Milliseconds of CPU for each of ``count`` requests, by process."""
    return {name: (cpu_s(pids[name]) - used) * 1_000 / count for name, used in before.items()}
