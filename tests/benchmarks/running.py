"""What the benchmarks run: processes under a tether, the whole loop with an instant provider, hops of peers; and what each used.

In: a folder and a broker. Out: running processes by role, their CPU seconds and memory from ``/proc``. Keeps what it started until
the end of the context. Fails with ``NotStarted``, or as the supervisor does.
"""

import os
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from infra import tether
from infra.broker import RunningBroker, provide_broker
from schemas import RequestReceived
from streams.admin import create_topics
from streams.codec import Codec
from streams.deployment import ROOT, Deployment
from streams.identity import event_id
from streams.supervisor import Supervisor
from streams.tethered import TetheredProcess
from streams.topics import key_of
from tests.benchmarks.load import Message
from tests.hosted import hosted_at

PARTITIONS = 8
STARTS_WITHIN_S = 30.0
QUESTIONS = (
    "How long are requests kept?",
    "Where do I see which strategy answered, and why was it chosen?",
    "Compare the conservative and the experimental environment.",
    "My worker does not start, what should I look at first?",
)
WORKFLOW = """\
name: {name}
version: 1.0.0
workflow:
  nodes:
    - id: answer
      context: {context}
      prompt: "{{{{message}}}}"
"""
_TICKS = os.sysconf("SC_CLK_TCK")


class NotStarted(Exception):
    """A process of the benchmark did not come up; the message has its log."""


@contextmanager
def broker(folder: Path) -> Iterator[RunningBroker]:
    """A broker of the benchmark's own, from Kafka's artefacts or wherever the machine has one."""
    with provide_broker(folder, ephemeral=True, libs=ROOT / "var" / "kafka" / "libs") as running:
        yield running


@contextmanager
def process(command: Sequence[str], log: Path) -> Iterator[int]:
    """A process that ends with the context; its pid."""
    log.parent.mkdir(parents=True, exist_ok=True)
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    started = TetheredProcess(command, environment, log, tether=Path(tether.__file__))
    try:
        yield started.pid
    finally:
        started.ask_to_stop()
        deadline = time.monotonic() + 10
        while started.ended() is None and time.monotonic() < deadline:
            time.sleep(0.05)
        started.kill()


@contextmanager
def provider(folder: Path, *, pause_ms: float = 0) -> Iterator[tuple[str, int]]:
    """The instant model server: its address and pid."""
    run_file = folder / f"provider-{pause_ms:g}.url"
    command = [sys.executable, "-m", "tests.benchmarks.instant_provider", str(run_file), str(pause_ms)]
    log = folder / "logs" / "provider.log"
    with process(command, log) as pid:
        deadline = time.monotonic() + STARTS_WITHIN_S
        while not (run_file.exists() and run_file.read_text()):
            if time.monotonic() > deadline:
                raise NotStarted(log.read_text())
            time.sleep(0.02)
        yield run_file.read_text(), pid


def deployment_in(folder: Path, bootstrap_servers: str, **more: Any) -> Deployment:
    """The loop's settings: twelve strategies, two workflows (``plain`` without sources, ``documented``), rewards after a second."""
    workflows = folder / "workflows"
    workflows.mkdir(parents=True)
    for name, context in (("plain", "{sources: []}"), ("documented", "auto")):
        (workflows / f"{name}.yaml").write_text(WORKFLOW.format(name=name, context=context), encoding="utf-8")
    settings = yaml.safe_load((ROOT / "infra" / "penstock.yaml").read_text(encoding="utf-8"))
    settings["operations"] |= {"rating_wait_s": 1, "partitions": PARTITIONS}
    (folder / "penstock.yaml").write_text(yaml.safe_dump(settings), encoding="utf-8")
    (folder / "strategies.yaml").write_text(twelve_strategies(), encoding="utf-8")
    return Deployment(
        bootstrap_servers=bootstrap_servers,
        var=folder / "loop",
        models=ROOT / "var" / "models",
        settings=folder / "penstock.yaml",
        catalogue=folder / "strategies.yaml",
        workflows=workflows,
        **more,
    )


def twelve_strategies() -> str:
    """The catalogue without the graph: three tiers times four ways to retrieve."""
    catalogue = yaml.safe_load((ROOT / "infra" / "strategies.yaml").read_text(encoding="utf-8"))
    profiles = catalogue["strategies"]["profiles"]
    catalogue["strategies"]["profiles"] = [each for each in profiles if not each.get("graph")]
    return yaml.safe_dump(catalogue)


def environ_for(provider_url: str) -> dict[str, str]:
    """The environment under which the models are the instant provider's, each at a price."""
    return {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        **hosted_at(provider_url),
    }


@contextmanager
def loop(
    deployment: Deployment, provider_url: str, roles: Sequence[str], *, workers: Mapping[str, int] | None = None
) -> Iterator[dict[str, int]]:
    """The roles as processes, ready; their pids by name (``generator``, and ``generator-1`` for the second)."""
    create_topics(deployment, partitions=PARTITIONS)
    with Supervisor(deployment, roles=roles, workers=workers, environ=environ_for(provider_url)) as supervisor:
        yield {
            status.role if not status.number else f"{status.role}-{status.number}": status.pid
            for status in supervisor.status()
            if status.pid is not None
        }


def requests(count: int, workflow: str, run: str) -> list[Message]:
    """So many requests of one conversation each, encoded; ``run`` keeps their ids apart from another run's."""
    codec = Codec()
    now_us = time.time_ns() // 1_000
    made = []
    for number in range(count):
        name = f"{run}-{number}"
        event = RequestReceived(
            event_id=event_id("RequestReceived", "bench", name, name),
            occurred_at_us=now_us,
            tenant="bench",
            conversation_id=name,
            request_id=name,
            workflow=workflow,
            message=QUESTIONS[number % len(QUESTIONS)],
            deadline_ms=600_000,
        )
        made.append((key_of("requests", event), codec.encode(event)))
    return made


def cpu_s(pid: int) -> float:
    """CPU seconds that a process has used, all threads, user and system."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


def memory_mib(pid: int) -> float:
    """The most resident memory that a process ever had, in MiB."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    raise NotStarted(f"process {pid} says nothing of its memory")


def has_mapped(pid: int, name: str) -> bool:
    """Whether a process has a file with this name mapped: ``libtorch`` of one that imported torch."""
    return name in Path(f"/proc/{pid}/maps").read_text()
