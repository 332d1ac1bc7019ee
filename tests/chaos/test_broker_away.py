"""Fault: the broker is away for 20 s (killed, its data kept), under 100 requests a second that the load holds back meanwhile.

Invariant: nothing is lost, answered twice or paid twice; what passed its deadline meanwhile is answered so. Bound: responses
flow again in every partition within 45 s of the fault.
"""

from __future__ import annotations

import time

import pytest

from tests.chaos_parts.world import World, now_us
from tests.waiting import eventually

AWAY_S = 20.0
WITHIN_S = 45.0


@pytest.mark.chaos
@pytest.mark.timeout(300)
def test_a_broker_that_is_away_for_20_s_costs_nothing_but_time(world: World, seed: int, conclude) -> None:
    load = world.load("broker-away", seed)
    load.start()
    world.await_flow()
    moment = world.fault()
    world.node.kill()
    back_s = time.monotonic() + AWAY_S
    eventually(lambda: time.monotonic() >= back_s, AWAY_S + 5)
    world.node.start()
    world.await_flow()
    recovery_s = world.recovery_s(moment, now_us())
    conclude("broker_away", world, world.verdict(load), recovery_s=recovery_s, within_s=WITHIN_S)
