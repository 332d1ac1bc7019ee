"""A worker on a machine whose clock is wrong: ``python -m tests.chaos_parts.apart_worker SECONDS ROLE``.

In: how far the clock is ahead, and the role. Out: what ``streams.worker`` does. The clock is wrong for everything that is imported
afterwards, Faust and aiokafka too: it is the machine's.
"""

from __future__ import annotations

import sys
import time

NS_PER_S = 1_000_000_000


def put_the_clock_ahead(seconds: int) -> None:
    """Have Python's wall clock tell another time."""
    right_ns, right_s = time.time_ns, time.time
    time.time_ns = lambda: right_ns() + seconds * NS_PER_S
    time.time = lambda: right_s() + seconds


if __name__ == "__main__":
    put_the_clock_ahead(int(sys.argv[1]))
    from streams.worker import main

    sys.exit(main(sys.argv[2:]))
