"""Events for tests of analytics: builders with sensible defaults, and a log that gives them offsets."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import duckdb

from analytics.intake import Batch, Message, read_batch
from analytics.public import publish
from analytics.storage import Storage
from schemas import (
    Candidate,
    FeedbackGiven,
    GenerationCompleted,
    GenerationFailed,
    Plan,
    Record,
    RequestReceived,
    RequestRouted,
    ResponseFailed,
    ResponseReady,
    RewardComputed,
    RewardPart,
    Step,
)
from streams.codec import Codec
from streams.identity import event_id

HOUR_US = 3_600_000_000
T0_US = 480_000 * HOUR_US
"""2024-10-04 00:00 UTC."""
CODEC = Codec()
LOCAL, REMOTE = "balanced-semantic", "premium-semantic"


def request(name: str, *, at_us: int = T0_US, **fields: Any) -> RequestReceived:
    given: dict[str, Any] = {
        "event_id": event_id("RequestReceived", name),
        "occurred_at_us": at_us,
        "tenant": "acme",
        "conversation_id": f"talk-{name}",
        "request_id": name,
        "workflow": "customer_support",
        "message": f"Where is order {name}?",
    }
    return RequestReceived(**{**given, **fields})


def routed(
    asked: RequestReceived, *, version: int = 1, strategy: str = LOCAL, complexity: int = 5, **fields: Any
) -> RequestRouted:
    step = Step(
        strategy=strategy,
        agent="direct",
        tier="balanced",
        model="penstock-static",
        provider="embedded",
        retrieval="semantic",
        top_k=5,
        graph=False,
        prompt_version="1",
    )
    given: dict[str, Any] = {
        "steps": (step,),
        "propensity": 0.75,
        "draw": 0.5,
        "candidates": tuple(
            Candidate(strategy=name, probability=p, quality=0.8, quality_lower=0.7, cost_usd=0.001, latency_ms=20.0)
            for name, p in ((LOCAL, 0.75), (REMOTE, 0.25))
        ),
        "policy": "floor-softmax@1",
        "profile_scope": "customer_support",
        "profile_version": version,
        "config_hash": "c0ffee",
        "content_type": "transactional",
        "content_type_confidence": 0.9,
        "complexity": complexity,
        "features": (0.25, 0.5),
        "encoder": "static@1",
        "feature_set": "1",
        "quality_floor": 0.8,
        "floor_met": True,
        "cost_ceiling_usd": 0.1,
        "deadline_at_us": asked.occurred_at_us + 30_000_000,
        "prompt": "Help with: {{message}}",
        "reasoning": "Because.",
    }
    return RequestRouted(
        event_id=event_id("RequestRouted", asked.event_id, str(version)),
        occurred_at_us=asked.occurred_at_us + 1_000,
        request=asked,
        plan=Plan(**{**given, **fields}),
    )


def _of(plan: RequestRouted) -> dict[str, Any]:
    asked = plan.request
    return {
        "tenant": asked.tenant,
        "conversation_id": asked.conversation_id,
        "request_id": asked.request_id,
    }


def generated(plan: RequestRouted, *, step: int = 0, cost_usd: float = 0.002) -> GenerationCompleted:
    return GenerationCompleted(
        **_of(plan),
        event_id=event_id("GenerationCompleted", plan.event_id, str(step)),
        occurred_at_us=plan.occurred_at_us + 5_000,
        routing_id=plan.event_id,
        step=step,
        tries=1,
        strategy=LOCAL,
        model="penstock-static",
        provider="embedded",
        question="Help",
        text="An answer.",
        finish_reason="stop",
        input_tokens=10,
        output_tokens=5,
        cost_usd=cost_usd,
        retrieval_ms=1.0,
        latency_ms=8.0,
    )


def generation_failed(plan: RequestRouted, *, step: int = 0, cost_usd: float = 0.001) -> GenerationFailed:
    return GenerationFailed(
        **_of(plan),
        event_id=event_id("GenerationFailed", plan.event_id, str(step)),
        occurred_at_us=plan.occurred_at_us + 4_000,
        routing_id=plan.event_id,
        step=step,
        tries=3,
        strategy=LOCAL,
        model="penstock-static",
        provider="embedded",
        code="provider_unavailable",
        error="no route",
        cost_usd=cost_usd,
        latency_ms=30.0,
    )


def answered(plan: RequestRouted, **fields: Any) -> ResponseReady:
    given: dict[str, Any] = {
        **_of(plan),
        "event_id": event_id("ResponseReady", plan.request.event_id),
        "occurred_at_us": plan.occurred_at_us + 20_000,
        "workflow": plan.request.workflow,
        "text": "An answer.",
        "strategy": plan.plan.steps[0].strategy,
        "model": "penstock-static",
        "routing_id": plan.event_id,
        "generation_id": "0" * 32,
        "profile_scope": plan.plan.profile_scope,
        "profile_version": plan.plan.profile_version,
        "content_type": plan.plan.content_type,
        "complexity": plan.plan.complexity,
        "step": 0,
        "cost_usd": 0.002,
        "latency_ms": 20.0,
        "reasoning": "Because.",
    }
    return ResponseReady(**{**given, **fields})


def failed(asked: RequestReceived, **fields: Any) -> ResponseFailed:
    given: dict[str, Any] = {
        "event_id": event_id("ResponseFailed", asked.event_id),
        "occurred_at_us": asked.occurred_at_us + 2_000,
        "tenant": asked.tenant,
        "conversation_id": asked.conversation_id,
        "request_id": asked.request_id,
        "workflow": asked.workflow,
        "code": "unknown_workflow",
        "error": "There is no such workflow.",
        "remedy": "Use another.",
        "latency_ms": 2.0,
    }
    return ResponseFailed(**{**given, **fields})


def rewarded(plan: RequestRouted, *, revision: int = 0, reward: float = 0.5, rated: bool = False) -> RewardComputed:
    return RewardComputed(
        **_of(plan),
        event_id=event_id("RewardComputed", plan.event_id, str(revision)),
        occurred_at_us=plan.occurred_at_us + 60_000_000,
        workflow=plan.request.workflow,
        strategy=plan.plan.steps[0].strategy,
        routing_id=plan.event_id,
        revision=revision,
        reward=reward,
        rated=rated,
        parts=(RewardPart(name="rating", value=reward, share=1.0),),
        evaluator="reward@1",
        cause_id="0" * 32,
    )


def rating(plan: RequestRouted, value: float = 5.0) -> FeedbackGiven:
    return FeedbackGiven(
        **_of(plan),
        event_id=event_id("FeedbackGiven", plan.event_id),
        occurred_at_us=plan.occurred_at_us + 50_000_000,
        source="user",
        kind="rating",
        value=value,
        comment="Thanks.",
    )


TOPIC_OF = {
    "RequestReceived": "requests",
    "RequestRouted": "routing",
    "GenerationCompleted": "generation",
    "GenerationFailed": "generation",
    "ResponseReady": "responses",
    "ResponseFailed": "responses",
    "FeedbackGiven": "feedback",
    "RewardComputed": "rewards",
    "StageMeasured": "metrics",
    "ProfileUpdated": "profile-history",
    "OverrideSet": "controls",
    "RollbackOrdered": "controls",
    "ResumeOrdered": "controls",
    "LearningResumed": "controls",
    "ExperimentOrdered": "controls",
    "ExperimentStepped": "controls",
    "QualityFell": "metrics",
}


class Log:
    """Gives events offsets, one partition a topic; an event may be appended again."""

    def __init__(self) -> None:
        self._ends: dict[str, int] = {}

    def message(self, topic: str, value: bytes | None, at_us: int = T0_US) -> Message:
        offset = self._ends.get(topic, 0)
        self._ends[topic] = offset + 1
        return Message(topic, 0, offset, at_us, None, value)

    def messages(self, events: Iterable[Record]) -> list[Message]:
        return [
            self.message(TOPIC_OF[type(event).__name__], CODEC.encode(event), event.occurred_at_us) for event in events
        ]

    def batch(self, *events: Record) -> Batch:
        return read_batch(self.messages(events), CODEC)


def story(name: str, *, at_us: int = T0_US, reward: float = 0.5, **plan_fields: Any) -> list[Record]:
    """All events of a request that was answered and rewarded."""
    asked = request(name, at_us=at_us)
    plan = routed(asked, **plan_fields)
    return [asked, plan, generated(plan), answered(plan), rewarded(plan, reward=reward)]


def ask_public(storage: Storage, sql: str, now_us: int = T0_US) -> list[tuple[Any, ...]]:
    """Replace the public file and ask it."""
    return ask_file(publish(storage, now_us), sql)


def ask_file(path: Path, sql: str) -> list[tuple[Any, ...]]:
    with duckdb.connect(str(path), read_only=True) as connection:
        return connection.execute(sql).fetchall()
