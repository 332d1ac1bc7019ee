"""The analytics process: takes the log into the storage, lets the learner look, publishes profiles and the public
file.

In: every topic that the registry has analytics read. Out: the storage, ``profile-history`` and ``profile-updates``,
``analytics-dlq``, ``metrics``. One round of the loop:

1. read a batch; what is no event, or not of its topic, goes to the dead letters and is confirmed; where that would break the
   limit on a topic's letters, the topic is paused at that event (streams/pausing.py) and read on when it is resumed;
2. take the batch in: events and offsets together (``storage``);
3. at most every half second, once the profile history and the controls are read: the learner's step, whose profiles are
   inserted in its transaction, and the experiments' steps; then they are published, history first, and marked;
4. replace the public file when something changed, at most once a second; rarer where it takes long, at least every 5 s.

After a start the public file comes before the first step, and what can wait comes later: readers wait for what came meanwhile.

Keeps counters only; all else is the storage's. Fails by raising: the process ends, the supervisor starts it again,
and it goes on from what was committed. ``stop`` ends the loop before the next part of a round; what was read and not taken in is
read again by the next process.
"""

import threading
from collections.abc import Callable
from time import monotonic

import duckdb

from analytics.experimenting.kept import mark_published as mark_step_published
from analytics.experimenting.kept import unpublished_steps
from analytics.experimenting.monitor import Monitor, brought_back
from analytics.intake import Message, Refused, read_batch
from analytics.learning import Learner
from analytics.private_file import Damaged, is_torn, transaction
from analytics.profile_store import (
    forget_orders,
    insert_profiles,
    mark_published,
    pending_orders,
    unpublished_profiles,
)
from analytics.public import publish
from analytics.publisher import ROLE, NotDelivered, Publisher
from analytics.reader import Reader
from analytics.rebuilding import open_storage
from analytics.reporting import Reports
from analytics.room import NoRoom, Room
from analytics.standing import Standing, within_limit
from analytics.storage import Storage
from analytics.upkeep import Upkeep
from schemas import ExperimentStepped
from streams.codec import Codec
from streams.delivery import Clock, Origin, letter_of
from streams.deployment import Deployment
from streams.exported import histograms_of
from streams.lag import Place
from streams.limit import Limit
from streams.logs import logger
from streams.lookup import SchemaLookUp
from streams.metrics import Histogram
from streams.pausing import Pause, event_of
from streams.topics import key_of
from streams.watchdog import Watchdog

STEP_EVERY_S = 0.5
PUBLIC_EVERY_S = 1.0
PUBLIC_SHARE = 20
"""Replacing the public file takes at most one part in so many of the time ..."""
PUBLIC_AT_LEAST_EVERY_S = 5.0
"""... but it is never older than this while something new was stored."""
SELDOM_EVERY_S = 30.0
"""How often exports follow that are about many requests."""
MAINTAIN_EVERY_S = 5.0
REPORT_EVERY_S = 5.0
LONGEST_S = 120.0
"""What the watchdog grants to a part of a round: a batch, a step of the learner, the public file, the upkeep."""


