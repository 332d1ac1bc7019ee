"""An evaluator with hand-written fakes: tables that are dicts, a clock that stands still, an outbox that remembers."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

from agents.evaluator import Evaluator
from agents.joining import Times
from schemas import (
    DeadLettered,
    FeedbackGiven,
    GenerationCompleted,
    Record,
    ResponseFailed,
    ResponseReady,
    RewardComputed,
    UsedPassage,
)
from schemas.feedback_given import FeedbackKind
from streams.codec import Codec
from streams.delivery import Delivery, Origin
from streams.identity import event_id
from streams.kept import NotOurs
from streams.logs import logger
from streams.outbox import Outbox
from streams.progress import Progress
from streams.topics import key_of
from streams.tracing import Headers

S = 1_000_000
START_US = 1_700_000_000 * S
TIMES = Times(rating_wait_us=10 * S, orphan_wait_us=30 * S, feedback_window_us=86_400 * S)
CODEC = Codec()
PARTITION = 3


class Crash(BaseException):
    """The process dies; not an Exception, so that nothing handles it."""


class FlatEncoder:
    """Every text has the same vector."""

    name, version, dimensions = "flat", "1", 2

    def encode(self, texts: Sequence[str]) -> npt.NDArray[np.float32]:
        return np.tile(np.array([1, 0], dtype=np.float32), (len(texts), 1))


class Dictionary:
    """A table; ``crash_after`` writes the process dies, the write itself being kept here, and unknown to the broker."""

    def __init__(self, desk: Desk) -> None:
        self.entries: dict[bytes, bytes] = {}
        self.on_broker: dict[bytes, bytes] = {}
        self._desk = desk

    def get(self, key: bytes) -> bytes | None:
        return self.entries.get(key)

    async def put(self, partition: int, key: bytes, value: bytes) -> None:
        assert partition == PARTITION
        self.entries[key] = value
        await asyncio.sleep(0)  # others may go on, as with a real broker
        self._desk.step()
        self.on_broker[key] = value

    async def remove(self, partition: int, key: bytes) -> None:
        assert partition == PARTITION
        await asyncio.sleep(0)
        self.on_broker.pop(key, None)
        self._desk.step()
        del self.entries[key]

    def values(self) -> Iterator[bytes]:
        return iter(list(self.entries.values()))


class Desk:
    """One evaluator's world, which outlives the evaluator."""

    def __init__(self) -> None:
        self.now_us = START_US
        self.sent: list[tuple[str, Record]] = []
        self.counts: Counter[str] = Counter()
        self.ours = True
        self.settled = True
        self.responses = Progress(end=0, read=0)
        self.broker_away = False
        self.steps_left: int | None = None
        self.answered = Dictionary(self)
        self.waiting = Dictionary(self)
        self._offset = 0
        self.restart()

    def restart(self) -> None:
        """A new process on the same tables."""
        outbox = Outbox("evaluator", CODEC, self._send)
        self.delivery = Delivery("evaluator", CODEC, outbox, clock=lambda: self.now_us, pause=self._pause)
        self.evaluator = Evaluator(
            answered=self.answered,
            waiting=self.waiting,
            ownership=self,
            outbox=outbox,
            delivery=self.delivery,
            encoder=FlatEncoder(),
            responses_of=self._responses_of,
            times=TIMES,
            clock=lambda: self.now_us,
            count=lambda name: self.counts.update([name]),
            log=logger(role="evaluator"),
        )

    def is_settled(self) -> bool:
        return self.settled

    async def wait_settled(self, partition: int) -> None:
        if not self.ours:
            raise NotOurs

    def step(self) -> None:
        """Count an effect; the process dies after the last one allowed."""
        if self.steps_left is not None:
            self.steps_left -= 1
            if self.steps_left <= 0:
                self.steps_left = None
                raise Crash

    async def _send(self, topic: str, key: bytes, value: bytes, headers: Headers) -> None:
        if self.broker_away:
            raise ConnectionError("away")
        self.sent.append((topic, CODEC.decode(value)))
        self.step()

    async def _responses_of(self, partition: int) -> Progress:
        assert partition == PARTITION
        return self.responses

    async def _pause(self, _seconds: float) -> None:
        return

    def origin(self, topic: str, event: Record) -> Origin:
        """A message of its own, at the next offset."""
        self._offset += 1
        return Origin(topic, PARTITION, self._offset, key_of(topic, event), CODEC.encode(event))

    async def deliver(self, topic: str, event: Record, *, origin: Origin | None = None) -> None:
        await self.delivery.take_in(origin or self.origin(topic, event), self.evaluator.handle)

    async def take(self, *events: Record) -> None:
        """Deliver each event on the topic that it belongs to."""
        topics = {GenerationCompleted: "generation", FeedbackGiven: "feedback"}
        for event in events:
            await self.deliver(topics.get(type(event), "responses"), event)

    async def after(self, seconds: float) -> None:
        """Let time pass, and the timer look once."""
        self.now_us += int(seconds * S)
        await self.evaluator.look()

    @property
    def rewards(self) -> list[RewardComputed]:
        return [event for _, event in self.sent if isinstance(event, RewardComputed)]

    @property
    def letters(self) -> list[DeadLettered]:
        return [event for _, event in self.sent if isinstance(event, DeadLettered)]

    @property
    def codes(self) -> list[str]:
        return [letter.code for letter in self.letters]


