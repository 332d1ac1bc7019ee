"""The watchdog of a worker: a thread that asks the broker for its lag, says whether it is ready, and ends it where it hangs.

In: the worker, by ``Watched``, and the broker's answers. Out: the worker's lag; ``worker-ROLE-N.json`` in the run folder,
which says ready only while it is; ``StageRestarted`` and exit status ``HUNG`` where it hangs (streams/stalling.py). Keeps the
last answer. A thread, because an event loop that is blocked shall be noticed too; the event goes through a producer of its
own for the same reason. Fails with nothing: a broker that does not answer is a lag that is not known, and after
``LOST_AFTER`` such answers the worker is not ready.
"""

import os
import sys
import threading
import time
from collections.abc import Callable, Hashable, Mapping
from pathlib import Path
from typing import Any, Protocol

from confluent_kafka import KafkaException, Producer

from schemas import Record, StageRestarted
from streams.codec import Codec
from streams.deployment import Deployment
from streams.errors import PenstockError
from streams.identity import event_id
from streams.lag import Place
from streams.logs import described, logger
from streams.run_files import replace_json
from streams.stalling import Look, Standstill
from streams.topics import key_of

HUNG = 75
"""The exit status of a worker that ended itself because it hung (EX_TEMPFAIL: to be tried again)."""
TICK_S = 0.2
LOST_AFTER = 2
"""So many looks at the broker without an answer are a lost broker."""
_PUBLISH_S = 2.0


class Watched(Protocol):
    """What is watched; every method is called from the watchdog's thread and must not wait."""

    role: str

    def ask_lag(self) -> Mapping[Place, int] | None:
        """Ask the broker for the lag of this worker's partitions; None where it has no assignment yet. May take 2 s or raise."""

    def paused(self) -> Mapping[str, Any]:
        """Give the sources that the limit on dead letters has paused."""

    def progress(self) -> Hashable:
        """Give something that changes whenever the worker gets on."""

    def excuse(self) -> str:
        """Say what it waits for with good reason; "" where there is none."""

    def obstacle(self) -> str:
        """Say what keeps it from consuming, the broker aside; "" while it consumes."""

    def is_settled(self) -> bool:
        """Say whether it has all that it needs to consume; one whose event loop is blocked may."""

    def partitions(self) -> int:
        """Give how many partitions it has."""


