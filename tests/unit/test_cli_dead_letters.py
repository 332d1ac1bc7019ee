"""Hundreds of dead letters: narrowed down, counted, and sent again once."""

from __future__ import annotations

import json

import pytest

from streams.topics import key_of
from tests.cli_world import BAD, CODEC, NOW_US, World, letter

MANY = 300
HOUR_US = 3_600_000_000


@pytest.fixture
def world(tmp_path):
    return World(tmp_path)


def sent_to(world, topic):
    return [m.value for messages in world.log.kept[topic].values() for m in messages]


def many(world, count=MANY, **fields):
    world.log.put(
        "evaluator-dlq",
        *(
            letter(name=str(n), key=f"c{n}".encode(), value=b"v%d" % n, stage="evaluator", topic="feedback", **fields)
            for n in range(1, count + 1)
        ),
    )


def test_letters_are_counted_by_role_topic_and_code(world):
    many(world, code="feedback_late")
    world.log.put("router-dlq", letter(name="1"), letter(name="2"))
    kinds = json.loads(world.penstock("dlq", "list", "--count", "--json").stdout)
    assert [(k["role"], k["topic"], k["code"], k["letters"]) for k in kinds] == [
        ("evaluator", "feedback", "feedback_late", MANY),
        ("router", "requests", "unknown_schema", 2),
    ]
    assert kinds[0]["first_at_us"] == NOW_US + 1
    assert "302 dead letters" in world.penstock("dlq", "list", "--count").stdout


def test_a_list_that_shows_only_the_newest_says_so(world):
    many(world, 60)
    result = world.penstock("dlq", "list", "evaluator")
    assert "the newest 50 of 60" in result.stderr
    assert "of 60" not in world.penstock("dlq", "list", "evaluator", "--limit", "60").stderr


def test_letters_are_narrowed_down_by_topic_and_time(world):
    world.log.put("router-dlq", letter(name="1"), letter(name="2", topic="controls"))
    world.log.put("router-dlq", letter(name=str(-2 * HOUR_US)))
    one = json.loads(world.penstock("dlq", "list", "--topic", "controls", "--json").stdout)
    assert [each["topic"] for each in one] == ["controls"]
    assert len(json.loads(world.penstock("dlq", "list", "--since", "1h", "--json").stdout)) == 2
    assert len(json.loads(world.penstock("dlq", "list", "--since", "-3h", "--json").stdout)) == 3
    wrong = world.penstock("dlq", "list", "--topic", "request")
    assert (wrong.exit_code, "Did you mean requests" in wrong.stderr) == (2, True)
    assert world.penstock("dlq", "list", "--since", "yesterday").exit_code == 2


def test_a_letter_that_was_written_twice_is_one(world):
    world.log.put("router-dlq", letter(name="1"), letter(name="1"))
    assert len(json.loads(world.penstock("dlq", "list", "--json").stdout)) == 1


def test_a_dry_run_says_what_would_be_sent_and_sends_nothing(world):
    many(world, 3)
    result = world.penstock("dlq", "replay", "evaluator", "--all", "--dry-run")
    assert (result.exit_code, "3 would be replayed" in result.stdout) == (0, True)
    assert sent_to(world, "feedback") == []
    assert "3 replayed" in world.penstock("dlq", "replay", "evaluator", "--all").stdout


