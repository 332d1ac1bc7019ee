"""What tests of the generator share: builders of plans, and hand-written fakes of its surroundings."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import msgspec

from agents.answering import Passage
from agents.answering.carrying_out import Means
from agents.answering.lanes import Lanes
from agents.answering.library import Found
from agents.answering.prompt import Message
from agents.answering.provider import Answer, CallFailed, OnPiece
from agents.answering.remembered import Remembered
from agents.answering.turnstile import Turnstile
from agents.generator import BEGUN_AT_ONCE, Generator
from schemas import Candidate, Plan, Record, RequestReceived, RequestRouted, Step
from streams.changelog import Written
from streams.codec import Codec
from streams.outbox import Outbox
from streams.tracing import Headers

BEGIN_US = 1_800_000_000_000_000
CODEC = Codec()


def step(tier: str = "simple", **fields: Any) -> Step:
    """A step whose model is named after its tier."""
    given = {
        "strategy": f"{tier}-semantic",
        "agent": "direct",
        "tier": tier,
        "model": f"{tier}-model",
        "provider": "fake",
        "retrieval": "semantic",
        "top_k": 3,
        "graph": False,
        "prompt_version": "1",
    }
    return Step(**{**given, **fields})


def routed(
    *tiers: str, costs: Sequence[float] = (), request: dict[str, Any] | None = None, **plan: Any
) -> RequestRouted:
    """A plan with a step for each tier; ``costs`` are the steps' expected costs, 0.001 USD where not given."""
    steps = tuple(step(tier) for tier in tiers or ("simple",))
    expected = [*costs, *([0.001] * (len(steps) - len(costs)))]
    asked = {
        "event_id": "a" * 32,
        "occurred_at_us": BEGIN_US,
        "tenant": "acme",
        "conversation_id": "c1",
        "request_id": "r1",
        "workflow": "help",
        "message": "Where is it?",
    }
    planned = {
        "steps": steps,
        "propensity": 1.0,
        "draw": 0.5,
        "candidates": tuple(
            Candidate(
                strategy=each.strategy,
                probability=1 / len(steps),
                quality=0.5,
                quality_lower=0.4,
                cost_usd=usd,
                latency_ms=10,
            )
            for each, usd in zip(steps, expected, strict=True)
        ),
        "policy": "test@1",
        "profile_scope": "help",
        "profile_version": 0,
        "config_hash": "h",
        "content_type": "general",
        "content_type_confidence": 1.0,
        "complexity": 2,
        "features": (),
        "encoder": "none",
        "feature_set": "1",
        "quality_floor": 0.8,
        "floor_met": True,
        "cost_ceiling_usd": 0.1,
        "deadline_at_us": BEGIN_US + 30_000_000,
        "prompt": "Help with: {{message}}",
        "reasoning": "It is the cheapest.",
    }
    return RequestRouted(
        event_id="b" * 32,
        occurred_at_us=BEGIN_US,
        request=RequestReceived(**{**asked, **(request or {})}),
        plan=Plan(**{**planned, **plan}),
    )


class Time:
    """A clock that only pauses move."""

    def __init__(self, now_us: int = BEGIN_US) -> None:
        self.now_us = now_us
        self.pauses_s: list[float] = []

    def __call__(self) -> int:
        return self.now_us

    def passes(self, seconds: float) -> None:
        self.now_us += round(seconds * 1e6)

    async def pause(self, seconds: float) -> None:
        self.pauses_s.append(seconds)
        self.passes(seconds)
        await asyncio.sleep(0)


def answer(text: str = "Here.", cost_usd: float = 0.001, **more: Any) -> Answer:
    return Answer(
        text=text, finish_reason="stop", input_tokens=7, output_tokens=2, cpu_seconds=None, cost_usd=cost_usd, **more
    )


