"""What a stage's own events say of it: answers and refusals, waits, costs, tokens, rewards.

In: every event that the stage published. Out: counts and values for the closed catalogue. Keeps histograms. Cannot fail. An event
published a second time after a crash counts a second time: these are an operator's figures, the exact ones are DuckDB's.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final, Protocol

from schemas import GenerationCompleted, GenerationFailed, Record, ResponseFailed, ResponseReady, RewardComputed
from streams.errors import Code
from streams.metrics import Histogram

OF_THE_CALLER: Final = frozenset(
    {
        Code.UNKNOWN_WORKFLOW,
        Code.UNKNOWN_STRATEGY,
        Code.EMPTY_MESSAGE,
        Code.MESSAGE_TOO_LONG,
        Code.INVALID_REQUEST,
        Code.NO_ELIGIBLE_STRATEGY,
        Code.COST_CEILING_REACHED,
    }
)
"""Codes of a response that are no failure of the service: what was asked may not be answered."""
_MS = 1e-3


class Count(Protocol):
    """Counts a metric of the closed catalogue."""

    def __call__(self, name: str, by: float = 1) -> None:
        """As ``Stage.count``."""


class Published:
    """Reads what was published. ``quality_floor`` is what the service level promises; None: nothing."""

    def __init__(self, count: Count, histograms: Mapping[str, Histogram]) -> None:
        self.quality_floor: float | None = None
        self._count = count
        self._histograms = histograms
        self._readers: dict[type[Record], Callable[[Any], None]] = {
            ResponseReady: self._answered,
            ResponseFailed: self._not_answered,
            GenerationCompleted: self._generated,
            GenerationFailed: self._not_generated,
            RewardComputed: self._rewarded,
        }

    def __call__(self, event: Record) -> None:
        """Take in an event."""
        reader = self._readers.get(type(event))
        if reader is not None:
            reader(event)

    def _observe(self, name: str, value: float) -> None:
        histogram = self._histograms.get(name)
        if histogram is not None:
            histogram.observe(value)

    def _answered(self, event: ResponseReady) -> None:
        self._count("responses_answered_total")
        self._observe("response_seconds", event.latency_ms * _MS)

    def _not_answered(self, event: ResponseFailed) -> None:
        refused = event.code in OF_THE_CALLER
        self._count("responses_refused_total" if refused else "responses_unanswered_total")
        self._observe("response_seconds", event.latency_ms * _MS)

    def _generated(self, event: GenerationCompleted) -> None:
        self._count("cost_usd_total", event.cost_usd)
        self._count("input_tokens_total", event.input_tokens)
        self._count("output_tokens_total", event.output_tokens)
        self._observe("generation_seconds", event.latency_ms * _MS)

    def _not_generated(self, event: GenerationFailed) -> None:
        self._count("cost_usd_total", event.cost_usd)
        self._observe("generation_seconds", event.latency_ms * _MS)

    def _rewarded(self, event: RewardComputed) -> None:
        if self.quality_floor is not None and event.reward < self.quality_floor:
            self._count("rewards_below_floor_total")
        self._observe("reward", event.reward)
