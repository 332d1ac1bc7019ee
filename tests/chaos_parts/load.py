"""The load: requests at a steady rate, some sent twice on purpose, with feedback to a part of them; drawn from a seed.

In: the broker's address, the topics' names, a seed. Out: messages on ``requests`` and ``feedback``, from a thread of its own. Keeps
what the broker has confirmed, and what it refused. Its producer is idempotent and waits out a broker that is away.
"""

from __future__ import annotations

import heapq
import itertools
import random
import threading
import time
from collections.abc import Callable
from typing import Any

from confluent_kafka import Producer

from schemas import FeedbackGiven, Record, RequestReceived
from streams.codec import Codec
from streams.identity import event_id
from streams.topics import key_of

Identity = tuple[str, str, str]
"""(tenant, conversation, request)."""
RATE = 100
BOUNDS_VARIABLE = "PENSTOCK_CHAOS_BOUNDS"
"""Set where the machine is this suite's alone: `make chaos`. Beside other work only the invariants hold, not the times."""
TENANTS = 5
CONVERSATIONS = 40
"""So many go on at the same time; each has some twenty requests, then another takes its place."""
REQUESTS_A_CONVERSATION = 20
REPEATED = 0.03
RATED = 0.2
US_PER_S = 1_000_000


class Load:
    """One load; ``name`` begins all its ids, so that loads on one broker are told apart."""

    def __init__(
        self,
        name: str,
        seed: int,
        *,
        bootstrap_servers: str,
        topic: Callable[[str], str],
        workflow: str,
        rate: float = RATE,
        most: int | None = None,
        deadline_ms: int | None = None,
    ) -> None:
        self.name = name
        self.seed = seed
        self.begun_us = 0
        self.ended_us = 0
        self.asked: dict[Identity, int] = {}
        """Every request that was sent, and when first."""
        self.confirmed: set[Identity] = set()
        self.rated: set[str] = set()
        """Event ids of confirmed feedback."""
        self.refused: list[str] = []
        self._random = random.Random(f"{name}/{seed}")
        self._codec = Codec()
        self._apart_us: Callable[[str], int] = lambda _: 0
        self._topic = topic
        self._workflow = workflow
        self._rate = rate
        self._most = most
        self._deadline_ms = deadline_ms
        self._numbers = itertools.count()
        self._open = [self._conversation() for _ in range(CONVERSATIONS)]
        self._later: list[tuple[float, int, str, Record]] = []
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"load-{name}", daemon=True)
        settings: dict[str, Any] = {
            "bootstrap.servers": bootstrap_servers,
            "partitioner": "murmur2_random",
            "enable.idempotence": True,
            "linger.ms": 2,
            "delivery.timeout.ms": 240_000,
            "reconnect.backoff.max.ms": 500,
            "log_level": 0,
            "error_cb": lambda _: None,
        }
        self._producer = Producer(settings)

    def tell_the_time(self, apart_us: Callable[[str], int]) -> None:
        """Have callers state times that are so far from the right one, by their conversation."""
        self._apart_us = apart_us

    def write_with(self, codec: Codec) -> None:
        """Write what follows as another release does."""
        self._codec = codec

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def wait(self) -> None:
        """Return when as many as asked for were sent and confirmed."""
        self._thread.join()

    def stop(self) -> None:
        """Send no new requests; return when all that was sent, and what was to follow, is confirmed."""
        self._ending.set()
        self._thread.join()

    def abandon(self) -> None:
        """End where nobody will count: a test was interrupted or failed. Waits for nothing that the broker has not confirmed."""
        self._ending.set()
        self._producer.purge()

    def _run(self) -> None:
        begun_s = time.monotonic()
        self.begun_us = time.time_ns() // 1_000
        sent = 0
        while not self._ending.is_set() and (self._most is None or sent < self._most):
            now_s = time.monotonic()
            while sent < (now_s - begun_s) * self._rate and (self._most is None or sent < self._most):
                self._ask(now_s)
                sent += 1
            self._send_due(now_s)
            self._producer.poll(0.005)
        self.ended_us = time.time_ns() // 1_000
        self._send_due(float("inf"))
        left = self._producer.flush(240)
        if left:
            self.refused.append(f"{left} messages were never confirmed")

    def _conversation(self) -> tuple[str, str]:
        tenant = f"tenant-{self._random.randrange(TENANTS)}"
        return tenant, f"{self.name}-c{next(self._numbers)}"

    def _ask(self, now_s: float) -> None:
        place = self._random.randrange(CONVERSATIONS)
        if self._random.random() < 1 / REQUESTS_A_CONVERSATION:
            self._open[place] = self._conversation()
        tenant, conversation = self._open[place]
        identity = (tenant, conversation, f"{self.name}-r{next(self._numbers)}")
        now_us = time.time_ns() // 1_000
        request = RequestReceived(
            event_id=event_id("RequestReceived", *identity),
            occurred_at_us=now_us + self._apart_us(conversation),
            tenant=tenant,
            conversation_id=conversation,
            request_id=identity[2],
            workflow=self._workflow,
            message=f"How are dead letters replayed? [{'/'.join(identity)}]",
            deadline_ms=self._deadline_ms,
        )
        self.asked[identity] = now_us
        self._send("requests", request)
        if self._random.random() < REPEATED:
            self._put_off(now_s + self._random.uniform(0, 4), "requests", request)
        if self._random.random() < RATED:
            self._put_off(now_s + self._random.uniform(0.2, 3), "feedback", self._feedback(identity, now_us))

    def _feedback(self, identity: Identity, now_us: int) -> FeedbackGiven:
        return FeedbackGiven(
            event_id=event_id("FeedbackGiven", *identity),
            occurred_at_us=now_us,
            tenant=identity[0],
            conversation_id=identity[1],
            request_id=identity[2],
            source="user",
            kind="rating",
            value=float(self._random.randint(1, 5)),
        )

    def _put_off(self, due_s: float, topic: str, event: Record) -> None:
        heapq.heappush(self._later, (due_s, next(self._numbers), topic, event))

    def _send_due(self, now_s: float) -> None:
        while self._later and self._later[0][0] <= now_s:
            _, _, topic, event = heapq.heappop(self._later)
            self._send(topic, event)

    def _send(self, topic: str, event: Record) -> None:
        def confirmed(error: Any, _: Any) -> None:
            if error is not None:
                self.refused.append(str(error))
            elif isinstance(event, RequestReceived):
                self.confirmed.add((event.tenant, event.conversation_id, event.request_id))
            else:
                self.rated.add(event.event_id)

        raw = self._codec.encode(event)
        self._producer.produce(self._topic(topic), key=key_of(topic, event), value=raw, on_delivery=confirmed)
        self._producer.poll(0)
