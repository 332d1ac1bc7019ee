"""The outbox publishes what the registry declares for its role, under the declared key, and nothing else."""

from __future__ import annotations

import asyncio

import pytest

from schemas import EVENTS, Record
from streams.codec import Codec
from streams.errors import Code, UndeclaredTopic
from streams.outbox import Outbox
from streams.topics import OUTSIDE, STAGES, TOPICS, key_of
from streams.tracing import Headers
from tests.event_examples import example

CODEC = Codec()


class Sent:
    """What was sent; fails the next ``failures`` times."""

    def __init__(self) -> None:
        self.messages: list[tuple[str, bytes, bytes]] = []
        self.failures = 0

    async def __call__(self, topic: str, key: bytes, value: bytes, headers: Headers) -> None:
        if self.failures:
            self.failures -= 1
            raise ConnectionError("the broker is away")
        self.messages.append((topic, key, value))


def publish(role: str, topic: str, event: Record) -> tuple[Outbox, Sent]:
    sent = Sent()
    outbox = Outbox(role, CODEC, sent)
    asyncio.run(outbox.publish(topic, event))
    return outbox, sent


ALLOWED = [
    (role, topic.name, event.__name__)
    for topic in TOPICS.values()
    for role in topic.written_by
    for event in topic.events
]
FORBIDDEN = [
    (role, topic.name) for topic in TOPICS.values() for role in (*STAGES, *OUTSIDE) if role not in topic.written_by
]


@pytest.mark.parametrize(("role", "topic", "event"), ALLOWED)
def test_a_declared_event_goes_out_under_its_key_and_is_counted(role, topic, event):
    outbox, sent = publish(role, topic, example(event))
    assert sent.messages == [(topic, key_of(topic, example(event)), CODEC.encode(example(event)))]
    assert outbox.published_total == 1


@pytest.mark.parametrize(("role", "topic"), [*FORBIDDEN, ("router", "no-such-topic"), ("nobody", "requests")])
def test_a_topic_that_is_not_declared_for_the_role_is_refused_before_anything_is_sent(role, topic):
    sent = Sent()
    outbox = Outbox(role, CODEC, sent)
    event = example(TOPICS[topic].events[0].__name__ if topic in TOPICS else "RequestReceived")
    with pytest.raises(UndeclaredTopic, match=f"The {role} may not publish to {topic}") as caught:
        asyncio.run(outbox.publish(topic, event))
    assert caught.value.code is Code.UNDECLARED_TOPIC
    assert sent.messages == []
    assert outbox.published_total == 0


@pytest.mark.parametrize(("role", "topic"), sorted({(role, topic) for role, topic, _ in ALLOWED}))
def test_an_event_that_does_not_belong_on_the_topic_is_a_type_error(role, topic):
    for name, event in EVENTS.items():
        if event not in TOPICS[topic].events:
            with pytest.raises(TypeError, match=f"{name} does not belong on {topic}"):
                publish(role, topic, example(name))


def test_a_failure_of_the_broker_reaches_the_caller_and_is_not_counted():
    sent = Sent()
    sent.failures = 1
    outbox = Outbox("router", CODEC, sent)
    with pytest.raises(ConnectionError):
        asyncio.run(outbox.publish("routing", example("RequestRouted")))
    assert outbox.published_total == 0
    asyncio.run(outbox.publish("routing", example("RequestRouted")))
    assert outbox.published_total == 1
