"""The closed catalogue of metrics: every name that ``StageMeasured`` may carry, with what it says.

A name ends with its unit (``_total`` counts since the last report). Publishing another name is a ``ValueError``. What Prometheus is
given besides, and under which names, is in ``streams/exported.py``.
"""

from bisect import bisect_left
from collections.abc import Sequence

METRICS: dict[str, str] = {
    "handled_total": "events handled to the end",
    "retried_total": "attempts repeated after a failure",
    "dead_lettered_total": "events given up on, kept in the dead letters",
    "published_total": "events published",
    "repeats_total": "events recognised as repeats and not handled again",
    "ended_in_letters_total": "events whose request ended in the dead letters alone, because no response could be published",
    "lag_events_sum": "events that wait in the partitions of the worker: the end minus what was committed",
    "lag_events_max": "the same of the partition where most wait",
    "since_progress_s": "seconds since events were last handled or committed, while events wait",
    "paused_sources": "topics that the limit on dead letters has paused",
    "handling_ms_mean": "mean time to handle an event, in milliseconds",
    "handling_ms_max": "longest time to handle an event, in milliseconds",
    "in_flight": "events being handled at the moment of the report",
    "profile_stale_total": "profiles ignored because a newer version was held",
    "profile_version_max": "highest profile version held",
    "calls_total": "calls to model providers, retries included",
    "call_retries_total": "calls repeated after 408, 409, 429, 5xx or a lost connection",
    "call_failures_total": "calls given up on",
    "fallbacks_total": "requests answered by an alternative of their plan",
    "deferred_total": "plans put off to the topic deferred, because their tenant's calls were slow",
    "feedback_repeat_total": "feedback events seen before",
    "feedback_late_total": "feedback after its window",
    "feedback_orphan_total": "feedback for a request that never came",
    "feedback_out_of_range_total": "feedback with an impossible value",
    "rewards_rated_total": "rewards from users' feedback",
    "rewards_automatic_total": "rewards from automatic scores",
    "batches_total": "batches taken into the analytics storage",
    "ingested_total": "events taken into the analytics storage",
    "ingest_ms_mean": "mean time to store a batch, in milliseconds",
    "profiles_published_total": "profile versions published",
    "responses_answered_total": "requests that ended with an answer",
    "responses_refused_total": "requests that ended without an answer for a reason of the caller's: invalid, too long, no budget",
    "responses_unanswered_total": "requests that ended without an answer for a reason of ours or of a provider's",
    "cost_usd_total": "what model calls cost, in US dollars",
    "input_tokens_total": "tokens of prompts",
    "output_tokens_total": "tokens of answers",
    "rewards_below_floor_total": "rewards below what the service level `floor` promises",
    "profile_published_timestamp_s": "when the newest profile held was published, in seconds since 1970",
}
"""Name to meaning."""


class Histogram:
    """Counts values by upper bounds; cheaper than a lock, because only one thread observes."""

    __slots__ = ("_counts", "_sum", "bounds")

    def __init__(self, bounds: Sequence[float]) -> None:
        """``bounds`` ascend; a value equal to one counts below it, what is above the last counts as infinite."""
        self.bounds = tuple(bounds)
        self._counts = [0] * (len(self.bounds) + 1)
        self._sum = 0.0

    def observe(self, value: float) -> None:
        """Count a value."""
        self._counts[bisect_left(self.bounds, value)] += 1
        self._sum += value

    def read(self) -> tuple[list[int], float]:
        """Give how many were at most each bound, the last of all, and their sum."""
        cumulative, seen = [], 0
        for count in tuple(self._counts):
            seen += count
            cumulative.append(seen)
        return cumulative, self._sum


def known(name: str) -> str:
    """Return ``name``, or raise ``ValueError`` when it is not in the catalogue."""
    if name not in METRICS:
        msg = f"{name} is not in the catalogue of metrics (streams/metrics.py)"
        raise ValueError(msg)
    return name
