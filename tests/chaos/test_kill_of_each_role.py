"""Fault: kill -9 of each role in turn, under 100 requests a second, one worker each; 30 where the machine has other work.

Invariant: nothing is lost, answered twice or paid twice; what is stored is what is in the log. Bound: another worker
works within 12 s.
"""

from __future__ import annotations

import os

import pytest

from streams.topics import STAGES
from tests.chaos_parts.load import BOUNDS_VARIABLE, RATE, Load
from tests.chaos_parts.stored import LOOK_EVERY_S, stored_until_us
from tests.chaos_parts.world import FLOW, World, now_us
from tests.waiting import eventually

WITHIN_S = 12.0
RATE_BESIDE_OTHERS = 30
"""In `make test`, which runs anywhere: what a machine at half its speed keeps up with while it starts a worker."""


@pytest.mark.timeout(300)
def test_a_killed_role_is_replaced_within_12_s_and_nothing_is_lost_nor_done_twice(
    world: World, seed: int, conclude
) -> None:
    kills = [(role, *_killed(world, role, seed)) for role in STAGES]
    for role, load, recovery_s in kills:
        conclude(f"kill_{role}", world, world.verdict(load), recovery_s=recovery_s, within_s=WITHIN_S)


def _killed(world: World, role: str, seed: int) -> tuple[Load, float]:
    """Kill a role under a load; the load, and how long it took until the role worked again."""
    load = world.load(f"kill-{role}", seed, rate=RATE if BOUNDS_VARIABLE in os.environ else RATE_BESIDE_OTHERS)
    load.start()
    world.await_flow(FLOW.get(role, "responses"))
    killed = world.pids(role)
    moment = world.kill(*killed)
    world.await_others_in_place_of(killed)
    if role in FLOW:
        world.await_flow(FLOW[role])
        recovery_s = world.recovery_s(moment, now_us(), FLOW[role])
    else:
        eventually(
            lambda: stored_until_us(world.deployment) > moment,
            60,
            describe="what came since is stored",
            every_s=LOOK_EVERY_S,
        )
        recovery_s = (now_us() - moment) / 1e6
    load.stop()
    return load, recovery_s
