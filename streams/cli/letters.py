"""Dead letters as an operator handles them: found, narrowed down, counted, sent again, and noted as sent.

In: the log, which letters are wanted. Out: ``Letter``, without its bytes (hundreds may be of 4 MiB each); the bytes are read
again, one letter at a time, when they are sent. Keeps ``Sent``, a file in the var folder: which letters were sent again from here,
so that the same command given twice sends nothing twice. Fails with ``Failure`` for a role that there is not.
"""

import json
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING, Any

from streams.cli.printing import USAGE, Failure, as_text, nearest, note, plain
from streams.topics import STAGES, TOPICS

if TYPE_CHECKING:
    from schemas import DeadLettered
    from streams.codec import Codec
    from streams.following import Log, Message
    from streams.tracing import Headers

ALL = "all"


@dataclass(frozen=True)
class Letter:
    """A dead letter and where it lies; ``letter`` is without its value, of which ``size`` (bytes) and ``digest`` are kept."""

    role: str
    partition: int
    offset: int
    letter: "DeadLettered"
    size: int
    digest: str
    has_value: bool
    headers: "Headers" = ()
    """The trace in which it was given up on, so that what is sent again goes on in it."""

    @property
    def place(self) -> str:
        """PARTITION:OFFSET in the role's dead letters."""
        return f"{self.partition}:{self.offset}"

    @property
    def place_of_role(self) -> tuple[str, str]:
        """The role, and the place: what no other letter has."""
        return self.role, self.place

    @property
    def origin(self) -> str:
        """Where the message came from."""
        return f"{self.letter.topic} {self.letter.partition}:{self.letter.offset}"

    @property
    def can_be_sent(self) -> bool:
        """Whether there is a message in it: one that was too large for a letter is not, and neither is one of nothing at all."""
        return self.has_value or self.letter.key is not None


@dataclass(frozen=True)
class Wanted:
    """Which letters; None is all. ``since_us`` in microseconds since 1970-01-01 UTC."""

    code: str | None = None
    topic: str | None = None
    since_us: int | None = None

    def __contains__(self, each: Letter) -> bool:
        return (
            self.code in (None, each.letter.code)
            and self.topic in (None, each.letter.topic)
            and (self.since_us is None or each.letter.occurred_at_us >= self.since_us)
        )


class Sent:
    """The letters that were sent again from this var folder: one line of JSON each, appended when the broker has the message."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._known = set()
        if path.exists():
            self._known = {json.loads(line)["letter"] for line in path.read_text(encoding="utf-8").splitlines()}

    def __contains__(self, each: Letter) -> bool:
        return _identity(each) in self._known

    def add(self, each: Letter, now_us: int) -> None:
        """Note that it was sent."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        line = {"letter": _identity(each), "role": each.role, "place": each.place, "sent_at_us": now_us}
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
        self._known.add(_identity(each))


def _identity(each: Letter) -> str:
    return f"{each.letter.event_id}:{each.digest}"  # of another broker with the same offsets, the bytes differ


def roles_of(role: str) -> tuple[str, ...]:
    """Give the roles that a word means. ``Failure`` (status 2) where there is no such role."""
    if role == ALL:
        return STAGES
    if role not in STAGES:
        known = (*STAGES, ALL)
        raise Failure(
            f"There is no role {role!r} with dead letters.{nearest(role, known)}", remedy=", ".join(known), status=USAGE
        )
    return (role,)


def checked_topic(topic: str | None) -> str | None:
    """Give a topic's name back. ``Failure`` (status 2) where there is no such topic."""
    if topic is not None and topic not in TOPICS:
        raise Failure(f"There is no topic {topic!r}.{nearest(topic, TOPICS)}", remedy=", ".join(TOPICS), status=USAGE)
    return topic


def letters(log: "Log", codec: "Codec", role: str) -> list[Letter]:
    """Give a role's letters (or all roles'), oldest first; a letter that was written twice is one."""
    found: dict[str, Letter] = {}
    for each, _ in opened(log, codec, role):
        found.setdefault(_identity(each), each)
    return sorted(found.values(), key=lambda each: (each.letter.occurred_at_us, each.role, each.partition, each.offset))


def opened(log: "Log", codec: "Codec", role: str) -> "Iterator[tuple[Letter, bytes | None]]":
    """Give each letter of a role (or of all) with the bytes in it, as they lie in the dead letters, one at a time."""
    from schemas import DeadLettered
    from streams.following import between, seen

    topics = {f"{each}-dlq": each for each in roles_of(role)}
    bounds = {(topic, number): span for topic in topics for number, span in log.bounds(topic).items()}
    starts, stops = ({spot: span[i] for spot, span in bounds.items()} for i in (0, 1))
    for message in between(log, starts, stops):
        each = seen(message, codec)
        if isinstance(each.event, DeadLettered):
            yield _letter(topics[message.topic], message, each.event), each.event.value
        else:
            note(
                f"penstock: {message.topic} {message.partition}:{message.offset} is no dead letter ({each.undecodable})"
            )


def _letter(role: str, message: "Message", event: "DeadLettered") -> Letter:
    from msgspec.structs import replace

    from streams.tracing import carried

    digest = blake2b(repr((event.topic, event.key)).encode() + b"\0" + (event.value or b""), digest_size=16)
    return Letter(
        role,
        message.partition,
        message.offset,
        replace(event, value=None),
        len(event.value or b""),
        digest.hexdigest(),
        event.value is not None,
        carried(message.headers),
    )


def counted(found: Iterable[Letter]) -> list[dict[str, Any]]:
    """Give how many there are by role, topic and code, the most first, with the times of the first and the last."""
    kinds: Counter[tuple[str, str, str]] = Counter()
    times: dict[tuple[str, str, str], tuple[int, int]] = {}
    for each in found:
        kind, at_us = (each.role, each.letter.topic, each.letter.code), each.letter.occurred_at_us
        kinds[kind] += 1
        first, last = times.get(kind, (at_us, at_us))
        times[kind] = min(first, at_us), max(last, at_us)
    return [
        {"role": kind[0], "topic": kind[1], "code": kind[2], "letters": count}
        | dict(zip(("first_at_us", "last_at_us"), times[kind], strict=True))
        for kind, count in kinds.most_common()
    ]


def summary(each: Letter) -> dict[str, Any]:
    """Give a letter as JSON's types, without its bytes."""
    fields = plain(each.letter)
    del fields["value"]
    return {"role": each.role, "place": each.place, **fields, "key": as_text(each.letter.key), "bytes": each.size}
