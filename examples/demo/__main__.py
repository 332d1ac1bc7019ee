"""Runs the demo: a broker, every role, real questions, rated answers; shows progress, writes ``var/demo.json``.

In: ``python -m examples.demo [--requests N] [--seed N]``. Out: a table on the screen, the numbers in ``var/demo.json``; the
last run's logs and analytics stay in ``var/demo/``. Stops everything it started, also when it is interrupted. Exit status 0
when every request was answered.
"""

import argparse
import asyncio
import json
import os
import shutil
import sys
import time
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from agents.deciding.reasoning import money
from examples.demo import questions
from examples.demo.asking import Session
from examples.demo.measuring import report, summary
from examples.demo.printing import show
from examples.demo.reading import ReadBack, read_back
from infra.broker import provide_broker
from streams.admin import create_topics, delete_topics
from streams.client import Client
from streams.deployment import ROOT, Deployment
from streams.run_files import Claim
from streams.supervisor import Supervisor

REQUESTS = 1_600
SEED = 7
IN_FLIGHT = 6
PARTITIONS = 8
LEARNED_WITHIN_S = 15.0


def main(arguments: list[str]) -> int:
    """Run the demo; the exit status."""
    parser = argparse.ArgumentParser(prog="python -m examples.demo", description=__doc__)
    parser.add_argument("--requests", type=int, default=REQUESTS, help="of the learning workflow, in four quarters")
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--in-flight", type=int, default=IN_FLIGHT, help="requests under way at once")
    chosen = parser.parse_args(arguments)
    console = Console()
    begun = time.monotonic()
    with Claim(ROOT / "var" / "demo" / "run") as claim:
        deployment = _fresh_deployment()
        console.print("Starting a broker and every role ...")
        session, seen = _run(deployment, claim, chosen, console)
    result = _result(session, seen, chosen, seconds=time.monotonic() - begun)
    target = ROOT / "var" / "demo.json"
    target.write_text(json.dumps(result, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    show(console, result)
    console.print(f"Written to {target.relative_to(ROOT)}. Look closer: PENSTOCK_VAR=var/demo penstock sql --tables")
    return 0 if result["failed"] == 0 else 1


def _fresh_deployment() -> Deployment:
    folder = ROOT / "var" / "demo"
    for name in ("analytics", "faust", "logs", "kafka"):
        shutil.rmtree(folder / name, ignore_errors=True)
    return Deployment(
        var=folder,
        models=ROOT / "var" / "models",
        environment="production",
        topic_prefix=f"demo-{os.getpid()}-{time.time_ns() // 1_000_000}-",
    )


def _run(
    deployment: Deployment, claim: Claim, chosen: argparse.Namespace, console: Console
) -> tuple[Session, ReadBack]:
    libs = ROOT / "var" / "kafka" / "libs"
    with provide_broker(deployment.var, ephemeral=True, libs=libs) as broker:
        deployment = deployment.model_copy(update={"bootstrap_servers": broker.bootstrap_servers})
        create_topics(deployment, partitions=PARTITIONS)
        try:
            with Supervisor(deployment, environ={**os.environ, "PENSTOCK_PROVIDER": "embedded"}, claim=claim):
                console.print(f"Ready: every role, and the broker ({broker.kind}) at {broker.bootstrap_servers}.")
                session = asyncio.run(_ask(deployment, chosen, console))
                rated = sum(1 for row in session.answered if row.failed is None) - session.unrated
                return session, read_back(deployment, rated=rated, within_s=LEARNED_WITHIN_S)
        finally:
            if broker.kind == "given":
                delete_topics(deployment)


async def _ask(deployment: Deployment, chosen: argparse.Namespace, console: Console) -> Session:
    known = questions.load(questions.FOLDER / "questions.jsonl")
    late = questions.load(questions.FOLDER / "questions_late.jsonl")
    quarters = questions.schedule(known, late, requests=chosen.requests, seed=chosen.seed)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console) as progress:
        bar = progress.add_task("asking", total=sum(len(quarter) for quarter in quarters))
        async with Client(deployment) as client:
            session = Session(client, chosen.seed, chosen.in_flight, lambda done: progress.update(bar, completed=done))
            for number, quarter in enumerate(quarters, start=1):
                progress.update(bar, description=f"quarter {number}")
                await session.ask_all(quarter)
                rows = [r for r in session.answered if r.quarter == number and r.workflow == questions.WORKFLOW]
                so_far = summary(rows)
                console.print(
                    f"Quarter {number}: quality {so_far['quality']:.3f}, {money(so_far['cost_usd_per_request'])}, "
                    f"95 % within {so_far['p95_ms']:.0f} ms"
                )
    return session


def _result(session: Session, seen: ReadBack, chosen: argparse.Namespace, *, seconds: float) -> dict[str, Any]:
    late = questions.load(questions.FOLDER / "questions_late.jsonl")
    failed = [row for row in session.answered if row.failed is not None]
    return {
        "requests": len(session.answered),
        "answered": len(session.answered) - len(failed),
        "failed": len(failed),
        "failures": sorted({row.failed for row in failed if row.failed is not None}),
        "duplicates": seen.duplicates,
        "profile_updates": seen.profile_updates,
        "optimizations": seen.optimizations,
        **report(session.answered, frozenset(question.id for question in late)),
        "rewards": {"rated": seen.rated, "automatic": seen.automatic},
        "seed": chosen.seed,
        "seconds": seconds,
    }


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
