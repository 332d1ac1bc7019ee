"""A stage: what every role's worker has, put together in one place.

In: the role, the deployment, and which handler takes which topic. Out: a Faust app whose agents go through ``Delivery`` and
publish through ``Outbox``, that reports ``StageMeasured`` every few seconds and what it pauses and resumes
(streams/pausing.py) within one, and a watchdog (streams/watchdog.py) beside it. Keeps the counters of the process. Fails only
as Faust does: an agent's loop never raises, unless it is cancelled, and then its event stays unacknowledged.
"""

import asyncio
import contextlib
import os
import time
from collections.abc import Awaitable, Callable, Hashable, Iterator, Mapping
from typing import Any

from faust.types import AppT, EventT, StreamT

from schemas import Measure, Record, ResumeOrdered, StageMeasured
from streams.app import build_app, group_of
from streams.broker_clock import BrokerClock
from streams.codec import Codec
from streams.compacted import CompactedReader
from streams.condition import Condition
from streams.delivery import Clock, Delivery, Handler, LastWords, Origin, wall_clock_us
from streams.deployment import Deployment
from streams.errors import UndeclaredTopic, Undecodable
from streams.exported import histograms_of
from streams.following import KafkaLog, NoSuchTopic
from streams.identity import event_id
from streams.lag import Lag, Place
from streams.limit import Limit
from streams.logs import described, logger
from streams.lookup import SchemaLookUp
from streams.measuring import Published
from streams.metrics import Histogram, known
from streams.outbox import Outbox
from streams.passing import passes
from streams.pausing import Pause, event_of
from streams.rebalancing import App
from streams.topics import TOPICS
from streams.tracing import Headers, carried
from streams.under_way import CallsUnderWay
from streams.watchdog import Watchdog

