"""How fast ``penstock verify`` walks a log, and with how much memory: a log that is made while it is read, without a broker.

    python -m tests.benchmarks.verifying 1000000

In: how many requests. Out: a line with requests, messages, seconds, messages a second, processor time, peak memory.
Each request has its plan (12 candidates, 36 features), its generation, its response and its reward; the bytes are those of one
request with other ids in them, so that making them costs little beside reading them.
"""

from __future__ import annotations

import resource
import struct
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from itertools import islice
from pathlib import Path

from msgspec.structs import replace
from typer.testing import CliRunner

from schemas import Candidate
from streams.cli.main import app
from streams.cli.surroundings import Surroundings
from streams.deployment import Deployment
from streams.following import Message, Spot
from streams.identity import draw
from streams.topics import TOPICS
from tests.analytics_events import CODEC
from tests.verifying_parts import Story, profile

PARTITIONS = 8
AT_ONCE = 1_000
NOW_US = 1_760_000_000_000_000
DRAWN = 0.1234567890123
NAME = "n" * 12
IDS = {"requests": "a" * 32, "routing": "b" * 32, "generation": "c" * 32, "responses": "d" * 32, "rewards": "e" * 32}


def templates() -> dict[str, bytes]:
    """The bytes of each event of a request, with ids in them that are replaced."""
    story = Story(NAME, NOW_US - 3_600_000_000, version=1)
    others = tuple(
        Candidate(strategy=f"other-{n}", probability=0.0, quality=0.8, quality_lower=0.7, cost_usd=0.01, latency_ms=9.0)
        for n in range(11)
    )
    chosen = replace(story.plan.plan.candidates[0], strategy=story.plan.plan.steps[0].strategy, probability=1.0)
    plan = replace(
        story.plan.plan,
        candidates=(chosen, *others),
        propensity=1.0,
        draw=DRAWN,
        features=tuple(n / 36 for n in range(36)),
        reasoning="Because of this and that, with numbers. " * 6,
    )
    request = replace(story.request, event_id=IDS["requests"])
    events = {
        "requests": request,
        "routing": replace(story.plan, event_id=IDS["routing"], plan=plan, request=request),
        "generation": replace(story.generation, event_id=IDS["generation"], routing_id=IDS["routing"]),
        "responses": replace(
            story.response, event_id=IDS["responses"], routing_id=IDS["routing"], generation_id=IDS["generation"]
        ),
        "rewards": replace(story.reward, event_id=IDS["rewards"], routing_id=IDS["routing"]),
    }
    return {topic: CODEC.encode(event) for topic, event in events.items()}


class MadeLog:
    """A log of so many requests, made as it is read."""

    def __init__(self, requests: int) -> None:
        self._count = requests // PARTITIONS
        self._templates = templates()
        self._profile = CODEC.encode(profile(1))
        self._starts: dict[Spot, int] = {}
        self._made: Iterator[Message] = iter(())

    def bounds(self, topic: str) -> dict[int, tuple[int, int]]:
        """As ``Log``."""
        if topic == "profile-history":
            return {0: (0, 1)}
        return dict.fromkeys(range(PARTITIONS), (0, self._count if topic in self._templates else 0))

    def offsets_at(self, topic: str, at_ms: int) -> dict[int, int]:
        """As ``Log``; everything is of one time."""
        return dict.fromkeys(self.bounds(topic), 0)

    def begin(self, starts: Mapping[Spot, int]) -> None:
        """As ``Log``."""
        self._made = self._make(dict(starts))

    def _make(self, starts: Mapping[Spot, int]) -> Iterator[Message]:
        if ("profile-history", 0) in starts:
            yield Message("profile-history", 0, 0, b"", self._profile, 0)
        for topic, template in self._templates.items():
            for number in range(PARTITIONS):
                if (topic, number) in starts:
                    for offset in range(self._count):
                        yield self._one(topic, template, number, offset)

    def _one(self, topic: str, template: bytes, number: int, offset: int) -> Message:
        name = f"{number}{offset:011d}"
        value = template.replace(NAME.encode(), name.encode())
        for of, placeholder in IDS.items():
            value = value.replace(placeholder.encode(), f"{of[:4]}{number:04d}{offset:024d}".encode())
        if topic == "routing":
            value = value.replace(struct.pack("<d", DRAWN), struct.pack("<d", draw("acme", f"talk-{name}", name)))
        return Message(topic, number, offset, b"", value, NOW_US // 1_000 - 3_600_000)

    def poll(self, wait_s: float) -> list[Message]:
        """As ``Log``."""
        return list(islice(self._made, AT_ONCE))

    def read_to(self) -> Mapping[Spot, int]:
        """As ``Log``; each partition ends with a message."""
        return {}

    def close(self) -> None:
        """As ``Log``."""


def main(requests: int) -> None:
    """Verify a log of so many requests, and print the line."""
    with tempfile.TemporaryDirectory() as folder:
        deployment = Deployment(var=Path(folder))
        around = Surroundings(
            deployment=lambda: deployment, open_log=lambda _: MadeLog(requests), clock_us=lambda: NOW_US
        )
        begun_s = time.monotonic()
        result = CliRunner().invoke(app, ["verify", "--json"], obj=around)
        took_s = time.monotonic() - begun_s
    assert result.exit_code == 0, result.output
    messages = 5 * requests
    peak_mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    sys.stdout.write(
        f"{requests:,} requests, {messages:,} messages, {took_s:,.1f} s, {messages / took_s:,.0f} messages a second, "
        f"{time.process_time() / messages * 1e6:,.0f} us of processor a message, {peak_mib:,.0f} MiB\n"
    )


if __name__ == "__main__":
    assert set(IDS) <= TOPICS.keys()
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 100_000)
