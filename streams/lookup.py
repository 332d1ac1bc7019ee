"""The schemas that others write, read from the topic ``schemas`` when somebody needs one: two releases live side by side by it.

In: the topic, by a ``Log`` that is opened when first needed. Out: schemas admitted to a ``Codec``; the events with which a
role makes its own known. Keeps where it has read to, and the texts that it found. Fails with ``Unconfigured`` or
``TimeoutError`` where the broker does not answer.

A writer publishes its schemas, and waits until the broker has them, before its first event. So one look at the topic as it is
now decides: what is not there was never published. What is there and must not be read with is refused, by name.

Blocking; ``beside`` is the same without blocking an event loop.
"""

import asyncio
import threading
import time
from collections.abc import Callable, Iterable

from schemas import EVENTS, SchemaPublished
from schemas.admitting import MAX_TEXT_BYTES, Inadmissible, admitted
from streams.codec import Codec, fingerprint_of
from streams.errors import Undecodable
from streams.following import WAIT_S, Log, NoSuchTopic, Spot, drop_read
from streams.identity import event_id
from streams.logs import logger
from streams.topics import events_of

TOPIC = "schemas"
WITHIN_S = 10.0
MOST_STRANGERS = 1_000
"""So many schemas of others are kept; hundreds of releases."""


class SchemaLookUp:
    """What is on the topic ``schemas``, as far as it was read; any thread may ask."""

    def __init__(
        self,
        codec: Codec,
        open_log: Callable[[], Log],
        *,
        within_s: float = WITHIN_S,
        clock_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._codec = codec
        self._open_log = open_log
        self._within_s = within_s
        self._clock_s = clock_s
        self._guard = threading.Lock()
        self._log: Log | None = None
        self._read_to: dict[Spot, int] = {}
        self._found: dict[str, SchemaPublished] = {}
        self._refused: dict[str, tuple[SchemaPublished, str]] = {}
        self._notes = logger(topic=TOPIC)

    def __call__(self, fingerprint: bytes) -> str | None:
        """Make the schema known to the codec; None when it is, else why not."""
        with self._guard:
            if self._codec.knows(fingerprint):  # somebody else asked for it first
                return None
            try:
                self._read_on()
            except NoSuchTopic as error:
                return error.what
            return self._admit(fingerprint)

    async def beside(self, fingerprint: bytes) -> str | None:
        """The same, in a thread of its own."""
        return await asyncio.to_thread(self, fingerprint)

    def unpublished(self, *roles: str, now_us: int) -> list[SchemaPublished]:
        """Give what these roles must publish before they write anything: their events' schemas that are not there as they are.

        ``NoSuchTopic`` where the topic was never created.
        """
        with self._guard:
            self._read_on()
            wanted = [published(event, self._codec, now_us) for role in roles for event in _names(role)]
            return [
                each
                for each in {e.fingerprint: e for e in wanted}.values()
                if not _serves(self._found.get(each.fingerprint), each)
            ]

    def close(self) -> None:
        """Let go of the connection; the next question opens it again."""
        with self._guard:
            if self._log is not None:
                self._log.close()
                self._log = None

    def _read_on(self) -> None:
        if self._log is None:
            self._log = self._open_log()
        bounds = self._log.bounds(TOPIC)
        ends = {(TOPIC, number): end for number, (_, end) in bounds.items()}
        starts = {
            (TOPIC, number): max(first, self._read_to.get((TOPIC, number), 0)) for number, (first, _) in bounds.items()
        }
        left = {spot: end for spot, end in ends.items() if starts[spot] < end}
        if not left:
            return
        self._log.begin({spot: starts[spot] for spot in left})
        try:
            self._read(self._log, left)
        finally:
            self._log.begin({})  # a consumer that has nothing fetches nothing

    def _read(self, log: Log, left: dict[Spot, int]) -> None:
        deadline_s = self._clock_s() + self._within_s
        while left:
            for message in log.poll(WAIT_S):
                spot = (message.topic, message.partition)
                self._take(message.key, message.value, f"{message.partition}:{message.offset}")
                self._read_to[spot] = message.offset + 1
                if message.offset + 1 >= left.get(spot, 0):
                    left.pop(spot, None)
            drop_read(log, left)
            if left and self._clock_s() > deadline_s:
                raise TimeoutError(f"The topic {TOPIC} was not read to its end within {self._within_s:g} s.")

    def _take(self, key: bytes | None, value: bytes | None, place: str) -> None:
        if value is None:  # deleted by hand
            self._found.pop((key or b"").decode("utf-8", "replace"), None)
            return
        try:
            event = self._codec.decode(value) if self._codec.knows(value[2:10]) else None
        except Undecodable:
            event = None
        if not isinstance(event, SchemaPublished):
            self._notes.warning("schema_refused", place=place, reason="it is no SchemaPublished")
        elif len(self._found) >= MOST_STRANGERS and event.fingerprint not in self._found:
            self._notes.error("schema_refused", place=place, reason=f"there are {MOST_STRANGERS} already")
        elif (key or b"").decode("utf-8", "replace") != event.fingerprint or len(event.schema) > MAX_TEXT_BYTES:
            self._notes.warning("schema_refused", place=place, reason="its key is another, or it is too large")
        else:
            self._found[event.fingerprint] = event

    def _admit(self, fingerprint: bytes) -> str | None:
        name = fingerprint.hex()
        found = self._found.get(name)
        if found is None:
            return f"nobody published it on the topic {TOPIC}"
        known = self._refused.get(name)
        if known is not None and known[0] == found:
            return known[1]
        try:
            schema = _checked(found)
        except Inadmissible as error:
            why = f"it was published as {found.event_type[:80]!r} and refused, because {error}"
            self._refused[name] = (found, why)
            self._notes.error("schema_refused", fingerprint=name, event_type=found.event_type[:80], reason=str(error))
            return why
        self._codec.admit(EVENTS[found.event_type], schema)
        self._notes.info("schema_admitted", fingerprint=name, event_type=found.event_type)
        return None


def _checked(found: SchemaPublished) -> object:
    schema = admitted(found.event_type, found.schema)
    actual = fingerprint_of(schema).hex()
    if actual != found.fingerprint:
        raise Inadmissible(f"its fingerprint is {actual}")
    return schema


def published(event_type: str, codec: Codec, now_us: int) -> SchemaPublished:
    """Give the event that makes known with which schema this release writes an event."""
    fingerprint, text = codec.written_schema(EVENTS[event_type])
    return SchemaPublished(
        event_id=event_id("SchemaPublished", fingerprint.hex()),
        occurred_at_us=now_us,
        fingerprint=fingerprint.hex(),
        event_type=event_type,
        schema=text,
    )


def _names(role: str) -> Iterable[str]:
    return (event.__name__ for event in events_of(role) if event is not SchemaPublished)


def _serves(found: SchemaPublished | None, wanted: SchemaPublished) -> bool:
    """Whether what is there says the same; a release with other words in its documentation need not publish it again."""
    if found is None or found.event_type != wanted.event_type:
        return False
    try:
        return found.schema == wanted.schema or bool(_checked(found))
    except Inadmissible:
        return False
