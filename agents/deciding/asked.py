"""When a request was asked: its deadline begins then, whatever the caller's clock says.

In: what the caller says, and when the broker took the request. Out: one of them. Keeps nothing. Cannot fail.

    taken in by the broker                      where the caller says anything from 15 minutes before it on
    what the caller says                        where that is older: an old request that somebody sends again keeps its time,
                                                ends as late, and is not paid for
"""

CLOCKS_APART_US = 15 * 60 * 1_000_000
"""Clocks of callers may be so far behind."""


def asked_at_us(stated_us: int, taken_in_us: int | None, now_us: int) -> int:
    """Give the time in microseconds since 1970-01-01 UTC, never later than ``now_us``: a clock that is ahead buys no time."""
    believed = taken_in_us is None or stated_us < taken_in_us - CLOCKS_APART_US
    return min(stated_us if believed or taken_in_us is None else taken_in_us, now_us)
