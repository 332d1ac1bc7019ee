"""Makes a long log of events as Arrow tables, fast: a few hundred real records are varied column by column.

In: a range of requests. Out: a ``Batch`` as ``analytics.intake`` makes it, with the columns of the real schema; the same
range gives the same events. Keeps the rows that it varies. Fails with what Arrow says of a column that does not fit.

The mix: of 100 requests 99 are answered, 1 fails; 3 calls fail before another answers; 99 rewards, 15 of them revised by
a user's rating that is in the log too; a stage's report now and then. 20 tenants (the first has half of all), 3 workflows,
6 content types, 12 strategies, costs and latencies with long tails. About 5.3 events a request, evenly over time.
"""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa

from analytics.columns import COLUMNS, bounded
from analytics.intake import Batch
from schemas import (
    Candidate,
    FeedbackGiven,
    GenerationCompleted,
    GenerationFailed,
    Measure,
    Plan,
    Record,
    RequestReceived,
    RequestRouted,
    ResponseFailed,
    ResponseReady,
    RewardComputed,
    RewardPart,
    StageMeasured,
    Step,
    UsedPassage,
)
from streams.codec import Codec

PARTITIONS = 8
STRATEGIES = tuple(
    f"{tier}-{kind}"
    for tier in ("simple", "balanced", "premium")
    for kind in ("entity_based", "fixed", "graph", "semantic")
)
TYPES = ("transactional", "informational", "support", "general", "legal", "travel")
WORKFLOWS = ("customer_support", "docs_help", "research")
TENANTS = ("acme", *(f"tenant-{number:02d}" for number in range(1, 20)))
KINDS = 240
TEXT = (
    "Our orders leave the warehouse within two working days and carry a tracking number that is in the confirmation. "
    "If a parcel is late, the first thing to look at is the carrier's own page; after five days we send a second one at no charge. "
    "Refunds go to the card that paid, and take the bank three to ten days; a voucher is there at once and never expires. "
)
TOPICS = {
    "RequestReceived": "requests",
    "RequestRouted": "routing",
    "GenerationCompleted": "generation",
    "GenerationFailed": "generation",
    "ResponseReady": "responses",
    "ResponseFailed": "responses",
    "FeedbackGiven": "feedback",
    "RewardComputed": "rewards",
    "StageMeasured": "metrics",
}
US_PER_S = 1_000_000


