"""The closed catalogue of what Prometheus is given: every name with its type, its labels, who has it and what it says.

In: the catalogue of ``StageMeasured`` (``streams/metrics.py``). Out: ``EXPORTED``. Keeps nothing. Names follow Prometheus: the
prefix ``penstock_``, seconds and bytes and never parts of them, ``_total`` on counters. Every metric carries ``role`` and
``worker``; besides them only ``topic`` and ``partition``: how many series a worker makes does not depend on what it is asked.
"""

from dataclasses import dataclass
from typing import Final, Literal

from streams.metrics import METRICS

Kind = Literal["counter", "gauge", "histogram"]
PREFIX: Final = "penstock_"
COMMON: Final = ("role", "worker")
STAGED: Final = ("router", "generator", "evaluator")
ALL: Final = (*STAGED, "analytics", "models")
FAST_S: Final = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
"""Bounds for handling, in seconds."""
WAIT_S: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 3.0, 5.0, 10.0, 20.0, 30.0, 60.0)
"""Bounds for what a user waits for, in seconds."""
REWARD: Final = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)


@dataclass(frozen=True)
class Exported:
    """A metric: ``of`` is its name in ``StageMeasured``, where it has one; ``bounds`` are a histogram's."""

    kind: Kind
    meaning: str
    roles: tuple[str, ...] = STAGED
    labels: tuple[str, ...] = COMMON
    of: str | None = None
    bounds: tuple[float, ...] = ()


REPORTED_ONLY: Final[dict[str, str]] = {
    "handling_ms_mean": "penstock_handling_seconds",
    "handling_ms_max": "penstock_handling_seconds",
    "ingest_ms_mean": "penstock_ingest_seconds",
    "lag_events_sum": "penstock_lag_events",
    "lag_events_max": "penstock_lag_events",
    "paused_sources": "penstock_paused",
}
"""What ``StageMeasured`` carries and Prometheus is not given, because the metric beside it says more."""

_ROLES: Final[dict[str, tuple[str, ...]]] = {
    "dead_lettered_total": (*STAGED, "analytics"),
    "since_progress_s": (*STAGED, "analytics"),
    "repeats_total": ("generator", "evaluator", "analytics"),
    "profile_stale_total": ("router",),
    "profile_version_max": ("router",),
    "profile_published_timestamp_s": ("router",),
    "calls_total": ("generator",),
    "call_retries_total": ("generator",),
    "call_failures_total": ("generator",),
    "fallbacks_total": ("generator",),
    "deferred_total": ("generator",),
    "feedback_repeat_total": ("evaluator",),
    "feedback_late_total": ("evaluator",),
    "feedback_orphan_total": ("evaluator",),
    "feedback_out_of_range_total": ("evaluator",),
    "rewards_rated_total": ("evaluator",),
    "rewards_automatic_total": ("evaluator",),
    "rewards_below_floor_total": ("evaluator",),
    "batches_total": ("analytics",),
    "ingested_total": ("analytics",),
    "profiles_published_total": ("analytics",),
    "responses_answered_total": ("generator",),
    "responses_refused_total": ("router", "generator"),
    "responses_unanswered_total": ("router", "generator"),
    "cost_usd_total": ("generator",),
    "input_tokens_total": ("generator",),
    "output_tokens_total": ("generator",),
}
"""Who has what is not every stage's. A counter is there from the start, at 0, or the first of anything would be no increase."""

_RENAMED: Final = {
    "profile_published_timestamp_s": "profile_published_timestamp_seconds",
    "since_progress_s": "since_progress_seconds",
}


def _own(
    kind: Kind, meaning: str, *roles: str, labels: tuple[str, ...] = (), bounds: tuple[float, ...] = ()
) -> Exported:
    return Exported(kind, meaning, roles or ALL, (*COMMON, *labels), bounds=bounds)


_OWN: Final = {
    "ready": _own("gauge", "1 while the worker really consumes (the model server: while it serves), else 0"),
    "lag_events": _own(
        "gauge", "events that wait in a partition of the worker", *STAGED, "analytics", labels=("topic", "partition")
    ),
    "paused": _own(
        "gauge", "1 for a topic that the limit on dead letters has paused", *STAGED, "analytics", labels=("topic",)
    ),
    "handling_seconds": _own("histogram", "time to handle an event, all attempts together", *STAGED, bounds=FAST_S),
    "response_seconds": _own(
        "histogram", "time from a request to its terminal response", "router", "generator", bounds=WAIT_S
    ),
    "generation_seconds": _own(
        "histogram", "time of a step of a plan at its model, all tries", "generator", bounds=WAIT_S
    ),
    "ingest_seconds": _own("histogram", "time to store a batch", "analytics", bounds=FAST_S),
    "reward": _own("histogram", "rewards, between 0 and 1", "evaluator", bounds=REWARD),
    "process_cpu_seconds_total": _own("counter", "processor time of the process"),
    "process_resident_memory_bytes": _own("gauge", "memory of the process"),
    "process_start_time_seconds": _own("gauge", "when the process started, in seconds since 1970"),
    "process_open_fds": _own("gauge", "open file descriptors of the process"),
}

EXPORTED: Final[dict[str, Exported]] = {
    **{
        PREFIX + _RENAMED.get(name, name): Exported(
            "counter" if name.endswith("_total") else "gauge", meaning, _ROLES.get(name, STAGED), of=name
        )
        for name, meaning in METRICS.items()
        if name not in REPORTED_ONLY
    },
    **{PREFIX + name: metric for name, metric in _OWN.items()},
}
"""Name to what it is."""


def histograms_of(role: str) -> dict[str, Exported]:
    """Give the histograms that a role has, by name without the prefix."""
    return {
        name.removeprefix(PREFIX): metric
        for name, metric in EXPORTED.items()
        if metric.kind == "histogram" and role in metric.roles
    }
