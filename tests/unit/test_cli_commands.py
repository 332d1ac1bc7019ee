"""Every command, with a log in memory: what it prints, what it publishes, how it ends."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

from schemas import (
    ChunkGenerated,
    DeadLettered,
    Evidence,
    LearningResumed,
    OverrideSet,
    ProfileUpdated,
    RollbackOrdered,
)
from streams.cli.main import app
from streams.cli.sending import Pieces
from streams.identity import event_id
from tests.analytics_events import TOPIC_OF, answered, failed, generated, rating, request, rewarded, routed, story
from tests.cli_world import CODEC, NOW_US, World

BAD = b"\xc3\x01not one of ours"


@pytest.fixture
def world(tmp_path):
    return World(tmp_path)


def put(world, *events):
    for event in events:
        world.log.put(TOPIC_OF[type(event).__name__], event)


def pipeline(asked):
    """Answers as the pipeline would: a plan, then the response."""
    plan = routed(asked)
    return [plan, answered(plan, text="By replaying.")]


# ------------------------------------------------------------------------------------------------------------------ send


def test_send_publishes_the_request_and_prints_the_answer_alone(world):
    world.answer = pipeline
    result = world.penstock("send", "How?", "--tenant", "acme", "--conversation", "c1", "--request-id", "r1")
    assert (result.exit_code, result.stdout) == (0, "By replaying.\n")
    (asked,) = world.events("requests")
    assert (asked.message, asked.tenant, asked.conversation_id, asked.request_id) == ("How?", "acme", "c1", "r1")
    assert asked.workflow == "customer_support"


def test_send_takes_every_field_of_a_request(world, tmp_path):
    world.answer = pipeline
    terms = tmp_path / "terms.md"
    terms.write_text("Within two days.")
    options = ["--workflow", "docs_help", "--sensitivity", "public", "--priority", "speed_over_quality", "--stream"]
    options += ["--strategy", "simple-semantic", "--deadline-ms", "500", "--document", str(terms)]
    assert world.penstock("send", "-", *options, given="from\nstandard input").exit_code == 0
    (asked,) = world.events("requests")
    assert asked.message == "from\nstandard input"
    assert (asked.workflow, asked.sensitivity, asked.priority) == ("docs_help", "public", "speed_over_quality")
    assert (asked.strategy, asked.deadline_ms, asked.stream) == ("simple-semantic", 500, True)
    assert [(each.document_id, each.title, each.text) for each in asked.documents] == [
        ("terms.md", "terms", "Within two days.")
    ]


def test_why_adds_the_reasoning_the_probabilities_and_the_cost(world):
    world.answer = pipeline
    result = world.penstock("send", "How?", "--why")
    for said in ("Because.", "probability 0.750 among 2", "0.250  premium-semantic", "$0.002, 20 ms", "version 1"):
        assert said in result.stdout


def test_why_with_json_is_one_object_with_the_plan_in_it(world):
    world.answer = pipeline
    found = json.loads(world.penstock("send", "How?", "--why", "--json").stdout)
    assert (found["event"], found["text"]) == ("ResponseReady", "By replaying.")
    assert [each["probability"] for each in found["routing"]["plan"]["candidates"]] == [0.75, 0.25]


def test_a_failed_response_is_told_on_standard_error_with_its_remedy_and_status_1(world):
    world.answer = lambda asked: [failed(asked)]
    result = world.penstock("send", "How?", "--workflow", "nope")
    assert (result.exit_code, result.stdout) == (1, "")
    assert "unknown_workflow: There is no such workflow." in result.stderr
    assert "Use another." in result.stderr


def test_no_answer_in_time_is_status_3_and_names_the_request(world):
    result = world.penstock("send", "How?", "--timeout", "2")
    assert (result.exit_code, result.stdout) == (3, "")
    assert "penstock explain made-1" in result.stderr


def test_without_a_broker_the_status_is_3_and_the_remedy_is_to_start_one(world, monkeypatch):
    monkeypatch.delenv("PENSTOCK_BOOTSTRAP_SERVERS", raising=False)
    monkeypatch.setenv("PENSTOCK_VAR", str(world.var))
    for command in (["send", "How?"], ["tail", "requests"], ["explain", "r1"], ["override", "list"]):
        result = CliRunner().invoke(app, command)
        assert result.exit_code == 3, command
        assert "penstock up" in result.stderr


def test_send_can_rate_the_answer(world):
    world.answer = pipeline
    assert world.penstock("send", "How?", "--rate", "4").exit_code == 0
    (given,) = world.events("feedback")
    assert (given.kind, given.value, given.source, given.request_id) == ("rating", 4.0, "user", "made-1")


def test_a_streamed_answer_is_printed_once_and_a_later_step_begins_anew(world, capsys):
    pieces = Pieces(as_json=False)
    for step, index, text in ((0, 0, "Wrong"), (1, 0, "By "), (0, 1, "late"), (1, 1, "replaying.")):
        fields = {"tenant": "t", "conversation_id": "c", "request_id": "r"}
        pieces.take(ChunkGenerated(event_id="e", occurred_at_us=1, step=step, index=index, text=text, **fields))
    assert pieces.finish("By replaying.")
    assert capsys.readouterr().out == "Wrong\nBy replaying.\n"


@pytest.mark.parametrize(
    ("options", "status"),
    [
        (["--kind", "rating", "--value", "5"], 0),
        (["--kind", "rating", "--value", "6"], 2),
        (["--kind", "thumb", "--value", "0.5"], 2),
        (["--kind", "edit", "--value", "0.5"], 0),
        (["--kind", "applause"], 2),
    ],
)
def test_feedback_is_published_only_within_the_range_of_its_kind(world, options, status):
    assert world.penstock("feedback", "r1", "--conversation", "c1", *options).exit_code == status
    assert len(world.events("feedback")) == (1 if status == 0 else 0)


# ------------------------------------------------------------------------------------------------------------------ tail


def test_tail_shows_events_in_a_line_each_and_what_is_no_event_as_such(world):
    asked = request("r1")
    put(world, asked)
    world.log.append("requests", b"x", BAD)
    result = world.penstock("tail", "requests", "--from", "beginning", "--no-follow")
    assert result.exit_code == 0
    assert "RequestReceived  r1 customer_support: Where is order r1?" in result.stdout
    assert "UNDECODABLE" in result.stdout
    assert "unknown_schema" in result.stdout


def test_tail_gives_the_newest_and_stops_at_the_limit(world):
    put(world, *(request(f"r{number}", conversation_id="same") for number in range(9)))
    newest = world.penstock("tail", "requests", "--from", "-3", "--json", "--no-follow")
    assert [json.loads(line)["fields"]["request_id"] for line in newest.stdout.splitlines()] == ["r6", "r7", "r8"]
    first = world.penstock("tail", "requests", "--from", "beginning", "--limit", "2", "--json")
    assert [json.loads(line)["fields"]["request_id"] for line in first.stdout.splitlines()] == ["r0", "r1"]


def test_tail_from_the_end_without_following_is_nothing(world):
    put(world, request("r1"))
    assert world.penstock("tail", "requests", "--from", "end", "--no-follow").stdout == ""


def test_a_misspelt_topic_gets_the_nearest_names(world):
    result = world.penstock("tail", "reqests")
    assert result.exit_code == 2
    assert "Did you mean requests" in result.stderr


# --------------------------------------------------------------------------------------------------------------- explain


def test_explain_tells_the_whole_story(world):
    put(world, *story("r1", reward=0.5), rating(routed(request("r1"))))
    put(world, rewarded(routed(request("r1")), revision=1, reward=1.0, rated=True), *story("r2"))
    result = world.penstock("explain", "r1", "--conversation", "talk-r1")
    assert result.exit_code == 0
    for said in (
        "conversation talk-r1, tenant acme",
        "Where is order r1?",
        "Because.",
        "transactional (confidence 0.90), complexity 5 of 10",
        "balanced-semantic with propensity 0.7500, draw 0.500000",
        "0.2500",
        "profile customer_support version 1",
        "step 0 balanced-semantic, penstock-static at embedded",
        "user rating 5: Thanks.",
        "1.000, rated by the user, revision 1",
    ):
        assert said in result.stdout
    assert "r2" not in result.stdout


def test_a_request_in_another_conversation_is_found_without_naming_it(world):
    put(world, *story("r1"))
    found = json.loads(world.penstock("explain", "r1", "--json").stdout)
    assert found["conversation_id"] == "talk-r1"
    assert [event["event"] for event in found["events"]] == [
        "RequestReceived",
        "RequestRouted",
        "GenerationCompleted",
        "ResponseReady",
        "RewardComputed",
    ]


def test_repeats_are_told_once_and_the_first_plan_of_the_partition_holds(world):
    asked = request("r1")
    put(world, asked, asked, routed(asked, version=2), routed(asked, version=3))
    said = world.penstock("explain", "r1").stdout
    assert "profile customer_support version 2" in said
    assert "version 3" not in said
    assert "none yet" in said


def test_an_id_that_several_conversations_have_must_be_chosen(world):
    put(world, request("r1"), request("r1", conversation_id="other"))
    result = world.penstock("explain", "r1")
    assert result.exit_code == 1
    assert "--tenant acme --conversation other" in result.stderr
    assert world.penstock("explain", "r1", "--conversation", "other").exit_code == 0


def test_a_request_that_ended_in_the_dead_letters_is_found_there(world):
    asked = request("r1")
    put(world, asked)
    world.log.put("router-dlq", letter(value=CODEC.encode(asked), key=b"talk-r1", code="handler_failed"))
    assert "dead letter  of the router, from requests 1:7, handler_failed" in world.penstock("explain", "r1").stdout


def test_an_unknown_request_is_status_1(world):
    assert world.penstock("explain", "never").exit_code == 1


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

    def append_and_obey(topic, key, value):
        message = publish(topic, key, value)
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


def letter(
    *, value=BAD, key: bytes | None = b"talk", code="unknown_schema", name="1", stage="router", topic="requests"
):
    return DeadLettered(
        event_id=event_id("DeadLettered", stage, name),
        occurred_at_us=NOW_US + int(name),
        stage=stage,
        topic=topic,
        partition=1,
        offset=7,
        key=key,
        value=value,
        code=code,
        error="It was bad.",
        attempts=3,
    )


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


def test_a_rejected_request_is_told_with_its_code_and_without_calls(world):
    asked = request("r1")
    put(world, asked, failed(asked))
    said = world.penstock("explain", "r1").stdout
    assert "unknown_workflow: There is no such workflow." in said
    assert "calls        none" in said


def test_a_generation_is_told_with_its_tokens(world):
    plan = routed(request("r1"))
    put(world, plan, generated(plan))
    assert "10+5 tokens" in world.penstock("explain", "r1").stdout
