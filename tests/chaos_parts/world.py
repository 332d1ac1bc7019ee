"""All roles as processes on a broker that can be killed, a provider with a ledger, and the independent reader beside them.

In: a folder, how many workers of each role, and who starts them. Out: faults to do, waits until the load was answered, and a
``Verdict``. Keeps everything in its folder. Nothing in it knows the inside of a role.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

import pytest
import yaml

from streams.admin import create_topics
from streams.deployment import ROOT, Deployment
from streams.supervisor import Supervisor
from streams.topics import STAGES
from streams.workers import Happened, worker_command
from tests.chaos_parts.counting import TERMINAL, Ended, Verdict, judge, longest_gap_s
from tests.chaos_parts.load import RATE, Load
from tests.chaos_parts.node import Node, jars_are_there
from tests.chaos_parts.provider import Provider
from tests.chaos_parts.provider import provider as running_provider
from tests.chaos_parts.reading import TopicReader
from tests.hosted import hosted_at
from tests.waiting import eventually

PARTITIONS = 4
WORKFLOW = "chaos"
READ = ("requests", "responses", "feedback", "rewards", "profile-history", *(f"{role}-dlq" for role in STAGES))
PROVIDER_DELAY_S = 0.2
DEADLINE_MS = 180_000
"""Past every fault: a machine that is slow for a while turns no answer into a failure."""
ORPHANS_WAIT_S = 60
"""How long feedback waits for the answer that it is about."""
QUIET_S = 40.0
"""Where nothing came for so long, nothing more will come."""
ANSWERS = ("ResponseReady",)
FLOW = {"router": "responses", "generator": "responses", "evaluator": "rewards"}
"""Where one sees that a role works."""
KINDS = {"responses": TERMINAL, "rewards": ("RewardComputed",)}

_WORKFLOW = """\
name: {name}
version: 1.0.0
workflow:
  nodes:
    - id: answer
      prompt: "{{{{message}}}}"
