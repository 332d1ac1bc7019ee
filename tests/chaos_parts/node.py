"""A broker that can be killed and started again on the same data and port.

In: a folder, the jars of ``make setup``. Out: a Kafka node on this machine's Java. Keeps its data in the folder. Fails with
``infra.errors.RequirementMissing`` where there is no Java or no jars.
"""

from __future__ import annotations

import os
import signal
from pathlib import Path

from infra.broker_jvm import JvmBroker, artefacts_present, find_java, start_jvm_broker
from streams.deployment import ROOT
from tests.waiting import eventually

LIBS = ROOT / "var" / "kafka" / "libs"


def jars_are_there() -> bool:
    """Whether this machine can run a broker of a test's own."""
    return artefacts_present(LIBS)


class Node:
    """One broker; ``bootstrap_servers`` stays the same however often it is started."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._running: JvmBroker | None = None
        self._port: int | None = None
        self.start()

    @property
    def bootstrap_servers(self) -> str:
        """Its address."""
        return f"localhost:{self._port}"

    def start(self) -> None:
        """Start it, and return when it answers."""
        self._running = start_jvm_broker(
            LIBS, self._folder, self._folder / "broker.log", port=self._port, java=find_java(os.environ)
        )
        self._port = self._running.port

    def kill(self) -> None:
        """End it by SIGKILL; its data stays."""
        running = self._running
        if running is not None:
            os.kill(running.pid, signal.SIGKILL)
            eventually(running.ended, 20, describe="the end of the broker")
            running.stop()
            self._running = None

    def stop(self) -> None:
        """End it in good order."""
        if self._running is not None:
            self._running.stop()
            self._running = None
