"""What the generator keeps by conversation: the ends of requests, to send again, and what was paid.

In: the outcome of a request. Out: the same events for a repeat, byte for byte, and the cost of a conversation so far.
Keeps both in a ``Kept`` (a Faust table: RocksDB with a changelog), for a window; memory holds only the conversations
that are being answered. Fails with what the broker says when the changelog cannot be written.

Why first: an end reaches the broker no later than any of its events (docs/adr/0012). After a crash the request comes again:
where the end was kept, its stored events are published; where it was not, nothing was published, and the call is made
again. So a finished request is never paid twice and never ends in two different ways. The cost is kept before the end:
a call made again is counted again, because it was paid again. Once all is published, the end shrinks to its terminal
response, here only: another worker would publish all once more, under the same ids.
"""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

import msgspec

from agents.answering.ending import fitting
from schemas import GenerationCompleted, GenerationFailed, Record, ResponseFailed, ResponseReady
from streams.codec import Codec

Identity = tuple[str, str, str]
"""(tenant, conversation, request id)."""
Conversation = tuple[str, str]
"""(tenant, conversation)."""
US_PER_S = 1_000_000
_TOLERANCE_USD = 1e-12


class Written(Protocol):
    """What was kept here, on its way to the broker."""

    @property
    def confirmed(self) -> asyncio.Future[Any]:
        """Done when the broker has it."""

    @property
    def is_first(self) -> bool:
        """Whether the broker gets it no later than what is published of the end from now on."""


class Kept(Protocol):
    """A table of bytes that survives the process; used by the worker that holds the event's partition."""

    def get(self, key: bytes) -> bytes | None:
        """Give what is kept under ``key``."""

    def write(self, key: bytes, value: bytes) -> Written:
        """Keep it here and now; what is returned is done when the broker has it too."""

    def note(self, key: bytes, value: bytes) -> None:
        """Keep it here only."""


@dataclass(frozen=True)
class Outcome:
    """How a request ended: an event for each step that called a provider, and the terminal response."""

    generations: tuple[GenerationCompleted | GenerationFailed, ...]
    response: ResponseReady | ResponseFailed
    cost_usd: float

    @property
    def events(self) -> tuple[tuple[str, Record], ...]:
        """(topic, event), in the order in which they are published."""
        return (*(("generation", event) for event in self.generations), ("responses", self.response))


class Finished(msgspec.Struct, frozen=True, array_like=True):
    """An end as it is kept: when, and (topic, encoded event) in order, the terminal response last."""

    at_us: int
    events: list[tuple[str, bytes]]
    settled: bool = False
    """Whether the broker has the end and all its events. Only this worker knows: what a database holds may never have left it."""


@dataclass(frozen=True)
class Ending:
    """An end that is kept here and is to be published: (topic, event, encoded) in order, and what is on its way to be kept."""

    finished: Finished
    events: list[tuple[str, Record, bytes]]
    written: list[Written]


class _Spent(msgspec.Struct, frozen=True, array_like=True):
    at_us: int
    cost_usd: float


class _Kept(msgspec.Struct, frozen=True, array_like=True):
    at_us: int


def kept_at_us(raw: bytes) -> int:
    """When an entry was kept, in microseconds since 1970-01-01 UTC."""
    return msgspec.msgpack.decode(raw, type=_Kept).at_us


