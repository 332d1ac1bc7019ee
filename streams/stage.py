"""A stage: what every role's worker has, put together in one place.

In: the role, the deployment, and which handler takes which topic. Out: a Faust app whose agents go through ``Delivery`` and publish
through ``Outbox``, that reports ``StageMeasured`` every few seconds and writes ``var/run/worker-ROLE-N.json`` once it really
consumes. Keeps the counters of the process. Fails only as Faust does: an agent's loop never raises.
"""

import asyncio
import json
import os
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from faust.types import AppT, EventT, StreamT

from schemas import Measure, Record, StageMeasured
from streams.app import build_app
from streams.broker_clock import BrokerClock
from streams.codec import Codec
from streams.compacted import CompactedReader
from streams.delivery import Clock, Delivery, Handler, Origin, wall_clock_us
from streams.deployment import Deployment
from streams.errors import UndeclaredTopic, Undecodable
from streams.exported import histograms_of
from streams.following import KafkaLog, NoSuchTopic
from streams.identity import event_id
from streams.logs import described, logger
from streams.lookup import SchemaLookUp
from streams.measuring import Published
from streams.metrics import Histogram, known
from streams.outbox import Outbox
from streams.topics import TOPICS
from streams.tracing import Headers, carried

REPORT_INTERVAL_S = 5.0
PREPARE_PAUSE_S = 1.0
US_PER_S = 1_000_000


