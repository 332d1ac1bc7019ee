"""Reads topics for people: decoded, from where one likes, without a consumer group and without leaving a trace.

In: a ``Log`` (the broker, by confluent-kafka) and where to begin. Out: ``Seen``, one for each message, in the order of a partition;
bytes that are no event are seen too, with the reason. Keeps a position for as long as a read lasts. Fails with ``Unconfigured``
where the broker does not answer or the topic is not there.
"""

import time
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Protocol, Self

from aiokafka.partitioner import murmur2
from confluent_kafka import TIMESTAMP_NOT_AVAILABLE, Consumer, KafkaError, KafkaException, TopicPartition

from schemas import Record
from streams.codec import Codec
from streams.deployment import Deployment
from streams.errors import Unconfigured, Undecodable
from streams.topics import LETTER_BYTES

Spot = tuple[str, int]
"""(topic without prefix, partition)."""

ASK_S = 10.0
WAIT_S = 0.2
_PASSING = (KafkaError.NOT_LEADER_FOR_PARTITION, KafkaError.LEADER_NOT_AVAILABLE)
"""What a partition answers in the moments after its topic was created."""


@dataclass(frozen=True)
class Message:
    """A message as the broker has it; ``at_ms`` is its time in milliseconds since 1970-01-01 UTC, None where it has none."""

    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    at_ms: int | None = None
    headers: tuple[tuple[str, bytes | None], ...] = ()


@dataclass(frozen=True)
class Seen:
    """A message with the event in it, or with the reason why there is none."""

    message: Message
    event: Record | None
    undecodable: str = ""


class NoSuchTopic(Unconfigured):
    """The broker answers, and has no such topic."""


class Log(Protocol):
    """What can be read: the broker, or in tests a fake that passes the same contract."""

    def bounds(self, topic: str) -> dict[int, tuple[int, int]]:
        """Give, for each partition, its first offset and the one after its last. ``NoSuchTopic`` where there is none."""

    def offsets_at(self, topic: str, at_ms: int) -> dict[int, int]:
        """Give, for each partition, the first offset whose message is from then or later; the end where there is none."""

    def begin(self, starts: Mapping[Spot, int]) -> None:
        """Read on from these offsets, and forget what was read before."""

    def poll(self, wait_s: float) -> list[Message]:
        """Give what is there, waiting at most so long for the first; in order within a partition."""

    def read_to(self) -> Mapping[Spot, int]:
        """Give the offsets up to which nothing is left that ``poll`` would give, of the partitions where that is known.

        At a partition's end this is past the last message: what a transaction leaves behind is never given to anybody.
        """

    def close(self) -> None:
        """Let go of the connection."""


