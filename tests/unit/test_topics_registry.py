"""The topic registry as data: names, keys, owners, retention; and the rules that the rest of Penstock relies on."""

from __future__ import annotations

import re
from datetime import timedelta

import msgspec
import pytest

from schemas import EVENTS, DeadLettered
from streams.admin import configuration_of, partitions_of
from streams.topics import (
    LETTER_BYTES,
    LONGEST_LETTER_KEY_BYTES,
    MAX_EVENT_BYTES,
    MAX_MESSAGE_BYTES,
    OUTSIDE,
    STAGES,
    TOPICS,
    key_of,
    may_write,
    read_by,
)
from tests.event_examples import example

WITH_TEXT = {"requests", "routing", "deferred", "generation", "responses", "response-chunks", "feedback"}


@pytest.mark.parametrize("topic", TOPICS.values(), ids=lambda topic: topic.name)
def test_a_topic_has_a_kebab_case_name_events_writers_readers_and_a_sentence(topic):
    assert re.fullmatch(r"[a-z]+(-[a-z]+)*", topic.name)
    assert TOPICS[topic.name] is topic
    assert topic.events
    assert topic.holds
    for people in (topic.written_by, topic.read_by):
        assert people
        assert len(set(people)) == len(people)
        assert set(people) <= {*STAGES, *OUTSIDE}


def test_every_event_has_a_topic_and_every_topic_has_events_of_ours():
    assert {event for topic in TOPICS.values() for event in topic.events} == set(EVENTS.values())


def test_an_event_lives_on_one_topic_but_for_deferred_plans_profiles_and_dead_letters():
    homes: dict[str, list[str]] = {}
    for topic in TOPICS.values():
        for event in topic.events:
            homes.setdefault(event.__name__, []).append(topic.name)
    several = {name: found for name, found in homes.items() if len(found) > 1}
    assert several == {
        "RequestRouted": ["routing", "deferred"],
        "ProfileUpdated": ["profile-updates", "profile-history"],
        "DeadLettered": [f"{role}-dlq" for role in STAGES],
    }


def test_topics_with_text_expire_after_a_week_and_no_other_does():
    assert {name for name, topic in TOPICS.items() if topic.retention == timedelta(days=7)} == WITH_TEXT


def test_what_is_learned_and_what_the_operator_said_is_kept_for_ever():
    assert {name for name, topic in TOPICS.items() if topic.retention is None} == {
        "profile-updates",
        "profile-history",
        "controls",
        "schemas",
    }
    assert {name for name, topic in TOPICS.items() if topic.compacted} == {"profile-updates", "controls", "schemas"}


def test_a_compacted_topic_is_never_keyed_by_conversation():
    assert not [topic.name for topic in TOPICS.values() if topic.compacted and topic.partitioned_by_conversation]


def test_dead_letters_outlive_the_texts_so_that_they_can_be_replayed():
    longest = max(TOPICS[name].retention or timedelta.max for name in WITH_TEXT)
    for role in STAGES:
        kept = TOPICS[f"{role}-dlq"].retention
        assert kept is not None
        assert kept > longest


def test_an_oversized_message_of_2_mib_still_fits_into_the_dead_letters():
    assert MAX_EVENT_BYTES < 2 * 1024 * 1024 < MAX_MESSAGE_BYTES


@pytest.mark.parametrize("role", STAGES)
def test_every_stage_reads_something_reports_and_has_dead_letters_of_its_own(role):
    assert read_by(role)
    assert may_write(role, "metrics")
    assert TOPICS[f"{role}-dlq"].written_by == (role,)


def test_only_declared_writers_may_write():
    for topic in TOPICS.values():
        allowed = {role for role in (*STAGES, *OUTSIDE, "nobody") if may_write(role, topic.name)}
        assert allowed == set(topic.written_by)
    assert not may_write("router", "no-such-topic")


