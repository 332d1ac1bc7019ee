"""A worker's own HTTP port: ``/metrics`` for Prometheus, ``/livez`` and ``/readyz`` for whoever runs it.

In: what is observed (a stage, analytics, the model server). Out: the closed catalogue of ``streams/exported.py`` as text, and
``var/run/metrics-ROLE-N.json``, which names the port. Keeps a socket and threads of its own: a scrape reads counters and never
waits for the event loop, and a slow reader is left after five seconds. Fails with ``Unconfigured`` where the port is taken.

``/livez`` is 200 while the event loop comes round within two seconds; ``/readyz`` is 200 while the worker's run file says that it
is ready, which means consuming; else both are 503, with the reason as JSON.
"""

import json
import os
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final, Protocol

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import Collector

from streams import run_files
from streams.deployment import Deployment
from streams.errors import Unconfigured
from streams.exported import EXPORTED, PREFIX, Exported
from streams.metrics import Histogram

LIVE_WITHIN_S: Final = 2.0
SLOW_READER_S: Final = 5.0
Labels = tuple[str, ...]


class Observed(Protocol):
    """What is measured; every method is called from another thread and must not wait, but ``is_alive``."""

    @property
    def role(self) -> str:
        """Its role."""

    def totals(self) -> Mapping[str, float]:
        """Give counters since the start, and gauges, by their names in ``streams/metrics.py``."""

    def histograms(self) -> Mapping[str, Histogram]:
        """Give histograms by name without the prefix."""

    def lag(self) -> Mapping[tuple[str, int], int]:
        """Give the events that wait by (topic, partition); empty where it is not known."""

    def paused(self) -> Iterable[str]:
        """Give the topics that are paused."""

    def is_alive(self, within_s: float) -> bool:
        """Say whether it comes round; may wait so long."""


class Exposed(Collector):
    """Collects the metrics of what is observed, each by its entry in the catalogue."""

    def __init__(self, observed: Observed, deployment: Deployment) -> None:
        self._observed = observed
        self._worker = deployment.worker
        self._run_file = run_file_of(observed.role, deployment)
        self._process = ProcessCollector(namespace=PREFIX.rstrip("_"), registry=None)

    def is_ready(self) -> bool:
        """Say whether the run file says so, and is this process's."""
        return run_files.ready_pid(self._run_file) == os.getpid()

    def why_not(self) -> str:
        """Say what keeps it from being ready, as far as its run file knows."""
        said = (run_files.read_json(self._run_file) or {}).get("why_not")
        return said if isinstance(said, str) and said else "it has not begun to consume"

    def describe(self) -> Iterable[Metric]:
        """Say nothing before the first scrape."""
        return []

    def collect(self) -> Iterator[Metric]:
        """Give every metric of the role."""
        role = self._observed.role
        values = dict(self._values())
        for name, metric in EXPORTED.items():
            if role not in metric.roles:
                continue
            if metric.kind == "histogram":
                histogram = self._observed.histograms().get(name.removeprefix(PREFIX))
                if histogram is not None:
                    yield self._histogram(name, metric, histogram)
            else:
                yield self._family(name, metric, values.get(name, {}))

    def _values(self) -> Iterator[tuple[str, dict[Labels, float]]]:
        totals = self._observed.totals()
        for name, metric in EXPORTED.items():
            if metric.of is not None and (metric.kind == "counter" or metric.of in totals):
                yield name, {(): totals.get(metric.of, 0.0)}
        yield PREFIX + "ready", {(): float(self.is_ready())}
        lag: dict[Labels, float] = {
            (topic, str(number)): float(events) for (topic, number), events in self._observed.lag().items()
        }
        yield PREFIX + "lag_events", lag
        yield PREFIX + "paused", {(topic,): 1.0 for topic in self._observed.paused()}
        for family in self._process.collect():
            for sample in family.samples:
                yield sample.name, {(): sample.value}

    def _common(self, more: Labels = ()) -> list[str]:
        return [self._observed.role, self._worker, *more]

    def _family(self, name: str, metric: Exported, values: Mapping[Labels, float]) -> Metric:
        kind = CounterMetricFamily if metric.kind == "counter" else GaugeMetricFamily
        family = kind(name.removesuffix("_total"), metric.meaning, labels=metric.labels)
        for labels, value in values.items():
            family.add_metric(self._common(labels), value)
        return family

    def _histogram(self, name: str, metric: Exported, histogram: Histogram) -> Metric:
        family = HistogramMetricFamily(name, metric.meaning, labels=metric.labels)
        cumulative, total = histogram.read()
        bounds = [*(str(bound) for bound in histogram.bounds), "+Inf"]
        family.add_metric(self._common(), list(zip(bounds, map(float, cumulative), strict=True)), total)
        return family


