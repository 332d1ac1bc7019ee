"""The application's side: publish requests and feedback, wait for answers.

In: a workflow's name and a message. Out: the terminal response, once, whoever else reads along. Keeps the requests that wait; a
repeat of a response (recognised by its event id) is passed over. Fails with ``TimeoutError`` where no terminal response came in
time, with the broker's errors, and with what ``on_chunk`` raises: then no answer is read any more.

    async with Client(deployment) as client:
        answer = await client.ask("customer_support", "Where is my order?")
"""

import asyncio
import contextlib
import os
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.errors import KafkaError

from schemas import (
    ChunkGenerated,
    FeedbackGiven,
    GivenDocument,
    OverrideSet,
    Record,
    RequestReceived,
    ResponseFailed,
    ResponseReady,
    Turn,
)
from streams import tracing
from streams.codec import Codec
from streams.delivery import Clock, made_known, wall_clock_us
from streams.deployment import Deployment
from streams.errors import Undecodable, UnknownSchema
from streams.following import KafkaLog, NoSuchTopic
from streams.identity import event_id
from streams.logs import logger
from streams.lookup import SchemaLookUp
from streams.topics import LETTER_BYTES, key_of
from streams.tracing import Headers

Response = ResponseReady | ResponseFailed
Identity = tuple[str, str, str]
"""(tenant, conversation, request id)."""

DEFAULT_WAIT_S = 60.0


@dataclass
class _Waiting:
    """A request whose answer is waited for, by everyone who asked for it through this client."""

    answer: asyncio.Future[Response]
    waiters: int = 0


def identity_of(event: Any) -> Identity:
    """Give the identity of the request that an event is about."""
    return (event.tenant, event.conversation_id, event.request_id)


