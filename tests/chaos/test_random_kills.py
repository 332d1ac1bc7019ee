"""Fault: 20 rounds of kill -9 of one to three processes drawn by a seed, over 10,000 requests at 100 a second, two workers of
each role but analytics, which is one.

Invariant: lost 0, second answers to a reader who drops repeats 0, no finished request paid again; DuckDB's totals equal the
log's; the learned profile equals a replay's, byte for byte. Bound: no partition waits for responses more than 40 s (a role that is
killed again and again is started again ever later).
"""

from __future__ import annotations

import random
import time
from pathlib import Path

import pytest

from tests.chaos_parts.stored import await_equal_totals, profiles_of_log, profiles_published, profiles_replayed
from tests.chaos_parts.world import World, now_us
from tests.waiting import eventually

REQUESTS = 10_000
ROUNDS = 20
PAUSE_S = 4.5
WITHIN_S = 40.0


@pytest.mark.chaos
@pytest.mark.timeout(420)
def test_twenty_rounds_of_random_kills_lose_nothing_and_teach_nothing_else(
    own_world, seed: int, conclude, tmp_path: Path
) -> None:
    with own_world(workers=dict.fromkeys(("router", "generator", "evaluator"), 2)) as world:
        load = world.load("random", seed, most=REQUESTS)
        load.start()
        world.await_flow()
        begun_us = now_us()
        kill_at_random(world, random.Random(seed))
        load.wait()
        until_us = now_us()
        verdict = world.verdict(load)
        recovery_s = world.recovery_s(begun_us, until_us)
        conclude("random_kills", world, verdict, recovery_s=recovery_s, within_s=WITHIN_S)
        assert verdict.requests == REQUESTS
        await_equal_totals(world.deployment, world.reader)
        versions = profiles_of_log(world.reader.entries)
        published = profiles_published(world.deployment)
        replayed = dict(profiles_replayed(world.deployment, world.environ, tmp_path / "replayed", versions))
        assert versions
        assert replayed == {entry.fields["version"]: published[entry.fields["version"]] for entry in versions}


def kill_at_random(world: World, chance: random.Random) -> None:
    """Kill one to three processes, again and again."""
    for _ in range(ROUNDS):
        living = world.pids()
        world.kill(*chance.sample(living, min(len(living), chance.randint(1, 3))))
        next_s = time.monotonic() + PAUSE_S
        eventually(lambda: time.monotonic() >= next_s, PAUSE_S + 5)  # noqa: B023 - called at once
