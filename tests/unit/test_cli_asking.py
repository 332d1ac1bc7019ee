"""The commands that ask and read along, with a log in memory: what they print and publish, how they end."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

from schemas import (
    ChunkGenerated,
)
from streams.cli.main import app
from streams.cli.sending import Pieces
from tests.analytics_events import TOPIC_OF, answered, failed, generated, rating, request, rewarded, routed, story
from tests.cli_world import BAD, CODEC, World, letter


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
