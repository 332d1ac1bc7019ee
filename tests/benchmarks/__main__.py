"""Measures how fast Penstock is, each figure beside its baseline in one run: ``python -m tests.benchmarks``, or ``make bench``.

In: options ``--only NAME...`` (groups, or rows of them) and ``--quick`` (shorter runs, where a group has them). Out: a table on the
terminal and ``var/bench.json``. Keeps what the peers need under ``var/bench/``; everything else goes when the run ends. Fails with
exit status 1 where a group could not be measured; the others are measured and written all the same. A figure short of its
reach is a result, not a failure.
"""

import argparse
import importlib
import shutil
import sys
import tempfile
import time
import traceback
from collections.abc import Sequence
from pathlib import Path

from streams.deployment import ROOT
from tests.benchmarks.table import Row, drawn, write

GROUPS: dict[str, tuple[str, ...]] = {
    "pipeline": ("latency", "throughput", "memory_mib", "cpu_ms_per_request", "log_kib", "torch_imported"),
    "pure": ("decision_ms", "decision_onnx_ms", "codec"),
    "scaling": ("scale_out", "in_flight"),
    "analytics": ("ingest", "views_ms", "feedback_to_profile_s"),
}
"""Modules of this folder with ``rows(folder)``, and how the names of the rows begin that each measures."""
TAKES_QUICK = frozenset({"pipeline", "pure", "scaling"})


def main(arguments: Sequence[str]) -> int:
    """Measure, print and write; the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description="Measure how fast Penstock is.")
    parser.add_argument("--only", nargs="+", metavar="NAME", default=[], help="groups, or rows, to be measured")
    parser.add_argument("--quick", action="store_true", help="shorter runs: less steady figures")
    parser.add_argument("--out", type=Path, default=ROOT / "var" / "bench.json", help="where the rows are written")
    chosen = parser.parse_args(arguments)
    groups = _chosen(chosen.only)
    if not groups:
        parser.error(f"nothing is called {', '.join(chosen.only)}; there are {', '.join(GROUPS)}")
    rows: list[Row] = []
    failed: list[str] = []
    for name in groups:
        begun = time.monotonic()
        sys.stderr.write(f"bench: {name} ...\n")
        try:
            rows += _measured(name, quick=chosen.quick)
        except Exception:  # noqa: BLE001 - the other groups are measured all the same; the status says that one was not
            traceback.print_exc()
            failed.append(name)
        sys.stderr.write(f"bench: {name} took {time.monotonic() - begun:.0f} s\n")
    write(rows, chosen.out)
    sys.stdout.write(f"{drawn(rows)}\n")
    if failed:
        sys.stderr.write(f"bench: not measured: {', '.join(failed)}\n")
    return 1 if failed else 0


def _chosen(names: Sequence[str]) -> list[str]:
    def is_wanted(group: str, rows: Sequence[str]) -> bool:
        return not names or group in names or any(name.startswith(row) for name in names for row in rows)

    return [group for group, rows in GROUPS.items() if is_wanted(group, rows)]


def _measured(name: str, *, quick: bool) -> list[Row]:
    (ROOT / "var").mkdir(exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix=f"bench-{name}-", dir=ROOT / "var"))
    try:
        measure = importlib.import_module(f"tests.benchmarks.{name}").rows
        return list(measure(folder, quick=quick) if name in TAKES_QUICK else measure(folder))
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
