"""Fault: bytes that nobody meant. Invariant: a decoder gives an event that can be written again, or says that there is none.

Bound: no message takes longer than a second of CPU or makes more than 64 MiB. A part with a fixed seed runs in `make test`; a
million with a seed of its own in `make chaos`.
"""

from __future__ import annotations

import json
import os
import random
import resource
import time
import tracemalloc
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import Any

import msgspec
import pytest
from fastavro import parse_schema

from analytics.intake import Message, read_batch
from schemas import EVENTS, DeadLettered, GivenDocument, RequestReceived, Turn
from schemas.admitting import Inadmissible, admitted
from schemas.generate import rendered
from streams.codec import HEADER_BYTES, MARKER, Codec, fingerprint_of
from streams.errors import Code, Undecodable
from streams.topics import read_by
from streams.weighing import MAX_VALUES
from tests.chaos_parts.mutating import LENGTHS, Mutating
from tests.event_examples import ALL, example

CODEC = Codec()
WHOLE = [CODEC.encode(example(name, kind)) for name, kind in ALL]
TOPICS = [topic.name for topic in read_by("analytics")]
BATCH = 1_000
MOST_CPU_S = 1.0
MOST_GROWTH_MIB = 64
MILLION = 1_000_000
PARTS = 4
"""In processes of their own, so that all cores take part; each a seed of its own."""


def later_release() -> bytes:
    """Have the codec admit a later RequestReceived; the header of its events. Mutated bodies then go through Avro's resolution."""
    schema = json.loads(rendered(RequestReceived))
    schema["fields"].insert(4, {"name": "moods", "type": {"type": "array", "items": {"type": "map", "values": "long"}}})
    rebuilt = admitted("RequestReceived", json.dumps(schema))
    CODEC.admit(RequestReceived, rebuilt)
    return MARKER + fingerprint_of(parse_schema(rebuilt))


WHOLE.append(later_release() + CODEC.encode(example("RequestReceived"))[HEADER_BYTES:])


def used_mib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def read(decode: Callable[[bytes], Any], raw: bytes) -> Any:
    """What a decoder gives, or the code of its refusal; anything else is a failure of the test."""
    try:
        return decode(raw)
    except Undecodable as refusal:
        return refusal.code


def one(raw: bytes, *, in_both_ways: bool = True) -> str:
    """Decode one message; what came of it. In both ways: fields too, and an event is written again."""
    event = read(CODEC.decode, raw)
    if in_both_ways:
        fields = read(CODEC.decode_fields, raw)
        assert fields is event if isinstance(event, Code) else fields[0] == type(event).__name__
    if isinstance(event, Code):
        return str(event)
    if isinstance(event, DeadLettered) and event.value is not None:
        read(CODEC.decode, event.value)  # as `penstock dlq show` does
    if in_both_ways:
        once = CODEC.encode(event)
        assert CODEC.encode(CODEC.decode(once)) == once
    return "event"


def take_in(count: int, seed: int | str) -> Counter[str]:
    """Carry so many mutated messages through every decoder; how they ended."""
    ended: Counter[str] = Counter()
    chance = random.Random(seed)
    batch: list[Message] = []
    for number, raw in enumerate(Mutating(seed, WHOLE, header_bytes=HEADER_BYTES).messages(count)):
        begun_s = time.process_time()
        ended[one(raw, in_both_ways=number % 4 == 0)] += 1
        assert time.process_time() - begun_s < MOST_CPU_S, raw.hex()
        batch.append(Message(chance.choice(TOPICS), 0, number, 0, b"k", raw))
        if len(batch) == BATCH or number == count - 1:
            found = read_batch(batch, CODEC)
            assert found.event_count + len(found.refused) + found.repeats == len(batch)
            batch = []
    return ended


def held(count: int, seed: int | str) -> None:
    take_in(BATCH, 0)  # libraries allocate for themselves once
    before_mib = used_mib()
    ended = take_in(count, seed)
    assert sum(ended.values()) == count
    assert ended["event"] > count / 50, ended
    assert set(ended) == {"event", *map(str, (Code.NOT_AVRO, Code.UNKNOWN_SCHEMA, Code.INVALID_EVENT))}, ended
    assert used_mib() - before_mib < MOST_GROWTH_MIB


def test_twenty_thousand_mutated_messages_are_events_or_undecodable():
    held(20_000, seed=20_261_121)


@pytest.mark.parametrize("length", LENGTHS, ids=lambda raw: raw.hex())
@pytest.mark.parametrize("name", EVENTS)
def test_a_length_that_nothing_follows_makes_nothing_wherever_it_stands(name, length):
    raw = CODEC.encode(example(name))
    before_mib, begun_s = used_mib(), time.process_time()
    for at in range(HEADER_BYTES, len(raw), 1 + len(raw) // 200):
        assert one(raw[:at] + length + raw[at + 1 :])
    assert time.process_time() - begun_s < 10 * MOST_CPU_S
    assert used_mib() - before_mib < MOST_GROWTH_MIB


SMALL: dict[str, Any] = {
    "history": (Turn(role="", text=""),) * 200_000,
    "documents": (GivenDocument(document_id="", text=""),) * 150_000,
}


@pytest.mark.parametrize("field", SMALL)
def test_a_message_of_very_many_small_parts_is_refused_before_they_are_made(field):
    raw = CODEC.encode(msgspec.structs.replace(example("RequestReceived"), **{field: SMALL[field]}))
    begun_s = time.process_time()
    with pytest.raises(Undecodable, match=f"more than {MAX_VALUES:,} values") as caught:
        CODEC.decode(raw)
    assert caught.value.code is Code.OVERSIZED
    assert time.process_time() - begun_s < MOST_CPU_S
    tracemalloc.start()
    try:
        assert read(CODEC.decode, raw) is Code.OVERSIZED
        assert tracemalloc.get_traced_memory()[1] < 4 * len(raw)
    finally:
        tracemalloc.stop()


def test_schemas_that_somebody_spoilt_are_admitted_or_inadmissible():
    chance = random.Random(7)
    texts = [rendered(event).encode() for event in EVENTS.values()]
    ended: Counter[bool] = Counter()
    for raw in Mutating(8, texts, header_bytes=0).messages(2_000):
        begun_s = time.process_time()
        try:
            ended[bool(admitted(chance.choice(list(EVENTS)), raw.decode("utf-8", "replace")))] += 1
        except Inadmissible:
            ended[False] += 1
        assert time.process_time() - begun_s < MOST_CPU_S
    assert sum(ended.values()) == 2_000


@pytest.mark.chaos
@pytest.mark.timeout(600)
def test_a_million_mutated_messages_are_events_or_undecodable(seed):
    seeds = [f"{seed}/{part}" for part in range(PARTS)]
    with ProcessPoolExecutor(os.cpu_count(), get_context("spawn")) as processes:
        list(processes.map(held, [MILLION // PARTS] * PARTS, seeds))
