"""``penstock status`` and ``penstock resume``: how every worker stands, and the word that ends a pause.

In: the run files of this machine, the topic ``metrics``; a role. Out: a row for each worker; ResumeOrdered on ``controls``. Keeps
nothing. ``status`` exits 1 where a worker is not ready; ``resume`` exits 2 for a role or a topic that there is not.
"""

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from streams.cli.printing import FAILED, USAGE, Failure, event_json, nearest, say, say_json, show_table
from streams.cli.surroundings import AsJson, reading, surroundings

if TYPE_CHECKING:
    from schemas import Record, StagePaused

NEWEST = 2_000
"""So many messages of ``metrics`` are looked at; a worker that has events waiting reports every 5 s."""
SILENT_AFTER_S = 60.0
"""A worker of another machine that said nothing for so long is not shown."""


def add_to(app: typer.Typer) -> None:
    """Add the commands."""
    app.command()(status)
    app.command()(resume)


@dataclass
class Standing:
    """How a worker stands; ``ready`` and ``paused`` None: it runs on another machine, which its run file is on."""

    role: str
    worker: str
    ready: bool | None = None
    why_not: str = ""
    partitions: int | None = None
    paused: frozenset[str] | None = None
    reported_us: int = 0
    measures: dict[str, float] = field(default_factory=dict)
    pauses: "dict[str, StagePaused]" = field(default_factory=dict)

    @property
    def state(self) -> str:
        """In a few words."""
        if self.ready:
            return "ready"
        if self.pauses:
            return f"paused: {', '.join(sorted(self.pauses))}"
        return "running elsewhere" if self.ready is None else f"not ready: {self.why_not}"


def status(ctx: typer.Context, as_json: AsJson = False) -> None:
    """Show how every worker stands: ready or why not, what waits for it, and what it has paused.

    Example: penstock status
    """
    from streams.codec import Codec
    from streams.following import seen, so_far

    around = surroundings(ctx)
    found = dict(from_run_files(around.deployment().run_folder))
    codec = Codec()
    with reading(around) as log:
        events = [seen(message, codec).event for message in so_far(log, ["metrics"], newest=NEWEST)]
    take_in_reports((event for event in events if event is not None), found)
    least_us = around.clock_us() - int(SILENT_AFTER_S * 1_000_000)
    shown = [each for _, each in sorted(found.items()) if each.ready is not None or each.reported_us >= least_us]
    if as_json:
        say_json([_plain(each) for each in shown])
    elif not shown:
        say("no worker is running")
    else:
        show_table(
            ("role", "worker", "state", "partitions", "waiting", "no progress for", "dead letters"), map(_row, shown)
        )
        for each in shown:
            for pause in each.pauses.values():
                say(
                    f"{each.role} {each.worker} paused {pause.source}: {pause.letters} dead letters beside {pause.handled} handled "
                    f"within {pause.window_s:g} s, the newest {pause.code}; `penstock resume {each.role}` once it is mended"
                )
    if any(each.ready is False or each.pauses or each.paused for each in shown):
        raise typer.Exit(FAILED)


def resume(
    ctx: typer.Context,
    role: Annotated[str, typer.Argument(help="router, generator, evaluator or analytics.")],
    topic: Annotated[str, typer.Option(help="Only this topic; by default all that the role has paused.")] = "",
    reason: Annotated[str, typer.Option(help="Why; it is stored with your login.")] = "",
    as_json: AsJson = False,
) -> None:
    """Have a role read again what its limit on dead letters has paused.

    Example: penstock resume router --reason "the new release is out"
    """
    from schemas import ResumeOrdered
    from streams.identity import event_id
    from streams.topics import STAGES, read_by

    if role not in STAGES:
        raise Failure(f"There is no role {role!r}.{nearest(role, STAGES)}", remedy=", ".join(STAGES), status=USAGE)
    topics = tuple(each.name for each in read_by(role))
    if topic and topic not in topics:
        raise Failure(
            f"The {role} reads no topic {topic!r}.{nearest(topic, topics)}", remedy=", ".join(topics), status=USAGE
        )
    around = surroundings(ctx)
    now_us = around.clock_us()
    order = ResumeOrdered(
        event_id=event_id("ResumeOrdered", role, topic, str(now_us)),
        occurred_at_us=now_us,
        subject=f"stage:{role}",
        role=role,
        source=topic,
        reason=reason,
        ordered_by=around.login(),
    )

    async def publish() -> Any:
        async with around.open_client(around.deployment(), None) as client:
            await client.publish("controls", order)

    asyncio.run(publish())
    if as_json:
        say_json(event_json(order))
    else:
        say(f"every {role} reads {topic or 'all its topics'} again within a second; `penstock status` shows it")


def from_run_files(folder: Path) -> Iterable[tuple[tuple[str, str], Standing]]:
    """Give the workers of this machine, by role and name with process id."""
    from streams.run_files import read_json

    for path in sorted(folder.glob("worker-*.json")):
        role, _, number = path.stem.removeprefix("worker-").rpartition("-")
        said = read_json(path) or {}
        worker = f"{number}:{said.get('pid')}"
        why_not, paused = str(said.get("why_not", "")), frozenset(said.get("paused", ()))
        yield (role, worker), Standing(role, worker, bool(said.get("ready")), why_not, said.get("partitions"), paused)


def take_in_reports(events: "Iterable[Record]", found: dict[tuple[str, str], Standing]) -> None:
    """Add what the workers said on ``metrics``, in its order, to their standing."""
    from schemas import StageMeasured, StagePaused, StageRestarted, StageResumed

    for event in events:
        if not isinstance(event, StageMeasured | StagePaused | StageResumed | StageRestarted):
            continue
        each = found.setdefault((event.stage, event.worker), Standing(event.stage, event.worker))
        each.reported_us = max(each.reported_us, event.occurred_at_us)
        if isinstance(event, StageMeasured):
            each.measures.update((measure.name, measure.value) for measure in event.measures)
        elif isinstance(event, StagePaused):
            each.pauses[event.source] = event
        elif isinstance(event, StageResumed):
            each.pauses.pop(event.source, None)
        else:
            each.pauses.clear()
    for each in found.values():
        if each.paused is not None:  # the run file is newer than what reached the topic
            each.pauses = {source: pause for source, pause in each.pauses.items() if source in each.paused}


def _row(each: Standing) -> tuple[object, ...]:
    measures = each.measures
    return (
        each.role,
        each.worker,
        each.state,
        "-" if each.partitions is None else each.partitions,
        f"{measures.get('lag_events_sum', 0):,.0f}",
        f"{measures.get('since_progress_s', 0):.0f} s",
        f"{measures.get('dead_lettered_total', 0):,.0f}",
    )


def _plain(each: Standing) -> dict[str, Any]:
    return {
        "role": each.role,
        "worker": each.worker,
        "ready": each.ready,
        "state": each.state,
        "partitions": each.partitions,
        "measures": each.measures,
        "paused": [event_json(pause) for pause in each.pauses.values()],
    }
