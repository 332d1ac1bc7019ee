"""An independent reader of the topics: bare confluent-kafka and fastavro, nothing of Penstock's but the ``.avsc`` files.

In: the broker's address and topics. Out: every message as an ``Entry``, once each, in the order of its partition. Keeps them all.
What does not decode is an entry with no kind. It waits out a broker that is away.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

from confluent_kafka import OFFSET_BEGINNING, Consumer, TopicPartition
from fastavro import parse_schema, schemaless_reader
from fastavro.schema import fingerprint, load_schema, to_parsing_canonical_form

SCHEMAS = Path(__file__).resolve().parents[2] / "schemas"
HEADER_BYTES = 10
AT_ONCE = 1_000
LARGEST_BYTES = 8 * 1024 * 1024


@dataclass(frozen=True)
class Entry:
    """A message; ``at_us`` is Kafka's time of it, ``kind`` the event's name."""

    topic: str
    partition: int
    offset: int
    at_us: int
    kind: str
    fields: dict[str, Any]

    @property
    def identity(self) -> tuple[str, str, str]:
        """Whom it is about."""
        return (self.fields["tenant"], self.fields["conversation_id"], self.fields["request_id"])


def known_schemas(folder: Path = SCHEMAS) -> dict[bytes, tuple[str, Any]]:
    """(name, writer's schema) of every schema there is, released ones too, by the fingerprint on the wire."""
    found = {}
    for path in [*folder.glob("*.avsc"), *folder.glob("released/*/*.avsc")]:
        schema: Any = parse_schema(load_schema(str(path)))
        mark = bytes.fromhex(fingerprint(to_parsing_canonical_form(schema), "CRC-64-AVRO"))
        found[mark] = (schema["name"].rsplit(".", 1)[-1], schema)
    return found


SCHEMAS_BY_MARK = known_schemas()


def decoded(raw: bytes | None) -> tuple[str, dict[str, Any]]:
    """(name, fields) of an event; ("", {}) where it is none."""
    if not raw or raw[:2] != b"\xc3\x01" or raw[2:HEADER_BYTES] not in SCHEMAS_BY_MARK:
        return "", {}
    name, schema = SCHEMAS_BY_MARK[raw[2:HEADER_BYTES]]
    try:
        fields: Any = schemaless_reader(BytesIO(raw[HEADER_BYTES:]), schema, None)
    except Exception:  # noqa: BLE001 - whatever the bytes provoke: it is no event
        return "", {}
    return name, fields


class TopicReader:
    """Reads topics whole, from their beginning."""

    def __init__(self, bootstrap_servers: str, topic: Callable[[str], str], topics: Iterable[str]) -> None:
        settings: dict[str, Any] = {
            "bootstrap.servers": bootstrap_servers,
            "group.id": "an independent reader",  # demanded; nothing is committed, nobody joins
            "enable.auto.commit": False,
            "auto.offset.reset": "earliest",
            "fetch.message.max.bytes": LARGEST_BYTES,
            "fetch.wait.max.ms": 100,
            "reconnect.backoff.max.ms": 500,
            "log_level": 0,
            "error_cb": lambda _: None,
        }
        self.entries: dict[str, list[Entry]] = {name: [] for name in topics}
        self._consumer = Consumer(settings)
        self._names = {topic(name): name for name in self.entries}
        existing = self._consumer.list_topics(timeout=20).topics
        self.partitions = {name: sorted(existing[full].partitions) for full, name in self._names.items()}
        self._consumer.assign(
            [
                TopicPartition(full, number, OFFSET_BEGINNING)
                for full, name in self._names.items()
                for number in self.partitions[name]
            ]
        )

    def look(self, wait_s: float = 0.05) -> int:
        """Take in what is new; how much."""
        taken = 0
        while True:
            messages = self._consumer.consume(AT_ONCE, wait_s)
            for message in messages:
                if message.error() is None:
                    self._take(message)
                    taken += 1
            if len(messages) < AT_ONCE:
                return taken

    def close(self) -> None:
        """Let go of the connection."""
        self._consumer.close()

    def _take(self, message: Any) -> None:
        kind, fields = decoded(message.value())
        name = self._names[message.topic()]
        at_us = message.timestamp()[1] * 1_000
        self.entries[name].append(Entry(name, message.partition(), message.offset(), at_us, kind, fields))