class KafkaLog:
    """The broker's log. Use it as a context manager."""

    def __init__(self, deployment: Deployment) -> None:
        self._deployment = deployment
        self._servers = deployment.bootstrap()
        settings: dict[str, Any] = {
            "bootstrap.servers": self._servers,
            "group.id": f"{deployment.topic_prefix}penstock-reading",  # demanded; nothing is committed, nobody joins
            "enable.auto.commit": False,
            "enable.partition.eof": True,
            "isolation.level": "read_committed",
            "auto.offset.reset": "earliest",
            "fetch.wait.max.ms": 100,
            "fetch.message.max.bytes": LETTER_BYTES,
            "queued.max.messages.kbytes": 16 * 1024,  # what is fetched ahead; 64 MiB by default
            "fetch.queue.backoff.ms": 20,  # where that is reached; a second by default
            "log_level": 0,
            "error_cb": lambda _: None,  # a broker that is away shows in the calls themselves
        }
        self._consumer = Consumer(settings)
        self._read_to: dict[Spot, int] = {}

    def bounds(self, topic: str) -> dict[int, tuple[int, int]]:
        """As ``Log`` says."""
        name = self._deployment.topic(topic)
        try:
            found = self._consumer.list_topics(name, timeout=ASK_S).topics[name]
            if found.error is not None:
                raise NoSuchTopic(
                    f"The broker at {self._servers} has no topic {name}.",
                    remedy="`penstock up` creates the topics; PENSTOCK_TOPIC_PREFIX must be that of the running system.",
                )
            return {number: self._offsets(TopicPartition(name, number)) for number in sorted(found.partitions)}
        except KafkaException as error:
            raise self._unreachable(error) from error

    def offsets_at(self, topic: str, at_ms: int) -> dict[int, int]:
        """As ``Log`` says."""
        bounds = self.bounds(topic)
        name = self._deployment.topic(topic)
        try:
            asked = [TopicPartition(name, number, at_ms) for number in bounds]
            found = self._consumer.offsets_for_times(asked, timeout=ASK_S)
        except KafkaException as error:
            raise self._unreachable(error) from error
        return {each.partition: each.offset if each.offset >= 0 else bounds[each.partition][1] for each in found}

    def _offsets(self, spot: TopicPartition) -> tuple[int, int]:
        deadline_s = time.monotonic() + ASK_S
        while True:
            try:
                return self._consumer.get_watermark_offsets(spot, timeout=ASK_S)
            except KafkaException as error:
                if error.args[0].code() not in _PASSING or time.monotonic() >= deadline_s:
                    raise
                time.sleep(WAIT_S)

    def begin(self, starts: Mapping[Spot, int]) -> None:
        """As ``Log`` says."""
        spots = [TopicPartition(self._deployment.topic(t), p, offset) for (t, p), offset in starts.items()]
        self._consumer.assign(spots)
        self._read_to = {}

    def poll(self, wait_s: float) -> list[Message]:
        """As ``Log`` says."""
        taken = []
        for raw in self._consumer.consume(num_messages=1_000, timeout=wait_s):
            spot = ((raw.topic() or "").removeprefix(self._deployment.topic_prefix), raw.partition() or 0)
            error = raw.error()
            if error is not None:
                if error.code() == KafkaError._PARTITION_EOF:  # noqa: SLF001 - the library's public constants begin so
                    self._read_to[spot] = raw.offset() or 0
                continue  # any other passes, or the reader's own deadline does
            kind, at_ms = raw.timestamp()
            taken.append(
                Message(
                    *spot,
                    raw.offset() or 0,
                    _bytes(raw.key()),
                    _bytes(raw.value()),
                    None if kind == TIMESTAMP_NOT_AVAILABLE else at_ms,
                    _headers(raw.headers()),
                )
            )
        return taken

    def read_to(self) -> Mapping[Spot, int]:
        """As ``Log`` says."""
        return self._read_to

    def close(self) -> None:
        """As ``Log`` says."""
        self._consumer.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _unreachable(self, error: KafkaException) -> Unconfigured:
        return Unconfigured(
            f"The broker at {self._servers} does not answer: {error.args[0]}.",
            remedy="Start it (`penstock up`), or correct PENSTOCK_BOOTSTRAP_SERVERS.",
        )


def _headers(raw: Any) -> tuple[tuple[str, bytes | None], ...]:
    return tuple((name, _bytes(content)) for name, content in raw or ())


def _bytes(raw: str | bytes | None) -> bytes | None:
    return raw.encode() if isinstance(raw, str) else raw  # str only where a deserializer is set, which is nowhere


def seen(message: Message, codec: Codec) -> Seen:
    """Decode a message; one that cannot be decoded comes with the reason."""
    try:
        return Seen(message, codec.decode(message.value))
    except Undecodable as error:
        return Seen(message, None, f"{error.code}: {error.what}")


def ends(log: Log, topics: Iterable[str]) -> dict[Spot, int]:
    """Give the offset after the last message of every partition of these topics."""
    return {(topic, partition): end for topic in topics for partition, (_, end) in log.bounds(topic).items()}