class AnalyticsConsumer:
    """The loop. ``storage`` belongs to it from here on, and is closed with it."""

    def __init__(
        self,
        deployment: Deployment,
        storage: Storage,
        learner: Learner,
        codec: Codec,
        clock: Clock,
        reader: Reader,
        schemas: SchemaLookUp | None = None,
        limit: Limit | None = None,
    ) -> None:
        self._standing = Standing(deployment, limit or Limit(), clock)
        self._watchdog = Watchdog(self._standing, deployment)
        self._deployment = deployment
        self._storage = storage
        self._upkeep = Upkeep(storage)
        self._room = Room(storage.folder, logger(role=ROLE, worker=deployment.worker), storage.recover)
        self._standing.room = self._room
        self._learner = learner
        self._monitor = Monitor(codec)
        self._codec = codec
        self._clock = clock
        self._reader = reader
        self._schemas = schemas
        self._log = logger(role=ROLE, worker=deployment.worker)
        self._reports = Reports(ROLE, deployment.worker, clock)
        self._histograms = {name: Histogram(each.bounds) for name, each in histograms_of(ROLE).items()}
        self._changed = True
        self._is_shown = False  # whether what came while the process was away has gone to the public file
        self._waits = False  # whether exports that follow seldom lack what changed
        self._history_ends: dict[tuple[str, int], int] | None = None
        self._due = dict.fromkeys(("step", "public", "report"), 0.0)
        self._due |= dict.fromkeys(("seldom", "maintain"), monotonic() + MAINTAIN_EVERY_S)

    def totals(self) -> dict[str, float]:
        """Give counters since the start, and gauges; from any thread."""
        return {**self._reports.totals(), "since_progress_s": self._watchdog.since_progress_s}

    def lag(self) -> dict[Place, int]:
        """Give the events that wait by (topic, partition), as the broker last said; from any thread."""
        return self._watchdog.lag

    def paused(self) -> dict[str, Pause]:
        """Give the topics that the limit on dead letters has paused, with the evidence; from any thread."""
        return self._standing.paused()

    def is_ready(self) -> bool:
        """Say whether it really consumes; from any thread."""
        return self._watchdog.is_ready

    def histograms(self) -> dict[str, Histogram]:
        """Give histograms by name; from any thread."""
        return self._histograms

    def run(self, stop: threading.Event, *, when_shown: Callable[[], None] = lambda: None) -> None:
        """Consume until ``stop`` is set. ``when_shown`` is called once readers see what came before the start."""
        publisher = Publisher(self._deployment, self._codec, stop)
        self._standing.stop = stop
        self._watchdog.start()
        try:
            if self._schemas is not None:
                publisher.begin_with(self._schemas, self._clock())
            self._reader.assign(self._storage.next_offsets(), stop)
            if not stop.is_set():
                self._history_ends = {**self._reader.ends("profile-history"), **self._reader.ends("controls")}
            while not stop.is_set():
                was_shown = self._is_shown
                self._round(publisher, stop)
                if self._is_shown and not was_shown:
                    when_shown()
                self._say_what_was_paused(publisher)
        except (NotDelivered, NoRoom):
            if not stop.is_set():
                raise
        except (Damaged, duckdb.Error) as error:
            if isinstance(error, Damaged) or is_torn(error):
                self._log.error("storage_damaged", folder=str(self._storage.folder), error=type(error).__name__)
                self._upkeep.close()
                self._storage.disown()
            raise
        finally:
            self._end(publisher)

    def _end(self, publisher: Publisher) -> None:
        self._watchdog.stop()
        publisher.close()
        self._reader.close()
        self._upkeep.close()
        self._storage.close()

    def _round(self, publisher: Publisher, stop: threading.Event) -> None:
        messages = self._reader.read(stop)
        parts: tuple[Callable[[], object], ...] = (
            lambda: self._take(messages, publisher) if messages else None,
            self._stand,
            lambda: self._step_if_due(publisher, stop),
            self._replace_public_if_due,
            lambda: self._report_if_due(publisher),
            lambda: self._reader.look_again(self._storage.next_offsets()),
            self._stand,
        )
        for part in parts:
            if stop.is_set():
                return
            with self._standing.calls.within(LONGEST_S):
                part()

    def _step_if_due(self, publisher: Publisher, stop: threading.Event) -> None:
        if self._is_shown and self._is_due("step", STEP_EVERY_S) and self._history_is_read():
            self._room.insist(lambda: self._step(publisher), stop)

    def _replace_public_if_due(self) -> None:
        wanted = self._changed or (self._waits and monotonic() >= self._due["seldom"])
        if wanted and self._is_due("public", PUBLIC_EVERY_S):
            self._room.attempt(self._replace_public)
        self._is_shown = self._is_shown or (self._reader.has_answered and not self._changed)
        if self._is_due("maintain", MAINTAIN_EVERY_S):
            self._room.attempt(self._maintain)

    def _maintain(self) -> None:
        self._changed = self._upkeep.maintain(self._clock()) or self._changed

    def _is_due(self, what: str, every_s: float) -> bool:
        now = monotonic()
        if now < self._due[what]:
            return False
        self._due[what] = now + every_s
        return True

    def _take(self, messages: list[Message], publisher: Publisher) -> None:
        began = monotonic()
        gate = self._standing.gate
        messages = [message for message in messages if message.topic not in gate.paused]
        batch = read_batch(messages, self._codec)
        admitted = within_limit(messages, batch, gate)
        if len(admitted) < len(messages):
            self._reader.pause(gate.paused)
            if not admitted:
                return
            batch = read_batch(admitted, self._codec)
        if batch.refused:
            self._dead_letter(batch.refused, publisher)
        taken = self._room.insist(lambda: self._storage.take(batch, self._clock()), self._standing.stop)
        took_s = monotonic() - began
        self._reports.took(took_s)
        self._histograms["ingest_seconds"].observe(took_s)
        self._reports.count("batches_total")
        self._reports.count("ingested_total", taken.ingested)
        self._reports.count("repeats_total", taken.repeats)
        self._changed = self._changed or taken.ingested > 0
        self._standing.handled += len(admitted)
        for order in batch.resumptions:
            if order.role == ROLE:
                self._reader.resume(
                    gate.resume(order.source, ordered_by=order.ordered_by), self._storage.next_offsets()
                )

    def _dead_letter(self, refused: list[Refused], publisher: Publisher) -> None:
        topic = f"{ROLE}-dlq"
        letters = []
        for case in refused:
            origin = case.message
            place = Origin(origin.topic, origin.partition, origin.offset, origin.key, origin.value)
            letter = letter_of(ROLE, place, code=case.code, error=case.error, attempts=1, now_us=self._clock())
            letters.append((topic, key_of(topic, letter), self._codec.encode(letter)))
            self._log.warning(
                "dead_lettered",
                topic=origin.topic,
                partition=origin.partition,
                offset=origin.offset,
                code=str(case.code),
            )
        publisher.publish_confirmed(letters)
        self._reports.count("dead_lettered_total", len(letters))

    def _history_is_read(self) -> bool:
        """Whether every profile and every step that existed at the start is known, so that both go on where they were."""
        if not self._history_ends:
            return self._history_ends is not None
        reached = self._storage.next_offsets()
        if any(reached.get(place, 0) < end for place, end in self._history_ends.items() if end > 0):
            return False
        self._history_ends = {}
        return True

    def _step(self, publisher: Publisher) -> None:
        connection = self._storage.connection
        with transaction(connection):
            profiles = self._learner.step(
                connection,
                self._storage.watermark(),
                pending_orders(connection, self._codec),
                self._clock(),
            )
            insert_profiles(connection, profiles, self._codec)
            forget_orders(connection)
            self._monitor.step(connection)
        for profile in unpublished_profiles(connection):
            key = profile.scope.encode("utf-8", "surrogatepass")
            for topic in ("profile-history", "profile-updates"):
                publisher.publish_confirmed([(topic, key, profile.payload)])
            mark_published(connection, profile)
            self._reports.count("profiles_published_total")
            self._log.info("profile_published", scope=profile.scope, version=profile.version)

        self._publish_steps(publisher)

    def _publish_steps(self, publisher: Publisher) -> None:
        for each in unpublished_steps(self._storage.connection):
            step = self._codec.decode(each.payload)
            back = brought_back(step) if isinstance(step, ExperimentStepped) else None
            for event in (step, back):
                if event is not None:
                    publisher.publish_confirmed([("controls", key_of("controls", event), self._codec.encode(event))])
            mark_step_published(self._storage.connection, each)
            self._log.info("experiment_stepped", experiment=each.name, number=each.number)

    def _replace_public(self) -> None:
        began = monotonic()
        seldom = self._is_due("seldom", SELDOM_EVERY_S)
        publish(self._storage, self._clock(), seldom=seldom)
        self._waits = not seldom
        took_s = monotonic() - began
        self._due["public"] = monotonic() + min(max(PUBLIC_EVERY_S, PUBLIC_SHARE * took_s), PUBLIC_AT_LEAST_EVERY_S)
        self._changed = False

    def _report_if_due(self, publisher: Publisher) -> None:
        if not self._is_due("report", REPORT_EVERY_S):
            return
        lag = self.lag().values()
        standing = {
            "lag_events_sum": sum(lag),
            "lag_events_max": max(lag, default=0),
            "since_progress_s": self._watchdog.since_progress_s,
            "paused_sources": len(self.paused()),
        }
        publisher.publish("metrics", self._reports.made(standing))

    def _stand(self) -> None:
        """Tell the watchdog how far it is."""
        standing = self._standing
        reached = self._storage.next_offsets()
        paused = standing.gate.paused
        standing.reached = {
            place: max(reached.get(place, 0), 0 if place[0] in paused else self._reader.ended.get(place, 0))
            for place in self._reader.assigned
        }
        if not self._reader.has_answered:
            standing.not_yet = "the broker has not answered a fetch from each partition yet"
        else:
            standing.not_yet = (
                "" if self._history_is_read() else "it reads the history of profiles and the controls first"
            )

    def _say_what_was_paused(self, publisher: Publisher) -> None:
        """Tell the topic ``metrics`` what was paused or resumed."""
        standing = self._standing
        while standing.gate.news:
            happened = standing.gate.news.popleft()
            publisher.publish(
                "metrics", event_of(happened, role=ROLE, worker=self._reports.worker, limit=standing.gate.limit)
            )
            self._log.warning("paused" if isinstance(happened, Pause) else "resumed", **vars(happened))


def open_consumer(
    deployment: Deployment,
    learner: Learner,
    codec: Codec,
    clock: Clock,
    schemas: SchemaLookUp | None = None,
    limit: Limit | None = None,
) -> AnalyticsConsumer:
    """Put the process together: the reader, and the storage of the cluster that it reads.

    Errors: ``Unconfigured`` when the broker does not answer or the private file is another process's.
    """
    reader = Reader(deployment)
    try:
        log = logger(role=ROLE, worker=deployment.worker)
        storage = open_storage(deployment.analytics_folder, reader.cluster(), log)
    except BaseException:
        reader.close()
        raise
    return AnalyticsConsumer(deployment, storage, learner, codec, clock, reader, schemas, limit)
