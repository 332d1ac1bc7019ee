"""What was released stays readable in both directions, and the check that says so rejects what would break it."""

from __future__ import annotations

import copy
import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from schemas import EVENTS
from schemas.compatibility import check, incompatibilities, main, release, released_versions
from schemas.generate import FOLDER, snake

NEW_READER = "a new reader cannot read what was written before"
OLD_READER = "a released reader cannot read what is written now"

BASE: dict[str, Any] = {
    "type": "record",
    "name": "Poured",
    "namespace": "penstock",
    "fields": [
        {"name": "litres", "type": "double"},
        {"name": "gate", "type": "string", "default": ""},
        {
            "name": "kind",
            "type": {"type": "enum", "name": "Kind", "symbols": ["slow", "fast", "unknown"], "default": "unknown"},
            "default": "unknown",
        },
        {"name": "level", "type": {"type": "enum", "name": "Level", "symbols": ["low", "high"]}},
        {"name": "note", "type": ["null", "string"], "default": None},
        {
            "name": "parts",
            "type": {
                "type": "array",
                "items": {"type": "record", "name": "Part", "fields": [{"name": "size", "type": "long"}]},
            },
            "default": [],
        },
    ],
}


def changed(field: str | None = None, add: dict[str, Any] | None = None, **change: Any) -> dict[str, Any]:
    schema = copy.deepcopy(BASE)
    if field is not None:
        next(f for f in schema["fields"] if f["name"] == field).update(change)
    if add is not None:
        schema["fields"].append(add)
    return schema


def without(field: str) -> dict[str, Any]:
    return {**BASE, "fields": [f for f in BASE["fields"] if f["name"] != field]}


def enum(name: str, *symbols: str, default: str | None = None) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": "enum", "name": name, "symbols": list(symbols)}
    return schema if default is None else {**schema, "default": default}


def directions(old: dict[str, Any], new: dict[str, Any]) -> set[str]:
    return {found.split(":")[0] for found in incompatibilities(json.dumps(old), json.dumps(new))}


NEW_WITH_DEFAULT = changed(add={"name": "colour", "type": "string", "default": "blue"})
NEW_WITHOUT_DEFAULT = changed(add={"name": "colour", "type": "string"})
PART_WITHOUT_DEFAULT = copy.deepcopy(BASE)
PART_WITHOUT_DEFAULT["fields"][5]["type"]["items"]["fields"].append({"name": "colour", "type": "string"})


@pytest.mark.parametrize(
    ("old", "new"),
    [
        pytest.param(BASE, BASE, id="the same"),
        pytest.param(BASE, changed("litres", doc="How much."), id="other documentation"),
        pytest.param(BASE, NEW_WITH_DEFAULT, id="a new field with a default"),
        pytest.param(NEW_WITH_DEFAULT, BASE, id="a field with a default is gone"),
        pytest.param(BASE, without("gate"), id="a released field with a default is gone"),
        pytest.param(
            BASE,
            changed("kind", type=enum("Kind", "slow", "fast", "wild", "unknown", default="unknown")),
            id="a new symbol where an unknown one has a reading",
        ),
        pytest.param(BASE, {**BASE, "fields": BASE["fields"][::-1]}, id="another order"),
    ],
)
def test_a_change_that_both_sides_understand_is_accepted(old, new):
    assert directions(old, new) == set()


