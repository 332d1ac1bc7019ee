"""A queueing model of the pipeline: reproduces the measured points, then says what a larger installation needs.

In: ``var/bench.json`` of ``make bench``; ``python -m tests.benchmarks.queueing [--bench FILE] [--rate 100] [--cores 2]``. Out: what
the model gives beside what was measured, and the sizes that docs/SCALING.md argues from. Keeps nothing. Fails with exit status 1
where the file lacks a row that is needed.

How it works:

1. Every process is one thread that takes its work in order. A machine has ``cores``; while more processes have work than there are
   cores, all go on at the same reduced speed (processor sharing). The work of each is its measured CPU time a request.
2. A request passes the broker, the router, the broker, the generator, the provider (``provider_ms``, without CPU of ours), the
   generator, the broker with its end and the response. Each hop adds ``hop_ms``, the time to wake the next process, taken from two
   bare stages.
3. The evaluator works after each response; analytics once a second, for all that came in that second, which is most of the
   model's 99th percentile.
4. Throughput is the highest rate at which no process falls behind: at the end of the run its queue is short.
"""

import argparse
import heapq
import json
import random
import sys
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import astuple, dataclass, field
from math import ceil
from pathlib import Path
from statistics import quantiles

from streams.deployment import ROOT

BATCH_S = 1.0
"""How long analytics gathers a batch."""
BROKER_THREADS = 3
HOPS = 3
"""Of two bare stages: to the first, to the second, to the reader."""
MESSAGES = 4
"""Messages on a request's way through the broker, the caller's included; the broker's CPU is shared out among them."""
BEFORE_CALL = 0.4
"""The share of the generator's CPU that is spent before the provider is called."""
FULL = 0.6
"""How busy a process may be on average in an installation: the rest is for bursts, rebalances and catching up."""
TITLES = ("requests/s", "routers", "generators", "evaluators", "analytics", "cores", "partitions")


@dataclass(frozen=True)
class Costs:
    """CPU milliseconds for a request by process, and the time of a bare hop in milliseconds."""

    router: float
    generator: float
    evaluator: float
    analytics: float
    broker: float
    outside: float
    """What the load and the provider use on the same machine."""
    hop_ms: float

    @property
    def total(self) -> float:
        """All of it, in milliseconds of CPU a request."""
        return self.router + self.generator + self.evaluator + self.analytics + self.broker + self.outside


Then = Callable[[], None]


@dataclass
class _Process:
    queue: deque[tuple[float, Then]] = field(default_factory=deque)


class _Machine:
    """Processes that share cores; time in milliseconds."""

    def __init__(self, cores: int) -> None:
        self.now_ms = 0.0
        self._cores = cores
        self._busy: dict[int, tuple[_Process, float, Then]] = {}
        self._due: list[tuple[float, int, Then]] = []
        self._number = 0

    def after(self, delay_ms: float, then: Then) -> None:
        self._number += 1
        heapq.heappush(self._due, (self.now_ms + delay_ms, self._number, then))

    def work(self, process: _Process, cpu_ms: float, then: Then) -> None:
        process.queue.append((cpu_ms, then))
        if id(process) not in self._busy:
            self._next_of(process)

    def run(self, until_ms: float) -> None:
        while self.now_ms < until_ms:
            speed = min(1.0, self._cores / len(self._busy)) if self._busy else 1.0
            first = min(self._busy, key=lambda each: self._busy[each][1], default=None)
            ends_ms = self.now_ms + self._busy[first][1] / speed if first is not None else float("inf")
            due_ms = self._due[0][0] if self._due else float("inf")
            to_ms = min(ends_ms, due_ms, until_ms)
            done_ms = (to_ms - self.now_ms) * speed
            self.now_ms = to_ms
            for each, (process, left_ms, then) in self._busy.items():
                self._busy[each] = (process, left_ms - done_ms, then)
            if first is not None and ends_ms <= min(due_ms, until_ms):
                process, _, then = self._busy.pop(first)
                self._next_of(process)
                then()
            elif due_ms <= until_ms:
                heapq.heappop(self._due)[2]()

    def _next_of(self, process: _Process) -> None:
        if process.queue:
            cpu_ms, then = process.queue.popleft()
            self._busy[id(process)] = (process, cpu_ms, then)


@dataclass(frozen=True)
class Result:
    """What a simulated run gave: latencies in milliseconds, and how many requests were still waiting at its end."""

    latencies_ms: tuple[float, ...]
    waiting: int

    @property
    def points_ms(self) -> tuple[float, float]:
        """The 50th and the 99th percentile."""
        cuts = quantiles(self.latencies_ms, n=100, method="inclusive")
        return cuts[49], cuts[98]


