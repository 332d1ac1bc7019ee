"""A part of the log copied to scratch topics: which part, how exactly, and never twice."""

from __future__ import annotations

import json

import pytest

from streams.scratch import FROM, MARK, copied_from
from tests.cli_world import NOW_US, MemoryLog, World

HOUR_MS = 3_600_000
NOW_MS = NOW_US // 1_000


@pytest.fixture
def world(tmp_path):
    world = World(tmp_path, settings={"bootstrap_servers": "broker:9092"})
    for hours in range(10, 0, -1):
        for talk in (b"a", b"b", b"c"):
            value = b"%d %s" % (hours, talk)
            world.log.append("requests", talk, value, at_ms=NOW_MS - hours * HOUR_MS, headers=[("trace", talk)])
    return world


def values(log, topic):
    return sorted(m.value for messages in log.kept[topic].values() for m in messages)


def hours(first, last):
    return sorted(b"%d %s" % (n, talk) for n in range(last, first + 1) for talk in (b"a", b"b", b"c"))


def test_the_messages_of_a_time_range_are_copied_with_their_keys_headers_times_and_partitions(world):
    result = world.penstock("replay", "--from", "-5h", "--to", "-2h", "--topic", "requests", "--into", "try-")
    assert result.exit_code == 0, result.output
    copies = world.scratch["try-"]
    assert values(copies, "requests") == hours(5, 3)
    for number, messages in copies.kept["requests"].items():
        for each in messages:
            *own, (name, origin) = each.headers
            topic, partition, offset = origin.decode().split("/")
            (was,) = [m for m in world.log.kept[topic][int(partition)] if m.offset == int(offset)]
            assert (name, int(partition)) == (FROM, number)
            assert (each.key, each.value, each.at_ms, tuple(own)) == (was.key, was.value, was.at_ms, was.headers)


def test_the_command_for_a_role_is_printed_with_a_prefix_and_a_folder_of_its_own(world):
    result = world.penstock("replay", "--from", "7d", "--topic", "requests")
    (line,) = [each for each in result.stdout.splitlines() if each.endswith("worker router")]
    assert "PENSTOCK_TOPIC_PREFIX=replay- " in line
    assert f"PENSTOCK_VAR={world.var}/scratch/replay " in line
    assert "PENSTOCK_BOOTSTRAP_SERVERS=broker:9092 " in line


def test_the_same_replay_again_copies_nothing_twice_and_a_longer_one_what_is_missing(world):
    for end, copied in (("-5h", 15), ("-5h", 0), ("-2h", 9)):
        found = world.penstock("replay", "--from", "-10h", "--to", end, "--topic", "requests", "--json")
        assert json.loads(found.stdout)["topics"][0]["copied"] == copied
    assert values(world.scratch["replay-"], "requests") == hours(10, 3)


def test_a_replay_that_was_interrupted_goes_on_where_it_was(world, monkeypatch):
    poll = MemoryLog.poll
    monkeypatch.setattr(MemoryLog, "poll", interrupted(poll, after=7))
    assert world.penstock("replay", "--from", "-10h", "--topic", "requests").exit_code == 130
    monkeypatch.setattr(MemoryLog, "poll", poll)
    assert 0 < len(values(world.scratch["replay-"], "requests")) < 30
    assert world.penstock("replay", "--from", "-10h", "--topic", "requests").exit_code == 0
    assert values(world.scratch["replay-"], "requests") == hours(10, 1)


def interrupted(poll, after):
    def some(self, wait_s):
        if MARK in self.kept:
            return poll(self, wait_s)
        return Interrupting(poll(self, wait_s)[:after])

    return some


class Interrupting(list[object]):
    """Messages after which somebody presses Ctrl-C."""

    def __iter__(self):
        yield from super().__iter__()
        raise KeyboardInterrupt


def test_what_a_role_wrote_behind_the_copies_is_no_copy(world):
    world.penstock("replay", "--from", "-10h", "--to", "-5h", "--topic", "requests")
    world.scratch["replay-"].append("requests", b"a", b"written by a role")
    world.penstock("replay", "--from", "-10h", "--to", "-2h", "--topic", "requests")
    assert values(world.scratch["replay-"], "requests") == sorted([*hours(10, 3), b"written by a role"])


