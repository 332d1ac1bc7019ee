"""The whole loop for tests: every role as a process of its own on a real broker, and what one needs to look at it from outside.

`Loop` starts, stops and kills roles, asks through the client, calls the command line, publishes bytes, and has seen every
message of every topic. Nothing in it knows the inside of a role.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import uuid
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

import yaml
from confluent_kafka import Producer
from typer.testing import CliRunner, Result

from schemas import ChunkGenerated, Record, RequestReceived, RequestRouted, StageMeasured
from streams.admin import create_topics
from streams.cli.main import app
from streams.cli.surroundings import Surroundings
from streams.client import Client, Response
from streams.codec import Codec
from streams.deployment import ROOT, Deployment
from streams.following import KafkaLog, Seen, seen
from streams.run_files import Claim
from streams.supervisor import MODELS, ROLES, Supervisor
from streams.topics import MAX_MESSAGE_BYTES, TOPICS, key_of
from streams.workers import Happened, worker_command
from tests.waiting import eventually

CODEC = Codec()
PARTITIONS = 2
RATING_WAIT_S = 2
ORPHAN_WAIT_S = 2
WITHIN_S = 30.0
"""How long a test waits for what must come; generous, because it only ends a test that fails."""
QUESTION = "How are dead letters replayed?"

AUTO = """\
name: {name}
version: 1.0.0
workflow:
  nodes:
    - id: answer
      context: {{sources: [penstock_docs]}}
      prompt: "{{{{message}}}}"
