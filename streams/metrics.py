"""The closed catalogue of metrics: every name that ``StageMeasured`` may carry, with what it says.

A name ends with its unit (``_total`` counts since the last report). Publishing another name is a ``ValueError``.
"""

METRICS: dict[str, str] = {
    "handled_total": "events handled to the end",
    "retried_total": "attempts repeated after a failure",
    "dead_lettered_total": "events given up on, kept in the dead letters",
    "published_total": "events published",
    "repeats_total": "events recognised as repeats and not handled again",
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
}
"""Name to meaning."""


def known(name: str) -> str:
    """Return ``name``, or raise ``ValueError`` when it is not in the catalogue."""
    if name not in METRICS:
        msg = f"{name} is not in the catalogue of metrics (streams/metrics.py)"
        raise ValueError(msg)
    return name
