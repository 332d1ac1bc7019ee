"""Fault: SIGTERM of each role in turn, as a deploy sends it, under 100 requests a second.

Invariant: nothing is lost, answered twice or paid twice. Bound: another worker works within 12 s.
"""

from __future__ import annotations

import signal

import pytest

from streams.topics import STAGES
from tests.chaos_parts.world import World, now_us

WITHIN_S = 12.0


@pytest.mark.chaos
@pytest.mark.timeout(240)
def test_a_role_that_is_told_to_end_leaves_nothing_undone(world: World, seed: int, conclude) -> None:
    load = world.load("sigterm", seed)
    load.start()
    world.await_flow()
    recovery_s = 0.0
    for role in STAGES:
        told = world.pids(role)
        moment = world.kill(*told, by=signal.SIGTERM)
        world.await_others_in_place_of(told)
        world.await_flow()
        recovery_s = max(recovery_s, world.recovery_s(moment, now_us()))
    conclude("sigterm", world, world.verdict(load), recovery_s=recovery_s, within_s=WITHIN_S)
