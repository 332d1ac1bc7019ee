"""The time as the broker has it, where this machine's clock is far from it: workers whose clocks disagree agree on deadlines.

In: this machine's clock; for each publication that the broker confirmed, when it was sent, when confirmed, and the time at which
the broker says it took it. Out: the time in microseconds since 1970-01-01 UTC. Keeps a correction. Cannot fail.

The broker took a message between sending and confirmation, so the difference of the clocks is known to half of what that
took. Below ``APART_US`` (and below that half) clocks count as the same: a correction that follows every millisecond would disturb
what is measured, and deadlines are seconds. A topic whose times are its producers' (``message.timestamp.type`` is not
``LogAppendTime``) tells nothing.
"""

from collections.abc import Callable

from streams.logs import logger

APART_US = 1_000_000
US_PER_MS = 1_000
LOG_APPEND = 1
"""Kafka's number for a time that the broker gave."""


class BrokerClock:
    """Gives the time; corrected where this machine's clock is apart from the broker's."""

    def __init__(self, clock: Callable[[], int]) -> None:
        self._clock = clock
        self._correction_us = 0
        self._log = logger(clock=True)

    def __call__(self) -> int:
        """Give the broker's time."""
        return self._clock() + self._correction_us

    def own(self) -> int:
        """Give this machine's time."""
        return self._clock()

    def confirmed(self, sent_us: int, logged_at_ms: int | None, kind: int | None) -> None:
        """Learn from a publication: ``sent_us`` is ``own()`` before it was sent; the confirmation came now."""
        if kind != LOG_APPEND or logged_at_ms is None or logged_at_ms <= 0:
            return
        confirmed_us = self._clock()
        uncertain_us = abs(confirmed_us - sent_us) // 2
        apart_us = logged_at_ms * US_PER_MS - (sent_us + confirmed_us) // 2
        if abs(apart_us - self._correction_us) <= APART_US + uncertain_us:
            return
        self._correction_us = apart_us if abs(apart_us) > APART_US else 0
        self._log.warning("clock_apart_from_brokers", apart_ms=-apart_us // US_PER_MS)
