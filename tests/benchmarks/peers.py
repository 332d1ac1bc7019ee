"""The same two hops by others: Faust with nothing in its agents, bare aiokafka, Quix Streams.

In: a broker and a folder. Out: two running processes that carry ``KIND-a`` over ``KIND-b`` to ``KIND-c``. Keeps Quix Streams in a
virtual environment of its own under ``var/bench``, made where it is missing, by name from the package registry. Fails with
``NotStarted``.
"""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

from confluent_kafka.admin import AdminClient, NewTopic  # type: ignore[attr-defined]

from streams.deployment import ROOT
from tests.benchmarks.running import PARTITIONS, NotStarted, process

Kind = Literal["faust", "bare", "quix"]
QUIX = "quixstreams==3.24.*"


@contextmanager
def two_hops(kind: Kind, servers: str, folder: Path) -> Iterator[tuple[str, str, dict[str, int]]]:
    """Run them; the topic to publish to, the one to read from, and the pids."""
    names = [f"{kind}-{each}" for each in "abc"]
    admin: Any = AdminClient({"bootstrap.servers": servers})
    for made in admin.create_topics([NewTopic(name, PARTITIONS, 1) for name in names]).values():
        made.result()
    commands = [
        [*_program(kind), servers, names[hop], names[hop + 1], str(folder / f"{kind}-{hop}")] for hop in range(2)
    ]
    logs = folder / "logs"
    with process(commands[0], logs / f"{kind}-0.log") as first, process(commands[1], logs / f"{kind}-1.log") as second:
        yield names[0], names[2], {f"{kind}-0": first, f"{kind}-1": second}


def _program(kind: Kind) -> list[str]:
    if kind == "quix":
        return [str(quix_python()), str(Path(__file__).with_name("hops_quix.py"))]
    return [sys.executable, "-m", "tests.benchmarks.hops", kind]


def quix_python() -> Path:
    """The interpreter that has Quix Streams."""
    home = ROOT / "var" / "bench" / "quix"
    python = home / "bin" / "python"
    complete = home / ".complete"
    if not complete.exists():
        uv = Path(sys.executable).with_name("uv")
        for command in (
            [str(uv), "venv", "--quiet", "--clear", "--python", sys.executable, str(home)],
            [str(uv), "pip", "install", "--quiet", "--python", str(python), QUIX],
        ):
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode:
                raise NotStarted(f"{' '.join(command)}: {done.stderr}")
        complete.touch()
    return python
