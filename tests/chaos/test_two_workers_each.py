"""Faults among two workers of each role but analytics, which is one, under 100 requests a second.

20 rounds of kill -9 of one to three processes drawn by a seed, over 10,000 requests. Invariant: lost 0, second answers to a
reader who drops repeats 0, no finished request paid again; DuckDB's totals equal the log's; the learned profile equals a
replay's, byte for byte. Bound: no partition waits for responses more than 40 s (a role that is killed again and again is
started again ever later).

SIGSTOP of one of two workers of each role for 15 s, longer than the broker waits for one, and then SIGCONT. Invariant: nothing
is lost, answered twice or paid twice, though two workers take one partition for theirs for a moment. Bound: responses flow
again in every partition within 25 s.
"""

from __future__ import annotations

import random
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.chaos_parts.stored import profiles_of_log, profiles_published, profiles_replayed
from tests.chaos_parts.world import World, now_us, started
from tests.waiting import eventually

REQUESTS = 10_000
ROUNDS = 20
PAUSE_S = 4.5
WITHIN_S = 40.0
DOUBLED = ("router", "generator", "evaluator")
STOPPED_S = 15.0
FLOWS_WITHIN_S = 25.0


@pytest.fixture(scope="module")
def shared_pairs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """Two workers each, for both tests."""
    with started(tmp_path_factory, workers=dict.fromkeys(DOUBLED, 2)) as running:
        yield running


@pytest.fixture
def pairs(shared_pairs: World) -> Iterator[World]:
    """The same, well again before and after."""
    shared_pairs.begin_anew()
    yield shared_pairs
    shared_pairs.begin_anew()


@pytest.mark.chaos
@pytest.mark.timeout(420)
def test_twenty_rounds_of_random_kills_lose_nothing_and_teach_nothing_else(
    pairs: World, seed: int, conclude: Any, tmp_path: Path
) -> None:
    load = pairs.load("random", seed, most=REQUESTS)
    load.start()
    pairs.await_flow()
    begun_us = now_us()
    kill_at_random(pairs, random.Random(seed))
    load.wait()
    until_us = now_us()
    verdict = pairs.verdict(load)
    assert verdict.requests == REQUESTS
    recovery_s = pairs.recovery_s(begun_us, until_us)
    conclude("random_kills", pairs, verdict, recovery_s=recovery_s, within_s=WITHIN_S)
    versions = profiles_of_log(pairs.reader.entries)
    published = profiles_published(pairs.deployment)
    replayed = dict(profiles_replayed(pairs.deployment, pairs.environ, tmp_path / "replayed", versions))
    assert versions
    assert replayed == {entry.fields["version"]: published[entry.fields["version"]] for entry in versions}


def kill_at_random(world: World, chance: random.Random) -> None:
    """Kill one to three processes, again and again."""
    for _ in range(ROUNDS):
        living = world.pids()
        world.kill(*chance.sample(living, min(len(living), chance.randint(1, 3))))
        next_s = time.monotonic() + PAUSE_S
        eventually(lambda: time.monotonic() >= next_s, PAUSE_S + 5)  # noqa: B023 - called at once


@pytest.mark.chaos
@pytest.mark.timeout(240)
def test_workers_that_stand_still_for_15_s_lose_nothing_and_do_nothing_twice(
    pairs: World, seed: int, conclude: Any
) -> None:
    load = pairs.load("sigstop", seed)
    load.start()
    pairs.await_flow()
    stopped = [pairs.pids(role)[0] for role in DOUBLED]
    moment = pairs.kill(*stopped, by=signal.SIGSTOP)
    on_s = time.monotonic() + STOPPED_S
    eventually(lambda: time.monotonic() >= on_s, STOPPED_S + 5)
    pairs.kill(*stopped, by=signal.SIGCONT)
    pairs.await_flow()
    recovery_s = pairs.recovery_s(moment, now_us())
    conclude("sigstop", pairs, pairs.verdict(load), recovery_s=recovery_s, within_s=FLOWS_WITHIN_S)