def run_file_of(role: str, deployment: Deployment) -> Any:
    """Give the path where a worker says whether it is ready."""
    name = "models.json" if role == "models" else f"worker-{role}-{deployment.worker}.json"
    return deployment.run_folder / name


class _Handler(BaseHTTPRequestHandler):
    server: "_Server"
    protocol_version = "HTTP/1.1"
    timeout = SLOW_READER_S

    def do_GET(self) -> None:
        """Answer a scrape or a probe."""
        path = self.path.partition("?")[0]
        if path == "/metrics":
            self._answer(HTTPStatus.OK, generate_latest(self.server.registry), CONTENT_TYPE_LATEST)
        elif path == "/livez":
            self._probe("live", self.server.observed.is_alive(LIVE_WITHIN_S), "the event loop does not come round")
        elif path == "/readyz":
            self._probe("ready", self.server.exposed.is_ready(), self.server.exposed.why_not())
        else:
            self._answer(HTTPStatus.NOT_FOUND, b"There are /metrics, /livez and /readyz.\n", "text/plain")

    def _probe(self, what: str, holds: bool, reason: str) -> None:
        said = {what: holds} if holds else {what: holds, "reason": reason}
        status = HTTPStatus.OK if holds else HTTPStatus.SERVICE_UNAVAILABLE
        self._answer(status, json.dumps(said).encode(), "application/json")

    def _answer(self, status: HTTPStatus, body: bytes, content_type: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """A scrape every few seconds is no event."""


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, address: tuple[str, int], observed: Observed, exposed: Exposed) -> None:
        self.observed = observed
        self.exposed = exposed
        self.registry = CollectorRegistry()
        self.registry.register(exposed)
        super().__init__(address, _Handler)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A reader that went away is no error of ours."""


@contextmanager
def exposition(observed: Observed, deployment: Deployment) -> Iterator[int | None]:
    """Serve while the context lasts; the port, or None where ``PENSTOCK_METRICS`` is false. ``Unconfigured`` where it is taken."""
    if not deployment.metrics:
        yield None
        return
    address = (deployment.metrics_host, deployment.metrics_port)
    try:
        server = _Server(address, observed, Exposed(observed, deployment))
    except OSError as error:
        raise Unconfigured(
            f"The metrics cannot be served on {address[0]}:{address[1]}: {error.strerror or type(error).__name__}.",
            remedy="Leave PENSTOCK_METRICS_PORT at 0 where several workers share a machine, or set PENSTOCK_METRICS=false.",
        ) from error
    port = int(server.server_address[1])
    thread = threading.Thread(
        target=server.serve_forever, kwargs={"poll_interval": 0.1}, name="penstock-metrics", daemon=True
    )
    thread.start()
    said = run_files.metrics_file(deployment.run_folder, observed.role, deployment.worker)
    said.parent.mkdir(parents=True, exist_ok=True)
    run_files.replace_json(
        said,
        {
            "pid": os.getpid(),
            "role": observed.role,
            "worker": deployment.worker,
            "host": deployment.metrics_host,
            "port": port,
        },
    )
    try:
        yield port
    finally:
        said.unlink(missing_ok=True)
        server.shutdown()
        server.server_close()
        thread.join(SLOW_READER_S)