"""


def now_us() -> int:
    """The time in microseconds since 1970-01-01 UTC."""
    return time.time_ns() // 1_000


class World:
    """Use it as a context manager."""

    def __init__(
        self,
        folder: Path,
        provider: Provider,
        *,
        workers: Mapping[str, int] | None = None,
        command: Callable[[str], Sequence[str]] = worker_command,
        environ: Mapping[str, str] | None = None,
        operations: Mapping[str, Any] | None = None,
    ) -> None:
        self.provider = provider
        self.happened: list[tuple[int, Happened]] = []
        self.faults_us: list[int] = []
        self._loads: list[Load] = []
        self.node = Node(folder / "kafka")
        self.deployment = _deployment(folder, self.node.bootstrap_servers, operations or {})
        create_topics(self.deployment, partitions=PARTITIONS)
        self.reader = TopicReader(self.node.bootstrap_servers, self.deployment.topic, READ)
        self.environ = {**os.environ, **hosted_at(provider.base_url), **(environ or {})}
        self._supervisor = Supervisor(
            self.deployment,
            roles=STAGES,
            workers=workers,
            environ=self.environ,
            command=command,
            on_event=lambda happened: self.happened.append((now_us(), happened)),
        )

    def __enter__(self) -> Self:
        self.provider.be("answer", PROVIDER_DELAY_S)
        try:
            self._supervisor.start()
        except BaseException:
            self._close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.abandon_loads()
        self._supervisor.stop()
        self._close()

    def _close(self) -> None:
        self.reader.close()
        self.node.stop()

    # ------------------------------------------------------------------------------------------------------ the load

    def load(
        self, name: str, seed: int, *, most: int | None = None, deadline_ms: int | None = None, rate: float = RATE
    ) -> Load:
        """A load of this world, not yet begun."""
        load = Load(
            name,
            seed,
            bootstrap_servers=self.node.bootstrap_servers,
            topic=self.deployment.topic,
            workflow=WORKFLOW,
            most=most,
            deadline_ms=deadline_ms,
            rate=rate,
        )
        self._loads.append(load)
        return load

    def abandon_loads(self) -> None:
        """End every load that a test left behind."""
        while self._loads:
            self._loads.pop().abandon()

    def answers_recovery_s(self, since_us: int, until_us: int) -> float:
        """The longest time without an answer, failures not counted, in any partition between two moments."""
        partitions = self.reader.partitions["responses"]
        found = self.reader.entries["responses"]
        return longest_gap_s(found, partitions, ANSWERS, since_us=since_us, until_us=until_us)

    def await_flow(
        self,
        topic: str = "responses",
        *,
        since_us: int | None = None,
        kinds: Collection[str] | None = None,
        within_s: float = 60,
    ) -> None:
        """Wait until every partition of a topic got a message after a moment, by default this one."""
        moment = now_us() if since_us is None else since_us
        wanted, entries = kinds or KINDS[topic], self.reader.entries[topic]
        missing, seen = set(self.reader.partitions[topic]), 0

        def flows() -> bool:
            nonlocal seen
            self.reader.look()
            begin, seen = seen, len(entries)
            missing.difference_update(e.partition for e in entries[begin:] if e.at_us > moment and e.kind in wanted)
            return not missing

        eventually(flows, within_s, describe=f"{topic} in every partition")

    def verdict(self, load: Load, *, faults_us: Sequence[int] | None = None, quiet_s: float = QUIET_S) -> Verdict:
        """Wait until everything that the load sent has its end, or nothing more comes; then count."""
        load.stop()
        assert not load.refused, load.refused
        ended, quiet_since = Ended(load.confirmed, load.rated), time.monotonic()
        while True:
            if self.reader.look(0.5):
                quiet_since = time.monotonic()
            if ended.by(self.reader.entries) or time.monotonic() - quiet_since > quiet_s:
                break
        during = self.faults_us if faults_us is None else faults_us
        return judge(load.confirmed, load.rated, self.reader.entries, self.provider.calls(), during)

    # ---------------------------------------------------------------------------------------------------- the faults

    def pids(self, *roles: str) -> list[int]:
        """The processes of these roles, of all where none is named."""
        return [s.pid for s in self._supervisor.status() if s.pid is not None and s.role in (roles or STAGES)]

    def kill(self, *pids: int, by: signal.Signals = signal.SIGKILL) -> int:
        """Send a signal to processes; when."""
        moment = self.fault()
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):  # it may have ended by itself
                os.kill(pid, by)
        return moment

    def await_others_in_place_of(self, pids: Collection[int], *, within_s: float = 90) -> None:
        """Wait until none of these processes is a worker any more, and every worker is ready."""
        eventually(
            lambda: not set(pids) & set(self.pids()) and self._all_ready(), within_s, describe="others in their place"
        )

    def begin_anew(self) -> None:
        """Undo what a fault left: no load, every worker goes on and is ready, the provider answers, no fault was."""
        self.abandon_loads()
        self.provider.be("answer", PROVIDER_DELAY_S)
        for pid in self.pids():
            os.kill(pid, signal.SIGCONT)
        self.await_ready()
        self.faults_us.clear()

    def fault(self) -> int:
        """Note that a fault comes now; when."""
        moment = now_us()
        self.faults_us.append(moment)
        return moment

    def await_ready(self, *, within_s: float = 90) -> None:
        """Wait until every worker is ready."""
        eventually(self._all_ready, within_s, describe="all workers ready")

    def _all_ready(self) -> bool:
        return all(status.state == "ready" for status in self._supervisor.status())

    def recovery_s(self, since_us: int, until_us: int, topic: str = "responses") -> float:
        """The longest time without a message in any partition of a topic, from a fault until a later moment."""
        self.reader.look()
        return longest_gap_s(
            self.reader.entries[topic],
            self.reader.partitions[topic],
            KINDS[topic],
            since_us=since_us,
            until_us=until_us,
        )


@contextmanager
def started(folders: pytest.TempPathFactory, **more: Any) -> Iterator[World]:
    """A world in a folder of its own, with a provider of its own; arguments as ``World`` takes them."""
    needs_jars()
    folder = folders.mktemp("chaos")
    with running_provider(folder / "ledger.jsonl") as paid, World(folder, paid, **more) as running:
        yield running


def needs_jars() -> None:
    """Skip the test where no broker can be had that is its own to kill."""
    if not jars_are_there():
        pytest.skip("Kafka's jars are missing: run `make setup` where no container engine answers")


def _deployment(folder: Path, bootstrap_servers: str, operations: Mapping[str, Any]) -> Deployment:
    workflows = folder / "workflows"
    workflows.mkdir(parents=True)
    (workflows / f"{WORKFLOW}.yaml").write_text(_WORKFLOW.format(name=WORKFLOW), encoding="utf-8")
    settings = yaml.safe_load((ROOT / "infra" / "penstock.yaml").read_text(encoding="utf-8"))
    settings["defaults"]["deadline_ms"] = DEADLINE_MS
    settings["operations"] |= {
        "rating_wait_s": 2,
        "orphan_wait_s": ORPHANS_WAIT_S,
        "partitions": PARTITIONS,
        **operations,
    }
    (folder / "penstock.yaml").write_text(yaml.safe_dump(settings), encoding="utf-8")
    return Deployment(
        bootstrap_servers=bootstrap_servers,
        var=folder / "var",
        models=ROOT / "var" / "models",
        settings=folder / "penstock.yaml",
        workflows=workflows,
    )
