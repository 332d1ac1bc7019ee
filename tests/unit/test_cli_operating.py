"""The operator's commands, with a log in memory: what they print and publish, how they end."""

from __future__ import annotations

import json

import pytest

from schemas import (
    Evidence,
    LearningResumed,
    OverrideSet,
    ProfileUpdated,
    RollbackOrdered,
)
from streams.identity import event_id
from tests.cli_world import BAD, CODEC, NOW_US, World, letter


@pytest.fixture
def world(tmp_path):
    return World(tmp_path)


# -------------------------------------------------------------------------------------------------------------- profiles


def profile(version, scope="*/help", **fields):
    given = {
        "event_id": event_id("ProfileUpdated", scope, str(version)),
        "occurred_at_us": NOW_US,
        "scope": scope,
        "version": version,
        "parent": version - 1,
        "learner": "test@1",
        "beliefs": (),
        "incumbents": (),
        "evidence": Evidence(requests=40 * version, rated=version, watermark={}),
        "sentence": f"Version {version} is here.",
    }
    return ProfileUpdated(**{**given, **fields})


def learned(world, *versions):
    for version in versions:
        world.log.put("profile-history", profile(version))
        world.log.put("profile-updates", profile(version))


def test_the_newest_profile_of_each_scope_is_listed_and_a_held_one_is_marked(world):
    learned(world, 1, 2)
    world.log.put("profile-updates", profile(7, "*/other"))
    hold = RollbackOrdered(event_id="a", occurred_at_us=1, subject="learning:*/help", scope="*/help", to_version=1)
    world.log.put("controls", hold)
    found = json.loads(world.penstock("profiles", "list", "--json").stdout)
    assert [(each["scope"], each["version"], each["held"]) for each in found] == [
        ("*/help", 2, True),
        ("*/other", 7, False),
    ]
    end = LearningResumed(event_id="b", occurred_at_us=2, subject="learning:*/help", scope="*/help")
    world.log.put("controls", end)
    assert not json.loads(world.penstock("profiles", "list", "--json").stdout)[0]["held"]


def test_a_profile_is_shown_by_version_and_the_newest_without_one(world):
    learned(world, 1, 2, 3)
    assert "Version 3 is here." in world.penstock("profiles", "show", "*/help").stdout
    assert "Version 2 is here." in world.penstock("profiles", "show", "*/help", "--version", "2").stdout
    missing = world.penstock("profiles", "show", "*/help", "--version", "9")
    assert (missing.exit_code, "It has 1 to 3" in missing.stderr) == (2, True)
    nowhere = world.penstock("profiles", "show", "*/halp")
    assert (nowhere.exit_code, "Did you mean */help?" in nowhere.stderr) == (2, True)


def test_a_rollback_is_ordered_and_its_effect_is_waited_for_and_printed(world):
    learned(world, 1, 2)
    publish = world.log.append

    def append_and_obey(topic, key, value, **more):
        message = publish(topic, key, value, **more)
        if topic == "controls":
            publish("profile-updates", b"*/help", CODEC.encode(profile(3, kind="rolled_back", restored_version=1)))
        return message

    world.log.append = append_and_obey
    result = world.penstock("profiles", "rollback", "*/help", "--to", "1", "--reason", "worse")
    assert (result.exit_code, result.stdout) == (0, "*/help is at version 3 now (rolled_back): Version 3 is here.\n")
    (order,) = world.events("controls")
    assert (order.scope, order.to_version, order.reason, order.ordered_by) == ("*/help", 1, "worse", "mika")
    assert order.subject == "learning:*/help"


def test_a_rollback_to_a_version_that_never_was_is_refused_and_zero_is_not(world):
    learned(world, 1, 2)
    assert world.penstock("profiles", "rollback", "*/help", "--to", "5").exit_code == 2
    assert world.events("controls") == []
    late = world.penstock("profiles", "rollback", "*/help", "--to", "0", "--wait", "0")
    assert late.exit_code == 3
    assert "The order stands" in late.stderr
    assert len(world.events("controls")) == 1


