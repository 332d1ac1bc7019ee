"""Fault: kill -9 of generators whose wrapper acknowledges an event before it is handled: what the fault suite is there to find.

Invariant: the suite reports losses. Bound: at least one in every two requests that were in flight (100 a second, answered after
1 s). A suite that counts nothing here would count nothing anywhere.
"""

from __future__ import annotations

import sys

import pytest

IN_FLIGHT = 100
ANSWERED_AFTER_S = 1.0
QUIET_S = 14.0


@pytest.mark.timeout(200)
def test_with_acknowledgement_before_handling_the_suite_reports_losses(own_world, seed: int) -> None:
    def broken(role: str) -> list[str]:
        return [sys.executable, "-m", "tests.chaos_parts.broken_worker", role]

    with own_world(command=broken) as world:
        world.provider.be("answer", ANSWERED_AFTER_S)
        load = world.load("broken", seed)
        load.start()
        world.await_flow()
        killed = world.pids("generator")
        world.kill(*killed)
        world.await_others_in_place_of(killed)
        verdict = world.verdict(load, quiet_s=QUIET_S)
    assert len(verdict.lost) >= IN_FLIGHT / 2, verdict.figures()
