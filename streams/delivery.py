"""Delivery: one wrapper for every agent, so that no event is lost and no bad one stops a stage.

In: raw messages of one topic. For each, in phases:

1. wait while the topic is paused (streams/pausing.py), holding the message;
2. decode; a schema of another release is looked up first; what is no event goes to the role's dead letters at once;
3. handle, at most ``ATTEMPTS`` times with a doubling pause; ``Undeliverable`` is not tried again;
4. where that failed, dead-letter the bytes as they came, and wait until the broker has them, however long that takes; a
   letter that would break the limit pauses the topic instead, and the message begins at 1 again when it is resumed;
5. tell the stage that it was given up, so that a request still ends in a response: until that works while the broker is the
   obstacle, else ``GIVE_UP_ATTEMPTS`` times; then ``last_words`` says what to publish instead; where that too fails, the
   letter is the end;
6. return normally: only then may the offset be committed (an exception that leaves a Faust agent would acknowledge and lose
   it).

Out: whatever the handler publishes, and ``DeadLettered``. Keeps counters. The operator's trap: a handler is called again after a
crash or a rebalance, so it must recognise a repeat by the event's id.

A cancellation (the worker stops) passes through every phase at once; what was not handled then comes again at the next start,
and a letter that was sent already is sent again under the same id.

Of an exception that is no ``PenstockError`` neither the logs nor the letters repeat the message: it may quote a user's text.
"""

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

from schemas import DeadLettered, Record
from streams import tracing
from streams.codec import Codec
from streams.errors import Code, Ended, PenstockError, Undecodable, Undeliverable, UnknownSchema
from streams.exported import FAST_S
from streams.identity import event_id
from streams.limit import Limit
from streams.logs import described, handled, logger, trail
from streams.metrics import Histogram
from streams.outbox import Outbox
from streams.pausing import Gate, SourcePaused
from streams.topics import MAX_MESSAGE_BYTES, TOPICS
from streams.tracing import Headers

ATTEMPTS = 3
FIRST_PAUSE_S = 0.1
DEAD_LETTER_PAUSE_S = 1.0
GIVE_UP_ATTEMPTS = 5

Handler = Callable[[Record], Awaitable[None]]
LookUp = Callable[[bytes], Awaitable[str | None]]
"""Makes the schema of a fingerprint known to the codec; None when it is, else why it cannot be. Raises where nobody answers."""
LastWords = Callable[[Record], tuple[str, Record] | None]
"""Gives the topic and the event that end what was given up, from nothing but the event itself; None where nothing has to end."""
Clock = Callable[[], int]
"""Gives the time in microseconds since 1970-01-01 UTC."""


def wall_clock_us() -> int:
    """Give the time in microseconds since 1970-01-01 UTC; what every process uses but tests."""
    return time.time_ns() // 1_000


async def made_known(
    unknown: UnknownSchema, look_up: LookUp | None, log: Any, pause: Callable[[float], Awaitable[None]] = asyncio.sleep
) -> None:
    """Return when the schema is known; ``UnknownSchema`` where it is nowhere. Holds on for as long as the broker is away."""
    if look_up is None:
        raise unknown
    while True:
        try:
            why = await look_up(unknown.fingerprint)
        except Exception as error:  # noqa: BLE001 - nobody answers: holding the event is the only safe thing
            log.error("schema_not_looked_up", error=described(error))  # noqa: TRY400 - one line a try
            await pause(DEAD_LETTER_PAUSE_S)
            continue
        if why is not None:
            raise UnknownSchema(unknown.fingerprint, why)
        return


@dataclass(frozen=True)
class Origin:
    """A message as it came from the broker; ``topic`` without the deployment's prefix."""

    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    headers: Headers = ()
    """Those that are handed on with what is published for it: the trace."""
    logged_at_us: int | None = None
    """When the broker took it, by the broker's clock; its producer's time where the topic was declared so."""


current_origin: ContextVar[Origin] = ContextVar("current_origin")
"""The message whose event is being handled: for a handler that must know the partition or keep the bytes."""