def test_a_resume_is_published_under_the_subject_of_the_rollback(world):
    learned(world, 1)
    result = world.penstock("profiles", "resume", "*/help", "--wait", "0")
    assert result.exit_code == 0
    (order,) = world.events("controls")
    assert (type(order), order.subject) == (LearningResumed, "learning:*/help")


# ------------------------------------------------------------------------------------------------------------- overrides


def test_overrides_are_set_listed_and_cleared_with_who_and_why(world):
    assert world.penstock("override", "list").stdout == "no override is in force\n"
    set_it = ["override", "set", "max_chunk_size", "0500", "--reason", "long passages"]
    assert world.penstock(*set_it).exit_code == 0
    (found,) = json.loads(world.penstock("override", "list", "--json").stdout)
    assert (found["name"], found["value"], found["reason"], found["set_by"]) == (
        "max_chunk_size",
        "500",
        "long passages",
        "mika",
    )
    assert world.penstock("override", "clear", "max_chunk_size").exit_code == 0
    assert json.loads(world.penstock("override", "list", "--json").stdout) == []
    assert isinstance(world.events("controls")[-1], OverrideSet)


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("force_simple_agent", "true", "Did you mean force_simple_agents"),
        ("force_simple_agents", "yes", "true or false"),
        ("max_chunk_size", "0", "whole number"),
        ("max_chunk_size", "²", "whole number"),
    ],
)
def test_an_override_that_there_is_not_is_refused_and_nothing_is_published(world, name, value, said):
    result = world.penstock("override", "set", name, value)
    assert (result.exit_code, said in result.stderr) == (2, True)
    assert world.events("controls") == []


# ---------------------------------------------------------------------------------------------------------- dead letters


def raw(world, topic):
    return [(m.key, m.value) for messages in world.log.kept[topic].values() for m in messages]


def test_dead_letters_of_all_roles_are_listed_by_time(world):
    world.log.put("evaluator-dlq", letter(name="2", stage="evaluator", topic="feedback"))
    world.log.put("router-dlq", letter(name="1"), letter(name="3", code="oversized"))
    found = json.loads(world.penstock("dlq", "list", "--json").stdout)
    assert [(each["role"], each["code"]) for each in found] == [
        ("router", "unknown_schema"),
        ("evaluator", "unknown_schema"),
        ("router", "oversized"),
    ]
    assert all(each["bytes"] == len(BAD) for each in found)
    (newest,) = json.loads(world.penstock("dlq", "list", "all", "--limit", "1", "--json").stdout)
    assert newest["code"] == "oversized"
    assert world.penstock("dlq", "list", "routr").exit_code == 2


def test_a_replay_publishes_the_same_bytes_under_the_same_key(world):
    every_byte = bytes(range(256))
    world.log.put("router-dlq", letter(value=every_byte, key=b"\xff\x00key".decode("latin-1").encode()))
    (place,) = [each["place"] for each in json.loads(world.penstock("dlq", "list", "--json").stdout)]
    assert world.penstock("dlq", "replay", "router", place).exit_code == 0
    assert raw(world, "requests") == [("\xff\x00key".encode(), every_byte)]


def test_a_key_or_a_value_that_was_none_is_none_again_and_one_without_both_stays(world):
    world.log.put("router-dlq", letter(name="1", key=None), letter(name="2", value=None))
    world.log.put("router-dlq", letter(name="3", key=None, value=None))
    result = world.penstock("dlq", "replay", "router", "--all", "--json")
    assert result.exit_code == 1
    assert set(raw(world, "requests")) == {(None, BAD), (b"talk", None)}
    assert len(json.loads(result.stdout)["left"]) == 1


def test_a_replay_may_be_limited_to_a_code_or_an_event_id(world):
    one, other = letter(name="1", value=b"one"), letter(name="2", value=b"other", code="handler_failed")
    world.log.put("router-dlq", one, other)
    assert world.penstock("dlq", "replay", "router", "--code", "handler_failed").exit_code == 0
    assert raw(world, "requests") == [(b"talk", b"other")]
    assert world.penstock("dlq", "replay", "router", one.event_id).exit_code == 0
    assert raw(world, "requests")[-1] == (b"talk", b"one")