@pytest.mark.parametrize(
    ("old", "new", "broken"),
    [
        pytest.param(BASE, without("litres"), {OLD_READER}, id="a field without a default is gone"),
        pytest.param(BASE, NEW_WITHOUT_DEFAULT, {NEW_READER}, id="a new field without a default"),
        pytest.param(BASE, PART_WITHOUT_DEFAULT, {NEW_READER}, id="a new field without a default in a part"),
        pytest.param(BASE, changed("litres", type="string"), {NEW_READER, OLD_READER}, id="another type"),
        pytest.param(BASE, changed("litres", type="long"), {NEW_READER}, id="a narrower type"),
        pytest.param(changed("litres", type="long"), BASE, {OLD_READER}, id="a wider type"),
        pytest.param(
            BASE, changed("litres", type=["null", "double"], default=None), {OLD_READER}, id="a field that may be null"
        ),
        pytest.param(BASE, changed("note", type="string", default=""), {NEW_READER}, id="no longer null"),
        pytest.param(
            BASE, changed("level", type=enum("Level", "low", "middle", "high")), {OLD_READER}, id="a new enum symbol"
        ),
        pytest.param(BASE, changed("level", type=enum("Level", "low")), {NEW_READER}, id="an enum symbol is gone"),
        pytest.param(BASE, changed("litres", name="liters"), {NEW_READER, OLD_READER}, id="another name of a field"),
        pytest.param(BASE, {**BASE, "name": "Spilt"}, {NEW_READER, OLD_READER}, id="another name of the event"),
    ],
)
def test_a_change_that_one_side_would_not_understand_is_rejected_with_its_direction(old, new, broken):
    assert directions(old, new) == broken


def test_every_current_schema_understands_every_release():
    assert check() == []
    assert main([]) == 0


@pytest.mark.parametrize("name", EVENTS)
def test_every_event_was_released_and_its_newest_release_is_what_is_written_today(name):
    versions = released_versions(name)
    assert [path.name for path in versions] == [f"{n}.avsc" for n in range(1, len(versions) + 1)]
    current = json.loads((FOLDER / f"{snake(name)}.avsc").read_text(encoding="utf-8"))
    assert json.loads(versions[-1].read_text(encoding="utf-8")) == current


def test_no_event_is_released_that_does_not_exist():
    assert {path.name for path in (FOLDER / "released").iterdir()} == {snake(name) for name in EVENTS}


@pytest.fixture
def copied(tmp_path: Path) -> Path:
    for path in FOLDER.glob("*.avsc"):
        shutil.copy(path, tmp_path)
    shutil.copytree(FOLDER / "released", tmp_path / "released")
    return tmp_path


def rewrite(path: Path, change: Any) -> None:
    schema = json.loads(path.read_text(encoding="utf-8"))
    change(schema)
    path.write_text(json.dumps(schema), encoding="utf-8")


def test_the_check_names_the_event_and_the_release_that_a_change_breaks(copied):
    rewrite(copied / "feedback_given.avsc", lambda s: s["fields"].append({"name": "colour", "type": "string"}))
    (breach,) = check(copied)
    assert breach.startswith(f"FeedbackGiven against release 1: {NEW_READER}")
    assert "colour" in breach


def test_an_event_that_was_never_released_is_a_breach(copied):
    shutil.rmtree(copied / "released" / "stage_measured")
    (breach,) = check(copied)
    assert breach.startswith("StageMeasured: never released")


def test_every_release_is_checked_and_not_only_the_newest(copied):
    oldest = copied / "released" / "feedback_given"
    newest = max(int(path.stem) for path in oldest.glob("*.avsc"))
    shutil.copy(oldest / f"{newest}.avsc", oldest / f"{newest + 1}.avsc")
    rewrite(oldest / "1.avsc", lambda s: s["fields"].append({"name": "gone", "type": "string"}))
    assert [breach.split(":")[0] for breach in check(copied)] == ["FeedbackGiven against release 1"]


def test_a_release_appends_what_changed_and_leaves_what_was_released_alone(copied):
    before = {path: path.read_bytes() for path in (copied / "released").rglob("*.avsc")}
    assert release(copied) == []
    newest = released_versions("OverrideSet", copied)[-1]
    rewrite(newest, lambda s: s["fields"].pop())  # as if set_by had come after the newest release
    before[newest] = newest.read_bytes()
    assert release(copied) == ["OverrideSet"]
    assert len(released_versions("OverrideSet", copied)) == int(newest.stem) + 1
    assert all(path.read_bytes() == content for path, content in before.items())
    assert release(copied) == []
    assert check(copied) == []


def test_releases_are_ordered_by_number_and_not_by_name(tmp_path):
    folder = tmp_path / "released" / "override_set"
    folder.mkdir(parents=True)
    for number in (1, 2, 10):
        (folder / f"{number}.avsc").touch()
    assert [path.stem for path in released_versions("OverrideSet", tmp_path)] == ["1", "2", "10"]