def test_what_is_sent_again_goes_on_in_the_trace_in_which_it_was_given_up_on(world):
    traced = letter(name="1", key=b"c1", value=b"v1", stage="evaluator", topic="feedback")
    trace = ("traceparent", b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
    world.log.append(
        "evaluator-dlq", key_of("evaluator-dlq", traced), CODEC.encode(traced), headers=(trace, ("x", b"1"))
    )
    world.penstock("dlq", "replay", "evaluator", "--all")
    assert [m.headers for kept in world.log.kept["feedback"].values() for m in kept] == [(trace,)]


def test_the_same_replay_again_sends_nothing_twice_unless_told_to(world):
    many(world)
    assert f"{MANY} replayed" in world.penstock("dlq", "replay", "evaluator", "--all").stdout
    again = world.penstock("dlq", "replay", "evaluator", "--all")
    assert (again.exit_code, "0 replayed" in again.stdout, f"{MANY} were sent" in again.stderr) == (0, True, True)
    assert sorted(sent_to(world, "feedback")) == sorted(b"v%d" % n for n in range(1, MANY + 1))
    world.penstock("dlq", "replay", "evaluator", "--all", "--again")
    assert len(sent_to(world, "feedback")) == 2 * MANY


def test_a_replay_that_was_interrupted_goes_on_where_it_was(world):
    many(world, 10)
    append = world.log.append

    def append_four(topic, key, value, **more):
        if len(sent_to(world, "feedback")) == 4:
            raise KeyboardInterrupt
        return append(topic, key, value, **more)

    world.log.append = append_four
    assert world.penstock("dlq", "replay", "evaluator", "--all").exit_code == 130
    world.log.append = append
    assert "6 replayed" in world.penstock("dlq", "replay", "evaluator", "--all").stdout
    assert len(set(sent_to(world, "feedback"))) == len(sent_to(world, "feedback")) == 10


def test_a_message_that_was_given_up_again_and_again_is_sent_once(world):
    world.log.put("router-dlq", letter(name="1"), letter(name="2"), letter(name="3", value=b"other"))
    result = world.penstock("dlq", "replay", "router", "--all", "--json")
    assert sorted(sent_to(world, "requests")) == sorted([BAD, b"other"])
    assert len(json.loads(result.stdout)["same_message"]) == 1


def test_a_message_that_failed_again_after_its_replay_may_be_replayed_again(world):
    world.log.put("router-dlq", letter(name="1"))
    world.penstock("dlq", "replay", "router", "--all")
    world.log.put("router-dlq", letter(name="2"))
    world.penstock("dlq", "replay", "router", "--all")
    assert sent_to(world, "requests") == [BAD, BAD]


@pytest.mark.parametrize(("said", "status", "count"), [("y\n", 0, 3), ("n\n", 1, 0)])
def test_at_a_terminal_it_asks_before_it_sends_several(world, said, status, count):
    many(world, 3)
    world.at_terminal = True
    result = world.penstock("dlq", "replay", "evaluator", "--all", given=said)
    assert (result.exit_code, "Send 3 messages again?" in result.stderr) == (status, True)
    assert len(sent_to(world, "feedback")) == count


def test_it_does_not_ask_for_one_nor_where_the_answer_is_given(world):
    many(world, 3)
    world.at_terminal = True
    (place, *_) = [each["place"] for each in json.loads(world.penstock("dlq", "list", "evaluator", "--json").stdout)]
    assert world.penstock("dlq", "replay", "evaluator", place).exit_code == 0
    assert world.penstock("dlq", "replay", "evaluator", "--all", "--yes").exit_code == 0
    assert len(sent_to(world, "feedback")) == 3


def test_what_was_too_large_for_a_letter_is_named_and_left(world):
    world.log.put("router-dlq", letter(name="1", key=None, value=None, code="oversized"), letter(name="2"))
    result = world.penstock("dlq", "replay", "router", "--all")
    assert (result.exit_code, "holds no message to send" in result.stderr) == (1, True)
    assert sent_to(world, "requests") == [BAD]


def test_filters_without_all_choose_what_is_replayed(world):
    world.log.put("router-dlq", letter(name="1"), letter(name="2", topic="controls", value=b"c"))
    assert world.penstock("dlq", "replay", "all", "--topic", "controls").exit_code == 0
    assert (sent_to(world, "controls"), sent_to(world, "requests")) == ([b"c"], [])
    assert world.penstock("dlq", "replay", "router", "0:0", "--code", "x").exit_code == 2
