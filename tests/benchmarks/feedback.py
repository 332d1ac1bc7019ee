"""How soon a router acts on feedback: from publishing it to the first plan made with beliefs that rest on it.

In: a folder; a loop of all roles at the default settings, with the instant provider and steady traffic. Out: the median
and the 95th percentile in seconds. Keeps nothing. Fails with ``Incomplete`` where too few feedbacks were seen to their end.

The end is read from the log: the reward that names the feedback as its cause, the first profile whose evidence reaches past that
reward's offset, the first plan of that profile's version or a later one. All times are of one machine's clock.
"""

import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from statistics import quantiles
from typing import Any

import yaml
from confluent_kafka import Consumer, Producer, TopicPartition

from schemas import FeedbackGiven, ProfileUpdated, Record, RequestRouted, ResponseReady, RewardComputed
from streams.codec import Codec
from streams.deployment import Deployment
from streams.identity import event_id
from streams.topics import key_of
from tests.benchmarks.load import Incomplete
from tests.benchmarks.running import PARTITIONS, broker, deployment_in, loop, provider, requests

ROLES = ("router", "generator", "evaluator", "analytics")
RATE = 25.0
SECONDS = 40.0
RATED_OF = 5
"""One of so many answers is rated."""
FOLLOWS_S = 8.0
TOPICS = ("responses", "rewards", "profile-history", "routing")


@dataclass
class Followed:
    """What was seen of each feedback: when it was published, where its reward is, and of profiles and plans all there is."""

    published_s: dict[str, float] = field(default_factory=dict)
    reward_at: dict[str, tuple[int, int]] = field(default_factory=dict)
    """Event id of the feedback to partition and offset of its reward."""
    profiles: dict[int, Mapping[str, int]] = field(default_factory=dict)
    """Version to the offsets that it rests on."""
    planned_s: dict[int, float] = field(default_factory=dict)
    """Version to the first plan that was made with it."""

    def took_s(self) -> list[float]:
        """Seconds of each feedback that was published when there was a profile already, and was seen to its end."""
        first_s = min(self.planned_s.get(version, float("inf")) for version in self.profiles)
        took = []
        for feedback, published_s in self.published_s.items():
            partition, offset = self.reward_at.get(feedback, (0, -1))
            resting = [
                v for v, offsets in self.profiles.items() if offsets.get(f"rewards/{partition}", 0) > offset >= 0
            ]
            acted = [at_s for version, at_s in self.planned_s.items() if resting and version >= min(resting)]
            if published_s > first_s and acted:
                took.append(min(acted) - published_s)
        return took


def measured(folder: Path) -> dict[str, float]:
    """Run the loop, and give ``p50`` and ``p95`` in seconds."""
    folder = folder / "feedback"
    folder.mkdir()
    with broker(folder) as running, provider(folder) as (url, _):
        deployment = deployment_in(folder, running.bootstrap_servers)
        settings = yaml.safe_load(deployment.settings.read_text(encoding="utf-8"))
        del settings["operations"]["rating_wait_s"]
        deployment.settings.write_text(yaml.safe_dump(settings), encoding="utf-8")
        with loop(deployment, url, ROLES):
            took = sorted(_follow(deployment).took_s())
    if len(took) < 30:
        raise Incomplete(f"only {len(took)} feedbacks were seen to their end")
    points = quantiles(took, n=20, method="inclusive")
    return {"p50": points[9], "p95": points[18]}


def _follow(deployment: Deployment) -> Followed:
    codec, followed = Codec(), Followed()
    producer: Any = Producer(
        {"bootstrap.servers": deployment.bootstrap(), "linger.ms": 0, "partitioner": "murmur2_random"}
    )
    consumer: Any = Consumer(
        {"bootstrap.servers": deployment.bootstrap(), "group.id": "bench-feedback", "enable.auto.commit": False}
    )
    places = [TopicPartition(deployment.topic(topic), p, 0) for topic in TOPICS for p in range(PARTITIONS)]
    there = consumer.list_topics().topics
    consumer.assign([place for place in places if place.partition in there[place.topic].partitions])

    def ask() -> None:
        begun = time.monotonic()
        for number, (key, value) in enumerate(requests(int(RATE * SECONDS), "plain", "feedback")):
            time.sleep(max(0.0, begun + number / RATE - time.monotonic()))
            producer.produce(deployment.topic("requests"), value, key)
            producer.poll(0)

    asking = threading.Thread(target=ask)
    asking.start()
    answers = 0
    last_s = time.monotonic() + SECONDS + FOLLOWS_S
    while time.monotonic() < last_s:
        for message in consumer.consume(200, 0.05):
            event = codec.decode(message.value())
            _see(followed, event, message)
            if isinstance(event, ResponseReady):
                answers += 1
                if answers % RATED_OF == 0 and asking.is_alive():
                    given = _rating(event)
                    followed.published_s[given.event_id] = time.time()
                    producer.produce(deployment.topic("feedback"), codec.encode(given), key_of("feedback", given))
                    producer.poll(0)
    asking.join()
    producer.flush(5)
    consumer.close()
    return followed


def _see(followed: Followed, event: Record, message: Any) -> None:
    match event:
        case RewardComputed() if event.rated:
            followed.reward_at.setdefault(event.cause_id, (message.partition(), message.offset()))
        case ProfileUpdated():
            followed.profiles.setdefault(event.version, event.evidence.watermark)
        case RequestRouted():
            followed.planned_s.setdefault(event.plan.profile_version, message.timestamp()[1] / 1_000)


def _rating(answer: ResponseReady) -> FeedbackGiven:
    return FeedbackGiven(
        event_id=event_id("FeedbackGiven", "bench", answer.request_id),
        occurred_at_us=time.time_ns() // 1_000,
        tenant=answer.tenant,
        conversation_id=answer.conversation_id,
        request_id=answer.request_id,
        source="user",
        kind="rating",
        value=4.0,
    )


if __name__ == "__main__":
    import sys
    import tempfile

    with tempfile.TemporaryDirectory() as where:
        sys.stdout.write(f"{measured(Path(where))}\n")
