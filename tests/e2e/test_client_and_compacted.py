"""The application's client, the reader of compacted topics, and the creation of topics, against a real Kafka."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from aiokafka import AIOKafkaConsumer
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, ConfigResource, NewTopic  # type: ignore[attr-defined]

from infra.broker import RunningBroker
from schemas import ChunkGenerated, OverrideSet, ProfileUpdated, Record, RequestReceived, ResponseFailed, ResponseReady
from streams.admin import configuration_of, create_topics, partitions_of
from streams.client import Client, Response, identity_of
from streams.codec import Codec
from streams.compacted import CompactedReader
from streams.delivery import Origin
from streams.deployment import Deployment
from streams.errors import Code, Unconfigured, Undecodable
from streams.topics import TABLES, TOPICS, key_of
from tests.event_examples import example
from tests.waiting import eventually_async

CODEC = Codec()
PARTITIONS = 3


@pytest.fixture
def bare(broker: RunningBroker, topic_prefix: str, tmp_path: Path) -> Deployment:
    return Deployment(bootstrap_servers=broker.bootstrap_servers, topic_prefix=topic_prefix, var=tmp_path)


@pytest.fixture
def deployment(bare: Deployment) -> Deployment:
    create_topics(bare, partitions=PARTITIONS)
    return bare


def put(deployment: Deployment, topic: str, *values: bytes | Record | None, key: bytes = b"k") -> None:
    producer = Producer({"bootstrap.servers": deployment.bootstrap(), "partitioner": "murmur2_random"})
    for value in values:
        if isinstance(value, Record):
            producer.produce(deployment.topic(topic), key=key_of(topic, value), value=CODEC.encode(value))
        else:
            producer.produce(deployment.topic(topic), key=key, value=value)
    assert producer.flush(20) == 0


# Topics


def described(deployment: Deployment) -> dict[str, tuple[int, dict[str, str]]]:
    """Each topic of the deployment on the broker: its partitions, and its configuration where it is not the default."""
    admin: Any = AdminClient({"bootstrap.servers": deployment.bootstrap()})
    found = {n: t for n, t in admin.list_topics(timeout=20).topics.items() if n.startswith(deployment.topic_prefix)}
    futures = admin.describe_configs([ConfigResource("TOPIC", name) for name in found])
    stated = {
        resource.name: {e.name: e.value for e in future.result(20).values() if not e.is_default}
        for resource, future in futures.items()
    }
    return {n.removeprefix(deployment.topic_prefix): (len(t.partitions), stated[n]) for n, t in found.items()}


def test_every_declared_topic_is_created_as_declared_and_the_second_time_nothing_is(bare):
    created = create_topics(bare, partitions=PARTITIONS)
    declared = TOPICS | {table.changelog: table for table in TABLES}
    assert set(created) == {bare.topic(name) for name in declared}
    there = described(bare)
    assert set(there) == set(declared)
    for name, (partitions, configuration) in there.items():
        assert partitions == partitions_of(declared[name], PARTITIONS)
        assert configuration_of(declared[name]).items() <= configuration.items(), name
    assert create_topics(bare, partitions=PARTITIONS) == []
    assert described(bare) == there


def test_a_missing_topic_is_added_to_those_that_are_there(bare):
    admin: Any = AdminClient({"bootstrap.servers": bare.bootstrap()})
    for future in admin.create_topics([NewTopic(bare.topic("requests"), PARTITIONS, 1)]).values():
        future.result(20)
    assert set(create_topics(bare, partitions=PARTITIONS)) == {
        bare.topic(name) for name in (*TOPICS, *(table.changelog for table in TABLES)) if name != "requests"
    }


def test_another_number_of_partitions_than_the_settings_say_is_an_error_that_names_both(deployment):
    with pytest.raises(Unconfigured, match=r"has 3 partitions, the settings say 4\..*`partitions`") as caught:
        create_topics(deployment, partitions=4)
    assert caught.value.code is Code.UNCONFIGURED


# Compacted topics


class Following:
    """A reader of a compacted topic, running, with what it applied and refused."""

    def __init__(self, deployment: Deployment, topic: str) -> None:
        self.applied: list[Record] = []
        self.refused: list[tuple[Origin, Code]] = []
        self.reader = CompactedReader(
            topic,
            name_on_broker=deployment.topic(topic),
            bootstrap_servers=deployment.bootstrap(),
            codec=CODEC,
            apply=self.applied.append,
            refuse=self._refuse,
        )

    async def _refuse(self, origin: Origin, error: Undecodable) -> None:
        self.refused.append((origin, error.code))


@contextlib.asynccontextmanager
async def following(deployment: Deployment, topic: str) -> AsyncIterator[Following]:
    follower = Following(deployment, topic)
    task = asyncio.create_task(follower.reader.follow())
    try:
        await asyncio.wait_for(follower.reader.caught_up(), 30)
        yield follower
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


def override(value: str) -> OverrideSet:
    event = example("OverrideSet")
    assert isinstance(event, OverrideSet)
    return msgspec.structs.replace(event, value=value)


def test_a_reader_has_applied_everything_there_was_when_it_says_so_and_then_follows(deployment):
    early = [override(str(n)) for n in range(500)]
    put(deployment, "controls", *early)

    async def run() -> None:
        async with following(deployment, "controls") as follower:
            assert follower.applied == early
            put(deployment, "controls", override("late"), example("RollbackOrdered"))
            await eventually_async(lambda: len(follower.applied) == 502)
            assert follower.applied[500:] == [override("late"), example("RollbackOrdered")]
            assert follower.refused == []

    asyncio.run(run())


def test_a_reader_of_an_empty_topic_has_caught_up(deployment):
    async def run() -> None:
        async with following(deployment, "profile-updates") as follower:
            assert follower.applied == []

    asyncio.run(run())


def test_what_is_no_event_of_the_topic_is_refused_with_its_bytes_and_passed_over_and_a_tombstone_is_nothing(deployment):
    stray = CODEC.encode(example("ResponseReady"))
    put(deployment, "controls", override("1"), b"no event", stray, None, b"\xc3\x0112345678body", override("2"))

    async def run() -> None:
        async with following(deployment, "controls") as follower:
            assert follower.applied == [override("1"), override("2")]
            assert follower.refused == [
                (Origin("controls", 0, 1, b"k", b"no event"), Code.NOT_AVRO),
                (Origin("controls", 0, 2, b"k", stray), Code.UNEXPECTED_EVENT),
                (Origin("controls", 0, 4, b"k", b"\xc3\x0112345678body"), Code.UNKNOWN_SCHEMA),
            ]
            put(deployment, "controls", b"again", override("3"))
            await eventually_async(lambda: len(follower.applied) == 3)
            assert len(follower.refused) == 4

    asyncio.run(run())


def test_every_reader_reads_the_whole_topic_whoever_else_does(deployment):
    profile = example("ProfileUpdated")
    assert isinstance(profile, ProfileUpdated)
    put(deployment, "profile-updates", profile)

    async def run() -> None:
        async with following(deployment, "profile-updates") as one, following(deployment, "profile-updates") as other:
            assert one.applied == other.applied == [profile]

    asyncio.run(run())


# The client

Respond = Callable[[RequestReceived], list[tuple[str, Record | bytes]]]


def ready(request: RequestReceived, text: str = "Here.") -> ResponseReady:
    event = example("ResponseReady")
    assert isinstance(event, ResponseReady)
    tenant, conversation_id, request_id = identity_of(request)
    return msgspec.structs.replace(
        event, tenant=tenant, conversation_id=conversation_id, request_id=request_id, text=text
    )


def chunk(request: RequestReceived, index: int, text: str) -> ChunkGenerated:
    tenant, conversation_id, request_id = identity_of(request)
    return ChunkGenerated(
        event_id=f"{index:032x}",
        occurred_at_us=request.occurred_at_us,
        tenant=tenant,
        conversation_id=conversation_id,
        request_id=request_id,
        step=0,
        index=index,
        text=text,
    )


@contextlib.asynccontextmanager
async def responder(deployment: Deployment, client: Client, respond: Respond) -> AsyncIterator[list[RequestReceived]]:
    """Stands for the whole pipeline: reads requests and publishes for each what ``respond`` says."""
    consumer = AIOKafkaConsumer(
        deployment.topic("requests"),
        group_id=None,
        bootstrap_servers=deployment.bootstrap(),
        auto_offset_reset="earliest",
        enable_auto_commit=False,
    )
    await consumer.start()
    came: list[RequestReceived] = []

    async def serve() -> None:
        async for message in consumer:
            request = CODEC.decode(message.value)
            assert isinstance(request, RequestReceived)
            assert message.key == request.conversation_id.encode()
            came.append(request)
            for topic, event in respond(request):
                if isinstance(event, Record):
                    await client.publish(topic, event)
                else:
                    await client.publish_raw(topic, b"k", event)

    task = asyncio.create_task(serve())
    try:
        yield came
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        await consumer.stop()


def conversing(
    deployment: Deployment,
    respond: Respond,
    talk: Callable[[Client, list[RequestReceived]], Awaitable[None]],
    **more: Any,
) -> None:
    async def run() -> None:
        async with (
            Client(deployment, **more) as client,
            responder(deployment, client, respond) as came,
        ):
            await talk(client, came)

    asyncio.run(run())


def test_asking_gives_the_terminal_response_of_that_request_whatever_else_is_on_the_topic(deployment):
    def respond(request: RequestReceived) -> list[tuple[str, Record | bytes]]:
        others = msgspec.structs.replace(request, tenant="somebody else")
        return [
            ("responses", b"no event"),
            ("responses", ready(others, "Not yours.")),
            ("responses", ready(msgspec.structs.replace(request, request_id="another"), "Not this.")),
            ("responses", ready(request, "Yours.")),
            ("responses", ready(request, "A repeat.")),
        ]

    async def talk(client: Client, came: list[RequestReceived]) -> None:
        first = await client.ask("help", "Where is it?", tenant="acme", variables={"language": "English"})
        assert isinstance(first, ResponseReady)
        assert first.text == "Yours."
        (request,) = came
        assert (request.tenant, request.workflow, request.message) == ("acme", "help", "Where is it?")
        assert request.variables == {"language": "English"}
        assert request.conversation_id == request.request_id == first.request_id
        second = await client.ask("help", "And now?", conversation_id="talk-7", request_id="r-2")
        assert isinstance(second, ResponseReady)
        assert (second.conversation_id, second.request_id, second.text) == ("talk-7", "r-2", "Yours.")

    conversing(deployment, respond, talk)


def test_many_requests_at_once_each_get_their_own_answer(deployment):
    def respond(request: RequestReceived) -> list[tuple[str, Record | bytes]]:
        return [("responses", ready(request, f"about {request.message}"))]

    async def talk(client: Client, came: list[RequestReceived]) -> None:
        answers = await asyncio.gather(*(client.ask("help", str(n), conversation_id=f"c{n % 5}") for n in range(40)))
        assert [answer.text for answer in answers if isinstance(answer, ResponseReady)] == [
            f"about {n}" for n in range(40)
        ]

    conversing(deployment, respond, talk)


def test_who_waits_for_the_same_request_shares_its_answer_and_who_is_tired_takes_it_from_nobody(deployment):
    async def run() -> None:
        async with Client(deployment) as client:
            request = client.request("help", "Where?")
            waiting = [asyncio.create_task(client.answer_to(request)) for _ in range(3)]
            with pytest.raises(TimeoutError):
                await client.answer_to(request, within_s=0.05)
            await client.publish("responses", ready(request))
            assert await asyncio.gather(*waiting) == [ready(request)] * 3
            assert client._waiting == {}

    asyncio.run(run())


def test_a_failure_is_a_response_too(deployment):
    def respond(request: RequestReceived) -> list[tuple[str, Record | bytes]]:
        failed = example("ResponseFailed")
        tenant, conversation_id, request_id = identity_of(request)
        return [
            (
                "responses",
                msgspec.structs.replace(failed, tenant=tenant, conversation_id=conversation_id, request_id=request_id),
            )
        ]

    async def talk(client: Client, came: list[RequestReceived]) -> None:
        answer: Response = await client.ask("help", "Where is it?")
        assert isinstance(answer, ResponseFailed)
        assert answer.code == "provider_unavailable"

    conversing(deployment, respond, talk)


def test_pieces_arrive_before_the_answer_when_somebody_listens_and_only_those_of_ones_own_request(deployment):
    pieces: list[str] = []

    def respond(request: RequestReceived) -> list[tuple[str, Record | bytes]]:
        mine: list[tuple[str, Record | bytes]] = [
            ("response-chunks", chunk(msgspec.structs.replace(request, request_id="another"), 0, "not mine")),
            *(("response-chunks", chunk(request, index, text)) for index, text in enumerate(("He", "re."))),
        ]
        return mine

    async def talk(client: Client, came: list[RequestReceived]) -> None:
        request = client.request("help", "Where is it?", stream=True)
        answering = asyncio.create_task(client.answer_to(request))
        await eventually_async(lambda: pieces == ["He", "re."])
        await client.publish("responses", ready(request))
        assert isinstance(await answering, ResponseReady)

    conversing(deployment, respond, talk, on_chunk=lambda event: pieces.append(event.text))


def test_a_request_that_nobody_answers_ends_in_a_timeout_and_is_forgotten(deployment):
    async def talk(client: Client, came: list[RequestReceived]) -> None:
        with pytest.raises(TimeoutError):
            await client.ask("help", "Is anybody there?", within_s=0.2)
        assert client._waiting == {}
        await eventually_async(lambda: len(came) == 1)

    conversing(deployment, lambda _: [], talk)


def test_feedback_and_overrides_are_published_under_their_keys(deployment):
    request = example("RequestReceived")
    assert isinstance(request, RequestReceived)

    async def run() -> None:
        async with Client(deployment, clock=lambda: 1_800_000_000_000_000) as client:
            given = await client.give_feedback(request, "rating", 4, comment="Quick.")
            again = await client.give_feedback(request, "rating", 4, comment="Quick.")
            assert given == again, "the same cause at the same moment is the same event"
            assert identity_of(given) == identity_of(request)
            set_on = await client.set_override("force_simple_agents", "true", reason="A trial.")
            cleared = await client.set_override("force_simple_agents", None)
            assert set_on.event_id != cleared.event_id
            async with following(deployment, "controls") as follower:
                assert follower.applied == [set_on, cleared]

    asyncio.run(run())


def test_a_client_that_is_not_open_says_so(bare):
    with pytest.raises(RuntimeError, match="async with Client"):
        asyncio.run(Client(bare).publish("requests", example("RequestReceived")))
