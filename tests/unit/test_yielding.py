"""Who nobody waits for steps back, and nobody else."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from streams.yielding import YIELDING

SCRIPT = """
import os, sys
from pathlib import Path
from streams.yielding import step_back
step_back(sys.argv[1], of_the_session=Path(sys.argv[2]))
print(os.nice(0))
"""


def stepped_back(role: str, session: Path, *, own_session: bool) -> int:
    command = [sys.executable, "-c", SCRIPT, role, str(session)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, start_new_session=own_session)
    return int(done.stdout) - os.nice(0)


@pytest.mark.parametrize("role", sorted(YIELDING))
def test_a_role_that_nobody_waits_for_steps_back_with_its_session(role: str, tmp_path: Path) -> None:
    session = tmp_path / "autogroup"
    assert stepped_back(role, session, own_session=True) == min(YIELDING[role], 19 - os.nice(0))
    assert session.read_text() == str(YIELDING[role])


def test_a_session_shared_with_others_keeps_its_priority(tmp_path: Path) -> None:
    session = tmp_path / "autogroup"
    assert stepped_back("analytics", session, own_session=False) == min(YIELDING["analytics"], 19 - os.nice(0))
    assert not session.exists()


@pytest.mark.parametrize("role", ["router", "generator", "models"])
def test_who_is_waited_for_does_not_step_back(role: str, tmp_path: Path) -> None:
    session = tmp_path / "autogroup"
    assert stepped_back(role, session, own_session=True) == 0
    assert not session.exists()


def test_where_a_system_has_no_such_priority_nothing_fails(tmp_path: Path) -> None:
    stepped_back("analytics", tmp_path / "missing" / "autogroup", own_session=True)