REPORT_INTERVAL_S = 5.0
PREPARE_PAUSE_S = 1.0
US_PER_S = 1_000_000
BEAT_S = 1.0
BLOCKED_AFTER_S = 5.0
"""An event loop that did not come round for so long is blocked."""


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
        limit: Limit | None = None,
    ) -> None:
        """``limit`` on the dead letters of a topic, as the settings state it."""
        self.role = role
        self.deployment = deployment
        self.clock = BrokerClock(clock)
        self.codec = Codec()
        self.app: AppT = app or build_app(role, deployment, partitions=partitions)
        self.histograms = {name: Histogram(each.bounds) for name, each in histograms_of(role).items()}
        self.published = Published(self.count, self.histograms)
        self.outbox = Outbox(role, self.codec, self._send, published=self.published)
        self.schemas = SchemaLookUp(self.codec, lambda: KafkaLog(deployment))
        self.delivery = Delivery(
            role,
            self.codec,
            self.outbox,
            look_up=self.schemas.beside,
            clock=self.clock,
            limit=deployment.limit(limit or Limit()),
            passes=passes,
        )
        self.histograms["handling_seconds"] = self.delivery.handling_s
        self.calls = CallsUnderWay()
        self.watchdog = Watchdog(self, deployment)
        self.log = logger(role=role, worker=deployment.worker)
        self._before: list[Callable[[], Awaitable[None]]] = [self._publish_schemas, self._ask_the_time]
        self._readers: list[CompactedReader] = []
        self._prepared = False
        self._preparing = asyncio.Lock()
        self._counters: dict[str, float] = {}
        self._sequence = 0
        self._started_us = clock()
        self._reported: dict[str, float] = {}
        self._reported_standing = False
        self._sources: dict[str, str] = {}
        self._condition = Condition(self.app, self._sources)
        self._lag_of = Lag(deployment, group=group_of(role, deployment))
        self._beat_s: float | None = None
        self._unfinished: list[Any] = []
        self._prepare_before_joining()
        self.app.on_before_shutdown.connect(self._stop_watching, weak=False)
        self.app.timer(interval=REPORT_INTERVAL_S, name=f"{role}-report")(self._report)
        self.app.task(self._beat)

    # ------------------------------------------------------------------------------------------- how it is, from any thread

    def lag(self) -> dict[Place, int]:
        """Give the events that wait by (topic, partition), as the broker last said; empty where it is not known."""
        return self.watchdog.lag

    def is_ready(self) -> bool:
        """Say whether it really consumes: partitions, tables, compacted topics, a first fetch, the broker; nothing is paused."""
        return self.watchdog.is_ready

    def paused(self) -> dict[str, Pause]:
        """Give the sources that the limit on dead letters has paused, with the evidence."""
        return self.delivery.gate.paused

    def ask_lag(self) -> Mapping[Place, int] | None:
        """As ``Watched`` says."""
        places = self._condition.places()
        if places is None:
            return None
        return self._lag_of.of_group(places, self._condition.passed())

    def progress(self) -> Hashable:
        """As ``Watched`` says."""
        delivery = self.delivery
        return delivery.handled_total, delivery.dead_lettered_total, self._prepared, self._condition.progress()

    def excuse(self) -> str:
        """As ``Watched`` says."""
        if self.app.should_stop:
            return "it stops"
        return "a call is within its deadline" if self.calls.any_in_time() else ""

    def obstacle(self) -> str:
        """As ``Watched`` says."""
        if self._beat_s is None or time.monotonic() - self._beat_s > BLOCKED_AFTER_S:
            return "its event loop is blocked"
        if not self._prepared:
            return "it reads what it needs before the first event"
        return self._condition.obstacle()

    def is_settled(self) -> bool:
        """As ``Watched`` says."""
        return self._beat_s is not None and self._prepared and not self._condition.obstacle()

    def partitions(self) -> int:
        """As ``Watched`` says."""
        return len(self._condition.mine())

    # ------------------------------------------------------------------------------------------------------- put together

    def before_first_event(self, prepare: Callable[[], Awaitable[None]]) -> None:
        """Have ``prepare`` awaited before this stage handles anything: reading compacted topics to their end."""
        self._before.append(prepare)

    def consume(
        self,
        topic: str,
        handle: Handler,
        *,
        concurrency: int = 1,
        give_up: Handler | None = None,
        last_words: LastWords | None = None,
    ) -> None:
        """Attach the agent that carries ``topic`` to ``handle``; at most ``concurrency`` events are in flight.

        ``give_up`` is told of an event that ended in the dead letters because its handler failed; ``last_words`` speaks where that
        fails too.
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

        self._sources[self.deployment.topic(topic)] = topic

        async def agent(stream: StreamT[bytes]) -> None:
            async for event in stream.events():
                with self._acknowledged_only_at_its_end(event):
                    await self._ready()
                    await self.delivery.take_in(_origin(topic, event), handle, give_up, last_words)

        self.app.agent(source, name=f"{self.role}.{topic}", concurrency=concurrency)(agent)

    def follow(
        self,
        topic: str,
        apply: Callable[[Record], None] = lambda _: None,
        refuse: Callable[[Origin, Undecodable], Awaitable[None]] | None = None,
    ) -> None:
        """Have this worker read a compacted topic whole, and nothing be handled before it was read once.

        Orders to resume are obeyed here. What is no event goes to ``refuse``, by default to the dead letters.
        """
        if self.role not in TOPICS[topic].read_by:
            raise UndeclaredTopic(f"The {self.role} may not read {topic}.", remedy="Declare it in streams/topics.py.")
        reader = CompactedReader(
            topic,
            name_on_broker=self.deployment.topic(topic),
            bootstrap_servers=self.deployment.bootstrap(),
            codec=self.codec,
            apply=lambda event: self._obey(event) if isinstance(event, ResumeOrdered) else apply(event),
            refuse=refuse or self._refuse,
            look_up=self.schemas.beside,
        )

        self._readers.append(reader)
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
                for reader in self._readers:
                    self.app.add_future(reader.follow())
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

    @contextlib.contextmanager
    def _acknowledged_only_at_its_end(self, event: EventT[bytes]) -> Iterator[None]:
        """Faust acknowledges what an agent was at when it is cancelled; one more reference keeps it from that."""
        try:
            yield
        except BaseException:
            event.message.incref()
            self._unfinished.append(event.message)  # Faust knows what is under way by weak references only
            raise

    async def _refuse(self, origin: Origin, error: Undecodable) -> None:
        await self.delivery.dead_letter(origin, error, attempts=1)

    def _prepare_before_joining(self) -> None:
        if isinstance(self.app, App):
            self.app.prepare, self.app.when_settled = self._ready, self._say_consuming
        else:
            self.app.task(self._ready)

    def _say_consuming(self, partitions: int) -> None:
        self.log.info("consuming", partitions=partitions, group=self.app.conf.id)

    async def _beat(self) -> None:
        """Come round once a second: for the watchdog to see, and to tell what was paused or resumed."""
        self.watchdog.start()
        telling: asyncio.Task[None] | None = None
        while True:
            self._beat_s = time.monotonic()
            self._stop_fetching()
            if self.delivery.gate.news and (telling is None or telling.done()):
                telling = asyncio.create_task(self._tell_news())
            await asyncio.sleep(BEAT_S)

    async def _stop_watching(self, *_: Any, **__: Any) -> None:
        self.watchdog.stop()

    def _stop_fetching(self) -> None:
        """Keep the partitions of paused sources from being fetched; again and again, because a rebalance resumes all."""
        paused = self.paused()
        if paused and not self.app.rebalancing:
            self._consumer.hold({tp for tp in self._condition.mine() if self._sources[tp.topic] in paused})

    def _obey(self, order: ResumeOrdered) -> None:
        if order.role != self.role:
            return
        resumed = self.delivery.gate.resume(order.source, ordered_by=order.ordered_by)
        if resumed and not self.app.rebalancing:
            self._consumer.let_go({tp for tp in self._condition.mine() if self._sources[tp.topic] in resumed})

    async def _tell_news(self) -> None:
        news = self.delivery.gate.news
        while news:
            event = event_of(news[0], role=self.role, worker=self._worker, limit=self.delivery.gate.limit)
            try:
                await self.outbox.publish("metrics", event)
            except Exception as error:  # noqa: BLE001 - it is told at the next beat
                self.log.warning("news_not_published", error=described(error))
                return
            self.log.warning("paused" if isinstance(news[0], Pause) else "resumed", **vars(news[0]))
            news.popleft()

    @property
    def _consumer(self) -> Any:
        return self.app.consumer  # streams/committing.py's

    @property
    def _worker(self) -> str:
        return f"{self.deployment.worker}:{os.getpid()}"

    def totals(self) -> dict[str, float]:
        """Give counters since the start, and gauges; from any thread."""
        delivery = self.delivery
        return {
            **dict(self._counters),
            "handled_total": delivery.handled_total,
            "retried_total": delivery.retried_total,
            "dead_lettered_total": delivery.dead_lettered_total,
            "ended_in_letters_total": delivery.ended_in_letters_total,
            "since_progress_s": self.watchdog.since_progress_s,
            "published_total": self.outbox.published_total,
        }

    async def _report(self) -> None:
        totals = self.totals()
        measures = {
            name: total - self._reported.get(name, 0) if name.endswith("_total") else total
            for name, total in totals.items()
        }
        handled = measures["handled_total"] + measures["dead_lettered_total"]
        lag = self.lag().values()
        standing = any(lag) or bool(self.paused())
        if not (handled or self.delivery.in_flight or standing or self._reported_standing):
            return
        self._reported_standing = standing
        measures["lag_events_sum"] = sum(lag)
        measures["lag_events_max"] = max(lag, default=0)
        measures["paused_sources"] = len(self.paused())
        measures["in_flight"] = self.delivery.in_flight
        measures["handling_ms_mean"] = self.delivery.handling_ms_sum / max(handled, 1)
        measures["handling_ms_max"] = self.delivery.handling_ms_max
        self.delivery.handling_ms_sum = self.delivery.handling_ms_max = 0.0
        self._reported = totals
        await self.outbox.publish("metrics", self._measured(measures))

    def _measured(self, measures: Mapping[str, float]) -> StageMeasured:
        event = StageMeasured(
            # In a container the process id is the same after a restart; the start's time is not.
            event_id=event_id("StageMeasured", self.role, self._worker, str(self._started_us), str(self._sequence)),
            occurred_at_us=self.clock(),
            stage=self.role,
            worker=self._worker,
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
