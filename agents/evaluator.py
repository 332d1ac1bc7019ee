"""The evaluator: answers and feedback in, rewards out.

In: ``GenerationCompleted`` from ``generation``, terminal responses from ``responses``, ``FeedbackGiven`` from ``feedback``; of
one request in any order. Out: ``RewardComputed`` to ``rewards``, for each feedback that counts, and once without, if
``rating_wait_s`` passed first. Keeps two tables (``agents.joining``): ``answered``, what feedback needs of a request, and
``waiting``, all that the timer looks at. Feedback for nobody, late or out of range ends in the dead letters with its own code.

Crashes: what waits is stored before the event that it came from is acknowledged, and removed after it was acted upon; a
reward from feedback is stored before it is published. So nothing is lost, and a repeat is the same event. What a repeat finds is
stored once more: a worker that was killed between its database and the broker is the only one that knows it. The operator's trap:
three topics are joined by partition, so ``partitions`` must be that of the topics, and every writer must place keys by murmur2.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import msgspec
from faust.types import AppT

from agents.encoding.encoder import Encoder
from agents.joining import Requests, Times, Turns, WaitingRoom, known_since_us
from agents.judging.automatic import Material, Scores, score
from agents.judging.reward import out_of_range
from agents.judging.waiting import (
    Identity,
    Remembered,
    Waiting,
    answer_of,
    automatic_key,
    automatic_reward,
    automatic_was_due,
    ending,
    published,
    with_answer,
    with_feedback,
    with_scores,
)
from agents.loading.reading import load_settings
from schemas import (
    FeedbackGiven,
    GenerationCompleted,
    GenerationFailed,
    Record,
    ResponseFailed,
    ResponseReady,
    RewardComputed,
)
from streams import tracing
from streams.app import group_of
from streams.delivery import Clock, Delivery, Origin, current_origin
from streams.deployment import Deployment
from streams.errors import Code, Ended, Undeliverable
from streams.identity import event_id
from streams.kept import Kept, KeptTable, NotOurs, Ownership, Owning
from streams.logs import about, described
from streams.outbox import Outbox
from streams.pausing import SourcePaused
from streams.progress import GroupProgress, Progress
from streams.stage import Stage
from streams.topics import ANSWERED, WAITING

US_PER_S = 1_000_000
LOOK_EVERY_S = 1.0
CONCURRENCY = 128
"""Events of a topic whose publications are awaited at the same time; those of one request go one after the other (``Turns``)."""
AT_ONCE = 256
"""Due things that the timer acts upon at the same time."""


class Evaluator:
    """Handles the events of requests, one at a time for each request, and what waits."""

    def __init__(
        self,
        *,
        answered: Kept,
        waiting: Kept,
        ownership: Owning,
        outbox: Outbox,
        delivery: Delivery,
        encoder: Encoder,
        responses_of: Callable[[int], Awaitable[Progress]],
        times: Times,
        clock: Clock,
        count: Callable[[str], None],
        log: Any,
    ) -> None:
        self._requests = Requests(answered, times, clock)
        self._room = WaitingRoom(waiting, responses_of, times, clock)
        self._turns = Turns()
        self._ownership = ownership
        self._outbox = outbox
        self._delivery = delivery
        self._encoder = encoder
        self._times = times
        self._clock = clock
        self._count = count
        self._log = log

    async def handle(self, event: Record) -> None:
        """Take in an event of any of the three topics."""
        origin = current_origin.get()
        try:
            match event:
                case GenerationCompleted():
                    await self._take_generation(event, origin.partition)
                case ResponseReady() | ResponseFailed():
                    await self._take_response(event, origin.partition)
                case FeedbackGiven():
                    await self._take_feedback(event, origin)
                case GenerationFailed():
                    pass  # nothing was answered, so there is nothing to score
                case _:
                    raise Undeliverable(
                        f"The evaluator has no use for {type(event).__name__}.", code=Code.UNEXPECTED_EVENT
                    )
        except NotOurs:
            return

    def forget_list(self) -> None:
        """Partitions come or go: what waits is read from the table again before anything else happens."""
        self._room.forget_list()

    async def look(self) -> None:
        """Act upon everything that is due; a failure is tried again at the next look."""
        if not self._ownership.is_settled():
            return
        due = list(self._room.listed().due(self._clock()))
        for start in range(0, len(due), AT_ONCE):
            await asyncio.gather(*(self._act(key, identity) for key, identity in due[start : start + AT_ONCE]))

    async def _take_generation(self, event: GenerationCompleted, partition: int) -> None:
        identity = _identity(event)
        async with self._turn(identity, partition):
            known = self._requests.known(identity)
            if event.event_id in known.scores:
                self._count_repeat()
                await self._requests.remember(partition, identity, known)
                return
            scored = with_scores(known, event.event_id, self._scores(event))
            if scored is not known:
                await self._list_automatic(scored, identity, partition)
                await self._requests.remember(partition, identity, scored)

    async def _take_response(self, event: ResponseReady | ResponseFailed, partition: int) -> None:
        identity = _identity(event)
        async with self._turn(identity, partition):
            known = self._requests.known(identity)
            if known.answer is None:
                known = with_answer(known, answer_of(event))
                await self._list_automatic(known, identity, partition)
                await self._requests.remember(partition, identity, known)
            else:
                self._count_repeat()
                await self._requests.remember(partition, identity, known)
            for key in self._room.listed().held_for(identity):
                await self._release(key)

    async def _take_feedback(self, event: FeedbackGiven, origin: Origin) -> None:
        problem = out_of_range(event.kind, event.value)
        if problem is not None:
            self._count("feedback_out_of_range_total")
            raise Undeliverable(problem, code=Code.FEEDBACK_OUT_OF_RANGE)
        async with self._turn(_identity(event), origin.partition):
            await self._judge(event, origin)

    async def _judge(self, event: FeedbackGiven, origin: Origin, *, hold: bool = True) -> None:
        """Lead a feedback to its end; ``Undeliverable`` where that is the dead letters."""
        identity = _identity(event)
        known = self._requests.known(identity)
        match ending(known, event, self._times.feedback_window_us):
            case "unknown" if hold:
                held = Waiting(
                    due_us=self._clock() + self._times.orphan_wait_us,
                    partition=origin.partition,
                    identity=identity,
                    offset=origin.offset,
                    message_key=origin.key,
                    message=origin.value,
                    headers=tracing.outgoing(),
                )
                await self._room.take_in(held)
            case "unknown" | "failed" as why:
                self._count("feedback_orphan_total")
                raise _orphan(event, failed=why == "failed")
            case "late":
                self._count("feedback_late_total")
                window_s = self._times.feedback_window_us // US_PER_S
                raise Ended(
                    f"Feedback came more than {window_s:,} s after the answer to request {event.request_id}.",
                    code=Code.FEEDBACK_LATE,
                )
            case "repeat":
                if known.unpublished is None or known.unpublished.cause_id != event.event_id:
                    self._count("feedback_repeat_total")
                if known.unpublished is None:
                    await self._requests.remember(origin.partition, identity, known)
                await self._publish_newest(known, identity, origin.partition)
            case "counts":
                await self._revise(known, event, origin.partition)

    async def _revise(self, known: Remembered, event: FeedbackGiven, partition: int) -> None:
        identity = _identity(event)
        known = await self._publish_newest(known, identity, partition)
        now_us, wait_us = self._clock(), self._times.rating_wait_us
        if automatic_was_due(known, now_us, wait_us):
            await self._release_automatic(automatic_key(identity))
        cause = event_id("RewardComputed", event.event_id)
        known = with_feedback(known, event, event_id=cause, now_us=now_us, wait_us=wait_us)
        await self._requests.remember(partition, identity, known)
        await self._room.let_go(automatic_key(identity), partition)
        await self._publish_newest(known, identity, partition)

    async def _publish_newest(self, known: Remembered, identity: Identity, partition: int) -> Remembered:
        """Publish the reward that a failure or a crash may have kept back."""
        if known.unpublished is None:
            return known
        await self._publish(known.unpublished)
        known = published(known)
        await self._requests.remember(partition, identity, known)
        return known

    async def _publish(self, event: RewardComputed) -> None:
        await self._outbox.publish("rewards", event)
        self._count("rewards_rated_total" if event.rated else "rewards_automatic_total")

    async def _act(self, key: bytes, identity: Identity) -> None:
        """Act upon something due; it stays listed until that is done."""
        waiting = self._room.find(key)
        if waiting is None:
            self._room.listed().remove(key)
            return
        ids = dict(zip(("tenant", "conversation_id", "request_id"), identity, strict=True))
        try:
            with about(ids), tracing.resuming(waiting.headers):
                await self._act_in_turn(waiting, key, identity)
        except NotOurs:
            return
        except Exception as error:  # noqa: BLE001 - whatever it is, what waits is neither lost nor in the others' way
            with about(ids):
                self._log.warning("waiting_not_settled", error=described(error), partition=waiting.partition)
            self._look_again(key)

    async def _act_in_turn(self, waiting: Waiting, key: bytes, identity: Identity) -> None:
        async with self._turn(identity, waiting.partition):
            if waiting.automatic is not None:
                await self._release_automatic(key)
            elif await self._room.responses_are_read(key, waiting.partition):
                await self._release(key)
            else:
                self._look_again(key)

    def _count_repeat(self) -> None:
        self._count("repeats_total")
        tracing.note({"penstock.repeat": True})

    def _look_again(self, key: bytes) -> None:
        self._room.listed().again(key, self._clock() + int(LOOK_EVERY_S * US_PER_S))

    async def _release_automatic(self, key: bytes) -> None:
        """Publish an automatic reward that is due, unless feedback came first."""
        waiting = self._room.find(key)
        if waiting is None:
            return
        if waiting.automatic is not None and self._requests.known(waiting.identity).revision < 0:
            await self._publish(waiting.automatic)
        await self._room.let_go(key, waiting.partition)

    async def _release(self, key: bytes) -> None:
        """Let feedback go that was held: to its answer, or to the dead letters; while those are closed to feedback it stays."""
        waiting = self._room.find(key)
        if waiting is None:
            return
        if "feedback" in self._delivery.gate.paused:
            self._look_again(key)
            return
        origin = Origin("feedback", waiting.partition, waiting.offset, waiting.message_key, waiting.message)
        event = await self._delivery.decoded(waiting.message)
        if isinstance(event, FeedbackGiven):
            try:
                await self._judge(event, origin, hold=False)
            except Undeliverable as error:
                try:
                    await self._delivery.dead_letter(origin, error, attempts=1)
                except SourcePaused:
                    self._look_again(key)
                    return
        await self._room.let_go(key, waiting.partition)

    async def _list_automatic(self, known: Remembered, identity: Identity, partition: int) -> None:
        if known.answer is not None:
            cause = event_id("RewardComputed", known.answer.response_id)
            wait_us = self._times.rating_wait_us
            waiting = automatic_reward(known, identity, event_id=cause, wait_us=wait_us, partition=partition)
            if waiting is not None:
                await self._room.take_in(msgspec.structs.replace(waiting, headers=tracing.outgoing()))

    def _scores(self, event: GenerationCompleted) -> Scores:
        material = Material(event.question, tuple(passage.text for passage in event.passages), event.text)
        with tracing.span("evaluate", attributes={"penstock.strategy": event.strategy}):
            return score(material, self._encoder.encode(material.texts))

    @asynccontextmanager
    async def _turn(self, identity: Identity, partition: int) -> AsyncIterator[None]:
        """One event of a request at a time, in a partition that is ours and whose tables are complete."""
        async with self._turns.of(identity):
            await self._ownership.wait_settled(partition)
            self._room.listed()
            yield


def build_evaluator(deployment: Deployment, encoder: Encoder, *, app: AppT | None = None) -> Stage:
    """Put the evaluator together: its stage, with three agents, two tables and the timer attached. ``InvalidFile``."""
    settings = load_settings(deployment.settings)
    operations = settings.operations
    partitions = operations.partitions
    stage = Stage("evaluator", deployment, partitions=partitions, app=app, limit=operations.dead_letters.limit)
    stage.published.quality_floor = operations.slo.floor.quality
    ownership = Ownership(stage.app, deployment.topic("responses"))
    responses = GroupProgress(deployment.bootstrap(), group_of("evaluator", deployment), deployment.topic("responses"))
    times = Times(
        rating_wait_us=int(operations.rating_wait_s * US_PER_S),
        orphan_wait_us=int(operations.orphan_wait_s * US_PER_S),
        feedback_window_us=int(operations.feedback_window_s * US_PER_S),
    )
    answered = KeptTable(stage.app, ANSWERED, partitions=partitions, ownership=ownership)
    answered.forget_after(times.kept_us / US_PER_S, known_since_us, stage.clock)
    evaluator = Evaluator(
        answered=answered,
        waiting=KeptTable(stage.app, WAITING, partitions=partitions, ownership=ownership),
        ownership=ownership,
        outbox=stage.outbox,
        delivery=stage.delivery,
        encoder=encoder,
        responses_of=responses.of,
        times=times,
        clock=stage.clock,
        count=stage.count,
        log=stage.log,
    )

    async def forget(*_: Any, **__: Any) -> None:
        evaluator.forget_list()

    signals = (stage.app.on_partitions_revoked, stage.app.on_partitions_assigned, stage.app.on_rebalance_complete)
    for signal in signals:
        signal.connect(forget, weak=False)
    for topic in ("generation", "responses", "feedback"):
        stage.consume(topic, evaluator.handle, concurrency=CONCURRENCY)
    stage.follow("controls")
    stage.app.timer(interval=LOOK_EVERY_S, name="evaluator-due")(evaluator.look)
    return stage


def _identity(event: GenerationCompleted | ResponseReady | ResponseFailed | FeedbackGiven) -> Identity:
    return (event.tenant, event.conversation_id, event.request_id)


def _orphan(event: FeedbackGiven, *, failed: bool) -> Undeliverable:
    if failed:
        why = "was not answered, so there is nothing to rate"
        return Ended(f"Request {event.request_id} {why}.", code=Code.FEEDBACK_ORPHAN)
    return Undeliverable(f"Request {event.request_id} is not known.", code=Code.FEEDBACK_ORPHAN)
