"""``penstock doctor``: what this machine lacks, each with its remedy.

In: the machine, looked at by ``infra.doctor``. Out: a line for each requirement. Keeps nothing. Status 1 where one is not met.
"""

from typing import Annotated

import typer

from streams.cli.printing import FAILED, say, say_json
from streams.cli.surroundings import AsJson, surroundings


def add_to(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(doctor)


def doctor(
    ctx: typer.Context,
    port: Annotated[int | None, typer.Option(help="Also look whether this port is free for a broker.")] = None,
    as_json: AsJson = False,
) -> None:
    """Look for what is missing or taken on this machine, and name the remedy.

    Example: penstock doctor
    """
    from infra.doctor import check

    deployment = surroundings(ctx).deployment()
    findings = check(deployment.var, port=port, models=deployment.models_folder)
    if as_json:
        say_json([{"name": f.name, "ok": f.ok, "found": f.found, "remedy": "" if f.ok else f.remedy} for f in findings])
    else:
        width = max((len(finding.name) for finding in findings), default=0)
        for finding in findings:
            say(f"{'ok     ' if finding.ok else 'missing'}  {finding.name:<{width}}  {finding.found}")
            if not finding.ok:
                say(f"{'':<{width + 11}}→ {finding.remedy}")
    if not all(finding.ok for finding in findings):
        raise typer.Exit(FAILED)
