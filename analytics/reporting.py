"""What the analytics process counts, and what it tells of that every few seconds.

In: counts as the loop goes on, and gauges as they are. Out: totals since the start; ``StageMeasured`` with what was counted since
the report before. Keeps the counts. Fails with nothing.
"""

import os
from collections.abc import Mapping

from schemas import Measure, StageMeasured
from streams.delivery import Clock
from streams.identity import event_id
from streams.metrics import known

COUNTED = (
    "batches_total",
    "ingested_total",
    "dead_lettered_total",
    "repeats_total",
    "profiles_published_total",
)


class Reports:
    """The counts of one process. ``role`` and ``worker`` are whose; ``clock`` gives microseconds since 1970-01-01 UTC."""

    def __init__(self, role: str, worker: str, clock: Clock) -> None:
        self.worker = f"{worker}:{os.getpid()}"
        self._role = role
        self._clock = clock
        self._started_us = clock()
        self._sequence = 0
        self._counts = dict.fromkeys(COUNTED, 0)
        self._reported = dict(self._counts)
        self._ingest_s = 0.0

    def count(self, name: str, more: int = 1) -> None:
        """Add to a counter."""
        self._counts[name] += more

    def took(self, ingest_s: float) -> None:
        """Note how long a batch took, in seconds."""
        self._ingest_s += ingest_s

    def totals(self) -> dict[str, float]:
        """Give the counters since the start; from any thread."""
        return {name: float(count) for name, count in self._counts.items()}

    def made(self, standing: Mapping[str, float]) -> StageMeasured:
        """Give the report that is due, with gauges by name."""
        counts = {name: count - self._reported[name] for name, count in self._counts.items()}
        values: dict[str, float] = {**counts, **standing}
        if counts["batches_total"]:
            values["ingest_ms_mean"] = self._ingest_s * 1_000 / counts["batches_total"]
        report = StageMeasured(
            event_id=event_id("StageMeasured", self._role, self.worker, str(self._started_us), str(self._sequence)),
            occurred_at_us=self._clock(),
            stage=self._role,
            worker=self.worker,
            sequence=self._sequence,
            measures=tuple(Measure(name=known(name), value=float(value)) for name, value in values.items()),
        )
        self._sequence += 1
        self._reported = dict(self._counts)
        self._ingest_s = 0.0
        return report
