"""Stepping back: in processes of their own, because a priority that was given up does not come back."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from infra import tether
from streams.yielding import YIELDING

OURS = os.getpriority(os.PRIO_PROCESS, 0)
STEPS = YIELDING["analytics"]
ROOT = Path(__file__).resolve().parents[2]
CHILD = textwrap.dedent("""
    import json, os, sys, threading
    from pathlib import Path
    from streams.yielding import step_back

    role, process = sys.argv[1], Path(sys.argv[2])
    ended = threading.Event()
    other = threading.Thread(target=ended.wait)
    other.start()
    step_back(role, process)
    group = process / "autogroup"
    said = {
        "main": os.getpriority(os.PRIO_PROCESS, 0),
        "other": os.getpriority(os.PRIO_PROCESS, other.native_id),
        "group": group.read_text().split()[-1] if group.exists() else None,
    }
    ended.set()
    print(json.dumps(said))
""")


def stepped_back(
    role: str, process: str = "/proc/self", command: tuple[str, ...] = (sys.executable,)
) -> dict[str, int | str | None]:
    run = [*command, "-c", CHILD, role, process]
    started = subprocess.Popen(
        run,
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    assert started.stdin is not None
    assert started.stdout is not None
    with started, started.stdout as said:  # the tether holds on until its standard input closes
        found: dict[str, int | str | None] = json.loads(next(line for line in said if line.startswith("{")))
    return found


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="threads have no priorities of their own here")
def test_every_thread_and_the_session_step_back():
    found = stepped_back("analytics")
    assert (found["main"], found["other"]) == (max(STEPS, OURS), max(STEPS, OURS))
    assert found["group"] in (str(STEPS), None)


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="threads have no priorities of their own here")
@pytest.mark.parametrize("role", ["router", "generator", "models"])
def test_roles_that_somebody_waits_for_do_not(role):
    assert stepped_back(role)["main"] == OURS


@pytest.mark.skipif(not Path("/proc/self/autogroup").exists(), reason="sessions have no priorities here")
def test_under_its_tether_a_worker_steps_back_with_the_session_that_the_tether_leads():
    found = stepped_back("analytics", command=(sys.executable, "-I", tether.__file__, sys.executable))
    assert found["group"] == str(STEPS)


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="threads have no priorities of their own here")
def test_the_session_of_a_terminal_is_left_alone(tmp_path):
    leader, terminal = 1, 34816
    (tmp_path / "stat").write_text(f"7 (a name) S {leader} 7 {leader} {terminal} 0\n", encoding="ascii")
    (tmp_path / "autogroup").write_text("/autogroup-1 nice 0\n", encoding="ascii")
    found = stepped_back("analytics", str(tmp_path))
    assert (found["main"], found["group"]) == (max(STEPS, OURS), "0")


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="threads have no priorities of their own here")
@pytest.mark.parametrize(
    ("leads", "steps"), [(b"sh\0-c\0penstock worker evaluator &", 0), (b"python\0/x/infra/tether.py\0", STEPS)]
)
def test_the_session_of_a_shell_without_a_terminal_is_left_alone(tmp_path, leads, steps):
    leader, terminal = 99, 0
    (tmp_path / "self").mkdir()
    (tmp_path / str(leader)).mkdir()
    (tmp_path / str(leader) / "cmdline").write_bytes(leads)
    (tmp_path / "self" / "stat").write_text(f"7 (a name) S {leader} 7 {leader} {terminal} 0\n", encoding="ascii")
    (tmp_path / "self" / "autogroup").write_text("/autogroup-1 nice 0\n", encoding="ascii")
    assert stepped_back("analytics", str(tmp_path / "self"))["group"] == str(steps)
