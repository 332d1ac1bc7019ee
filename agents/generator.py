"""The generator: plans in, answers out.

In: ``RequestRouted`` from ``routing`` and ``deferred``; every override from ``controls``, read whole by each worker. Out:
``GenerationCompleted`` or ``GenerationFailed`` on ``generation`` for each step that called a provider, one
``ResponseReady`` or ``ResponseFailed`` on ``responses``, and ``ChunkGenerated`` on ``response-chunks`` where the caller
asked to stream. Keeps the ends of requests and what conversations have cost (``agents.answering.remembered``) in one
table of the app. Fails with the broker's errors; the event then comes again.

What one tenant may have called at once, and who waits where, is ``agents.answering.lanes``'. A plan that would hold others
up is published once more, to ``deferred``, which this role reads beside ``routing``.

Whatever happens, a request that was accepted ends in one terminal response: what cannot be published is never kept, a
kept end that cannot be published all the same is replaced, and a request that is given up is kept as ended and paid.

A request that is being answered is answered once, however often its plan comes meanwhile; the first plan holds. Its
generations and its response are kept and published together at its end, and what is kept reaches the broker no later than
what is published: a crash before leaves no trace but pieces.
"""

import asyncio
import random
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import replace
from functools import partial
from typing import Any, Protocol

import msgspec
from aiokafka.errors import MessageSizeTooLargeError
from faust.types import AppT

from agents.answering.carrying_out import Means, carry_out
from agents.answering.ending import response_failed
from agents.answering.lanes import Lane, Lanes, Turn
from agents.answering.library import Library
from agents.answering.pieces import Pieces
from agents.answering.provider import Provider
from agents.answering.remembered import US_PER_S, Ending, Finished, Identity, Outcome, Remembered, Spending, kept_at_us
from agents.answering.turnstile import Turnstile
from agents.answering.watched import watched_call, watched_pause
from agents.deciding.catalogue import Catalogue
from agents.deciding.governance import GovernanceFile
from agents.deciding.held import Held
from agents.encoding.encoder import Encoder
from agents.encoding.static import StaticEncoder
from agents.loading.reading import load_catalogue, load_settings
from schemas import (
    ChunkGenerated,
    ExperimentOrdered,
    ExperimentStepped,
    LearningResumed,
    OverrideSet,
    Record,
    RequestRouted,
    RollbackOrdered,
)
from streams import tracing
from streams.delivery import LastWords
from streams.deployment import ROOT, Deployment
from streams.errors import Code, PenstockError, Unconfigured, Undeliverable
from streams.kept import KeptTable, Ownership
from streams.outbox import Outbox
from streams.stage import Stage
from streams.topics import ENDED

UNCLAIMED_KEPT = 1_000
"""Outcomes whose partition was taken away before they were kept: they wait here for their event to come again."""
SEEN_BESIDE = 64
"""Plans that are seen while every slot is in use: somebody must be left to defer them, or to end them at their deadline."""
DEFERRED_AT_ONCE = 64
"""Deferred plans that wait in memory; the others wait in the topic."""
BEGUN_AT_ONCE = 8
"""Requests, and tries beyond a request's first, that begin each time the event loop comes round in time."""
NEVER_PUBLISHED = (PenstockError, msgspec.MsgspecError, MessageSizeTooLargeError, TypeError, ValueError)
"""What a kept end that no broker will ever have raises; any other error passes, and the same end is tried again."""
GIVEN_UP = "The request could not be answered."


class Holding(Protocol):
    """Whether this worker still holds the partition of the event that it handles."""

    async def is_ours(self) -> bool:
        """Wait for a rebalance to end, then say."""

    async def may_begin(self) -> bool:
        """The same for something new: a worker that stops never says."""

    def nothing_begun(self) -> AbstractContextManager[None]:
        """Within it the event only waits: who finishes does not wait for it."""

    def is_ours_now(self) -> bool:
        """Say without waiting; False during a rebalance."""


class EndedWithoutOutcome(Exception):
    """The delivery that was waited for ended early; the event is tried again."""


