"""Reads back from the topics what the demo cannot see as a client: profile versions, repeats, rewards.

In: the deployment, how many rated rewards to wait for. Out: ``ReadBack``. Keeps nothing. Fails as ``streams.following`` does.
"""

import time
from collections import Counter
from dataclasses import dataclass

from schemas import ProfileUpdated, ResponseFailed, ResponseReady, RewardComputed
from streams.codec import Codec
from streams.deployment import Deployment
from streams.following import KafkaLog, seen, so_far

LOOK_EVERY_S = 1.0


@dataclass(frozen=True)
class ReadBack:
    """``duplicates``: terminal responses that a plain reader saw again."""

    duplicates: int
    profile_updates: int
    optimizations: list[str]
    rated: int
    automatic: int


def read_back(deployment: Deployment, *, rated: int, within_s: float) -> ReadBack:
    """Read the topics to their ends, until ``rated`` requests have a reward from a user or ``within_s`` seconds passed."""
    deadline = time.monotonic() + within_s
    while True:
        found = _read(deployment)
        if found.rated >= rated or time.monotonic() > deadline:
            return found
        time.sleep(LOOK_EVERY_S)


def _read(deployment: Deployment) -> ReadBack:
    codec = Codec()
    responses: Counter[str] = Counter()
    profiles: dict[str, ProfileUpdated] = {}
    rewarded: dict[tuple[str, str], bool] = {}
    with KafkaLog(deployment) as log:
        for message in so_far(log, ("responses", "profile-history", "rewards")):
            event = seen(message, codec).event
            if isinstance(event, ResponseReady | ResponseFailed):
                responses[event.event_id] += 1
            elif isinstance(event, ProfileUpdated):
                profiles[event.event_id] = event
            elif isinstance(event, RewardComputed):
                identity = (event.conversation_id, event.request_id)
                rewarded[identity] = rewarded.get(identity, False) or event.rated
    ordered = sorted(profiles.values(), key=lambda profile: (profile.scope, profile.version))
    return ReadBack(
        duplicates=responses.total() - len(responses),
        profile_updates=len(ordered),
        optimizations=[change.sentence for profile in ordered for change in profile.optimizations],
        rated=sum(rewarded.values()),
        automatic=len(rewarded) - sum(rewarded.values()),
    )
