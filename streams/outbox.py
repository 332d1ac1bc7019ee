"""The outbox: the one way a stage publishes, and it refuses what the registry does not declare.

In: a topic's name and an event. Out: a message on Kafka with the trace in its headers, delivery confirmed before ``publish``
returns. Keeps a counter.
Fails with ``UndeclaredTopic`` or ``TypeError`` for a mistake in the code, and with the broker's error where delivery failed.
"""

from collections.abc import Awaitable, Callable

from schemas import Record
from streams import tracing
from streams.codec import Codec
from streams.errors import UndeclaredTopic
from streams.topics import key_of, may_write
from streams.tracing import Headers

Send = Callable[[str, bytes, bytes, Headers], Awaitable[None]]
"""Sends (topic, key, value, headers) and returns when the broker has it."""


class Outbox:
    """Publishes on behalf of one role."""

    def __init__(
        self, role: str, codec: Codec, send: Send, *, published: Callable[[Record], None] = lambda _: None
    ) -> None:
        """``published`` is told of every event that the broker has."""
        self.role = role
        self.published_total = 0
        self._codec = codec
        self._send = send
        self._published = published

    async def publish(self, topic: str, event: Record, *, encoded: bytes | None = None) -> None:
        """Publish ``event`` to ``topic`` and wait until the broker has it; ``encoded`` where it was encoded before."""
        if not may_write(self.role, topic):
            raise UndeclaredTopic(
                f"The {self.role} may not publish to {topic}.",
                remedy="Declare it in streams/topics.py, or publish elsewhere.",
            )
        with tracing.sending(topic):
            value = self._codec.encode(event) if encoded is None else encoded
            await self._send(topic, key_of(topic, event), value, tracing.outgoing())
        self.published_total += 1
        self._published(event)