class Generator:
    """Handles one routed request: answers it, or ends it."""

    def __init__(self, outbox: Outbox, remembered: Remembered, ownership: Holding, means: Means, lanes: Lanes) -> None:
        self._outbox = outbox
        self._lanes = lanes
        self._remembered = remembered
        self._ownership = ownership
        self._means = means
        self._spending = Spending(remembered.spent_usd)
        self._running: dict[Identity, asyncio.Future[Outcome]] = {}
        self._paid_in_vain_usd: dict[Identity, float] = {}

    async def handle(self, event: Record) -> None:
        """Answer a request, or send its answer again, or have it wait in ``deferred``."""
        await self._handle(event, may_defer=True)

    async def handle_deferred(self, event: Record) -> None:
        """The same for a request that was deferred: it waits until there is a slot, or its deadline is over."""
        await self._handle(event, may_defer=False)

    async def _handle(self, event: Record, *, may_defer: bool) -> None:
        if not isinstance(event, RequestRouted):
            raise Undeliverable(f"The generator has no use for {type(event).__name__}.", code=Code.UNEXPECTED_EVENT)
        identity = _identity(event)
        if self._has_begun(identity):
            await self._again(identity)
            return
        lane = _lane(event)
        with self._ownership.nothing_begun():
            turn = await self._lanes.enter(lane, within_s=self._remaining_s(event), may_defer=may_defer)
        if turn is Turn.DEFERRED:
            self._means.count("deferred_total")
            await self._outbox.publish("deferred", event)
            return
        try:
            await self._in_turn(event, identity)
        finally:
            if turn is Turn.NOW:
                self._lanes.leave(lane)

    async def _in_turn(self, routed: RequestRouted, identity: Identity) -> None:
        with self._ownership.nothing_begun():
            await self._means.turn()
        if not await self._ownership.may_begin():  # it waited too long: another worker has it
            return
        if self._has_begun(identity):  # another delivery of it came first
            await self._again(identity)
        else:
            await self._lead(routed, identity)

    def _remaining_s(self, routed: RequestRouted) -> float:
        return (routed.plan.deadline_at_us - self._means.clock()) / US_PER_S

    def _has_begun(self, identity: Identity) -> bool:
        return identity in self._running or self._remembered.finished(identity) is not None

    async def _again(self, identity: Identity) -> None:
        """Publish again how a request that came before ended, or is about to end."""
        self._means.count("repeats_total")
        tracing.note({"penstock.repeat": True})
        finished = self._remembered.finished(identity)
        if finished is None:
            await self._conclude(identity, await asyncio.shield(self._running[identity]))
        else:
            await self._publish_again(identity, finished)

    async def give_up(self, event: Record) -> None:
        """End a request that failed for a reason that nobody foresaw; it is in the dead letters too."""
        if not isinstance(event, RequestRouted):
            return
        identity = _identity(event)
        try:
            finished = self._remembered.finished(identity)
            if finished is not None:
                await self._publish_again(identity, finished)
                return
            running = self._running.get(identity)  # it ends as another delivery of it did, else without an answer
            outcome = self._given_up(event, identity) if running is None else await asyncio.shield(running)
            await self._conclude(identity, outcome)
        except NEVER_PUBLISHED:
            await self._conclude(identity, self._given_up(event, identity), instead=True)

    def _given_up(self, event: RequestRouted, identity: Identity) -> Outcome:
        cost_usd = self._paid_in_vain_usd.get(identity, 0.0)
        now_us = self._means.clock()
        failed = response_failed(event, Code.INTERNAL_ERROR, GIVEN_UP, cost_usd=cost_usd, now_us=now_us)
        return Outcome((), failed, 0.0)  # `_conclude` counts what was paid in vain, whatever the end

    async def _lead(self, routed: RequestRouted, identity: Identity) -> None:
        running: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        self._running[identity] = running
        with self._spending.allowance(identity[:2]) as allowance:
            try:
                outcome = await carry_out(routed, self._means, allowance, self._pieces(routed))
            except BaseException:
                paid_usd = self._paid_in_vain_usd.get(identity, 0.0) + allowance.paid_usd
                if paid_usd > 0:
                    self._paid_in_vain_usd[identity] = paid_usd
                del self._running[identity]
                running.set_exception(EndedWithoutOutcome())
                running.exception()  # nobody may be waiting
                raise
            try:
                await self._conclude(identity, outcome)
            finally:
                running.set_result(outcome)

    async def _conclude(self, identity: Identity, outcome: Outcome, *, instead: bool = False) -> None:
        """Keep an outcome and publish it; nothing where the partition is another worker's now, which gets the event again.

        What failed attempts paid is counted with it. ``instead``: of an end that was kept before.
        """
        if not await self._ownership.is_ours():
            self._forget_oldest_unclaimed()
            return
        finished = None if instead else self._remembered.finished(identity)
        if finished is not None:
            await self._publish_again(identity, finished)
            return
        in_vain_usd = self._paid_in_vain_usd.get(identity, 0.0)
        ending = self._remembered.finish(identity, replace(outcome, cost_usd=outcome.cost_usd + in_vain_usd))
        self._paid_in_vain_usd.pop(identity, None)
        await self._publish(identity, ending)

    def _forget_oldest_unclaimed(self) -> None:
        unclaimed = [identity for identity, running in self._running.items() if running.done()]
        for identity in unclaimed[:-UNCLAIMED_KEPT]:
            del self._running[identity]

    async def _publish_again(self, identity: Identity, finished: Finished) -> None:
        await self._publish(identity, self._remembered.ending(identity, finished))

    async def _publish(self, identity: Identity, ending: Ending) -> None:
        kept = [each.confirmed for each in ending.written]
        if not all(each.is_first for each in ending.written):
            await asyncio.gather(*kept)
            if not await self._ownership.is_ours():  # it may have gone while the broker took it in
                return
        # Together: they are kept, so where one fails all are published again.
        published = (self._outbox.publish(topic, event, encoded=raw) for topic, event, raw in ending.events)
        await asyncio.gather(*kept, *published)
        self._running.pop(identity, None)
        if self._ownership.is_ours_now():
            self._remembered.settle(identity, ending.finished)

    def _pieces(self, routed: RequestRouted) -> Pieces | None:
        if not routed.request.stream:
            return None

        async def publish(chunk: ChunkGenerated) -> None:
            await self._outbox.publish("response-chunks", chunk)

        return Pieces(routed, publish, self._means.clock)


