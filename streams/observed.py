"""What a worker's metrics are read from: a stage, the analytics consumer, or the model server.

In: what runs. Out: an ``Observed`` for ``streams/exposition.py``. Keeps nothing. Cannot fail: a stage that has no event loop yet,
or no longer, is not alive.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Protocol

from streams.metrics import Histogram

if TYPE_CHECKING:  # a worker of analytics needs no Faust, which takes a second to import
    import asyncio

    from streams.stage import Stage


class Consumer(Protocol):
    """What of the analytics consumer is read."""

    def totals(self) -> Mapping[str, float]:
        """Give counters since the start."""

    def histograms(self) -> Mapping[str, Histogram]:
        """Give histograms by name."""

    def lag(self) -> Mapping[tuple[str, int], int]:
        """Give the events that wait by (topic, partition)."""

    def paused(self) -> Iterable[str]:
        """Give the topics that are paused."""


class OfTheModels:
    """The model server: its process, and whether it serves."""

    role = "models"

    def totals(self) -> Mapping[str, float]:
        """It counts nothing; the generator counts the calls."""
        return {}

    def histograms(self) -> Mapping[str, Histogram]:
        """It has none."""
        return {}

    def lag(self) -> Mapping[tuple[str, int], int]:
        """It reads no topic."""
        return {}

    def paused(self) -> Iterable[str]:
        """It reads no topic."""
        return ()

    def is_alive(self, within_s: float) -> bool:
        """It answers, so it is."""
        del within_s
        return True


class OfAnalytics(OfTheModels):
    """The analytics consumer."""

    role = "analytics"

    def __init__(self, consumer: Consumer) -> None:
        self._consumer = consumer

    def totals(self) -> Mapping[str, float]:
        """Give counters since the start."""
        return self._consumer.totals()

    def histograms(self) -> Mapping[str, Histogram]:
        """Give histograms by name."""
        return self._consumer.histograms()

    def lag(self) -> Mapping[tuple[str, int], int]:
        """Give the events that wait by (topic, partition)."""
        return self._consumer.lag()

    def paused(self) -> Iterable[str]:
        """Give the topics that are paused."""
        return self._consumer.paused()


class OfAStage:
    """A stage in an event loop."""

    def __init__(self, stage: Stage, loop: asyncio.AbstractEventLoop) -> None:
        self._stage = stage
        self._loop = loop

    @property
    def role(self) -> str:
        """The stage's role."""
        return self._stage.role

    def totals(self) -> Mapping[str, float]:
        """Give counters since the start, and gauges."""
        return {**self._stage.totals(), "in_flight": float(self._stage.delivery.in_flight)}

    def histograms(self) -> Mapping[str, Histogram]:
        """Give histograms by name."""
        return self._stage.histograms

    def lag(self) -> Mapping[tuple[str, int], int]:
        """Give the events that wait by (topic, partition)."""
        return self._stage.lag()

    def paused(self) -> Iterable[str]:
        """Give the topics that are paused."""
        return self._stage.paused()

    def is_alive(self, within_s: float) -> bool:
        """Ask the event loop for a sign, and wait for it so long."""
        came_round = threading.Event()
        try:
            self._loop.call_soon_threadsafe(came_round.set)
        except RuntimeError:  # it is closed
            return False
        return came_round.wait(within_s)
