"""Measures the time from publish to response at a steady rate, with the smallest embedded model, and the bare round trip beside it.

In: ``python -m tests.benchmarks.latency [--rate 20] [--seconds 30]``; the embedded models and Kafka's artefacts of ``make
setup``. Out: percentiles in milliseconds: of the whole loop (request published to response read), and of the baseline in the
same run: the same client, broker and rate with a reader that answers at once, without any stage. Stops what it started.
"""

import argparse
import asyncio
import os
import shutil
import sys
import tempfile
import time
from pathlib import Path
from statistics import quantiles

from infra.broker import provide_broker
from schemas import RequestReceived, ResponseFailed, ResponseReady
from streams.admin import create_topics
from streams.client import Client
from streams.compacted import CompactedReader
from streams.deployment import ROOT, Deployment
from streams.supervisor import Supervisor

WARM_UP = 40
PARTITIONS = 8
QUESTION = "How long are requests kept?"
STRATEGY = "simple-entity_based"


def main(arguments: list[str]) -> int:
    """Measure and print; the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.latency")
    parser.add_argument("--rate", type=float, default=20.0, help="requests a second")
    parser.add_argument("--seconds", type=float, default=30.0)
    chosen = parser.parse_args(arguments)
    folder = Path(tempfile.mkdtemp(prefix="latency-", dir=ROOT / "var"))
    try:
        with provide_broker(folder, ephemeral=True, libs=ROOT / "var" / "kafka" / "libs") as broker:
            deployment = Deployment(
                bootstrap_servers=broker.bootstrap_servers, var=folder, models=ROOT / "var" / "models"
            )
            bare = deployment.model_copy(update={"topic_prefix": "bare-"})
            for each in (deployment, bare):
                create_topics(each, partitions=PARTITIONS)
            count = int(chosen.rate * chosen.seconds)
            with Supervisor(deployment, environ={**os.environ, "PENSTOCK_PROVIDER": "embedded"}):
                whole = asyncio.run(_at_rate(deployment, chosen.rate, count))
            floor = asyncio.run(_bare(bare, chosen.rate, count))
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    for name, took in (("the loop", whole), ("bare round trip", floor)):
        points = quantiles(took, n=100, method="inclusive")
        sys.stdout.write(
            f"{name}: {len(took)} requests at {chosen.rate:g}/s: p50 {points[49]:.1f} ms, p99 {points[98]:.1f} ms\n"
        )
    return 0


async def _at_rate(deployment: Deployment, rate: float, count: int) -> list[float]:
    async with Client(deployment) as client:
        for _ in range(WARM_UP):
            await client.ask("docs_help", QUESTION, strategy=STRATEGY)
        took: list[float] = []

        async def ask() -> None:
            begun = time.perf_counter()
            response = await client.ask("docs_help", QUESTION, strategy=STRATEGY)
            if isinstance(response, ResponseFailed):
                raise RuntimeError(f"{response.code}: {response.error}")  # noqa: TRY004 - the response is of the wrong kind, not the type
            took.append((time.perf_counter() - begun) * 1_000)

        begun = time.perf_counter()
        async with asyncio.TaskGroup() as tasks:
            for number in range(count):
                await asyncio.sleep(max(0.0, begun + number / rate - time.perf_counter()))
                tasks.create_task(ask())
        return took


async def _bare(deployment: Deployment, rate: float, count: int) -> list[float]:
    """The floor: one reader that answers every request with a fixed response."""
    async with Client(deployment) as answering:
        waiting: set[asyncio.Task[None]] = set()

        def answer(event: object) -> None:
            if isinstance(event, RequestReceived):
                task = asyncio.ensure_future(answering.publish("responses", _response_to(event)))
                waiting.add(task)
                task.add_done_callback(waiting.discard)

        async def refuse(_origin: object, error: Exception) -> None:
            raise error

        reader = CompactedReader(
            "requests",
            name_on_broker=deployment.topic("requests"),
            bootstrap_servers=deployment.bootstrap(),
            codec=answering.codec,
            apply=answer,
            refuse=refuse,
        )
        following = asyncio.create_task(reader.follow())
        await reader.caught_up()
        took = await _at_rate(deployment, rate, count)
        following.cancel()
        return took


def _response_to(request: RequestReceived) -> ResponseReady:
    return ResponseReady(
        event_id=request.event_id,
        occurred_at_us=request.occurred_at_us,
        tenant=request.tenant,
        conversation_id=request.conversation_id,
        request_id=request.request_id,
        workflow=request.workflow,
        text="",
        strategy="",
        model="",
        routing_id="",
        generation_id="",
        profile_scope="",
        profile_version=0,
        content_type="",
        complexity=1,
        step=0,
        cost_usd=0.0,
        latency_ms=0.0,
        reasoning="",
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
