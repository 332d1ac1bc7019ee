"""Fault: SIGSTOP of one of two workers of each role for 15 s, longer than the broker waits for one, and then SIGCONT.

Invariant: nothing is lost, answered twice or paid twice, though two workers take one partition for theirs for a moment.
Bound: responses flow again in every partition within 25 s.
"""

from __future__ import annotations

import signal
import time

import pytest

from tests.chaos_parts.world import now_us
from tests.waiting import eventually

STOPPED_S = 15.0
WITHIN_S = 25.0


@pytest.mark.chaos
@pytest.mark.timeout(240)
def test_workers_that_stand_still_for_15_s_lose_nothing_and_do_nothing_twice(own_world, seed: int, conclude) -> None:
    with own_world(workers=dict.fromkeys(("router", "generator", "evaluator"), 2)) as world:
        load = world.load("sigstop", seed)
        load.start()
        world.await_flow()
        stopped = [world.pids(role)[0] for role in ("router", "generator", "evaluator")]
        moment = world.kill(*stopped, by=signal.SIGSTOP)
        on_s = time.monotonic() + STOPPED_S
        eventually(lambda: time.monotonic() >= on_s, STOPPED_S + 5)
        world.kill(*stopped, by=signal.SIGCONT)
        world.await_flow()
        recovery_s = world.recovery_s(moment, now_us())
        conclude("sigstop", world, world.verdict(load), recovery_s=recovery_s, within_s=WITHIN_S)
