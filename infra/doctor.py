"""What this machine lacks for Penstock, and the remedy for each.

In: `look` collects facts into a Machine; nothing else here touches the machine. Out: `judge`, a pure
function of the facts, gives one Finding for each requirement; `check` is both. Keeps nothing. A fact that
cannot be had is None, never an exception.
"""

from __future__ import annotations

import os
import re
import shutil
import socket
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from infra import broker_record
from infra.broker import ADDRESS_VARIABLE
from infra.broker_container import find_engine
from infra.broker_jvm import artefacts_present, find_java
from infra.errors import RequirementMissing
from infra.processes import ProcessRunner, run_process
from infra.readiness import answers

NEEDED_PYTHON = (3, 11)
NEEDED_JAVA = 17
NEEDED_MEMORY_MIB = 2048
NEEDED_DISK_MIB = 2048
_ROOT = Path(__file__).resolve().parents[1]
_ASK_S = 10.0
_GIVEN_ANSWERS_S = 5.0


@dataclass(frozen=True, slots=True)
class Finding:
    """One requirement: whether it is met, what was found, and what to do if it is not."""

    name: str
    ok: bool
    found: str
    remedy: str


@dataclass(frozen=True, slots=True)
class Machine:
    """The facts. None means: not there, or not to be found out.

    `given` is the broker's address in the environment, `given_failure` why nothing answers there.
    `stale` names the run files whose owner is dead.
    """

    python: tuple[int, int]
    java: int | None
    maven: str | None
    engine: str | None
    given: str | None
    given_failure: str | None
    artefacts: bool
    encoders: bool
    memory_mib: int | None
    disk_mib: int | None
    port: int | None
    port_taken: bool
    own_broker: str | None
    stale: tuple[str, ...]


def check(
    var: Path,
    *,
    port: int | None = None,
    models: Path | None = None,
    probe: Callable[[Path, int | None], Machine] | None = None,
) -> list[Finding]:
    """Look at this machine (or at what `probe` says) and judge it.

    `port`: the one configured. `models`: where the encoders are, by default in `var`.
    """
    return judge(probe(var, port) if probe is not None else look(var, port, models=models))


def look(
    var: Path,
    port: int | None,
    *,
    models: Path | None = None,
    environ: Mapping[str, str] | None = None,
    run: ProcessRunner = run_process,
) -> Machine:
    """The facts about this machine, within about 15 s if much is broken, else within one."""
    environment = os.environ if environ is None else environ
    given = environment.get(ADDRESS_VARIABLE, "").strip() or None
    engine = find_engine(run)
    records = {
        path.stem: broker_record.read_record(path)
        for path in sorted((var / "run").glob("*.json"))
        if path.stem == "broker" or "-ephemeral-" in path.stem
    }
    own = records.get("broker")
    runs = own is not None and (own.kind == "container" or own.broker_lives())
    return Machine(
        python=(sys.version_info.major, sys.version_info.minor),
        java=_java_version(environment, run),
        maven=_first_version(run(["mvn", "--version"], _ASK_S, None).stdout),
        engine=f"{engine.command} {engine.version}" if engine else None,
        given=given,
        given_failure=answers(given, within_s=_GIVEN_ANSWERS_S) if given else None,
        artefacts=any(artefacts_present(at / "kafka" / "libs") for at in (var, _ROOT / "var")),
        encoders=_holds_files(models or var / "models"),
        memory_mib=_available_memory_mib(),
        disk_mib=_free_disk_mib(var),
        port=port,
        port_taken=port is not None and _is_listening(port),
        own_broker=own.bootstrap_servers if own is not None and runs else None,
        stale=tuple(
            f"{name}.json"
            for name, record in records.items()
            if record is None or (record.kind != "container" and not record.owner_lives())
        ),
    )


def judge(machine: Machine) -> list[Finding]:
    """One Finding for each requirement, in the order in which one would repair them."""
    return [
        _python(machine),
        *_broker(machine),
        Finding(
            "encoders",
            machine.encoders,
            "prepared" if machine.encoders else "not prepared",
            "Run `make setup`, which prepares them from the installed model.",
        ),
        _amount("memory", machine.memory_mib, NEEDED_MEMORY_MIB, "Close other programs."),
        _amount("disk", machine.disk_mib, NEEDED_DISK_MIB, "Free disk, or set PENSTOCK_VAR."),
        *_port(machine),
        Finding(
            "run files",
            not machine.stale,
            ", ".join(machine.stale) + " of a killed run" if machine.stale else "none stale",
            "The next start clears them; `penstock down` does it now.",
        ),
    ]


