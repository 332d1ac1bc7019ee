"""Faults: a full disk under analytics' folder, and a torn write of its DuckDB file, under 100 requests a second.

Invariant: requests are answered meanwhile; afterwards the totals by SQL equal the log's, and nothing is lost, answered twice or
paid twice. Bound: analytics takes in again within 30 s of there being room, or of the tear.
"""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from analytics.private_file import NAME
from tests.chaos_parts.stored import await_equal_totals
from tests.chaos_parts.world import World, now_us
from tests.waiting import eventually

DISK_MIB = 64
US_PER_S = 1e6
WITHIN_S = 30.0
TORN_BYTES = 777
"""Neither a block nor a record ends there."""


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own, which is soon full."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={DISK_MIB}m", "tmpfs", str(folder)], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("Nothing may be mounted here: the test of a full disk needs root.")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def fill(folder: Path) -> Path:
    """Leave no byte; the file that takes the room."""
    ballast = folder / "ballast"
    with ballast.open("wb", buffering=0) as file:
        try:
            while file.write(b"\0" * 4096):
                continue
        except OSError:
            return ballast
    raise AssertionError("the disk is never full")


def took_s(world: World, since_us: int) -> float:
    """Wait until analytics says of what is stored what the log says; how long it took since a moment."""
    world.await_ready()
    await_equal_totals(world.deployment, world.reader)
    return (now_us() - since_us) / US_PER_S


@pytest.mark.chaos
@pytest.mark.timeout(240)
def test_a_full_disk_stops_no_answer_and_loses_no_row(
    own_world: Callable[..., World], small_disk: Path, seed: int, conclude: Any
) -> None:
    world = own_world()
    world.deployment.var.mkdir(parents=True)
    world.deployment.analytics_folder.symlink_to(small_disk)
    with world:
        load = world.load("full-disk", seed)
        load.start()
        world.await_flow("rewards")
        world.fault()
        before = [each for _, each in world.happened]
        ballast = fill(small_disk)
        eventually(lambda: len(world.happened) > len(before), 60, describe="analytics notices that the disk is full")
        world.await_flow()
        ballast.unlink()
        moment = world.fault()
        world.await_flow()
        verdict = world.verdict(load)
        conclude("full_disk", world, verdict, recovery_s=took_s(world, moment), within_s=WITHIN_S + 40)


@pytest.mark.chaos
@pytest.mark.timeout(240)
def test_a_torn_write_of_the_duckdb_file_is_made_good_from_the_log(world: World, seed: int, conclude: Any) -> None:
    load = world.load("torn", seed)
    load.start()
    world.await_flow("rewards")
    wal = world.deployment.analytics_folder / f"{NAME}.wal"
    eventually(
        lambda: wal.exists() and wal.stat().st_size > 4 * TORN_BYTES, 60, describe="a log beside the DuckDB file"
    )
    told = world.pids("analytics")
    world.kill(*told, by=signal.SIGSTOP)
    os.truncate(wal, max(0, wal.stat().st_size - TORN_BYTES))
    moment = world.kill(*told)
    world.await_others_in_place_of(told)
    recovery_s = (now_us() - moment) / US_PER_S
    world.await_flow()
    conclude("torn_write", world, world.verdict(load), recovery_s=recovery_s, within_s=WITHIN_S)