@pytest.mark.parametrize("which", [[], ["0:0", "--all"], ["9:9"]])
def test_a_replay_must_say_which_and_there_must_be_one(world, which):
    world.log.put("router-dlq", letter())
    assert world.penstock("dlq", "replay", "router", *which).exit_code == 2
    assert raw(world, "requests") == []


def test_a_large_dead_letter_is_shown_in_part_and_written_whole(world, tmp_path):
    value = bytes(range(256)) * 40
    world.log.put("router-dlq", letter(value=value))
    target = tmp_path / "bytes.bin"
    shown = world.penstock("dlq", "show", "router", letter().event_id, "--raw", str(target))
    assert shown.exit_code == 0
    assert "8,192 bytes more" in shown.stdout
    assert len([line for line in shown.stdout.splitlines() if line.startswith("  0000")]) == 128
    assert target.read_bytes() == value
    as_json = json.loads(world.penstock("dlq", "show", "router", letter().event_id, "--json").stdout)
    assert len(as_json["preview_hex"]) == 2 * 2_048


# ------------------------------------------------------------------------------------- workflows, topology, up, errors


def test_all_mistakes_of_a_workflow_are_shown_with_their_lines(world, tmp_path):
    wrong = tmp_path / "wrong.yaml"
    wrong.write_text("name: w\nversion: 1.0.0\nworkflow:\n  nodes:\n    - {id: a, agnt: auto, prompt: hello}\n")
    result = world.penstock("workflow", "validate", str(wrong))
    assert result.exit_code == 1
    assert result.stderr.count(f"{wrong}:5:") == 2
    assert "did you mean agent?" in result.stderr
    found = json.loads(world.penstock("workflow", "validate", str(wrong), "--json").stdout)
    assert {each["line"] for each in found["problems"]} == {5}


def test_the_workflows_of_this_project_are_valid_and_listed(world):
    assert world.penstock("workflow", "validate").exit_code == 0
    names = [each["name"] for each in json.loads(world.penstock("workflow", "list", "--json").stdout)]
    assert "customer_support" in names


def test_a_document_that_differs_from_the_registry_is_shown_and_can_be_rewritten(world, tmp_path):
    readme = tmp_path / "README.md"
    readme.write_text("# P\n<!-- topology:begin -->\nold\n<!-- topology:end -->\n")
    check = ["topology", "--check", "--root", str(tmp_path)]
    differs = world.penstock(*check)
    assert (differs.exit_code, "-old" in differs.stdout) == (1, True)
    assert world.penstock("topology", "--write", "--root", str(tmp_path)).exit_code == 0
    assert world.penstock(*check).exit_code == 0
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "topics.md").write_text("<!-- topics:begin -->\n<!-- topics:end -->\n")
    assert "docs/topics.md" in world.penstock(*check).stdout
    readme.write_text("no markers")
    assert world.penstock(*check).exit_code == 1


@pytest.mark.parametrize("stated", ["routr=2", "generator=0", "generator=many", "generator", "analytics=2"])
def test_up_refuses_workers_that_cannot_be_before_it_starts_anything(world, stated):
    assert world.penstock("up", "--workers", stated).exit_code == 2
    assert not (world.var / "run").exists()


def test_down_with_nothing_running_clears_stale_files_and_says_so(world):
    run = world.var / "run"
    run.mkdir()
    (run / "worker-router-0.json").write_text('{"pid": 999999999}')
    (run / "up.json").write_text('{"pid": 999999999}')
    found = json.loads(world.penstock("down", "--json").stdout)
    assert found == {"stopped_pid": None, "broker_stopped": False, "removed": ["worker-router-0.json", "up.json"]}
    assert world.penstock("down").stdout == "nothing was running\n"


def test_an_error_is_a_sentence_unless_debugging_asks_for_the_traceback(world, monkeypatch):
    quiet = world.penstock("sql", "select 1")
    assert quiet.exit_code == 3
    assert "Traceback" not in quiet.output
    monkeypatch.setenv("PENSTOCK_DEBUG", "1")
    assert world.penstock("sql", "select 1").exception.__class__.__name__ == "Unconfigured"