def test_what_a_role_reads_is_listed_in_the_order_in_which_a_request_meets_it():
    assert [topic.name for topic in read_by("evaluator")] == ["generation", "responses", "feedback", "controls"]
    assert read_by("nobody") == ()


CONVERSATION = [(t.name, e.__name__) for t in TOPICS.values() if t.partitioned_by_conversation for e in t.events]


@pytest.mark.parametrize(("topic", "event"), CONVERSATION)
def test_every_event_of_a_request_has_the_conversation_as_its_key(topic, event):
    assert key_of(topic, example(event)) == b"talk-7"


def test_all_events_of_a_request_have_the_same_key_whatever_the_conversation_is_called():
    for conversation in ("", "Größe", "\U0001f6b0", "a\x00b"):
        routed = example("RequestRouted")
        request = msgspec.structs.replace(example("RequestReceived"), conversation_id=conversation)
        keys = {
            key_of("requests", request),
            key_of("routing", msgspec.structs.replace(routed, request=request)),
            key_of("feedback", msgspec.structs.replace(example("FeedbackGiven"), conversation_id=conversation)),
        }
        assert keys == {conversation.encode()}


@pytest.mark.parametrize(
    ("topic", "event", "key"),
    [
        ("profile-updates", "ProfileUpdated", b"customer_support"),
        ("profile-history", "ProfileUpdated", b"customer_support"),
        ("controls", "OverrideSet", b"override:max_chunk_size"),
        ("controls", "RollbackOrdered", b"learning:customer_support"),
        ("controls", "LearningResumed", b"learning:customer_support"),
        ("controls", "ResumeOrdered", b"stage:router"),
        ("metrics", "StageMeasured", b"generator"),
        ("metrics", "StagePaused", b"router"),
        ("metrics", "StageRestarted", b"generator"),
        ("router-dlq", "DeadLettered", b"talk-7"),
    ],
)
def test_the_other_keys_are_scope_subject_stage_and_what_it_was(topic, event, key):
    assert key_of(topic, example(event)) == key


def test_a_dead_letter_of_a_message_without_a_key_has_an_empty_one():
    letter = example("DeadLettered", "minimal")
    assert isinstance(letter, DeadLettered)
    assert letter.key is None
    assert key_of("router-dlq", letter) == b""


def test_a_key_that_would_not_fit_twice_is_in_its_dead_letter_only():
    for length, key in (
        (LONGEST_LETTER_KEY_BYTES, b"k" * LONGEST_LETTER_KEY_BYTES),
        (LONGEST_LETTER_KEY_BYTES + 1, b""),
    ):
        letter = msgspec.structs.replace(example("DeadLettered"), key=b"k" * length)
        assert key_of("router-dlq", letter) == key


def test_an_event_on_the_wrong_topic_has_no_key():
    with pytest.raises(TypeError, match="ResponseReady does not belong on requests"):
        key_of("requests", example("ResponseReady"))


@pytest.mark.parametrize("topic", TOPICS.values(), ids=lambda topic: topic.name)
def test_the_brokers_configuration_follows_the_declaration(topic):
    configuration = configuration_of(topic)
    letters = topic.events == (DeadLettered,)
    assert int(configuration["max.message.bytes"]) == (LETTER_BYTES if letters else MAX_MESSAGE_BYTES)
    if topic.compacted:
        assert configuration["cleanup.policy"] == "compact"
        assert "retention.ms" not in configuration
    else:
        assert "cleanup.policy" not in configuration
        kept = -1 if topic.retention is None else topic.retention / timedelta(milliseconds=1)
        assert int(configuration["retention.ms"]) == kept


def test_conversation_topics_and_dead_letters_are_split_and_what_everybody_reads_whole_is_not():
    split = {name for name, topic in TOPICS.items() if partitions_of(topic, 8) == 8}
    assert split == {*(t.name for t in TOPICS.values() if t.partitioned_by_conversation), *(f"{r}-dlq" for r in STAGES)}
    assert {partitions_of(topic, 8) for name, topic in TOPICS.items() if name not in split} == {1}
