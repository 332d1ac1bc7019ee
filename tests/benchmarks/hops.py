"""One hop with nothing in it, as a process: what comes on one topic goes to another, key and value as they are.

In: ``python -m tests.benchmarks.hops faust|bare SERVERS SOURCE TARGET FOLDER``. Out: the same messages.
Keeps nothing. Runs until SIGTERM.

``faust`` is an agent on Faust's defaults (on uvloop, as Penstock's are); ``bare`` is a consumer and a producer of aiokafka.
"""

import asyncio
import sys
from typing import Any

import faust
import uvloop
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer


def faust_hop(servers: str, source: str, target: str, folder: str) -> None:
    """Run a Faust worker with one agent."""
    asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    app = faust.App(
        f"hop-{source}",
        loop=loop,
        broker=f"kafka://{servers}",
        store="memory://",
        datadir=folder,
        consumer_auto_offset_reset="earliest",
        topic_disable_leader=True,
        web_enabled=False,
        worker_redirect_stdouts=False,
    )
    raw: Any = {"key_type": bytes, "value_type": bytes, "key_serializer": "raw", "value_serializer": "raw"}
    came = app.topic(source, **raw)
    goes = app.topic(target, **raw)

    @app.agent(came)
    async def hop(stream: Any) -> None:
        async for event in stream.events():
            await goes.send(key=event.key, value=event.value)

    faust.Worker(app, loop=loop, override_logging=False, quiet=True, redirect_stdouts=False).execute_from_commandline()


async def bare_hop(servers: str, source: str, target: str) -> None:
    """Consume and produce, each message confirmed in the background."""
    consumer = AIOKafkaConsumer(
        source, bootstrap_servers=servers, group_id=f"hop-{source}", auto_offset_reset="earliest"
    )
    producer = AIOKafkaProducer(bootstrap_servers=servers, acks="all")
    await consumer.start()
    await producer.start()
    async for message in consumer:
        await producer.send(target, message.value, message.key)


if __name__ == "__main__":
    kind, *where = sys.argv[1:]
    if kind == "faust":
        faust_hop(*where)
    else:
        uvloop.run(bare_hop(*where[:3]))
