"""What the doctor says of bad machines, which it is told of instead of looking."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from infra.doctor import Finding, Machine, check, judge, look
from infra.processes import Completed

_GOOD = Machine(
    python=(3, 11),
    java=17,
    maven="3.9.9",
    engine=None,
    given=None,
    given_failure=None,
    artefacts=True,
    encoders=True,
    memory_mib=8000,
    disk_mib=50_000,
    port=9092,
    port_taken=False,
    own_broker=None,
    stale=(),
)


def _bad(**facts: Any) -> list[Finding]:
    return [finding for finding in judge(dataclasses.replace(_GOOD, **facts)) if not finding.ok]


def test_a_good_machine_has_nothing_to_repair():
    assert _bad() == []


@pytest.mark.parametrize(
    ("facts", "name", "remedy"),
    [
        ({"python": (3, 10)}, "python", "Python 3.11"),
        ({"java": None}, "java", "openjdk-17"),
        ({"java": 11}, "java", "Java 17"),
        ({"artefacts": False}, "kafka", "make setup"),
        ({"encoders": False}, "encoders", "make setup"),
        ({"memory_mib": 300}, "memory", "Close other programs"),
        ({"disk_mib": 10}, "disk", "PENSTOCK_VAR"),
        ({"port_taken": True}, "port 9092", "another port"),
        ({"stale": ("broker.json",)}, "run files", "penstock down"),
        (
            {"given": "kafka:9092", "given_failure": "no connection"},
            "broker",
            "PENSTOCK_BOOTSTRAP_SERVERS",
        ),
    ],
)
def test_each_fault_is_named_with_its_remedy(facts, name, remedy):
    [finding] = _bad(**facts)
    assert finding.name == name
    assert remedy in finding.remedy


def test_missing_maven_matters_only_until_the_jars_are_there():
    assert _bad(maven=None) == []
    assert [finding.name for finding in _bad(maven=None, artefacts=False)] == ["maven", "kafka"]


def test_nothing_of_java_is_asked_for_where_an_engine_answers_or_a_broker_is_given():
    bare = {"java": None, "maven": None, "artefacts": False}
    assert _bad(**bare, engine="docker 27.1") == []
    assert _bad(**bare, given="kafka:9092") == []


def test_our_own_brokers_port_is_no_fault():
    assert _bad(port_taken=True, own_broker="localhost:9092") == []
    assert len(_bad(port_taken=True, own_broker="localhost:19092")) == 1


def test_facts_that_cannot_be_had_are_no_faults():
    assert _bad(memory_mib=None, disk_mib=None, port=None) == []


def test_check_judges_what_its_probe_says():
    seen: list[tuple[Path, int | None]] = []

    def probe(var: Path, port: int | None) -> Machine:
        seen.append((var, port))
        return dataclasses.replace(_GOOD, java=8)

    assert [finding.name for finding in check(Path("v"), port=7, probe=probe) if not finding.ok] == ["java"]
    assert seen == [(Path("v"), 7)]


def test_looking_at_a_machine_with_nothing_on_it_raises_nothing(tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "broker.json").write_text("{")
    machine = look(
        tmp_path,
        None,
        environ={"JAVA_HOME": "", "PATH": ""},
        run=lambda *_: Completed(127, "", "not found"),
    )
    assert (machine.java, machine.maven, machine.engine, machine.encoders) == (None, None, None, False)
    assert machine.stale == ("broker.json",)


def test_the_encoders_are_looked_for_where_the_deployment_has_them(tmp_path):
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "encoder").touch()
    for models, found in ((None, False), (tmp_path / "models", True)):
        machine = look(
            tmp_path / "var",
            None,
            models=models,
            environ={"JAVA_HOME": "", "PATH": ""},
            run=lambda *_: Completed(127, "", "not found"),
        )
        assert machine.encoders is found


@pytest.mark.parametrize(
    ("said", "version"),
    [('openjdk version "17.0.15" 2025-04-15', 17), ('java version "1.8.0_402"', 8), ('openjdk version "21"', 21)],
)
def test_javas_two_ways_of_numbering_are_understood(tmp_path, said, version):
    java = tmp_path / "bin" / "java"
    java.parent.mkdir()
    java.touch()
    machine = look(
        tmp_path,
        None,
        environ={"JAVA_HOME": str(tmp_path)},
        run=lambda *_: Completed(0, "", said),
    )
    assert machine.java == version
