"""Runs the whole fault suite and writes what it counted: what ``make chaos`` runs.

In: ``python -m tests.chaos_parts.report --out var/chaos.json [pytest's arguments]``. Out: pytest's own lines; the file,
``{"total": {requests, lost, answered_twice, paid_twice, max_recovery_s}, "faults": {name: the same}}``, also where a fault failed;
pytest's exit status. Keeps nothing. A test says what it counted by ``record_property("chaos", {"name": ..., and the same})``.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest

COUNTED = ("requests", "lost", "answered_twice", "paid_twice")


class Counted:
    """A pytest plugin: gathers what the tests recorded."""

    def __init__(self) -> None:
        self.faults: dict[str, dict[str, float]] = {}

    def pytest_runtest_logreport(self, report: Any) -> None:
        """Take in what a test recorded, once, whether it passed or not."""
        if report.when == "call":
            for name, figures in report.user_properties:
                if name == "chaos":
                    self.faults[figures["name"]] = {n: v for n, v in figures.items() if n != "name"}

    def content(self) -> dict[str, Any]:
        """What the file holds."""
        total: dict[str, float] = {name: sum(each[name] for each in self.faults.values()) for name in COUNTED}
        total["max_recovery_s"] = max((each["max_recovery_s"] for each in self.faults.values()), default=0.0)
        return {"total": total, "faults": self.faults}


def main(arguments: list[str]) -> int:
    """Run and write; pytest's exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos_parts.report")
    parser.add_argument("--out", type=Path, required=True)
    chosen, others = parser.parse_known_args(arguments)
    counted = Counted()
    os.environ["PENSTOCK_CHAOS_BOUNDS"] = "yes"
    # by signal: the other way to end a test that takes too long ends all of them, and nothing would be written
    chosen_tests = ["tests/chaos", "-m", "chaos or not chaos", "--durations=25", "--timeout-method=signal"]
    status = pytest.main([*chosen_tests, *others], plugins=[counted])
    chosen.out.parent.mkdir(parents=True, exist_ok=True)
    chosen.out.write_text(json.dumps(counted.content(), indent=2) + "\n", encoding="utf-8")
    return int(status)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
