"""Fault: clocks 5 minutes apart, of callers and of workers, under 100 requests a second.

A third of the conversations says that it is 5 minutes earlier than it is, a third 5 minutes later. The router's clock is 5 minutes
ahead, the generator's 5 minutes behind, the evaluator's and analytics' ahead. Invariant: nothing is lost, answered twice or paid
twice, and no request ends as late that was in time: all are answered. The times that are reported and learned are right to seconds.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any
from zlib import crc32

import pytest

from tests.chaos_parts.world import World

APART_S = {"router": 300, "generator": -300, "evaluator": 300, "analytics": 300}
MINUTES_5_US = 300_000_000
REQUESTS = 1_500
LONGEST_MS = 60_000


def command(role: str) -> list[str]:
    return [sys.executable, "-m", "tests.chaos_parts.apart_worker", str(APART_S[role]), role]


@pytest.mark.chaos
@pytest.mark.timeout(240)
def test_clocks_that_are_five_minutes_apart_cost_nobody_an_answer(
    own_world: Callable[..., World], seed: int, conclude: Any
) -> None:
    with own_world(command=command) as world:
        load = world.load("clocks", seed, most=REQUESTS)
        load.tell_the_time(lambda conversation: (crc32(conversation.encode()) % 3 - 1) * MINUTES_5_US)
        load.start()
        load.wait()
        verdict = world.verdict(load)
        assert not verdict.failed, verdict.failed
        took_ms = [entry.fields["latency_ms"] for entry in world.reader.entries["responses"]]
        assert max(took_ms) < LONGEST_MS, max(took_ms)
        conclude("clocks_apart", world, verdict)