def drop_read(log: Log, left: dict[Spot, int]) -> None:
    """Take out of ``left`` the partitions that were read to there without a message at their end, as after a transaction."""
    for spot, offset in log.read_to().items():
        if offset >= left.get(spot, offset + 1):
            del left[spot]


def so_far(
    log: Log,
    topics: Iterable[str],
    *,
    key: str | None = None,
    newest: int | None = None,
    within_s: float = 30.0,
    clock_s: Callable[[], float] = time.monotonic,
) -> Iterator[Message]:
    """Give what is on the topics at this moment, and end.

    ``key`` reads only the partitions in which its messages are (among others'). ``newest`` begins so many messages before each
    partition's end. ``TimeoutError`` where the end was not reached after ``within_s`` s: never a part as if it were all.
    """
    starts, left = _range(log, topics, key, newest)
    log.begin(starts)
    deadline_s = clock_s() + within_s
    while left:
        yield from _next(log, left)
        if left and clock_s() > deadline_s:
            raise TimeoutError(f"The topics were not read to their end within {within_s:g} s.")


def between(
    log: Log,
    starts: Mapping[Spot, int],
    stops: Mapping[Spot, int],
    *,
    stalled_after_s: float = 30.0,
    clock_s: Callable[[], float] = time.monotonic,
) -> Iterator[Message]:
    """Give what lies from these offsets up to those, however long it takes, and end.

    What the broker forgets meanwhile is passed over. ``TimeoutError`` where nothing came for ``stalled_after_s`` s.
    """
    left = {spot: stop for spot, stop in stops.items() if starts[spot] < stop}
    log.begin({spot: starts[spot] for spot in left})
    last_s = clock_s()
    while left:
        if (yield from _next(log, left)):
            last_s = clock_s()
        elif clock_s() - last_s > stalled_after_s:
            for topic, number in [spot for spot, stop in left.items() if log.bounds(spot[0])[spot[1]][0] >= stop]:
                del left[topic, number]  # forgotten to its end while it was read
            if left:
                raise TimeoutError(f"The broker has given nothing more for {stalled_after_s:g} s.")


def at_places(log: Log, places: Iterable[tuple[str, int, int]]) -> Iterator[Message]:
    """Give the messages at these places (topic, partition, offset), partition by partition; one that is gone is left out."""
    wanted: dict[Spot, list[int]] = {}
    for topic, number, offset in sorted(places):
        wanted.setdefault((topic, number), []).append(offset)
    for spot, offsets in wanted.items():
        first, end = log.bounds(spot[0])[spot[1]]
        for offset in offsets:
            if first <= offset < end:
                yield from (m for m in between(log, {spot: offset}, {spot: offset + 1}) if m.offset == offset)


def _next(log: Log, left: dict[Spot, int]) -> Generator[Message, None, bool]:
    """What one poll gives before its partition's stop, and whether that was any; who is read to there is taken out of ``left``."""
    any_came = False
    for message in log.poll(WAIT_S):
        stop = left.get((message.topic, message.partition))
        if stop is None:
            continue
        if message.offset < stop:
            any_came = True
            yield message
        if message.offset >= stop - 1:
            del left[message.topic, message.partition]
    drop_read(log, left)
    return any_came


def _range(
    log: Log, topics: Iterable[str], key: str | None, newest: int | None
) -> tuple[dict[Spot, int], dict[Spot, int]]:
    starts: dict[Spot, int] = {}
    stops: dict[Spot, int] = {}
    for topic in topics:
        bounds = log.bounds(topic)
        wanted = None if key is None else partition_of(key, len(bounds))
        for number, (first, end) in bounds.items():
            begin = first if newest is None else max(first, end - newest)
            if begin < end and wanted in (None, number):
                starts[topic, number], stops[topic, number] = begin, end
    return starts, stops


def partition_of(key: str, partitions: int) -> int:
    """Give the partition in which every event with this key is: where aiokafka and ``murmur2_random`` put it."""
    return int(murmur2(key.encode("utf-8", "surrogatepass")) & 0x7FFFFFFF) % partitions