class Watchdog:
    """Watches one worker. ``end`` is called with the standstill in seconds and the lag once the worker hangs."""

    def __init__(
        self,
        watched: Watched,
        deployment: Deployment,
        *,
        end: Callable[[float, int], None] | None = None,
        clock_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self.when_first_ready: Callable[[], None] | None = None
        """Called once, from the watchdog's thread."""
        self._watched = watched
        self._deployment = deployment
        self._end = end or self.end_process
        self._clock_s = clock_s
        self._lag: dict[Place, int] | None = None
        self._unanswered = 0
        self._looked_s: float | None = None
        self._standstill = Standstill(deployment.stalled_after_s)
        self._written: dict[str, Any] | None = None
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
        self._log = logger(role=watched.role, worker=deployment.worker)

    @property
    def run_file(self) -> Path:
        """Where the worker says whether it is ready."""
        return self._deployment.run_folder / f"worker-{self._watched.role}-{self._deployment.worker}.json"

    @property
    def lag(self) -> dict[Place, int]:
        """Give events that wait, by (topic, partition), as the broker last said; empty where it is not known."""
        return dict(self._lag or {})

    @property
    def since_progress_s(self) -> float:
        """Give the seconds without progress while events wait; 0 where none do."""
        return self._standstill.since_progress_s

    @property
    def is_ready(self) -> bool:
        """Say whether the worker really consumes."""
        return not self.obstacle()

    def obstacle(self) -> str:
        """Say what keeps the worker from consuming; "" where nothing does."""
        if self._stopping.is_set():
            return "it stops"
        if self._looked_s is None or self._lag is None:
            return self._watched.obstacle() or "it has not heard from the broker yet"
        if self._unanswered >= LOST_AFTER:
            return "the broker does not answer"
        paused = sorted(self._watched.paused())
        return self._watched.obstacle() or (f"paused: {', '.join(paused)}" if paused else "")

    def start(self) -> None:
        """Begin to watch."""
        self._thread = threading.Thread(target=self._watch, name=f"{self._watched.role}-watchdog", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Watch no longer, and take back that the worker is ready."""
        self._stopping.set()
        if self._thread is not None:
            self._thread.join(timeout=0.5)  # it may be asking a broker that is away
        self.run_file.unlink(missing_ok=True)

    def look(self) -> None:
        """Look at the lag and the progress once; ends the worker where it hangs."""
        now_s = self._clock_s()
        passed_s = 0.0 if self._looked_s is None else now_s - self._looked_s
        self._looked_s = now_s
        lag: int | None = None
        try:
            asked = self._watched.ask_lag()
        except (KafkaException, PenstockError, TimeoutError) as error:
            self._unanswered += 1
            if self._unanswered == LOST_AFTER:
                self._log.warning("broker_does_not_answer", error=described(error))
        else:
            self._unanswered = 0
            if asked is not None:
                self._lag = dict(asked)
                paused = self._watched.paused()
                lag = sum(events for (topic, _), events in self._lag.items() if topic not in paused)
        watched = self._watched
        look = Look(lag, watched.progress(), watched.excuse(), settled=watched.is_settled())
        if self._standstill.look(look, passed_s):
            self._end(self._standstill.seconds, lag or 0)

    def say_readiness(self) -> None:
        """Write the run file where something changed."""
        obstacle = self.obstacle()
        said = {
            "pid": os.getpid(),
            "ready": not obstacle,
            "why_not": obstacle,
            "partitions": self._watched.partitions(),
            "paused": sorted(self._watched.paused()),
        }
        if said == self._written:
            return
        if said["ready"] and self.when_first_ready is not None:
            first, self.when_first_ready = self.when_first_ready, None
            first()
        before = self._written is not None and self._written["ready"]
        if before != said["ready"]:
            self._log.info("ready" if said["ready"] else "not_ready", why=obstacle, partitions=said["partitions"])
        self.run_file.parent.mkdir(parents=True, exist_ok=True)
        replace_json(self.run_file, said)
        self._written = said

    def end_process(self, stalled_s: float, lag_events: int) -> None:
        """Say why, and end this process without waiting for anything that may hang."""
        reason = (
            self._watched.obstacle() or "events wait, none was handled or committed, and no call is within its deadline"
        )
        self._log.error("restarts_itself", stalled_s=round(stalled_s, 1), lag_events=lag_events, reason=reason)
        now_us = time.time_ns() // 1_000
        worker = f"{self._deployment.worker}:{os.getpid()}"
        event = StageRestarted(
            event_id=event_id("StageRestarted", self._watched.role, worker, str(now_us)),
            occurred_at_us=now_us,
            stage=self._watched.role,
            worker=worker,
            lag_events=lag_events,
            stalled_s=stalled_s,
            reason=reason,
        )
        try:
            publish_at_once(self._deployment, "metrics", event)
            self.run_file.unlink(missing_ok=True)
        except (KafkaException, PenstockError, OSError) as error:
            self._log.error("restart_not_published", error=described(error))
        sys.stderr.flush()
        os._exit(HUNG)

    def _watch(self) -> None:
        due_s = self._clock_s()
        while not self._stopping.wait(TICK_S):
            try:
                if self._clock_s() >= due_s or (self._lag is None and not self._watched.obstacle()):
                    self.look()
                    due_s = self._clock_s() + self._deployment.watch_every_s
                self.say_readiness()
            except Exception as error:  # noqa: BLE001 - a watchdog that died would be the silence it is there to break
                self._log.error("watchdog_failed", error=described(error))


def publish_at_once(deployment: Deployment, topic: str, event: Record) -> None:
    """Publish an event through a producer of its own; gives up after 2 s. ``KafkaException`` for what fails at once."""
    producer = Producer(
        {
            "bootstrap.servers": deployment.bootstrap(),
            "partitioner": "murmur2_random",
            "message.timeout.ms": int(_PUBLISH_S * 1_000),
            "log_level": 0,
            "error_cb": lambda _: None,
        }
    )
    producer.produce(deployment.topic(topic), key=key_of(topic, event), value=Codec().encode(event))
    producer.flush(_PUBLISH_S)
