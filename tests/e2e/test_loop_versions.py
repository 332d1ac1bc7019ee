"""Profiles apply in the order of their versions: an older one is ignored and counted, a newer one is acted upon."""

from __future__ import annotations

from schemas import Belief, Evidence, Incumbent, ProfileUpdated, RequestRouted, ResponseReady
from streams.identity import event_id
from tests.loop import Loop
from tests.waiting import eventually

SCOPE = "versioned"
TYPES = ("transactional", "informational", "support", "general")
BANDS = ("low", "middle", "high")


def published(loop: Loop, version: int, strategy: str, quality: float) -> ProfileUpdated:
    """Publish a profile that holds one strategy for the best everywhere."""
    kinds = [(content_type, band) for content_type in TYPES for band in BANDS]
    profile = ProfileUpdated(
        event_id=event_id("ProfileUpdated", SCOPE, str(version)),
        occurred_at_us=version,
        scope=SCOPE,
        version=version,
        parent=version - 1,
        learner="test@1",
        beliefs=tuple(
            Belief(
                content_type=content_type,
                band=band,
                strategy=strategy,
                requests=1_000,
                quality=quality,
                quality_sd=0.001,
                gap_sd=0.001,
                cost_usd=1e-7,
                latency_ms=10.0,
            )
            for content_type, band in kinds
        ),
        incumbents=tuple(
            Incumbent(content_type=content_type, band=band, strategy=strategy, since_version=version)
            for content_type, band in kinds
        ),
        evidence=Evidence(requests=1_000, rated=1_000, watermark={}),
        sentence=f"{strategy} answers.",
    )
    loop.publish("profile-updates", profile)
    return profile


def planned(loop: Loop) -> RequestRouted:
    request = loop.request(workflow=SCOPE)
    (answer,) = loop.ask(request)
    assert isinstance(answer, ResponseReady)
    plan = loop.plan_of(request)
    assert answer.profile_version == plan.plan.profile_version
    return plan


def believed(routed: RequestRouted, strategy: str) -> float:
    (candidate,) = [each for each in routed.plan.candidates if each.strategy == strategy]
    return candidate.quality


def test_a_newer_profile_decides_and_an_older_one_that_comes_late_is_ignored_and_counted(loop: Loop) -> None:
    stale_before = loop.measured("router", "profile_stale_total")
    published(loop, 5, "balanced-semantic", 0.9)
    fifth = eventually(lambda: [p] if (p := planned(loop)).plan.profile_version == 5 else [], describe="version 5")[0]
    assert believed(fifth, "balanced-semantic") == 0.9
    assert max(fifth.plan.candidates, key=lambda each: each.probability).strategy == "balanced-semantic"

    published(loop, 3, "premium-semantic", 0.99)

    def is_counted() -> bool:
        planned(loop)  # a stage that has nothing to do reports nothing
        return loop.measured("router", "profile_stale_total") > stale_before

    eventually(is_counted, 20)
    after = planned(loop)
    assert after.plan.profile_version == 5
    assert believed(after, "premium-semantic") != 0.99

    published(loop, 6, "simple-semantic", 0.95)
    sixth = eventually(lambda: [p] if (p := planned(loop)).plan.profile_version == 6 else [], describe="version 6")[0]
    assert max(sixth.plan.candidates, key=lambda each: each.probability).strategy == "simple-semantic"