class Models:
    """Models that behave as told, and a ledger of every call."""

    def __init__(self, time: Time, **behaviours: Sequence[Answer | CallFailed | float]) -> None:
        """For each tier, what its calls give in turn, the last for ever; a number hangs for as long as it may."""
        self.time = time
        self.behaviours = {tier: list(each) for tier, each in behaviours.items()}
        self.calls: list[tuple[str, float]] = []
        self.messages: list[Sequence[Message]] = []
        self.pieces: tuple[str, ...] = ()
        self.gate: asyncio.Event | None = None

    async def __call__(
        self,
        provider: str,
        model_name: str,
        messages: Sequence[Message],
        *,
        timeout_s: float,
        on_piece: OnPiece | None = None,
    ) -> Answer:
        tier = model_name.removesuffix("-model")
        self.calls.append((tier, timeout_s))
        self.messages.append(messages)
        if self.gate is not None:
            await self.gate.wait()
        for piece in self.pieces if on_piece else ():
            assert on_piece is not None
            await on_piece(piece)
        given = self.behaviours[tier]
        result = given.pop(0) if len(given) > 1 else given[0]
        if isinstance(result, float):
            self.time.passes(timeout_s)
            raise CallFailed("timed_out", "No answer.")
        self.time.passes(0.001)
        if isinstance(result, CallFailed):
            raise result
        return result


@dataclass
class Kept:
    """A table in memory whose broker can be away."""

    table: dict[bytes, bytes] = field(default_factory=dict)
    ours: bool = True
    broken: bool = False
    unheard: bool = False
    is_first: bool = True
    log: list[str] = field(default_factory=list)
    only_waiting: int = 0

    def get(self, key: bytes) -> bytes | None:
        return self.table.get(key)

    def write(self, key: bytes, value: bytes) -> Written:
        kind = msgspec.msgpack.decode(key)[0]
        if self.broken:
            raise ConnectionError("the broker is away")
        self.table[key] = value
        self.log.append(f"kept {kind}")
        done: asyncio.Future[object] = asyncio.get_running_loop().create_future()
        if self.unheard:
            done.set_exception(ConnectionError("the broker is away"))
        else:
            done.set_result(None)
        return Written(done, is_first=self.is_first)

    def note(self, key: bytes, value: bytes) -> None:
        self.table[key] = value
        self.log.append(f"noted {msgspec.msgpack.decode(key)[0]}")

    async def is_ours(self) -> bool:
        return self.ours

    async def may_begin(self) -> bool:
        return self.ours

    @contextmanager
    def nothing_begun(self) -> Iterator[None]:
        self.only_waiting += 1
        yield
        self.only_waiting -= 1

    def is_ours_now(self) -> bool:
        return self.ours


class World:
    """A generator with everything around it, in memory. ``published`` is what reached the broker, in order."""

    def __init__(
        self, models: Models, *, kept: Kept | None = None, window_s: float = 86_400.0, lanes: Lanes | None = None
    ) -> None:
        self.time = models.time
        self.models = models
        self.kept = kept or Kept()
        self.published: list[tuple[str, Record]] = []
        self.counted: list[str] = []
        self.refused_topics: set[str] = set()
        self.outbox = Outbox("generator", CODEC, self._send)
        self.generator = Generator(
            self.outbox,
            Remembered(self.kept, CODEC, window_s=window_s, clock=self.time),
            self.kept,
            means(models, self.counted.append),
            lanes or Lanes(256),
        )

    def on(self, topic: str) -> list[Any]:
        return [event for name, event in self.published if name == topic]

    async def _send(self, topic: str, key: bytes, value: bytes, headers: Headers) -> None:
        if topic in self.refused_topics:
            raise ConnectionError("the broker is away")
        self.published.append((topic, CODEC.decode(value)))
        self.kept.log.append(f"published {topic}")


def means(
    models: Models, count: Callable[[str], None] = lambda _: None, turn: Callable[[], Awaitable[None]] | None = None
) -> Means:
    async def search(_: RequestReceived, __: str, ___: Step) -> Found:
        passage = Passage(passage_id="d#1", document_id="d", title="D", heading="", text="It is here.")
        return Found((passage,), 1.5)

    return Means(
        call=models,
        search=search,
        clock=models.time,
        pause=models.time.pause,
        turn=turn or Turnstile(BEGUN_AT_ONCE).enter,
        chance=lambda: 1.0,
        count=count,
    )
