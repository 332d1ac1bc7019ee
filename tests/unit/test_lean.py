"""What a worker's process never uses is not in it; the command line's tables are drawn all the same."""

import subprocess
import sys


def imported_by(*command: str) -> str:
    done = subprocess.run([sys.executable, "-X", "importtime", *command], capture_output=True, text=True, check=False)
    return done.stderr


def test_a_worker_does_not_import_rich():
    told = imported_by("-m", "streams.worker", "no such role")
    assert "streams.logs" in told, told[-500:]
    assert "rich.console" not in told


def test_whoever_imports_the_worker_still_has_rich():
    assert "rich.console" in imported_by("-c", "import streams.worker, rich.console")
