"""Requests with all their events for the tests of ``penstock verify``, whole and right; a test breaks one thing."""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from agents.deciding.governance import Overrides
from agents.deciding.in_force import config_hash
from agents.deciding.policy import choose
from agents.loading.reading import load_catalogue, load_settings, load_workflows
from schemas import (
    Candidate,
    Evidence,
    FeedbackGiven,
    GenerationCompleted,
    ProfileUpdated,
    Record,
    RequestReceived,
    RequestRouted,
    ResponseReady,
    RewardComputed,
)
from streams.deployment import Deployment
from streams.identity import draw, event_id
from streams.topics import key_of
from tests.analytics_events import CODEC, TOPIC_OF, answered, generated, rating, request, rewarded, routed

PROBABILITIES = {"simple-semantic": 0.1, "balanced-semantic": 0.7, "premium-semantic": 0.2}
MINUTE_US = 60_000_000
WORKFLOW = "customer_support"


def known_hash() -> str:
    """The hash of the configuration that the project's own files are."""
    deployment = Deployment()
    governance, catalogue = load_settings(deployment.settings), load_catalogue(deployment.catalogue, {})
    workflow = load_workflows(deployment.workflows, catalogue, tuple(governance.sources))[WORKFLOW]
    return config_hash(workflow, catalogue, governance.effective("production", workflow.settings, Overrides()))


def candidates(probabilities: dict[str, float]) -> tuple[Candidate, ...]:
    return tuple(
        Candidate(strategy=name, probability=p, quality=0.8, quality_lower=0.7, cost_usd=0.001, latency_ms=20.0)
        for name, p in probabilities.items()
    )


def plan_of(asked: RequestReceived, probabilities: dict[str, float] | None = None, **fields: Any) -> RequestRouted:
    """A plan whose evidence holds."""
    probabilities = probabilities or PROBABILITIES
    drawn = draw(asked.tenant, asked.conversation_id, asked.request_id)
    chosen = choose(probabilities, drawn)
    evidence: dict[str, Any] = {
        "candidates": candidates(probabilities),
        "propensity": probabilities[chosen],
        "draw": drawn,
        "strategy": chosen,
        "version": 1,
    }
    return routed(asked, **{**evidence, **fields})


def profile(version: int, *, scope: str = WORKFLOW, parent: int | None = None, **fields: Any) -> ProfileUpdated:
    given: dict[str, Any] = {
        "event_id": event_id("ProfileUpdated", scope, str(version)),
        "occurred_at_us": 1,
        "scope": scope,
        "version": version,
        "parent": version - 1 if parent is None else parent,
        "learner": "test@1",
        "beliefs": (),
        "incumbents": (),
        "evidence": Evidence(requests=1, rated=1, watermark={}),
        "sentence": f"Version {version}.",
    }
    return ProfileUpdated(**{**given, **fields})


class Story:
    """All events of one request; change any before they are put into a log."""

    def __init__(self, name: str, at_us: int, **plan: Any) -> None:
        self.request: RequestReceived = request(name, at_us=at_us)
        self.plan: RequestRouted = plan_of(self.request, **plan)
        self.generation: GenerationCompleted = generated(self.plan)
        self.response: ResponseReady = replace(
            answered(self.plan, generation_id=self.generation.event_id), latency_ms=21.0
        )
        self.feedback: FeedbackGiven = rating(self.plan)
        self.reward: RewardComputed = rewarded(self.plan)

    @property
    def events(self) -> list[Record]:
        """In the order in which they happen."""
        return [self.request, self.plan, self.generation, self.response, self.feedback, self.reward]


def put(log: Any, *events: Record) -> None:
    """Put events onto their topics, at the time at which they happened."""
    for event in events:
        topic = TOPIC_OF[type(event).__name__]
        log.append(topic, key_of(topic, event), CODEC.encode(event), at_ms=event.occurred_at_us // 1_000)