class _Pipeline:
    """The roles on one machine."""

    def __init__(self, costs: Costs, *, cores: int, generators: int, calls: int, provider_ms: float, seed: int) -> None:
        self.machine = _Machine(cores)
        self.latencies_ms: list[float] = []
        self.arrived = 0
        self.evaluator = _Process()
        self._costs = costs
        self._calls = calls
        self._provider_ms = provider_ms
        self._draw = random.Random(seed)
        self._router, self._analytics, self._outside = _Process(), _Process(), _Process()
        self._generators = [_Process() for _ in range(generators)]
        self._in_flight = [0] * generators
        self._held: list[deque[int]] = [deque() for _ in range(generators)]
        self._brokers = [_Process() for _ in range(BROKER_THREADS)]
        self._begun_ms: dict[int, float] = {}
        self._gathered = 0

    def arrive(self, every_ms: float) -> None:
        number = self.arrived
        self.arrived += 1
        self._begun_ms[number] = self.machine.now_ms
        self._work(self._outside, self._costs.outside, lambda: None)
        self._over_broker(lambda: self._work(self._router, self._costs.router, lambda: self._routed(number)))
        self.machine.after(every_ms, lambda: self.arrive(every_ms))

    def analyse(self) -> None:
        self.machine.work(self._analytics, self._costs.analytics * self._gathered, lambda: None)
        self._gathered = 0
        self.machine.after(BATCH_S * 1_000, self.analyse)

    def _work(self, process: _Process, cpu_ms: float, then: Then) -> None:
        self.machine.work(process, cpu_ms * (0.75 + 0.25 * self._draw.expovariate(1.0)), then)

    def _over_broker(self, then: Then) -> None:
        cpu_ms = self._costs.broker / MESSAGES
        self._work(self._draw.choice(self._brokers), cpu_ms, lambda: self.machine.after(self._costs.hop_ms, then))

    def _routed(self, number: int) -> None:
        self._over_broker(lambda: self._take(number))

    def _take(self, number: int) -> None:
        worker = number % len(self._generators)
        if self._in_flight[worker] < self._calls:
            self._call(number)
        else:
            self._held[worker].append(number)

    def _call(self, number: int) -> None:
        worker = number % len(self._generators)
        self._in_flight[worker] += 1
        called = self._costs.generator * BEFORE_CALL
        ended = self._costs.generator * (1 - BEFORE_CALL)
        process = self._generators[worker]
        self._work(
            process,
            called,
            lambda: self.machine.after(
                self._provider_ms, lambda: self._work(process, ended, lambda: self._called(number))
            ),
        )

    def _called(self, number: int) -> None:
        worker = number % len(self._generators)
        self._in_flight[worker] -= 1
        if self._held[worker]:
            self._call(self._held[worker].popleft())
        self._over_broker(lambda: self._responded(number))  # the end is kept with it (docs/adr/0012)

    def _responded(self, number: int) -> None:
        self.latencies_ms.append(self.machine.now_ms - self._begun_ms.pop(number))
        self._gathered += 1
        self._work(self.evaluator, self._costs.evaluator, lambda: None)


def simulated(
    costs: Costs,
    *,
    rate: float,
    seconds: float = 30.0,
    cores: int = 2,
    generators: int = 1,
    calls: int = 512,
    provider_ms: float = 0.0,
    seed: int = 1,
) -> Result:
    """Simulate ``rate`` requests a second with even arrivals; a quarter of each CPU time is exponential, the rest fixed."""
    pipeline = _Pipeline(costs, cores=cores, generators=generators, calls=calls, provider_ms=provider_ms, seed=seed)
    pipeline.machine.after(0.0, lambda: pipeline.arrive(1_000 / rate))
    pipeline.machine.after(BATCH_S * 1_000, pipeline.analyse)
    pipeline.machine.run(seconds * 1_000)
    done = pipeline.latencies_ms
    return Result(tuple(done), pipeline.arrived - len(done) + len(pipeline.evaluator.queue))


