"""A world for the command line's tests: a log in memory, a client that publishes into it, and a fixed clock and login.

The log in memory passes the same contract as the broker's (tests/contract/test_cli_reading.py).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Self

from typer.testing import CliRunner, Result

from schemas import DeadLettered, Record
from streams.cli.main import app
from streams.cli.surroundings import Surroundings
from streams.client import Client
from streams.codec import Codec
from streams.deployment import Deployment
from streams.errors import Unconfigured
from streams.following import Message, NoSuchTopic, Spot, partition_of
from streams.identity import event_id
from streams.scratch import MARK, headers_of_copy, names_under
from streams.topics import TOPICS, key_of
from streams.tracing import Headers

CODEC = Codec()
NOW_US = 1_760_000_000_000_000
PARTITIONS = 4
BAD = b"\xc3\x01not one of ours"


class MemoryLog:
    """Topics in memory, read as ``streams.following.Log`` says."""

    def __init__(self, topics: Iterable[str] = TOPICS) -> None:
        self.kept: dict[str, dict[int, list[Message]]] = {
            topic: {number: [] for number in range(PARTITIONS)} for topic in topics
        }
        self.first_kept: dict[Spot, int] = {}
        self._unseen: set[tuple[str, int, int]] = set()
        self._positions: dict[Spot, int] = {}

    def another(self) -> MemoryLog:
        """A second connection to the same topics."""
        other = MemoryLog(())
        other.kept, other.first_kept, other._unseen = self.kept, self.first_kept, self._unseen
        return other

    def append(
        self, topic: str, key: bytes | None, value: bytes | None, *, at_ms: int | None = None, headers: Any = ()
    ) -> Message:
        number = partition_of(key.decode("utf-8", "surrogatepass"), PARTITIONS) if key is not None else 0
        end = self.first_kept.get((topic, number), 0) + len(self.kept[topic][number])
        message = Message(topic, number, end, key, value, at_ms or NOW_US // 1_000 + end, tuple(headers))
        self.kept[topic][number].append(message)
        return message

    def append_unseen(self, topic: str, key: bytes) -> None:
        """Use up an offset that nobody is given, as a transaction's marker does and what was aborted."""
        message = self.append(topic, key, None)
        self._unseen.add((topic, message.partition, message.offset))

    def forget(self, topic: str, count: int) -> None:
        """Forget the first messages of every partition, as the broker does after a topic's retention."""
        for number, messages in self.kept[topic].items():
            forgotten = min(count, len(messages))
            self.first_kept[topic, number] = self.first_kept.get((topic, number), 0) + forgotten
            del messages[:forgotten]

    def put(self, topic: str, *events: Record) -> None:
        for event in events:
            self.append(topic, key_of(topic, event), CODEC.encode(event))

    def bounds(self, topic: str) -> dict[int, tuple[int, int]]:
        if topic not in self.kept:
            raise NoSuchTopic(f"There is no topic {topic}.", remedy="Create it.")
        firsts = {number: self.first_kept.get((topic, number), 0) for number in self.kept[topic]}
        return {number: (firsts[number], firsts[number] + len(m)) for number, m in self.kept[topic].items()}

    def offsets_at(self, topic: str, at_ms: int) -> dict[int, int]:
        return {
            number: next((m.offset for m in messages if (m.at_ms or 0) >= at_ms), self.bounds(topic)[number][1])
            for number, messages in self.kept[topic].items()
        }

    def begin(self, starts: Mapping[Spot, int]) -> None:
        self._positions = dict(starts)

    def poll(self, wait_s: float) -> list[Message]:
        taken = []
        for (topic, number), position in self._positions.items():
            first, end = self.bounds(topic)[number]
            newer = self.kept[topic][number][max(0, position - first) :]
            taken += [message for message in newer if (topic, number, message.offset) not in self._unseen]
            self._positions[topic, number] = end
        return taken

    def read_to(self) -> Mapping[Spot, int]:
        return self._positions

    def close(self) -> None:
        self._positions = {}