def _requests() -> list[RequestReceived]:
    return [
        RequestReceived(
            event_id="",
            occurred_at_us=0,
            tenant=TENANTS[0] if kind % 2 else TENANTS[kind // 2 % len(TENANTS)],
            conversation_id="",
            request_id="",
            workflow=WORKFLOWS[kind % len(WORKFLOWS)],
            message=TEXT[kind % 60 : kind % 60 + 40 + kind % 90] + f" ({kind})",
        )
        for kind in range(KINDS)
    ]


def _plan(kind: int, asked: RequestReceived) -> RequestRouted:
    drawn = np.random.default_rng(kind)
    likely = drawn.dirichlet(np.ones(len(STRATEGIES)))
    chosen = int(drawn.choice(len(STRATEGIES), p=likely))
    steps = tuple(
        Step(
            strategy=STRATEGIES[number],
            agent="direct",
            tier=STRATEGIES[number].split("-")[0],
            model="penstock-static",
            provider="embedded",
            retrieval="semantic",
            top_k=5,
            graph=False,
            prompt_version="1",
        )
        for number in (chosen, (chosen + 1) % len(STRATEGIES))
    )
    return RequestRouted(
        event_id="",
        occurred_at_us=0,
        request=asked,
        plan=Plan(
            steps=steps,
            propensity=float(likely[chosen]),
            draw=0.5,
            candidates=tuple(
                Candidate(
                    strategy=name, probability=float(p), quality=0.8, quality_lower=0.7, cost_usd=0.001, latency_ms=20.0
                )
                for name, p in zip(STRATEGIES, likely, strict=True)
            ),
            policy="floor-softmax@1",
            profile_scope=asked.workflow,
            profile_version=kind,
            config_hash="c0ffee",
            content_type=TYPES[kind // 3 % len(TYPES)],
            content_type_confidence=0.9,
            complexity=kind % 10 + 1,
            features=(),
            encoder="static@1",
            feature_set="1",
            quality_floor=0.8,
            floor_met=True,
            cost_ceiling_usd=0.1,
            deadline_at_us=0,
            prompt="",
            reasoning=f"{STRATEGIES[chosen]} answers best for its price: 0.81 expected where the floor is 0.80.",
        ),
    )


def _story(kind: int, asked: RequestReceived) -> list[Record]:
    plan = _plan(kind, asked)
    strategy = plan.plan.steps[0].strategy
    of: dict[str, Any] = {
        "event_id": "",
        "occurred_at_us": 0,
        "tenant": asked.tenant,
        "conversation_id": "",
        "request_id": "",
    }
    call: dict[str, Any] = {
        "routing_id": "",
        "tries": 1,
        "strategy": strategy,
        "model": "penstock-static",
        "provider": "embedded",
        "cost_usd": 0.0,
        "latency_ms": 0.0,
    }
    return [
        asked,
        plan,
        GenerationCompleted(
            **of,
            **call,
            step=0,
            question=asked.message,
            passages=tuple(
                UsedPassage(passage_id=f"shipping.md#{number}", text=TEXT[number * 40 :][:180]) for number in range(3)
            ),
            text=TEXT[: 120 + kind],
            finish_reason="stop",
            input_tokens=200,
            output_tokens=60,
            retrieval_ms=1.0,
        ),
        GenerationFailed(**of, **call, step=0, code="provider_unavailable", error="The provider does not answer."),
        ResponseReady(
            **of,
            workflow=asked.workflow,
            text=TEXT[: 120 + kind],
            strategy=strategy,
            model="penstock-static",
            routing_id="",
            generation_id="",
            profile_scope=asked.workflow,
            profile_version=kind,
            content_type=plan.plan.content_type,
            complexity=plan.plan.complexity,
            step=0,
            cost_usd=0.0,
            latency_ms=0.0,
            sources=("shipping.md#0", "shipping.md#1", "shipping.md#2"),
            reasoning=plan.plan.reasoning,
        ),
        ResponseFailed(
            **of,
            workflow=asked.workflow,
            code=("deadline_exceeded", "provider_unavailable", "cost_ceiling_reached")[kind % 3],
            error="It could not be answered.",
            remedy="Ask again.",
            latency_ms=0.0,
        ),
        FeedbackGiven(
            **of, source="user", kind="rating", value=float(kind % 5 + 1), comment="Thanks." if kind % 7 else ""
        ),
        RewardComputed(
            **of,
            workflow=asked.workflow,
            strategy=strategy,
            routing_id="",
            revision=0,
            reward=0.5,
            rated=False,
            parts=(
                RewardPart(name="relevance", value=0.7, share=0.5),
                RewardPart(name="support", value=0.9, share=0.5),
            ),
            evaluator="automatic@1",
            cause_id="",
        ),
        StageMeasured(
            event_id="",
            occurred_at_us=0,
            stage=("router", "generator", "evaluator", "analytics")[kind % 4],
            worker="0",
            sequence=kind,
            measures=tuple(
                Measure(name=name, value=float(kind)) for name in ("handled_total", "in_flight", "handled_ms_mean")
            ),
        ),
    ]


def _mixed(numbers: Any, salt: int) -> Any:
    """Spread whole numbers over 64 bits (splitmix64), so that they look drawn."""
    x = numbers.astype(np.uint64) + np.uint64(salt * 0x9E3779B97F4A7C15 % 2**64)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


def _hexadecimal(numbers: Any, salt: int) -> pa.Array:
    both = np.stack([_mixed(numbers, salt), _mixed(numbers, salt + 1)], axis=1)
    letters = pa.py_buffer(both.tobytes().hex().encode())
    offsets = pa.py_buffer((np.arange(len(numbers) + 1) * 32).astype(np.int32).tobytes())
    return pa.StringArray.from_buffers(len(numbers), offsets, letters)


def _drawn(numbers: Any, salt: int) -> Any:
    return (_mixed(numbers, salt) >> np.uint64(11)) / float(2**53)


@dataclass
class MadeLog:
    """The log: request ``n`` is asked at ``first_us + n * spacing_us``."""

    first_us: int
    spacing_us: int
    _rows: dict[str, pa.Table] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Lay the rows out that are varied, as the intake lays events out."""
        codec = Codec()
        rows: dict[str, list[dict[str, Any]]] = {}
        for kind, asked in enumerate(_requests()):
            for event in _story(kind, asked):
                name, fields = codec.decode_fields(codec.encode(event))
                rows.setdefault(name, []).append(bounded(COLUMNS[name].row(fields)))
        for name, found in rows.items():
            self._rows[name] = pa.Table.from_pylist(found, schema=COLUMNS[name].schema)

    def batch(self, first: int, count: int) -> Batch:
        """Give everything that becomes of ``count`` requests from number ``first`` on."""
        n = np.arange(first, first + count, dtype=np.int64)
        share = _drawn(n, 91)
        failed, fell, rated = share < 0.01, (share > 0.97), (share > 0.4) & (share < 0.55)
        kinds = (_mixed(n, 92) % np.uint64(KINDS)).astype(np.int64)
        at = self.first_us + n * self.spacing_us
        latency = np.round(20 + 400 * _drawn(n, 93) ** 4 + 4_000 * _drawn(n, 94) ** 60, 3)
        cost = np.round(2e-6 + 2e-4 * _drawn(n, 95) ** 3, 9)
        score = np.round(0.3 + 0.7 * _drawn(n, 96), 4)
        ended = at + (latency * 1_000).astype(np.int64)
        batch = Batch()
        add = self._adder(batch, n, kinds)
        add("RequestReceived", None, at)
        add("RequestRouted", None, at + 1_000, requested_at_us=at, deadline_at_us=at + 30 * US_PER_S)
        add(
            "GenerationCompleted",
            ~failed,
            ended - 500,
            cost_usd=cost,
            latency_ms=latency - 2,
            step=fell.astype(np.int64),
        )
        add("GenerationFailed", fell | failed, at + 5_000, cost_usd=cost / 10, latency_ms=latency / 10)
        add("ResponseReady", ~failed, ended, cost_usd=cost, latency_ms=latency, step=fell.astype(np.int64))
        add("ResponseFailed", failed, ended, latency_ms=latency)
        add("RewardComputed", ~failed, ended + 10 * US_PER_S, reward=score, revision=np.zeros(count, np.int64))
        add("FeedbackGiven", rated & ~failed, ended + 25 * US_PER_S)
        add(
            "RewardComputed",
            rated & ~failed,
            ended + 25 * US_PER_S + 2_000,
            salt=50,
            reward=np.round(score / 2 + 0.5, 4),
            revision=np.ones(count, np.int64),
            rated=np.ones(count, bool),
        )
        add("StageMeasured", n % 30 == 0, at)
        batch.last_logged_at_us = int(at[-1]) + 60 * US_PER_S
        for topic in set(TOPICS.values()):
            for partition in range(PARTITIONS):
                batch.next_offsets[topic, partition] = 2 * (first + count)
        return batch

    def _adder(self, batch: Batch, n: Any, kinds: Any) -> Any:
        def add(event: str, which: Any, at: Any, *, salt: int = 0, **varied: Any) -> None:
            chosen = np.arange(len(n)) if which is None else np.flatnonzero(which)
            numbers = n[chosen]
            rows = self._rows[event].take(pa.array(kinds[chosen]))
            names = sorted(COLUMNS)
            own = {name: pa.array(values[chosen]) for name, values in varied.items()}
            own["event_id"] = _hexadecimal(numbers, 1_000 + 10 * names.index(event) + salt)
            own["occurred_at_us"] = own["logged_at_us"] = pa.array(at[chosen])
            own["topic"] = pa.array([TOPICS[event]], pa.string()).take(pa.array(np.zeros(len(chosen), np.int64)))
            own["partition"] = pa.array((_mixed(numbers, 97) % np.uint64(PARTITIONS)).astype(np.int32))
            own["log_offset"] = pa.array(numbers * 2 + bool(salt))
            own["event_key"] = own["event_id"]
            if COLUMNS[event].has_request:
                own["request_id"] = _hexadecimal(numbers, 2_000)
                own["conversation_id"] = _hexadecimal(numbers // 3, 2_010)
                own["request_key"] = _hexadecimal(numbers, 2_020)
            if "routing_id" in rows.column_names:
                own["routing_id"] = _hexadecimal(numbers, 1_000 + 10 * names.index("RequestRouted"))
            if "features" in rows.column_names:
                width = 36
                values = np.round(
                    _drawn(np.arange(len(chosen) * width) + int(numbers[0] if len(numbers) else 0), 98), 6
                )
                offsets = np.arange(len(chosen) + 1, dtype=np.int32) * width
                own["features"] = pa.ListArray.from_arrays(pa.array(offsets), pa.array(values))
            schema = COLUMNS[event].batch_schema
            table = pa.table(
                [own.get(f.name, rows[f.name] if f.name in rows.column_names else None) for f in schema], schema=schema
            )
            known = batch.tables.get(event)
            batch.tables[event] = table if known is None else pa.concat_tables([known, table]).combine_chunks()

        return add