def letter_of(role: str, origin: Origin, *, code: Code, error: str, attempts: int, now_us: int) -> DeadLettered:
    """The dead letter of a message, as every role writes it.

    A message that is larger than a topic takes (it came compressed) gets a letter without key and value that says so.
    """
    bytes_in_all = len(origin.key or b"") + len(origin.value or b"")
    fits = bytes_in_all <= MAX_MESSAGE_BYTES
    if not fits:
        error = f"Left where it is: {bytes_in_all:,} bytes are more than a dead letter can carry. {error}"
    # Half a surrogate pair has no bytes on the wire: such a letter could never be delivered.
    error = error.encode("utf-8", "backslashreplace").decode("utf-8")
    return DeadLettered(
        event_id=event_id("DeadLettered", role, origin.topic, str(origin.partition), str(origin.offset)),
        occurred_at_us=now_us,
        stage=role,
        topic=origin.topic,
        partition=origin.partition,
        offset=origin.offset,
        key=origin.key if fits else None,
        value=origin.value if fits else None,
        code=str(code),
        error=error[:2_000],
        attempts=attempts,
    )


class Delivery:
    """Carries messages to a handler on behalf of one role."""

    def __init__(
        self,
        role: str,
        codec: Codec,
        outbox: Outbox,
        *,
        look_up: LookUp | None = None,
        clock: Clock = wall_clock_us,
        pause: Callable[[float], Awaitable[None]] = asyncio.sleep,
        limit: Limit | None = None,
        passes: Callable[[BaseException], bool] = lambda error: isinstance(error, OSError | TimeoutError),
    ) -> None:
        """``passes`` says of an error whether it is the broker's or the network's, and not the event's or ours."""
        self.role = role
        self.gate = Gate(limit or Limit(), clock)
        self.handled_total = 0
        self.retried_total = 0
        self.dead_lettered_total = 0
        self.ended_in_letters_total = 0
        self.in_flight = 0
        self.handling_ms_sum = 0.0
        self.handling_ms_max = 0.0
        self.handling_s = Histogram(FAST_S)
        self._codec = codec
        self._outbox = outbox
        self._look_up = look_up
        self._clock = clock
        self._pause = pause
        self._passes = passes
        self._log = logger(role=role)

    async def take_in(
        self, origin: Origin, handle: Handler, give_up: Handler | None = None, last_words: LastWords | None = None
    ) -> None:
        """Carry one message to ``handle``; returns when it was handled or is safe in the dead letters.

        ``give_up`` is told of an event that ended there because its handler failed; ``last_words`` speaks where that fails too.
        """
        awaited = origin.topic
        while True:
            await self.gate.opened(awaited)
            try:
                await self._once(origin, handle, give_up, last_words)
            except SourcePaused as held:
                awaited = held.source
            else:
                return

    async def _once(
        self, origin: Origin, handle: Handler, give_up: Handler | None, last_words: LastWords | None
    ) -> None:
        begun_us = self._clock()
        self.in_flight += 1
        arrived = current_origin.set(origin)
        before = handled.set(None)
        try:
            with tracing.processing(origin):
                await self._take_in(origin, handle, give_up, last_words)
        finally:
            current_origin.reset(arrived)
            handled.reset(before)
            self.in_flight -= 1
            took_ms = (self._clock() - begun_us) / 1_000
            self.handling_ms_sum += took_ms
            self.handling_ms_max = max(self.handling_ms_max, took_ms)
            self.handling_s.observe(took_ms / 1_000)

    async def _take_in(
        self, origin: Origin, handle: Handler, give_up: Handler | None, last_words: LastWords | None
    ) -> None:
        try:
            event = await self.decoded(origin.value)
            if not isinstance(event, TOPICS[origin.topic].events):
                raise Undecodable(
                    f"{type(event).__name__} does not belong on {origin.topic}.",
                    code=Code.UNEXPECTED_EVENT,
                )
        except Undecodable as error:
            await self.dead_letter(origin, error, attempts=1)
            return
        handled.set(event)
        tracing.note_ids(event)
        for attempt in range(1, ATTEMPTS + 1):
            try:
                await handle(event)
            except SourcePaused:
                raise
            except Undeliverable as error:
                await self.dead_letter(origin, error, attempts=attempt)
                return
            except Exception as error:  # noqa: BLE001 - whatever it is, the event must not be lost
                self._log.warning(
                    "handler_failed",
                    topic=origin.topic,
                    partition=origin.partition,
                    offset=origin.offset,
                    event_id=event.event_id,
                    attempt=attempt,
                    error=described(error),
                    raised_through=trail(error),
                )
                tracing.happened("attempt_failed", {"penstock.attempt": attempt, "error.type": type(error).__name__})
                if attempt == ATTEMPTS:
                    await self.dead_letter(origin, error, attempts=attempt)
                    await self._end(origin, event, give_up, last_words)
                    return
                self.retried_total += 1
                if isinstance(error, UnknownSchema):  # of something that the handler keeps, from another release
                    with contextlib.suppress(UnknownSchema):
                        await made_known(error, self._look_up, self._log, self._pause)
                await self._pause(FIRST_PAUSE_S * 2 ** (attempt - 1))
            else:
                self.handled_total += 1
                self.gate.count_handled(origin.topic)
                return

    async def decoded(self, raw: bytes | None) -> Record:
        """Give the event in these bytes, also where another release wrote it; ``Undecodable``."""
        try:
            return self._codec.decode(raw)
        except UnknownSchema as unknown:
            await made_known(unknown, self._look_up, self._log, self._pause)
            return self._codec.decode(raw)

    async def dead_letter(self, origin: Origin, error: Exception, *, attempts: int) -> None:
        """Put a message into the role's dead letters; tries until the broker has it.

        ``SourcePaused`` where that would break the limit on the topic's letters. A compacted topic has no limit: it is never
        drained, and holding it would hold back the operator's own words. Nor has what is about something that has ended.
        """
        code = error.code if isinstance(error, PenstockError) else Code.HANDLER_FAILED
        if not TOPICS[origin.topic].compacted and not isinstance(error, Ended):
            self.gate.let_letter_through(origin.topic, code=str(code), partition=origin.partition, offset=origin.offset)
        tracing.failed(str(code))
        letter = letter_of(
            self.role, origin, code=code, error=described(error), attempts=attempts, now_us=self._clock()
        )
        await self._until_done(lambda: self._outbox.publish(f"{self.role}-dlq", letter), "dead_letter_not_delivered")
        self.dead_lettered_total += 1
        self._log.warning(
            "dead_lettered",
            topic=origin.topic,
            partition=origin.partition,
            offset=origin.offset,
            code=str(code),
        )

    async def _end(self, origin: Origin, event: Record, give_up: Handler | None, last_words: LastWords | None) -> None:
        """Have what was dead-lettered end for whoever waits for it."""
        if give_up is None or await self._within_attempts(lambda: give_up(event), "give_up_failed"):
            return
        spoken = last_words(event) if last_words is not None else None
        if spoken is not None and await self._within_attempts(
            lambda: self._outbox.publish(*spoken), "last_words_failed"
        ):
            return
        self.ended_in_letters_total += 1
        self._log.error(
            "ended_in_dead_letters",
            topic=origin.topic,
            partition=origin.partition,
            offset=origin.offset,
            event_id=event.event_id,
        )

    async def _within_attempts(self, attempt: Callable[[], Awaitable[None]], what: str) -> bool:
        """Try until it works or ``GIVE_UP_ATTEMPTS`` failures were not the broker's; whether it worked."""
        failures = 0
        while failures < GIVE_UP_ATTEMPTS:
            try:
                await attempt()
            except Exception as failure:  # noqa: BLE001 - the event is in the dead letters: nothing is lost by going on
                self._log.error(what, error=described(failure))
                failures += not self._passes(failure)
                await self._pause(DEAD_LETTER_PAUSE_S)
            else:
                return True
        return False

    async def _until_done(self, attempt: Callable[[], Awaitable[None]], what: str) -> None:
        while True:
            try:
                await attempt()
            except Exception as failure:  # noqa: BLE001 - the broker is away; holding the event is the only safe thing
                self._log.error(what, error=described(failure))
                await self._pause(DEAD_LETTER_PAUSE_S)
            else:
                return
