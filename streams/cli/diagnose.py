"""``penstock diagnose``: since when quality or satisfaction is lower, what accounts for how much of it, and what to do.

In: the public views. Out: a diagnosis for each workflow in which something fell beyond chance, as text or as JSON; with
``--publish`` also as QualityFell on ``metrics``. Keeps nothing. Status 1 where something fell, 2 where there is nothing to look
at.
"""

import asyncio
from typing import TYPE_CHECKING, Annotated

import typer

from streams.cli.moments import moment_us
from streams.cli.printing import FAILED, USAGE, Failure, event_json, say, say_json, show_table, when
from streams.cli.surroundings import AsJson, surroundings

if TYPE_CHECKING:
    from schemas import FallPart, QualityFell

_MOST = 100_000
_MEASURES = ("quality", "satisfaction")


def add_to(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(diagnose)


def diagnose(
    ctx: typer.Context,
    workflow: Annotated[str | None, typer.Option(help="Only this workflow.")] = None,
    since: Annotated[str, typer.Option(help="From when on the log is looked at.")] = "7d",
    of: Annotated[str, typer.Option(help="quality, or satisfaction (rated answers only).")] = "quality",
    publish: Annotated[bool, typer.Option("--publish", help="Publish what was found as an event, too.")] = False,
    limit: Annotated[int, typer.Option(min=100, help="At most so many requests, the newest.")] = _MOST,
    as_json: AsJson = False,
) -> None:
    """Find out when quality fell, which content types, strategies, models, versions or sources account for it, and what to do.

    Example: penstock diagnose --workflow docs_help --since 7d
    """
    from analytics.diagnosing.diagnosis import diagnose as diagnosed
    from analytics.diagnosing.reading import read_logged
    from analytics.query import open_public

    if of not in _MEASURES:
        raise Failure(f"--of is quality or satisfaction, not {of!r}.", status=USAGE)
    around = surroundings(ctx)
    since_us = moment_us(since, "--since", around.clock_us())
    with open_public(around.deployment()) as connection:
        logs = read_logged(connection, since_us=since_us, workflow=workflow, measure=of, most=limit)
    if not logs:
        raise Failure(
            "There is no request with an outcome since then.",
            remedy='Ask for a longer time (--since 30d), or `penstock sql "FROM outcomes"` to see what is stored.',
            status=USAGE,
        )
    found = [fall for fall in map(diagnosed, logs) if fall is not None]
    if publish:
        for fall in found:
            asyncio.run(_publish(ctx, fall))
    if as_json:
        say_json([event_json(fall) for fall in found])
    for fall in [] if as_json else found:
        _show(fall)
    if not found and not as_json:
        looked = sum(len(log.values) for log in logs)
        say(f"nothing fell beyond chance in {looked:,} requests of {len(logs)} workflow{'' if len(logs) == 1 else 's'}")
    if found:
        raise typer.Exit(FAILED)


async def _publish(ctx: typer.Context, fall: "QualityFell") -> None:
    around = surroundings(ctx)
    async with around.open_client(around.deployment(), None) as client:
        await client.publish("metrics", fall)


def _show(fall: "QualityFell") -> None:
    say(
        f"{fall.measure} of {fall.workflow} fell from {fall.before:.3f} to {fall.after:.3f} at {when(fall.since_us)} "
        f"(between {when(fall.earliest_us)} and {when(fall.latest_us)})"
    )
    say(
        f"{fall.requests_before:,} requests before, {fall.requests_after:,} after; the chance of such a fall where nothing "
        f"has changed is {fall.chance:.4f} at most"
    )
    for advice in fall.advice:
        say(f"- {advice.sentence}")
        if advice.command:
            say(f"    {advice.command}")
    size = fall.before - fall.after
    rows = [_row(part, size) for part in fall.parts]
    show_table(("", "group", "share", "quality", "of the fall", "worse", "mix", "95 %"), rows)


def _row(part: "FallPart", size: float) -> tuple[str, ...]:
    def mean(amount: float | None) -> str:
        return "-" if amount is None else f"{amount:.3f}"

    total = part.within + part.mix
    return (
        part.dimension,
        part.group,
        f"{part.share_before:.0%} to {part.share_after:.0%}",
        f"{mean(part.quality_before)} to {mean(part.quality_after)}",
        f"{total / size:.0%}",
        f"{part.within:+.3f}",
        f"{part.mix:+.3f}",
        f"{total - part.error:+.3f} to {total + part.error:+.3f}",
    )
