"""The broker as a process on this machine's Java: Apache Kafka from its Maven artefacts, one KRaft node.

In: the folder with the jars, a home folder for configuration and data, a log file, a port or none. Out: a
running node, its pid, its port. Keeps: the data in `home/data`, unless the caller removes it. Fails
with RequirementMissing (no Java, no jars), PortTaken, or BrokerDidNotStart with the log's end.

Phases: choose ports; write `server.properties`; format the data folder if it is new; start
kafka.Kafka under the tether (infra/tether.py), so that it ends with us whatever ends us; wait until it
answers a metadata request.
"""

from __future__ import annotations

import base64
import contextlib
import shutil
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Mapping
from pathlib import Path

from infra.errors import BrokerDidNotStart, PortTaken, RequirementMissing
from infra.processes import run_process
from infra.readiness import answers

HEAP_MIB = 512
_HERE = Path(__file__).resolve().parent
_START_ATTEMPTS = 3
_DEADLINE_S = 60.0
_FORMAT_S = 60.0
_TAIL_LINES = 30
_STOP_S = 20.0
_COMPILES_ONCE = "-XX:TieredStopAtLevel=1"
"""A broker on a developer's machine lives for minutes: compiling everything a second time takes half a core from the roles beside
it for the first of them, and gains a fifth afterwards."""


class JvmBroker:
    """One Kafka node under its tether. `pid` is the Java process's."""

    def __init__(self, tether: subprocess.Popen[bytes], *, pid: int, port: int) -> None:
        self._tether = tether
        self.pid = pid
        self.port = port

    def ended(self) -> bool:
        """Whether the node is gone."""
        return self._tether.poll() is not None

    def stop(self) -> None:
        """End the node in good order, within 20 s; again and again does no harm."""
        if self._tether.stdin is not None:
            with contextlib.suppress(OSError):
                self._tether.stdin.close()
        try:
            self._tether.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            self._tether.kill()  # and the kernel kills the node with it
            self._tether.wait()


def find_java(environ: Mapping[str, str]) -> str:
    """The Java to run: JAVA_HOME's, else the path's. RequirementMissing where there is none."""
    home = environ.get("JAVA_HOME")
    if home and (named := Path(home) / "bin" / "java").exists():
        return str(named)
    if found := shutil.which("java"):
        return found
    raise RequirementMissing(
        "Java", remedy="Install Java 17 or newer (Debian: apt-get install openjdk-17-jre-headless)."
    )


def artefacts_present(libs: Path) -> bool:
    """Whether `make setup` has put the broker's jars there, all of them."""
    return (libs / ".complete").exists()


def start_jvm_broker(libs: Path, home: Path, log: Path, *, port: int | None, java: str) -> JvmBroker:
    """Start a node on `home` and wait until it answers."""
    if not artefacts_present(libs):
        raise RequirementMissing(
            f"Kafka ({libs} is not complete)", remedy="Run `make setup`, which fetches it by Maven."
        )
    home.mkdir(parents=True, exist_ok=True)
    log.parent.mkdir(parents=True, exist_ok=True)
    if port is not None and _is_taken(port):
        raise PortTaken(port)
    for attempt in range(1, _START_ATTEMPTS + 1):
        client_port, controller_port = _choose_ports(port)
        settings = _write_settings(home, client_port, controller_port)
        _format(java, libs, home, settings)
        with log.open("a") as handle:
            begin = handle.tell()
        broker = _launch(java, libs, settings, log, client_port)
        try:
            _await_readiness(broker, log, begin)
        except BrokerDidNotStart as failure:
            broker.stop()
            if attempt < _START_ATTEMPTS and "Address already in use" in failure.log_tail:
                continue  # somebody took a free port between our look and the node's
            raise
        except BaseException:
            broker.stop()
            raise
        return broker
    raise AssertionError("the loop returns or raises")


def free_port() -> int:
    """A port that was free a moment ago."""
    return _choose_ports(None)[0]