def build_generator(
    deployment: Deployment,
    environ: Mapping[str, str],
    *,
    governance: GovernanceFile | None = None,
    catalogue: Catalogue | None = None,
    encoder: Encoder | None = None,
    app: AppT | None = None,
) -> Stage:
    """Put the generator together: its stage, with the agent, the table and the controls attached.

    What is not given is read from the deployment's files. Raises ``InvalidFile`` with all mistakes of a file,
    ``Unconfigured`` where a source's folder is missing, ``ArtefactsMissing`` where no encoder was prepared.
    """
    governance = governance or load_settings(deployment.settings)
    catalogue = catalogue or load_catalogue(deployment.catalogue, environ)
    encoder = encoder or StaticEncoder(deployment.models_folder)
    folders = {name: ROOT / source.path for name, source in governance.sources.items()}
    for name, folder in folders.items():
        if not folder.is_dir():
            raise Unconfigured(
                f"The folder {folder} of source {name} is missing.",
                remedy=f"Create it, or correct `sources` in {deployment.settings}.",
            )
    partitions = governance.operations.partitions
    limit = governance.operations.dead_letters.limit
    stage = Stage("generator", deployment, partitions=partitions, app=app, limit=limit)
    library = Library(folders, encoder, clock=stage.clock)
    provider = Provider(
        catalogue=catalogue, environ=environ, embedded_url=deployment.embedded_models_url, clock=stage.clock
    )
    held = _followed_overrides(stage)
    window_s = governance.operations.finished_window_s
    ownership = Ownership(stage.app, deployment.topic("routing"))
    beside = [deployment.topic(topic) for topic in ("generation", "responses")]
    kept = KeptTable(stage.app, ENDED, partitions=partitions, ownership=ownership, beside=beside)
    kept.forget_after(window_s, kept_at_us, stage.clock)
    lanes = Lanes(deployment.generator_concurrency)
    generator = Generator(
        stage.outbox,
        Remembered(kept, stage.codec, window_s=window_s, clock=stage.clock),
        ownership,
        Means(
            call=watched_call(provider.call, stage.calls),
            search=lambda request, question, step: library.search(request, question, step, held.overrides),
            clock=stage.clock,
            pause=watched_pause(asyncio.sleep, stage.calls),
            turn=Turnstile(BEGUN_AT_ONCE).enter,
            chance=random.Random().random,
            count=stage.count,
        ),
        lanes,
    )

    async def close(*_: Any, **__: Any) -> None:
        library.close()
        await provider.close()

    stage.before_first_event(library.warm)
    stage.app.on_before_shutdown.connect(close, weak=False)
    consume = partial(stage.consume, give_up=generator.give_up, last_words=last_words(stage.clock))
    consume("routing", generator.handle, concurrency=lanes.slots + SEEN_BESIDE)
    consume("deferred", generator.handle_deferred, concurrency=DEFERRED_AT_ONCE)
    return stage


def last_words(clock: Callable[[], int]) -> LastWords:
    """What ends a request whose end could not even be kept: a failed response, from nothing but its event."""

    def speak(event: Record) -> tuple[str, Record] | None:
        if not isinstance(event, RequestRouted):
            return None
        return "responses", response_failed(event, Code.INTERNAL_ERROR, GIVEN_UP, now_us=clock())

    return speak


def _followed_overrides(stage: Stage) -> Held:
    held = Held()

    def take(event: Record) -> None:
        if isinstance(event, OverrideSet):
            known = held.set_override(event)
            stage.log.warning("override_set" if known else "override_unreadable", name=event.name, state=event.value)
        elif not isinstance(event, RollbackOrdered | LearningResumed | ExperimentOrdered | ExperimentStepped):
            stage.log.error("unexpected_event", event_type=type(event).__name__)

    stage.follow("controls", take)
    return held


def _lane(routed: RequestRouted) -> Lane:
    steps = routed.plan.steps  # none in a plan that is not ours; it ends like one whose steps all failed
    return (routed.request.tenant, steps[0].provider if steps else "")


def _identity(routed: RequestRouted) -> Identity:
    request = routed.request
    return (request.tenant, request.conversation_id, request.request_id)