class Remembered:
    """Ends and costs, for a window."""

    def __init__(self, kept: Kept, codec: Codec, *, window_s: float, clock: Callable[[], int]) -> None:
        """``window_s``: how long an end is sent again, and how long a quiet conversation's cost counts."""
        self._kept = kept
        self._codec = codec
        self._window_us = int(window_s * US_PER_S)
        self._clock = clock

    def finished(self, identity: Identity) -> Finished | None:
        """The end of a request, where it has one within the window."""
        raw = self._kept.get(_key("finished", identity))
        found = msgspec.msgpack.decode(raw, type=Finished) if raw is not None else None
        return found if found is not None and self._fresh(found.at_us) else None

    def finish(self, identity: Identity, outcome: Outcome) -> Ending:
        """Keep an end and its cost here, and begin to keep them on the broker.

        What is kept can be published: an outcome that is too large was shortened, or became a small failure.
        """
        now_us = self._clock()
        conversation = identity[:2]
        encoded: dict[bytes, Record] = {}

        def encode(event: Record) -> bytes:
            raw = self._codec.encode(event)
            encoded[raw] = event
            return raw

        finished = Finished(now_us, fitting(outcome.events, encode, key_bytes=len(_key("finished", identity))))
        written = []
        if outcome.cost_usd > 0:
            spent = _Spent(now_us, self.spent_usd(conversation) + outcome.cost_usd)
            written.append(self._kept.write(_key("spent", conversation), msgspec.msgpack.encode(spent)))
        written.append(self._kept.write(_key("finished", identity), msgspec.msgpack.encode(finished)))
        return Ending(finished, [(topic, encoded[raw], raw) for topic, raw in finished.events], written)

    def ending(self, identity: Identity, finished: Finished) -> Ending:
        """Give an end that is kept here. One that is not settled begins to be kept on the broker once more, which may not have it.

        For a worker may be killed between its database and the broker: it finds the end when it comes again, another does not.
        """
        events = [(topic, self._codec.decode(raw), raw) for topic, raw in finished.events]
        if finished.settled:
            return Ending(finished, events, [])
        keys = (_key("spent", identity[:2]), _key("finished", identity))
        values = (self._kept.get(keys[0]), msgspec.msgpack.encode(finished))
        kept = [(key, value) for key, value in zip(keys, values, strict=True) if value is not None]
        return Ending(finished, events, [self._kept.write(key, value) for key, value in kept])

    def settle(self, identity: Identity, finished: Finished) -> None:
        """Note that the broker has an end and all its events: from now on only its terminal response is kept here."""
        if not finished.settled:
            shrunk = Finished(finished.at_us, finished.events[-1:], settled=True)
            self._kept.note(_key("finished", identity), msgspec.msgpack.encode(shrunk))

    def spent_usd(self, conversation: Conversation) -> float:
        """What the conversation has cost in finished requests, in US dollars."""
        raw = self._kept.get(_key("spent", conversation))
        found = msgspec.msgpack.decode(raw, type=_Spent) if raw is not None else None
        return found.cost_usd if found is not None and self._fresh(found.at_us) else 0.0

    def _fresh(self, at_us: int) -> bool:
        return self._clock() - at_us < self._window_us


def _key(kind: str, parts: Sequence[str]) -> bytes:
    return msgspec.msgpack.encode((kind, *parts))


@dataclass
class _Purse:
    """A conversation with requests in flight: what it has cost, and what they may still cost."""

    total_usd: float
    in_flight: int = 0


class Allowance:
    """What one request may still spend of its conversation's ceiling."""

    def __init__(self, purse: _Purse) -> None:
        self._purse = purse
        self.paid_usd = 0.0
        """What was paid of it so far."""

    def reserve(self, expected_usd: float, ceiling_usd: float) -> bool:
        """Set the expected cost of a step aside, unless that would pass the ceiling; whether it was."""
        if self._purse.total_usd + expected_usd > ceiling_usd + _TOLERANCE_USD:
            return False
        self._purse.total_usd += expected_usd
        return True

    def settle(self, expected_usd: float, paid_usd: float) -> None:
        """Replace what was set aside by what was paid."""
        self._purse.total_usd += paid_usd - expected_usd
        self.paid_usd += paid_usd


class Spending:
    """Keeps the requests of one conversation in flight from passing its ceiling together."""

    def __init__(self, spent_usd: Callable[[Conversation], float]) -> None:
        self._spent_usd = spent_usd
        self._purses: dict[Conversation, _Purse] = {}

    @contextmanager
    def allowance(self, conversation: Conversation) -> Iterator[Allowance]:
        """An allowance; leave it only after the request's cost was kept, or it is forgotten in between."""
        purse = self._purses.get(conversation)
        if purse is None:
            purse = self._purses[conversation] = _Purse(self._spent_usd(conversation))
        purse.in_flight += 1
        try:
            yield Allowance(purse)
        finally:
            purse.in_flight -= 1
            if not purse.in_flight:
                self._purses.pop(conversation, None)
