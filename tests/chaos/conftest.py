"""The world that the fault files share, and what each says when it is done.

A fault file takes ``world`` (all roles, running and well), makes a load of its own, does its fault, and hands its verdict to
``conclude``. A seed is drawn for each test, or taken from ``PENSTOCK_CHAOS_SEED``; it is printed where the test fails.
"""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.chaos_parts.counting import Verdict
from tests.chaos_parts.load import BOUNDS_VARIABLE
from tests.chaos_parts.provider import provider
from tests.chaos_parts.stored import await_equal_totals
from tests.chaos_parts.world import World, needs_jars, started

Conclude = Callable[..., None]


@pytest.fixture
def seed() -> int:
    """The seed of a test's load and kills; shown where the test fails, because pytest prints what a test printed."""
    drawn = int(os.environ.get("PENSTOCK_CHAOS_SEED", "0")) or random.SystemRandom().randrange(1, 1_000_000)
    print(f"seed: PENSTOCK_CHAOS_SEED={drawn}")  # noqa: T201
    return drawn


@pytest.fixture(scope="session")
def shared_world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """All roles, one worker each, started once for all fault files that leave it whole."""
    with started(tmp_path_factory) as running:
        yield running


@pytest.fixture
def world(shared_world: World) -> Iterator[World]:
    """The shared world, well again before and after."""
    shared_world.begin_anew()
    yield shared_world
    shared_world.begin_anew()


@pytest.fixture
def own_world(tmp_path: Path) -> Iterator[Callable[..., World]]:
    """Starts a world for one test alone; arguments as ``World`` takes them."""
    needs_jars()
    with provider(tmp_path / "ledger.jsonl") as paid:
        yield lambda **more: World(tmp_path / "world", paid, **more)


@pytest.fixture
def conclude(record_property: Callable[[str, object], None]) -> Conclude:
    """Records a fault's figures for ``var/chaos.json`` and holds them to the invariant."""

    def concluded(
        name: str, world: World, verdict: Verdict, *, recovery_s: float = 0.0, within_s: float | None = None
    ) -> None:
        verdict.max_recovery_s = recovery_s
        record_property("chaos", {"name": name, **verdict.figures()})
        print(f"{name}: {verdict.figures()}, {verdict.repeats} repeats, failed {dict(verdict.failed)}")  # noqa: T201
        wrong = verdict.wrong()
        assert not wrong, wrong
        await_equal_totals(world.deployment, world.reader)
        if BOUNDS_VARIABLE in os.environ:
            assert within_s is None or recovery_s < within_s, recovery_s

    return concluded
