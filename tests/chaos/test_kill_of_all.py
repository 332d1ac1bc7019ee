"""Fault: kill -9 of all roles at once, under 100 requests a second.

Invariant: nothing is lost, answered twice or paid twice; what is stored is what is in the log. Bound: responses flow again in
every partition within 25 s (four processes start at once on the same cores).
"""

from __future__ import annotations

import pytest

from tests.chaos_parts.world import World, now_us

WITHIN_S = 25.0


@pytest.mark.chaos
@pytest.mark.timeout(240)
def test_all_roles_killed_at_once_lose_nothing_and_do_nothing_twice(world: World, seed: int, conclude) -> None:
    load = world.load("kill-all", seed)
    load.start()
    world.await_flow()
    killed = world.pids()
    moment = world.kill(*killed)
    world.await_others_in_place_of(killed)
    world.await_flow()
    recovery_s = world.recovery_s(moment, now_us())
    conclude("kill_all", world, world.verdict(load), recovery_s=recovery_s, within_s=WITHIN_S)
