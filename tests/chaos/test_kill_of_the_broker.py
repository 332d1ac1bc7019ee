"""Fault: kill -9 of the broker, started again at once on the same data, under 100 requests a second.

Invariant: nothing is lost, answered twice or paid twice; no role has to be started again for good. Bound: responses flow again in
every partition within 30 s, the broker's own start included.
"""

from __future__ import annotations

import pytest

from tests.chaos_parts.world import World, now_us

WITHIN_S = 30.0


@pytest.mark.chaos
@pytest.mark.timeout(240)
def test_a_killed_broker_comes_back_with_its_data_and_nothing_is_lost(world: World, seed: int, conclude) -> None:
    load = world.load("kill-broker", seed)
    load.start()
    world.await_flow()
    moment = world.fault()
    world.node.kill()
    world.node.start()
    world.await_flow()
    recovery_s = world.recovery_s(moment, now_us())
    conclude("kill_broker", world, world.verdict(load), recovery_s=recovery_s, within_s=WITHIN_S)