def generation(
    at_us: int = START_US, *, step: int = 0, text: str = "Feedback is accepted for 24 hours."
) -> GenerationCompleted:
    return GenerationCompleted(
        event_id=event_id("GenerationCompleted", "r1", str(step)),
        occurred_at_us=at_us,
        tenant="acme",
        conversation_id="c1",
        request_id="r1",
        routing_id="plan1",
        step=step,
        tries=1,
        strategy="simple-semantic",
        model="m",
        provider="p",
        question="How long is feedback accepted?",
        passages=(UsedPassage(passage_id="a", text="Feedback is accepted for 24 hours."),),
        text=text,
        finish_reason="stop",
        input_tokens=1,
        output_tokens=1,
        cost_usd=0.0,
        retrieval_ms=1.0,
        latency_ms=1.0,
    )


def ready(at_us: int = START_US, *, step: int = 0) -> ResponseReady:
    return ResponseReady(
        event_id=event_id("Response", "r1"),
        occurred_at_us=at_us,
        tenant="acme",
        conversation_id="c1",
        request_id="r1",
        workflow="docs_help",
        text="Feedback is accepted for 24 hours.",
        strategy="simple-semantic",
        model="m",
        routing_id="plan1",
        generation_id=generation(step=step).event_id,
        profile_scope="*/docs_help",
        profile_version=0,
        content_type="informational",
        complexity=2,
        step=step,
        cost_usd=0.0,
        latency_ms=1.0,
        reasoning="",
    )


def failed(at_us: int = START_US) -> ResponseFailed:
    return ResponseFailed(
        event_id=event_id("Response", "r1"),
        occurred_at_us=at_us,
        tenant="acme",
        conversation_id="c1",
        request_id="r1",
        workflow="docs_help",
        code="internal_error",
        error="e",
        remedy="",
        latency_ms=1.0,
    )


def feedback(kind: FeedbackKind, value: float, after_s: float = 1, *, name: str = "") -> FeedbackGiven:
    return FeedbackGiven(
        event_id=event_id("FeedbackGiven", "r1", kind, repr(value), str(after_s), name),
        occurred_at_us=START_US + int(after_s * S),
        tenant="acme",
        conversation_id="c1",
        request_id="r1",
        source="user" if kind in ("rating", "thumb") else "implicit",
        kind=kind,
        value=value,
    )
