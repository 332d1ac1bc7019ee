"""The jars are there whole, or not at all."""

from __future__ import annotations

from pathlib import Path

import pytest

from infra.artefacts import fetch_artefacts
from infra.broker_jvm import artefacts_present
from infra.errors import RequirementMissing
from infra.processes import Completed


def _maven(status: int, *jars: str):
    def run(command, _timeout_s, _environment=None) -> Completed:
        [out] = [word.partition("=")[2] for word in command if word.startswith("-DoutputDirectory=")]
        for jar in jars:
            (Path(out) / jar).touch()
        return Completed(status, "", "[ERROR] the repository does not answer")

    return run


def test_fetched_jars_replace_those_of_an_older_pom(tmp_path):
    libs = tmp_path / "libs"
    assert fetch_artefacts(libs, run=_maven(0, "old.jar")) == 1
    assert fetch_artefacts(libs, run=_maven(0, "a.jar", "b.jar")) == 2
    assert artefacts_present(libs)
    assert sorted(path.name for path in libs.glob("*.jar")) == ["a.jar", "b.jar"]
    assert [path.name for path in tmp_path.iterdir()] == ["libs"]


@pytest.mark.parametrize(("status", "jars"), [(1, ("a.jar",)), (124, ()), (0, ())])
def test_a_fetch_that_fails_leaves_what_was_there_and_says_what_maven_said(tmp_path, status, jars):
    libs = tmp_path / "libs"
    fetch_artefacts(libs, run=_maven(0, "good.jar"))
    with pytest.raises(RequirementMissing) as failure:
        fetch_artefacts(libs, run=_maven(status, *jars))
    assert "the repository does not answer" in failure.value.remedy
    assert artefacts_present(libs)
    assert [path.name for path in libs.glob("*.jar")] == ["good.jar"]
    assert [path.name for path in tmp_path.iterdir()] == ["libs"]


def test_missing_maven_has_a_remedy_of_its_own(tmp_path):
    with pytest.raises(RequirementMissing, match="apt-get install maven"):
        fetch_artefacts(tmp_path / "libs", run=lambda *_: Completed(127, "", "not found"))
