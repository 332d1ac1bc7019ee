"""`python -m infra.artefacts --libs FOLDER`: fetch Kafka's jars by Maven, if this machine needs them.

In: infra/kafka/pom.xml, the machine. Out: the folder with the jars and the mark `.complete`, made whole
or not at all; nothing where a broker is given or a container engine answers. Keeps nothing else. Fails with exit
status 1 and the remedy on standard error.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
from pathlib import Path

from infra.broker import ADDRESS_VARIABLE
from infra.broker_container import find_engine
from infra.errors import InfraError, RequirementMissing
from infra.processes import ProcessRunner, run_process

_POM = Path(__file__).resolve().parent / "kafka" / "pom.xml"
_FETCH_S = 900.0


def fetch_artefacts(libs: Path, *, run: ProcessRunner = run_process) -> int:
    """Have Maven copy the jars of the pom to `libs`, replacing what is there; how many.

    Errors: RequirementMissing, with the end of what Maven said.
    """
    draft = libs.parent / f"{libs.name}.{os.getpid()}.partial"
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir(parents=True)
    try:
        done = run(
            [
                *("mvn", "--quiet", "--batch-mode", "--file", str(_POM)),
                "dependency:copy-dependencies",
                f"-DoutputDirectory={draft.resolve()}",
            ],
            _FETCH_S,
            None,
        )
        if done.status == 127:  # noqa: PLR2004  the shell's number for "not found"
            raise RequirementMissing(
                "Maven",
                remedy="Install Maven and Java 17 (Debian: apt-get install maven "
                "openjdk-17-jre-headless), start a container engine, or set "
                f"{ADDRESS_VARIABLE} to a Kafka of yours.",
            )
        jars = list(draft.glob("*.jar"))
        if done.status != 0 or not jars:
            said = (done.stdout + done.stderr).strip()[-2000:]
            raise RequirementMissing(
                f"Kafka (Maven ended with {done.status})",
                remedy=f"Maven said:\n{said}",
            )
        (draft / ".complete").write_text(f"{len(jars)} jars of infra/kafka/pom.xml\n")
        shutil.rmtree(libs, ignore_errors=True)
        draft.rename(libs)
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return len(jars)


def main(arguments: list[str]) -> int:
    """The command; its exit status."""
    parser = argparse.ArgumentParser(prog="python -m infra.artefacts", description=__doc__)
    parser.add_argument("--libs", type=Path, required=True, help="folder for the jars")
    libs: Path = parser.parse_args(arguments).libs
    if os.environ.get(ADDRESS_VARIABLE, "").strip():
        _say(f"setup: no Kafka fetched, {ADDRESS_VARIABLE} names one")
        return 0
    if (engine := find_engine(run_process)) is not None:
        _say(f"setup: no Kafka fetched, {engine.command} {engine.version} answers")
        return 0
    _say("setup: Kafka, by Maven")
    try:
        fetch_artefacts(libs)
    except InfraError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
