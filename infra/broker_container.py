"""The broker in a container, where an engine answers.

In: a process runner (tests pass one that records), a port. Out: Apache Kafka's image, by testcontainers for
a broker that lives as long as its test, by `docker compose -f infra/compose.yaml` for one that
keeps its data. Keeps: compose's volume. Fails with BrokerDidNotStart and what the engine said.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from infra.errors import BrokerDidNotStart
from infra.processes import ProcessRunner
from infra.readiness import answers

COMPOSE_FILE = Path(__file__).resolve().parent / "compose.yaml"
DEFAULT_PORT = 9092
_ENGINES = ("docker", "podman")
_ASK_ENGINE_S = 3.0
_PULL_AND_START_S = 600.0
_STOP_S = 60.0
_READY_S = 60.0
_BUILT_FOR = "${PENSTOCK_KAFKA_PORT:-9092}"


@dataclass(frozen=True, slots=True)
class Engine:
    """A container engine that answered: its command and its server's version."""

    command: str
    version: str


def find_engine(run: ProcessRunner) -> Engine | None:
    """The first engine whose *server* answers within 3 s; an installed client alone is none."""
    for command in _ENGINES:
        asked = run([command, "info", "--format", "{{json .}}"], _ASK_ENGINE_S, None)
        # Some clients print their own part and exit with 0 while no server is there.
        if asked.status == 0 and (version := _server_version(asked.stdout)):
            return Engine(command, version)
    return None


def _server_version(info: str) -> str | None:
    try:
        said = yaml.safe_load(info)
    except yaml.YAMLError:
        return None
    if not isinstance(said, dict):
        return None
    podman = said.get("version")
    nested = podman.get("Version") if isinstance(podman, dict) else None
    version = said.get("ServerVersion") or nested
    return str(version) if version else None


class ComposeBroker:
    """A broker that compose runs; its data outlives it."""

    def __init__(self, engine: Engine, run: ProcessRunner, *, project: str, port: int) -> None:
        self._run = run
        self._compose = [
            engine.command,
            "compose",
            "-f",
            str(COMPOSE_FILE),
            "-p",
            project,
        ]
        self._environment = {"PENSTOCK_KAFKA_PORT": str(port)}
        self.port = port

    def start(self) -> None:
        """Start it, or find it running, and wait until it is healthy (it may pull an image)."""
        done = self._run([*self._compose, "up", "--detach", "--wait"], _PULL_AND_START_S, self._environment)
        if done.status != 0:
            raise BrokerDidNotStart("compose failed", log_tail=(done.stdout + done.stderr)[-4000:])

    def stop(self, *, remove_data: bool = False) -> None:
        """Remove the container, and its data only if asked."""
        extra = ["--volumes"] if remove_data else []
        self._run([*self._compose, "down", *extra], _STOP_S, self._environment)


class ThrowawayBroker:
    """A broker for one session of tests, which testcontainers removes even if we are killed."""

    def __init__(self, container: Any, *, port: int) -> None:
        self._container = container
        self.port = port

    def start(self) -> None:
        """Start it and wait until it answers."""
        self._container.start()
        failure = answers(f"localhost:{self.port}", within_s=_READY_S)
        if failure is not None:
            said = b"".join(self._container.get_logs()).decode(errors="replace")
            self._container.stop()
            raise BrokerDidNotStart(failure, log_tail=said[-4000:])

    def stop(self) -> None:
        """Remove it with its data."""
        self._container.stop()


def throwaway_broker(port: int, *, make_container: Callable[[str], Any] | None = None) -> ThrowawayBroker:
    """A broker from the same image and settings as compose.yaml's, on `port`, not yet started."""
    if make_container is None:
        from testcontainers.core.container import DockerContainer  # noqa: PLC0415  dev only

        make_container = DockerContainer
    service = yaml.safe_load(COMPOSE_FILE.read_text())["services"]["kafka"]
    container = make_container(service["image"])
    for name, value in service["environment"].items():
        container.with_env(name, str(value).replace(_BUILT_FOR, str(port)))
    container.with_bind_ports(port, port)
    return ThrowawayBroker(container, port=port)
