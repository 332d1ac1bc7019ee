"""How the analytics process stands, for its watchdog: what it has read, what it waits for, which topics it has paused.

In: what the loop says of itself. Out: answers from any thread. Keeps the offsets that were reached and the topics that are paused.
Fails as the broker does, where the lag is asked for.
"""

import threading
from collections.abc import Hashable, Mapping

from analytics.intake import Batch, Message, Refused
from analytics.room import Room
from streams.delivery import Clock
from streams.deployment import Deployment
from streams.lag import Lag, Place
from streams.limit import Limit
from streams.pausing import Gate, Pause, SourcePaused
from streams.topics import TOPICS
from streams.under_way import CallsUnderWay

Spot = tuple[str, int]


class Standing:
    """What the loop tells, and the watchdog reads; see ``streams.watchdog.Watched``."""

    role = "analytics"

    def __init__(self, deployment: Deployment, limit: Limit, clock: Clock) -> None:
        self.gate = Gate(deployment.limit(limit), clock)
        self.calls = CallsUnderWay()
        self.stop = threading.Event()
        self.handled = 0
        self.reached: dict[Place, int] | None = None
        """The offset after what is stored, of every partition that is read; None before they are known."""
        self.not_yet = "its topics are not there yet"
        """What keeps it from consuming; "" while it consumes."""
        self.room: Room | None = None
        self._lag = Lag(deployment)

    def ask_lag(self) -> Mapping[Place, int] | None:
        """As ``Watched`` says."""
        return None if self.reached is None else self._lag.behind(self.reached)

    def paused(self) -> dict[str, Pause]:
        """As ``Watched`` says."""
        return self.gate.paused

    def progress(self) -> Hashable:
        """As ``Watched`` says."""
        return self.handled, self.not_yet, sum((self.reached or {}).values())

    def excuse(self) -> str:
        """As ``Watched`` says."""
        if self.stop.is_set():
            return "it stops"
        if self.room is not None and self.room.wanting:
            return self.room.wanting
        return "it is at something that may take long" if self.calls.any_in_time() else ""

    def obstacle(self) -> str:
        """As ``Watched`` says."""
        if self.stop.is_set():
            return "it stops"
        return (self.room.wanting if self.room is not None else "") or self.not_yet

    def is_settled(self) -> bool:
        """As ``Watched`` says."""
        return not self.obstacle()

    def partitions(self) -> int:
        """As ``Watched`` says."""
        return len(self.reached or {})


def within_limit(messages: list[Message], batch: Batch, gate: Gate) -> list[Message]:
    """Give the messages without those that must be held: in a partition the first that would break the limit, and all after it.

    Counts the others at ``gate``, and pauses the topics of what is held. A topic that is compacted has no limit.
    """
    refused: dict[str, list[Refused]] = {}
    for each in batch.refused:
        refused.setdefault(each.message.topic, []).append(each)
    for topic in {message.topic for message in messages}:
        count = sum(message.topic == topic for message in messages)
        gate.count_handled(topic, count - len(refused.get(topic, ())))
    held: dict[Spot, int] = {}
    for topic, cases in refused.items():
        if TOPICS[topic].compacted:
            continue
        for case in cases:
            origin = case.message
            try:
                gate.let_letter_through(topic, code=str(case.code), partition=origin.partition, offset=origin.offset)
            except SourcePaused:
                held.setdefault((topic, origin.partition), origin.offset)
    return [m for m in messages if m.offset < held.get((m.topic, m.partition), m.offset + 1)]
