"""Fault: the provider takes calls and never answers, under 100 requests a second with a deadline of 6 s each.

Invariant: every request is answered (deadline_exceeded) and none is lost; when the provider answers again, so does Penstock. Bound:
while it hangs the generator grows by less than 150 MiB; answers flow again within 12 s.
"""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from tests.chaos_parts.world import ANSWERS, ORPHANS_WAIT_S, QUIET_S, World, now_us
from tests.waiting import eventually

HANGS_S = 18.0
DEADLINE_MS = 6_000
SOON_S = 0.05
"""Well under the time that Penstock leaves for a call: one that it begins last is not given up while the answer is on its way."""
GROWTH_MIB = 150
WITHIN_S = 12.0


@pytest.mark.chaos
@pytest.mark.timeout(240)
def test_a_provider_that_hangs_costs_answers_and_no_memory(world: World, seed: int, conclude) -> None:
    load = world.load("hangs", seed, deadline_ms=DEADLINE_MS)
    load.start()
    world.await_flow()
    before_mib = resident_mib(world.pids("generator")[0])
    world.fault()
    world.provider.be("hang")
    until_s = time.monotonic() + HANGS_S
    most_mib = before_mib

    def is_over() -> bool:
        nonlocal most_mib
        most_mib = max(most_mib, resident_mib(world.pids("generator")[0]))
        return time.monotonic() > until_s

    eventually(is_over, HANGS_S + 5)
    again = world.fault()
    world.provider.be("answer", SOON_S)
    world.await_flow(since_us=again, kinds=ANSWERS)
    recovery_s = world.answers_recovery_s(again, now_us())
    verdict = world.verdict(
        load, quiet_s=ORPHANS_WAIT_S + QUIET_S
    )  # feedback to what has no answer waits so long for one
    assert verdict.failed["deadline_exceeded"] > 0, verdict.failed
    assert set(verdict.failed) <= {"deadline_exceeded", "provider_unavailable"}, verdict.failed
    conclude("provider_hangs", world, verdict, recovery_s=recovery_s, within_s=WITHIN_S)
    assert most_mib - before_mib < GROWTH_MIB, (before_mib, most_mib)


def resident_mib(pid: int) -> float:
    """The memory that a process holds."""
    lines = Path(f"/proc/{pid}/status").read_text(encoding="utf-8").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS")) / 1024