class MemoryScratch:
    """Scratch topics in memory."""

    def __init__(self, prefix: str, logs: dict[str, MemoryLog]) -> None:
        self._prefix, self._logs = prefix, logs

    def prepare(self, partitions: int) -> None:
        self._refuse_others()
        self._logs.setdefault(self._prefix, MemoryLog((*TOPICS, MARK)))

    def put(self, message: Message) -> None:
        kept = self._logs[self._prefix].kept[message.topic][message.partition]
        kept.append(replace(message, offset=len(kept), headers=tuple(headers_of_copy(message))))

    def finish(self) -> None:
        return None

    def _refuse_others(self) -> None:
        if self._prefix in self._logs and MARK not in self._logs[self._prefix].kept:
            raise Unconfigured("These are no scratch topics.", remedy="Choose another prefix.")

    def clean(self) -> list[str]:
        self._refuse_others()
        return names_under(self._prefix) if self._logs.pop(self._prefix, None) is not None else []


class MemoryClient(Client):
    """The real client with a log in memory for a broker; ``answer`` plays the pipeline."""

    def __init__(self, deployment: Deployment, log: MemoryLog, answer: Answer, on_chunk: Any) -> None:
        super().__init__(deployment, clock=lambda: NOW_US, new_id=lambda: "made-1", on_chunk=on_chunk)
        self._log, self._answer, self._chunks = log, answer, on_chunk

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        return None

    async def publish_raw(self, topic: str, key: bytes | None, value: bytes | None, headers: Headers = ()) -> None:
        self._log.append(topic, key, value, headers=headers)

    async def answer_to(self, request: Any, *, within_s: float = 60.0) -> Any:
        await self.publish("requests", request)
        for event in self._answer(request):
            if type(event).__name__ == "ChunkGenerated":
                if self._chunks is not None:
                    self._chunks(event)
            elif type(event).__name__ == "RequestRouted":
                self._log.put("routing", event)
            else:
                return event
        raise TimeoutError

    async def publish(self, topic: str, event: Record) -> None:
        await self.publish_raw(topic, key_of(topic, event), CODEC.encode(event))


Answer = Callable[[Any], Iterable[Record]]


@dataclass
class World:
    """What a command finds, and what it left."""

    var: Path
    log: MemoryLog = field(default_factory=MemoryLog)
    answer: Answer = field(default=lambda _: ())
    settings: dict[str, Any] = field(default_factory=dict)
    at_terminal: bool = False
    scratch: dict[str, MemoryLog] = field(default_factory=dict)

    def penstock(self, *arguments: str, given: str | bytes | None = None) -> Result:
        deployment = Deployment(var=self.var, **self.settings)
        around = Surroundings(
            deployment=lambda: deployment,
            open_log=lambda asked: self.scratch.get(asked.topic_prefix, self.log).another(),
            open_scratch=lambda asked: MemoryScratch(asked.topic_prefix, self.scratch),
            open_client=lambda _, on_chunk: MemoryClient(deployment, self.log, self.answer, on_chunk),
            clock_us=lambda: NOW_US,
            login=lambda: "mika",
            at_terminal=lambda: self.at_terminal,
        )
        return CliRunner().invoke(app, list(arguments), obj=around, input=given)

    def events(self, topic: str) -> list[Any]:
        found = [m for messages in self.log.kept[topic].values() for m in messages]
        return [CODEC.decode(message.value) for message in found]


def letter(
    *,
    value: bytes | None = BAD,
    key: bytes | None = b"talk",
    code: str = "unknown_schema",
    name: str = "1",
    stage: str = "router",
    topic: str = "requests",
) -> DeadLettered:
    return DeadLettered(
        event_id=event_id("DeadLettered", stage, name),
        occurred_at_us=NOW_US + int(name),
        stage=stage,
        topic=topic,
        partition=1,
        offset=7,
        key=key,
        value=value,
        code=code,
        error="It was bad.",
        attempts=3,
    )