def _python(machine: Machine) -> Finding:
    return Finding(
        "python",
        machine.python >= NEEDED_PYTHON,
        ".".join(map(str, machine.python)),
        "Install Python 3.11 or newer, and run `make clean setup`.",
    )


def _broker(machine: Machine) -> list[Finding]:
    """The broker's sources, of which one is enough; only the one that will be used must be whole."""
    if machine.given is not None:
        return [
            Finding(
                "broker",
                machine.given_failure is None,
                f"{ADDRESS_VARIABLE}={machine.given}: {machine.given_failure or 'answers'}",
                f"Start that Kafka, correct {ADDRESS_VARIABLE}, or unset it.",
            )
        ]
    if machine.engine is not None:
        return [Finding("broker", True, f"container engine {machine.engine}", "")]  # noqa: FBT003
    java_ok = machine.java is not None and machine.java >= NEEDED_JAVA
    found_java = "none" if machine.java is None else f"Java {machine.java}"
    return [
        Finding(
            "java",
            java_ok,
            found_java,
            f"Install Java {NEEDED_JAVA} or newer (Debian: apt-get install "
            f"openjdk-17-jre-headless), start a container engine, or set {ADDRESS_VARIABLE}.",
        ),
        Finding(
            "maven",
            machine.maven is not None or machine.artefacts,
            machine.maven or ("none, and not needed any more" if machine.artefacts else "none"),
            "Install Maven (Debian: apt-get install maven).",
        ),
        Finding(
            "kafka",
            machine.artefacts,
            "fetched" if machine.artefacts else "not fetched",
            "Run `make setup`, which fetches it by Maven.",
        ),
    ]


def _amount(name: str, found_mib: int | None, needed_mib: int, remedy: str) -> Finding:
    found = "unknown" if found_mib is None else f"{found_mib:,} MiB free"
    return Finding(
        name,
        found_mib is None or found_mib >= needed_mib,
        found,
        f"Penstock needs {needed_mib:,} MiB. {remedy}",
    )


def _port(machine: Machine) -> list[Finding]:
    if machine.port is None:
        return []
    ours = machine.own_broker is not None and machine.own_broker.endswith(f":{machine.port}")
    holder = "in use by our broker" if ours else "in use by another program"
    return [
        Finding(
            f"port {machine.port}",
            ours or not machine.port_taken,
            holder if machine.port_taken else "free",
            "Stop the program that listens there, or configure another port.",
        )
    ]


def _java_version(environment: Mapping[str, str], run: ProcessRunner) -> int | None:
    try:
        java = find_java(environment)
    except RequirementMissing:
        return None
    asked = run([java, "-version"], _ASK_S, None)
    # `openjdk version "17.0.15"`; before 9 it was `java version "1.8.0_402"`.
    found = re.search(r'version "(?:1\.)?(\d+)', asked.stderr + asked.stdout)
    return int(found.group(1)) if found and asked.status == 0 else None


def _first_version(said: str) -> str | None:
    found = re.search(r"Apache Maven (\d+(?:\.\d+)+)", said)
    return found.group(1) if found else None


def _holds_files(folder: Path) -> bool:
    return folder.is_dir() and any(entry.is_file() for entry in folder.rglob("*"))


def _available_memory_mib() -> int | None:
    try:
        text = Path("/proc/meminfo").read_text()
    except OSError:
        return None
    found = re.search(r"MemAvailable:\s+(\d+) kB", text)
    return int(found.group(1)) // 1024 if found else None


def _free_disk_mib(folder: Path) -> int | None:
    # The folder itself may not exist yet.
    for place in (folder, *folder.resolve().parents):
        if place.exists():
            return shutil.disk_usage(place).free // 2**20
    return None


def _is_listening(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(1.0)
        return probe.connect_ex(("127.0.0.1", port)) == 0