def test_offsets_may_be_stated_for_all_partitions_or_for_some(world):
    world.penstock("replay", "--from", "2", "--to", "4", "--topic", "requests", "--into", "all-")
    assert {m.offset for m in origin(world, "all-")} == {2, 3}
    (busy, *_) = [number for number, messages in world.log.kept["requests"].items() if messages]
    world.penstock("replay", "--from", f"{busy}:1", "--to", f"{busy}:3", "--topic", "requests", "--into", "one-")
    assert {(m.partition, m.offset) for m in origin(world, "one-")} == {(busy, 1), (busy, 2)}


def origin(world, prefix):
    return [copied_from(m) for messages in world.scratch[prefix].kept["requests"].values() for m in messages]


def test_what_the_broker_has_forgotten_is_refused_in_a_sentence_and_the_rest_may_be_copied(world):
    world.log.forget("requests", 4)
    result = world.penstock("replay", "--from", "-10h", "--topic", "requests")
    assert (result.exit_code, "what was before is gone (kept for 7 days)" in result.stderr) == (1, True)
    assert world.scratch == {}
    assert world.penstock("replay", "--from", "0", "--topic", "requests").exit_code == 1
    assert world.penstock("replay", "--from", "-1h", "--topic", "requests").exit_code == 0
    partly = world.penstock("replay", "--from", "-10h", "--topic", "requests", "--partly", "--into", "rest-")
    assert (partly.exit_code, "is gone" in partly.stderr) == (0, True)
    assert values(world.scratch["rest-"], "requests") == values(world.log, "requests")


@pytest.mark.parametrize(
    "wrong",
    [
        ["--topic", "request", "--from", "-1h"],
        ["--topic", "requests"],
        ["--from", "-1h"],
        ["--topic", "requests", "--from", "yesterday"],
        ["--topic", "requests", "--from", "-1h", "--into", ""],
        ["--topic", "requests", "--from", "-1h", "--into", "live"],
        ["--topic", "requests", "--from", "99:0", "--to", "99:5"],
    ],
)
def test_a_range_or_a_prefix_that_cannot_be_is_refused(world, wrong):
    result = world.penstock("replay", *wrong)
    assert result.exit_code == 2, result.output
    assert world.scratch == {}


def test_the_live_prefix_and_one_that_is_somebodys_are_never_written_to(tmp_path):
    live = World(tmp_path, settings={"topic_prefix": "live-", "bootstrap_servers": "b:1"})
    live.scratch = {"live-": live.log, "other-": MemoryLog()}
    assert live.penstock("replay", "--from", "-1h", "--topic", "requests", "--into", "live-").exit_code == 2
    assert live.penstock("replay", "--into", "live-", "--clean").exit_code == 2
    other = live.penstock("replay", "--from", "-1h", "--topic", "requests", "--into", "other-")
    assert (other.exit_code, "no scratch topics" in other.stderr) == (3, True)


def test_an_earlier_range_cannot_be_put_in_front_of_a_later_one(world):
    world.penstock("replay", "--from", "-3h", "--topic", "requests")
    result = world.penstock("replay", "--from", "-8h", "--topic", "requests")
    assert (result.exit_code, "--clean" in result.stderr) == (2, True)


def test_clean_deletes_the_scratch_topics_and_a_dry_run_makes_none(world):
    dry = world.penstock("replay", "--from", "-3h", "--topic", "requests", "--dry-run")
    assert ("9 messages would be in replay-requests" in dry.stdout, world.scratch) == (True, {})
    world.penstock("replay", "--from", "-3h", "--topic", "requests")
    assert "deleted" in world.penstock("replay", "--clean").stdout
    assert world.scratch == {}
    assert world.penstock("replay", "--clean").stdout == "there was nothing to delete\n"


def test_the_profiles_and_overrides_in_force_come_along_where_asked_for(world):
    world.log.append("profile-updates", b"help", b"profile", at_ms=NOW_MS - 900 * HOUR_MS)
    world.penstock("replay", "--from", "-1h", "--topic", "requests", "--profiles")
    assert values(world.scratch["replay-"], "profile-updates") == [b"profile"]
