"""Analytics holds what would break the limit on dead letters, from the first such message of a partition on, and nothing else."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from analytics.intake import Message, read_batch
from analytics.standing import within_limit
from streams.limit import Counts, Limit
from streams.pausing import Gate
from tests.analytics_events import CODEC, story

GOOD = {"requests": CODEC.encode(story("one")[0])}
NOW_US = 1_800_000_000_000_000


def gate(most: int) -> Gate:
    return Gate(Limit(most=most, share=0.0), lambda: NOW_US)


def message(topic: str, partition: int, offset: int, *, good: bool) -> Message:
    return Message(topic, partition, offset, 0, None, GOOD["requests"] if good and topic == "requests" else b"no event")


def admitted(messages: list[Message], at: Gate) -> list[Message]:
    return within_limit(messages, read_batch(messages, CODEC), at)


def test_within_the_limit_everything_is_admitted_and_counted():
    at = gate(2)
    messages = [message("requests", 0, n, good=n > 1) for n in range(5)]
    assert admitted(messages, at) == messages
    assert at._window("requests").counts(NOW_US) == Counts(letters=2, handled=3)
    assert at.paused == {}


def test_a_topic_is_cut_where_its_limit_would_break_and_others_are_not():
    at = gate(1)
    requests = [message("requests", 0, n, good=n not in (1, 3)) for n in range(6)]
    feedback = [message("feedback", 0, 0, good=False)]
    assert admitted([*requests, *feedback], at) == [*requests[:3], *feedback]
    assert list(at.paused) == ["requests"]
    assert at.paused["requests"].offset == 3


def test_the_operators_topic_is_never_cut():
    at = gate(0)
    messages = [message("controls", 0, n, good=False) for n in range(3)]
    assert admitted(messages, at) == messages
    assert at.paused == {}


Places = st.lists(st.tuples(st.integers(0, 2), st.booleans()), max_size=40)


@given(Places, st.integers(0, 5))
def test_whatever_comes_each_partition_keeps_a_beginning_and_no_more_letters_than_the_limit(places, most):
    offsets = [0, 0, 0]
    messages = []
    for partition, good in places:
        messages.append(message("requests", partition, offsets[partition], good=good))
        offsets[partition] += 1
    at = gate(most)
    kept = admitted(messages, at)
    for partition in range(3):
        of_it = [each.offset for each in kept if each.partition == partition]
        assert of_it == list(range(len(of_it)))
    letters = sum(each.value == b"no event" for each in kept)
    assert letters <= most
    assert (kept == messages) == (not at.paused)
    assert (
        read_batch(kept, CODEC).refused == read_batch(messages, CODEC).refused[:letters] or letters < most or at.paused
    )