def throughput(
    costs: Costs, *, cores: int = 2, generators: int = 1, calls: int = 512, provider_ms: float = 0.0, to: float = 0.03
) -> float:
    """Give the highest rate, in requests a second, at which no process falls behind, found to within ``to``."""
    low, high = 10.0, 4_000.0
    while high / low > 1 + to:
        rate = (low * high) ** 0.5
        seconds = max(5.0, min(20.0, 4_000 / rate))
        result = simulated(
            costs, rate=rate, seconds=seconds, cores=cores, generators=generators, calls=calls, provider_ms=provider_ms
        )
        in_the_pipe = rate * (provider_ms / 1_000 + 0.2)
        low, high = (rate, high) if result.waiting <= in_the_pipe * 1.1 + 20 else (low, rate)
    return low


@dataclass(frozen=True)
class Size:
    """What an installation for ``rate`` requests a second needs."""

    rate: float
    routers: int
    generators: int
    evaluators: int
    analytics: int
    cores: int
    """Of the roles; the brokers' are their own."""
    partitions: int


def sized(costs: Costs, rate: float, *, provider_s: float, calls: int = 512, full: float = FULL) -> Size:
    """Give the numbers of processes at which none is busier than ``full``, for a provider that takes ``provider_s``."""

    def processes(cpu_ms: float) -> int:
        return max(1, ceil(rate * cpu_ms / 1_000 / full))

    routers, evaluators, analytics = (processes(ms) for ms in (costs.router, costs.evaluator, costs.analytics))
    generators = max(processes(costs.generator), ceil(rate * provider_s / (calls * full)))
    widest = max(routers, generators, evaluators)
    partitions = max(8, 1 << (2 * widest - 1).bit_length()) if widest > 1 else 8
    return Size(
        rate,
        routers,
        generators,
        evaluators,
        analytics,
        ceil(rate * (costs.total - costs.broker - costs.outside) / 1_000 / full),
        partitions,
    )


def costs_of(rows: Sequence[Mapping[str, object]]) -> Costs:
    """Read the costs out of the benchmark's rows; ``KeyError`` names the row that is missing."""
    by_name = {str(row["name"]): row for row in rows}
    value = {name: float(str(row["value"])) for name, row in by_name.items()}

    def cpu(name: str) -> float:
        return value[f"cpu_ms_per_request_{name}"]

    return Costs(
        router=cpu("router"),
        generator=cpu("generator"),
        evaluator=cpu("evaluator"),
        analytics=cpu("analytics"),
        broker=cpu("broker"),
        outside=value.get("cpu_ms_per_request_load", 0.0) + value.get("cpu_ms_per_request_provider", 0.0),
        hop_ms=float(str(by_name["latency_floor_p50"]["baseline"])) / HOPS,
    )


def main(arguments: Sequence[str]) -> int:
    """Print the model beside the measured; the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.queueing", description="Model the pipeline.")
    parser.add_argument("--bench", type=Path, default=ROOT / "var" / "bench.json")
    parser.add_argument("--rate", type=float, default=100.0, help="requests a second")
    parser.add_argument("--cores", type=int, default=2)
    parser.add_argument("--provider-s", type=float, default=2.0, help="a call's time in the installations")
    chosen = parser.parse_args(arguments)
    rows = json.loads(chosen.bench.read_text(encoding="utf-8"))
    try:
        costs = costs_of(rows)
    except KeyError as missing:
        sys.stderr.write(f"{chosen.bench} has no row {missing}: run `make bench` first.\n")
        return 1
    measured = {row["name"]: row["value"] for row in rows}
    p50, p99 = simulated(costs, rate=chosen.rate, cores=chosen.cores).points_ms
    alone = throughput(costs, cores=64, calls=32, provider_ms=300.0)
    lines = [
        f"{'':24}{'model':>12}{'measured':>12}",
        _line("latency_p50, ms", p50, measured.get("latency_p50")),
        _line("latency_p99, ms", p99, measured.get("latency_p99")),
        _line("throughput, 1/s", throughput(costs, cores=chosen.cores), measured.get("throughput")),
        _line(
            "scale_out, ratio",
            throughput(costs, cores=64, generators=2, calls=32, provider_ms=300.0) / alone,
            next((row["ratio"] for row in rows if row["name"] == "scale_out"), None),
        ),
        "",
        "".join(f"{title:>12}" for title in TITLES),
    ]
    for rate in (1_000.0, 100_000.0, 10_000_000.0):
        size = sized(costs, rate, provider_s=chosen.provider_s)
        lines.append("".join(f"{number:>12,.0f}" for number in astuple(size)))
    sys.stdout.write("\n".join(lines) + "\n")
    return 0


def _line(name: str, model: float, measured: float | None) -> str:
    return f"{name:24}{model:12,.1f}" + (f"{measured:12,.1f}" if measured is not None else f"{'-':>12}")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