def _choose_ports(port: int | None) -> tuple[int, int]:
    # Both are held at once, so that they differ.
    with socket.socket() as first, socket.socket() as second:
        first.bind(("127.0.0.1", 0))
        second.bind(("127.0.0.1", 0))
        return port or first.getsockname()[1], second.getsockname()[1]


def _is_taken(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return True
    return False


def _write_settings(home: Path, port: int, controller_port: int) -> Path:
    text = (_HERE / "kafka" / "server.properties").read_text()
    for name, value in (
        ("port", str(port)),
        ("controller_port", str(controller_port)),
        ("data", str(home / "data")),
    ):
        text = text.replace(f"@{name}@", value)
    settings = home / "server.properties"
    settings.write_text(text)
    return settings


def _format(java: str, libs: Path, home: Path, settings: Path) -> None:
    if (home / "data" / "meta.properties").exists():
        return
    # Kafka's own form of a cluster id, which must not look like an option.
    cluster_id = "P" + base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")[1:]
    done = run_process(
        [
            *_java(java, libs, ["-Xmx128m"]),
            f"-Dpenstock.log={home / 'format.log'}",
            "kafka.tools.StorageTool",
            "format",
            "--ignore-formatted",
            "--cluster-id",
            cluster_id,
            "--config",
            str(settings),
        ],
        _FORMAT_S,
    )
    if done.status != 0:
        raise BrokerDidNotStart(
            f"its data folder could not be formatted (status {done.status})",
            log_tail=(done.stdout + done.stderr)[-4000:],
        )


def _java(java: str, libs: Path, options: list[str]) -> list[str]:
    return [
        java,
        *options,
        "-XX:+UseSerialGC",
        _COMPILES_ONCE,
        "-Xshare:auto",
        "-Djava.awt.headless=true",
        f"-Dlog4j2.configurationFile={_HERE / 'kafka' / 'log4j2.properties'}",
        "-cp",
        f"{libs}/*",
    ]


def _launch(java: str, libs: Path, settings: Path, log: Path, port: int) -> JvmBroker:
    command = [
        sys.executable,
        "-I",
        "-S",
        str(_HERE / "tether.py"),
        *_java(java, libs, [f"-Xmx{HEAP_MIB}m", "-Xms128m", "-XX:+ExitOnOutOfMemoryError"]),
        f"-Dpenstock.log={log}",
        "kafka.Kafka",
        str(settings),
    ]
    with log.with_suffix(".out").open("w") as out:
        tether = subprocess.Popen(  # noqa: S603  our own program
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=out,
            start_new_session=True,  # Ctrl-C is the owner's to hear, who stops the broker last
        )
    assert tether.stdout is not None  # noqa: S101  it is a pipe, said above
    with tether.stdout as first_line:
        said = first_line.readline().strip()
    if not said.isdigit():
        tether.wait()
        raise BrokerDidNotStart(f"{java} could not be run", log_tail=_tail(log.with_suffix(".out"), 0))
    return JvmBroker(tether, pid=int(said), port=port)


def _await_readiness(broker: JvmBroker, log: Path, begin: int) -> None:
    deadline = time.monotonic() + _DEADLINE_S
    reason = "nothing answered"
    while time.monotonic() < deadline:
        if broker.ended():
            raise BrokerDidNotStart("it ended", log_tail=_both_tails(log, begin))
        failure = answers(f"localhost:{broker.port}", within_s=1.0)
        if failure is None:
            return
        reason = failure
    raise BrokerDidNotStart(f"not ready within {_DEADLINE_S:g} s: {reason}", log_tail=_both_tails(log, begin))


def _both_tails(log: Path, begin: int) -> str:
    return _tail(log.with_suffix(".out"), 0) + _tail(log, begin)


def _tail(path: Path, begin: int) -> str:
    try:
        text = path.read_bytes()[begin:].decode(errors="replace")
    except OSError:
        return ""
    return "".join(line + "\n" for line in text.splitlines()[-_TAIL_LINES:])