"""
WORKFLOWS = ("help", "taught", "returned", "versioned", "tried")

E = TypeVar("E", bound=Record)


def deployment_in(folder: Path, bootstrap_servers: str, prefix: str) -> Deployment:
    """A deployment of its own: var folder, prefix, workflows, and settings with short waits."""
    workflows = folder / "workflows"
    workflows.mkdir()
    for name in WORKFLOWS:
        (workflows / f"{name}.yaml").write_text(AUTO.format(name=name), encoding="utf-8")
    settings = yaml.safe_load((ROOT / "infra" / "penstock.yaml").read_text(encoding="utf-8"))
    settings["operations"] |= {
        "rating_wait_s": RATING_WAIT_S,
        "orphan_wait_s": ORPHAN_WAIT_S,
        "partitions": PARTITIONS,
    }
    (folder / "penstock.yaml").write_text(yaml.safe_dump(settings), encoding="utf-8")
    return Deployment(
        bootstrap_servers=bootstrap_servers,
        topic_prefix=f"{prefix}-{uuid.uuid4().hex[:8]}-",
        var=folder / "var",
        models=ROOT / "var" / "models",
        settings=folder / "penstock.yaml",
        workflows=workflows,
        session_timeout_s=6,
    )


def about(event: Any) -> str | None:
    """The id of the request that an event is about."""
    owner = event.request if isinstance(event, RequestRouted) else event
    return getattr(owner, "request_id", None)


class Watched:
    """Every message of every topic from the beginning, in the order of each partition."""

    def __init__(self, deployment: Deployment) -> None:
        self._log = KafkaLog(deployment)
        self._log.begin({(topic, number): 0 for topic in TOPICS for number in self._log.bounds(topic)})
        self._seen: dict[str, list[Seen]] = {topic: [] for topic in TOPICS}

    def look(self) -> None:
        """Take in what is new."""
        while messages := self._log.poll(0.05):
            for message in messages:
                self._seen[message.topic].append(seen(message, CODEC))

    def messages(self, topic: str) -> list[Seen]:
        """All that a topic held until now."""
        self.look()
        return list(self._seen[topic])

    def close(self) -> None:
        """Let go of the connection."""
        self._log.close()


class Loop:
    """Roles as processes, each under a supervisor of its own, which starts again what dies."""

    def __init__(self, deployment: Deployment, roles: Iterable[str], environ: Mapping[str, str]) -> None:
        self.deployment = deployment
        self.happened: list[Happened] = []
        self._environ = {**os.environ, **environ}
        self._roles = [role for role in ROLES if role in set(roles)]
        self._claim = Claim(deployment.run_folder)
        self._running: dict[str, Supervisor] = {}
        create_topics(deployment, partitions=PARTITIONS)
        self.watched = Watched(deployment)
        settings: dict[str, Any] = {
            "bootstrap.servers": deployment.bootstrap(),
            "partitioner": "murmur2_random",
            "message.max.bytes": MAX_MESSAGE_BYTES,
            "linger.ms": 0,
            "log_level": 0,
        }
        self._producer = Producer(settings)

    def start(self) -> None:
        """Start every role, side by side."""
        with ThreadPoolExecutor(len(self._roles)) as threads:
            list(threads.map(self.up, self._roles))

    def close(self) -> None:
        """Stop everything."""
        with ThreadPoolExecutor(len(ROLES)) as threads:
            list(threads.map(self.down, [role for role in self._running if role != MODELS]))
        self.down(MODELS)
        self.watched.close()
        self._claim.release()

    # ------------------------------------------------------------------------------------------------------- roles

    def up(self, role: str, *, program: Path | None = None) -> None:
        """Start a role and wait until it is ready; with ``program`` from that file instead of streams/worker.py."""
        command = worker_command if program is None else lambda each: [sys.executable, str(program), each]
        supervisor = Supervisor(
            self.deployment,
            roles=[role],
            command=command,
            environ=self._environ,
            claim=self._claim,
            on_event=self.happened.append,
        )
        supervisor.start()
        self._running[role] = supervisor

    def down(self, role: str) -> None:
        """Ask a role to stop, by SIGTERM, and wait until it has."""
        supervisor = self._running.pop(role, None)
        if supervisor is not None:
            supervisor.stop()

    def kill(self, role: str) -> None:
        """End a role's process by SIGKILL; its supervisor starts another, unless `down` follows."""
        pid = self.pid(role)
        assert pid is not None
        os.kill(pid, signal.SIGKILL)

    def pid(self, role: str) -> int | None:
        """The process of a role."""
        return self._running[role].status()[0].pid

    def is_ready(self, role: str, *, restarts: int = 0) -> bool:
        """Whether a role is ready, after at least so many restarts."""
        (status,) = self._running[role].status()
        return status.state == "ready" and status.restarts >= restarts

    # ------------------------------------------------------------------------------------------------ as a user would

    def request(self, message: str = QUESTION, workflow: str = "help", **fields: Any) -> RequestReceived:
        """A request as the client makes it."""
        return Client(self.deployment).request(workflow, message, **fields)

    def ask(
        self,
        *requests: RequestReceived,
        within_s: float = WITHIN_S,
        on_chunk: Callable[[ChunkGenerated], None] | None = None,
    ) -> list[Response]:
        """Ask through the client, all at the same time; the responses in the same order."""

        async def ask_all() -> list[Response]:
            async with Client(self.deployment, on_chunk=on_chunk) as client:
                return await asyncio.gather(*(client.answer_to(each, within_s=within_s) for each in requests))

        return asyncio.run(ask_all())

    def rate(self, rated: Iterable[tuple[Response | RequestReceived, float]]) -> None:
        """Rate answers through the client."""

        async def rate_all() -> None:
            async with Client(self.deployment) as client:
                for response, value in rated:
                    await client.give_feedback(response, "rating", value)

        asyncio.run(rate_all())

    def penstock(self, *arguments: str, exit_code: int = 0) -> Result:
        """Call the command line; it must have succeeded, or ended with ``exit_code``."""
        around = Surroundings(deployment=lambda: self.deployment, login=lambda: "tests")
        result = CliRunner().invoke(app, list(arguments), obj=around)
        assert result.exit_code == exit_code, (arguments, result.output, result.exception)
        return result

    def penstock_json(self, *arguments: str) -> Any:
        """Call the command line with --json."""
        return json.loads(self.penstock(*arguments, "--json").stdout)

    def publish(self, topic: str, event: Record) -> tuple[int, int]:
        """Publish an event; its partition and offset."""
        return self.publish_raw(topic, key_of(topic, event), CODEC.encode(event))

    def publish_raw(
        self,
        topic: str,
        key: bytes | None,
        value: bytes | None,
        headers: list[tuple[str, str | bytes | None]] | None = None,
    ) -> tuple[int, int]:
        """Publish bytes as they are; their partition and offset."""
        placed: list[tuple[int, int]] = []

        def confirmed(error: Any, message: Any) -> None:
            assert error is None, error
            placed.append((message.partition(), message.offset()))

        self._producer.produce(
            self.deployment.topic(topic), key=key, value=value, headers=headers, on_delivery=confirmed
        )
        assert self._producer.flush(20) == 0
        return placed[0]

    # ------------------------------------------------------------------------------------------------------ looking

    def events(self, topic: str, kind: type[E], request_id: str | None = None) -> list[E]:
        """The events of a kind that a topic held until now, of one request or of all."""
        return [
            each.event
            for each in self.watched.messages(topic)
            if isinstance(each.event, kind) and request_id in (None, about(each.event))
        ]

    def first(
        self,
        topic: str,
        kind: type[E],
        request_id: str | None = None,
        *,
        where: Callable[[E], bool] = lambda _: True,
        within_s: float = WITHIN_S,
    ) -> E:
        """Wait for the first event of a kind on a topic for which `where` holds."""

        def found() -> list[E]:
            return [event for event in self.events(topic, kind, request_id) if where(event)]

        return eventually(found, within_s, describe=f"a {kind.__name__} on {topic}")[0]

    def plan_of(self, request: RequestReceived | Response) -> RequestRouted:
        """The plan that a request was answered by."""
        return self.first("routing", RequestRouted, request.request_id)

    def measured(self, stage: str, name: str) -> float:
        """The sum of what a stage reported of a counter."""
        return sum(
            measure.value
            for event in self.events("metrics", StageMeasured)
            if event.stage == stage
            for measure in event.measures
            if measure.name == name
        )