class Client:
    """An application's connection; use it as an async context manager."""

    def __init__(
        self,
        deployment: Deployment,
        *,
        clock: Clock = wall_clock_us,
        new_id: Callable[[], str] = lambda: uuid.uuid4().hex,
        on_chunk: Callable[[ChunkGenerated], None] | None = None,
    ) -> None:
        self._deployment = deployment
        self._clock = clock
        self._new_id = new_id
        self._on_chunk = on_chunk
        self._log = logger(client=True)
        self.codec = Codec()
        self._schemas = SchemaLookUp(self.codec, lambda: KafkaLog(deployment))
        self._waiting: dict[Identity, _Waiting] = {}
        self._producer: AIOKafkaProducer | None = None
        self._consumer: AIOKafkaConsumer | None = None
        self._reading: asyncio.Task[None] | None = None
        self._traces = False

    async def __aenter__(self) -> Self:
        self._traces = tracing.start("client", self._deployment.worker, os.environ)
        servers = self._deployment.bootstrap()
        self._producer = AIOKafkaProducer(
            bootstrap_servers=servers, acks="all", max_request_size=LETTER_BYTES, linger_ms=0
        )
        names = [self._deployment.topic("responses")]
        if self._on_chunk is not None:
            names.append(self._deployment.topic("response-chunks"))
        self._consumer = AIOKafkaConsumer(
            *names,
            group_id=None,
            bootstrap_servers=servers,
            enable_auto_commit=False,
            auto_offset_reset="latest",
            isolation_level="read_committed",
            fetch_max_wait_ms=100,
            max_partition_fetch_bytes=LETTER_BYTES,
        )
        await self._producer.start()
        await self._consumer.start()
        while not self._consumer.assignment():  # noqa: ASYNC110 - aiokafka has no event for it
            await asyncio.sleep(0.02)
        for partition in self._consumer.assignment():
            await self._consumer.position(partition)  # fixes "latest" before the first request goes out
        await self._publish_schemas()
        self._reading = asyncio.create_task(self._read())
        self._reading.add_done_callback(self._tell_that_reading_ended)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._reading is not None:
            self._reading.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._reading
        self._schemas.close()
        if self._consumer is not None:
            await self._consumer.stop()
        if self._producer is not None:
            await self._producer.stop()
        if self._traces:
            await asyncio.to_thread(tracing.stop)

    async def _publish_schemas(self) -> None:
        """Make known what this release writes, before it writes any of it."""
        try:
            missing = await asyncio.to_thread(self._schemas.unpublished, "caller", "operator", now_us=self._clock())
        except NoSuchTopic as error:  # a system that an older release set up: its readers could not look anything up
            self._log.error("schemas_not_published", error=str(error))
            return
        for each in missing:
            await self.publish("schemas", each)
        self._schemas.close()  # until a stranger's schema is met, which may be never

    async def publish(self, topic: str, event: Record) -> None:
        """Publish an event and wait until the broker has it."""
        with tracing.sending(topic, begins=topic in {"requests", "feedback"}):
            await self.publish_raw(topic, key_of(topic, event), self.codec.encode(event), tracing.outgoing())

    async def publish_raw(self, topic: str, key: bytes | None, value: bytes | None, headers: Headers = ()) -> None:
        """Publish bytes as they are: what ``dlq replay`` does."""
        if self._producer is None:
            raise RuntimeError("The client is not open: use `async with Client(...)`.")
        name = self._deployment.topic(topic)
        await self._producer.send_and_wait(name, value=value, key=key, headers=list(headers) or None)

    def request(
        self,
        workflow: str,
        message: str,
        *,
        tenant: str = "default",
        conversation_id: str | None = None,
        request_id: str | None = None,
        history: Sequence[Turn] = (),
        documents: Sequence[GivenDocument] = (),
        variables: Mapping[str, str] | None = None,
        **more: Any,
    ) -> RequestReceived:
        """Make a request event; ``more`` are other fields of ``RequestReceived``."""
        request_id = request_id or self._new_id()
        conversation_id = conversation_id or request_id
        return RequestReceived(
            event_id=event_id("RequestReceived", tenant, conversation_id, request_id),
            occurred_at_us=self._clock(),
            tenant=tenant,
            conversation_id=conversation_id,
            request_id=request_id,
            workflow=workflow,
            message=message,
            history=tuple(history),
            documents=tuple(documents),
            variables=dict(variables or {}),
            **more,
        )

    async def answer_to(self, request: RequestReceived, *, within_s: float = DEFAULT_WAIT_S) -> Response:
        """Publish a request and wait for its terminal response; who waits for the same request shares it."""
        identity = identity_of(request)
        waiting = self._waiting.get(identity)
        if waiting is None:
            waiting = self._waiting[identity] = _Waiting(asyncio.get_running_loop().create_future())
        waiting.waiters += 1
        try:
            if self._reading is not None and self._reading.done():
                await self._reading  # it raises what ended it
            await self.publish("requests", request)
            # One who is tired of waiting must not take the answer from the others.
            return await asyncio.wait_for(asyncio.shield(waiting.answer), within_s)
        finally:
            waiting.waiters -= 1
            if not waiting.waiters:
                del self._waiting[identity]

    async def ask(self, workflow: str, message: str, *, within_s: float = DEFAULT_WAIT_S, **fields: Any) -> Response:
        """Ask and wait; ``fields`` as for ``request``."""
        return await self.answer_to(self.request(workflow, message, **fields), within_s=within_s)

    async def give_feedback(
        self,
        about: RequestReceived | Response,
        kind: str,
        value: float,
        *,
        source: str = "user",
        comment: str | None = None,
    ) -> FeedbackGiven:
        """Publish feedback about a request; the event published."""
        now = self._clock()
        cause = (*identity_of(about), source, kind, repr(float(value)), str(now))
        feedback = FeedbackGiven(
            event_id=event_id("FeedbackGiven", *cause),
            occurred_at_us=now,
            tenant=about.tenant,
            conversation_id=about.conversation_id,
            request_id=about.request_id,
            source=source,  # type: ignore[arg-type]
            kind=kind,  # type: ignore[arg-type]
            value=float(value),
            comment=comment,
        )
        await self.publish("feedback", feedback)
        return feedback

    async def set_override(self, name: str, value: str | None, *, reason: str = "", set_by: str = "") -> OverrideSet:
        """Publish an emergency override, or clear it with None; the event published."""
        now = self._clock()
        subject = f"override:{name}"
        event = OverrideSet(
            event_id=event_id("OverrideSet", subject, str(value), str(now)),
            occurred_at_us=now,
            subject=subject,
            name=name,
            value=value,
            reason=reason,
            set_by=set_by,
        )
        await self.publish("controls", event)
        return event

    async def _read(self) -> None:
        if self._consumer is None:  # pragma: no cover - only started by __aenter__
            return
        while True:
            try:
                async for message in self._consumer:
                    try:
                        event = await self._decoded(message.value)
                    except Undecodable:
                        continue  # not ours to report: the stage that wrote it, or analytics, dead-letters it
                    if isinstance(event, ChunkGenerated):
                        if self._on_chunk is not None and identity_of(event) in self._waiting:
                            self._on_chunk(event)
                    elif isinstance(event, ResponseReady | ResponseFailed):
                        waiting = self._waiting.get(identity_of(event))
                        if waiting is not None and not waiting.answer.done():
                            waiting.answer.set_result(event)
            except KafkaError:
                await asyncio.sleep(0.5)

    def _tell_that_reading_ended(self, reading: asyncio.Task[None]) -> None:
        """Let nobody wait for an answer that nobody reads: ``on_chunk`` failed, or we did."""
        error = None if reading.cancelled() else reading.exception()
        for waiting in self._waiting.values():
            if error is not None and not waiting.answer.done():
                waiting.answer.set_exception(error)
                waiting.answer.exception()  # who has stopped waiting already need not hear of it

    async def _decoded(self, raw: bytes | None) -> Record:
        try:
            return self.codec.decode(raw)
        except UnknownSchema as unknown:  # another release answers
            await made_known(unknown, self._schemas.beside, self._log)
            return self.codec.decode(raw)