class Stage:
    """One role in this process."""

    def __init__(
        self,
        role: str,
        deployment: Deployment,
        *,
        partitions: int,
        clock: Clock = wall_clock_us,
        app: AppT | None = None,
    ) -> None:
        self.role = role
        self.deployment = deployment
        self.clock = BrokerClock(clock)
        self.codec = Codec()
        self.app: AppT = app or build_app(role, deployment, partitions=partitions)
        self.histograms = {name: Histogram(each.bounds) for name, each in histograms_of(role).items()}
        self.published = Published(self.count, self.histograms)
        self.outbox = Outbox(role, self.codec, self._send, published=self.published)
        self.schemas = SchemaLookUp(self.codec, lambda: KafkaLog(deployment))
        self.delivery = Delivery(role, self.codec, self.outbox, look_up=self.schemas.beside, clock=self.clock)
        self.histograms["handling_seconds"] = self.delivery.handling_s
        self.log = logger(role=role, worker=deployment.worker)
        self._before: list[Callable[[], Awaitable[None]]] = [self._publish_schemas, self._ask_the_time]
        self._prepared = False
        self._preparing = asyncio.Lock()
        self._counters: dict[str, float] = {}
        self._sequence = 0
        self._started_us = clock()
        self._reported: dict[str, float] = {}
        self.app.on_partitions_assigned.connect(self._on_assigned, weak=False)
        self.app.timer(interval=REPORT_INTERVAL_S, name=f"{role}-report")(self._report)

    def before_first_event(self, prepare: Callable[[], Awaitable[None]]) -> None:
        """Have ``prepare`` awaited before this stage handles anything: reading compacted topics to their end."""
        self._before.append(prepare)

    def consume(self, topic: str, handle: Handler, *, concurrency: int = 1, give_up: Handler | None = None) -> None:
        """Attach the agent that carries ``topic`` to ``handle``; at most ``concurrency`` events are in flight.

        ``give_up`` is told of an event that ended in the dead letters because its handler failed.
        """
        if self.role not in TOPICS[topic].read_by:
            raise UndeclaredTopic(f"The {self.role} may not read {topic}.", remedy="Declare it in streams/topics.py.")
        source = self.app.topic(
            self.deployment.topic(topic),
            key_type=bytes,
            value_type=bytes,
            key_serializer="raw",
            value_serializer="raw",
            allow_empty=True,
        )

        async def agent(stream: StreamT[bytes]) -> None:
            async for event in stream.events():
                await self._ready()
                await self.delivery.take_in(_origin(topic, event), handle, give_up)

        self.app.agent(source, name=f"{self.role}.{topic}", concurrency=concurrency)(agent)

    def follow(
        self,
        topic: str,
        apply: Callable[[Record], None],
        refuse: Callable[[Origin, Undecodable], Awaitable[None]],
    ) -> None:
        """Have this worker read a compacted topic whole, and nothing be handled before it was read once."""
        if self.role not in TOPICS[topic].read_by:
            raise UndeclaredTopic(f"The {self.role} may not read {topic}.", remedy="Declare it in streams/topics.py.")
        reader = CompactedReader(
            topic,
            name_on_broker=self.deployment.topic(topic),
            bootstrap_servers=self.deployment.bootstrap(),
            codec=self.codec,
            apply=apply,
            refuse=refuse,
            look_up=self.schemas.beside,
        )
        self.app.task(reader.follow)
        self.before_first_event(reader.caught_up)

    def count(self, name: str, by: float = 1) -> None:
        """Add to a counter of the closed catalogue of metrics."""
        self._counters[known(name)] = self._counters.get(name, 0) + by

    def note(self, name: str, value: float) -> None:
        """Set a gauge of the closed catalogue of metrics."""
        self._counters[known(name)] = value

    async def _ready(self) -> None:
        if self._prepared:
            return
        async with self._preparing:
            if not self._prepared:
                for prepare in self._before:
                    await self._until_prepared(prepare)
                self._prepared = True

    async def _until_prepared(self, prepare: Callable[[], Awaitable[None]]) -> None:
        while True:  # an exception that left the agent would acknowledge the event that waits for this
            try:
                await prepare()
            except Exception as error:  # noqa: BLE001 - whatever it is, the stage is not ready, and says so
                self.log.error(  # noqa: TRY400 - one line a second is enough; the traceback would be the same each time
                    "not_prepared", error=described(error)
                )
                await asyncio.sleep(PREPARE_PAUSE_S)
            else:
                return

    async def _publish_schemas(self) -> None:
        """Make known what this release writes, before it writes any of it."""
        try:
            missing = await asyncio.to_thread(self.schemas.unpublished, self.role, now_us=self.clock())
        except NoSuchTopic as error:  # a system that an older release set up: its readers could not look anything up
            self.log.error("schemas_not_published", error=str(error))  # noqa: TRY400 - the sentence says it all
            return
        for each in missing:
            await self.outbox.publish("schemas", each)
        self.schemas.close()  # until a stranger's schema is met, which may be never

    async def _ask_the_time(self) -> None:
        """Publish a report of nothing: its confirmation tells the broker's time before the first deadline is judged by it."""
        await self.outbox.publish("metrics", self._measured({}))

    async def _send(self, topic: str, key: bytes, value: bytes, headers: Headers) -> None:
        name = self.deployment.topic(topic)
        sent_us = self.clock.own()
        sent = await self.app.producer.send(name, key, value, None, None, list(headers) or None)
        placed = await sent
        self.clock.confirmed(sent_us, placed.timestamp, placed.timestamp_type)

    async def _on_assigned(self, app: AppT, assigned: set[Any], **_: Any) -> None:
        await self._ready()
        self.deployment.run_folder.mkdir(parents=True, exist_ok=True)
        path = self.deployment.run_folder / f"worker-{self.role}-{self.deployment.worker}.json"
        path.write_text(
            json.dumps({"pid": os.getpid(), "ready": True, "partitions": len(assigned)}),
            encoding="utf-8",
        )
        self.log.info("consuming", partitions=len(assigned), group=app.conf.id)

    def totals(self) -> dict[str, float]:
        """Give counters since the start, and gauges; from any thread."""
        delivery = self.delivery
        return {
            **dict(self._counters),
            "handled_total": delivery.handled_total,
            "retried_total": delivery.retried_total,
            "dead_lettered_total": delivery.dead_lettered_total,
            "published_total": self.outbox.published_total,
        }

    async def _report(self) -> None:
        totals = self.totals()
        measures = {
            name: total - self._reported.get(name, 0) if name.endswith("_total") else total
            for name, total in totals.items()
        }
        handled = measures["handled_total"] + measures["dead_lettered_total"]
        if not handled and not self.delivery.in_flight:
            return
        measures["in_flight"] = self.delivery.in_flight
        measures["handling_ms_mean"] = self.delivery.handling_ms_sum / max(handled, 1)
        measures["handling_ms_max"] = self.delivery.handling_ms_max
        self.delivery.handling_ms_sum = self.delivery.handling_ms_max = 0.0
        self._reported = totals
        await self.outbox.publish("metrics", self._measured(measures))

    def _measured(self, measures: Mapping[str, float]) -> StageMeasured:
        worker = f"{self.deployment.worker}:{os.getpid()}"
        event = StageMeasured(
            # In a container the process id is the same after a restart; the start's time is not.
            event_id=event_id("StageMeasured", self.role, worker, str(self._started_us), str(self._sequence)),
            occurred_at_us=self.clock(),
            stage=self.role,
            worker=worker,
            sequence=self._sequence,
            measures=tuple(Measure(name=known(n), value=float(v)) for n, v in sorted(measures.items())),
        )
        self._sequence += 1
        return event


def _origin(topic: str, event: EventT[bytes]) -> Origin:
    message = event.message
    headers = carried(message.headers)
    logged_at_us = None if message.timestamp is None else round(message.timestamp * US_PER_S)
    return Origin(topic, message.partition, message.offset, message.key, message.value, headers, logged_at_us)
