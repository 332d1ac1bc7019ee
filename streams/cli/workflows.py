"""``penstock workflow``: check workflow files, and list what is loaded.

In: files or folders, the catalogue and the settings of the deployment. Out: every mistake at its line, or the workflows. Keeps
nothing. Status 1 where a file has a mistake.
"""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from streams.cli.printing import FAILED, note, say, say_json, show_table
from streams.cli.surroundings import AsJson, surroundings

if TYPE_CHECKING:
    from streams.deployment import Deployment

app = typer.Typer(no_args_is_help=True, help="Check and list workflows.")


@app.command()
def validate(
    ctx: typer.Context,
    paths: Annotated[
        list[Path] | None, typer.Argument(metavar="[FILE|FOLDER]...", help="By default the deployment's folder.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Check workflow files; all mistakes at once, each with file, line, what was expected and the nearest valid name.

    Example: penstock workflow validate examples/workflows
    """
    from agents.loading.problems import InvalidFile
    from agents.loading.reading import load_workflow, load_workflows

    deployment = surroundings(ctx).deployment()
    catalogue, sources, problems = _surrounding_files(deployment)
    names: list[str] = []
    for path in paths or [deployment.workflows]:
        try:
            if path.is_dir():
                names += load_workflows(path, catalogue, sources)
            else:
                names.append(load_workflow(path, catalogue, sources).name)
        except InvalidFile as error:
            problems += error.problems
    if as_json:
        say_json({"valid": names, "problems": [_problem(each) for each in problems]})
    else:
        for problem in problems:
            note(str(problem))
        if names:
            say(f"valid: {', '.join(names)}")
        elif not problems:
            say("there is no workflow here")
    if problems:
        raise typer.Exit(FAILED)


@app.command("list")
def list_workflows(ctx: typer.Context, as_json: AsJson = False) -> None:
    """List the workflows that callers may name.

    Example: penstock workflow list
    """
    from agents.loading.problems import InvalidFile
    from agents.loading.reading import load_workflows

    deployment = surroundings(ctx).deployment()
    catalogue, sources, problems = _surrounding_files(deployment)
    if problems:
        raise InvalidFile(problems)
    workflows = load_workflows(deployment.workflows, catalogue, sources)
    if as_json:
        say_json([workflow.model_dump(mode="json") for workflow in workflows.values()])
        return
    rows = [
        (each.name, each.version, ", ".join(node.id for node in each.workflow.nodes)) for each in workflows.values()
    ]
    show_table(("workflow", "version", "nodes"), rows)


def _surrounding_files(deployment: "Deployment") -> tuple[Any, Any, list[Any]]:
    from agents.loading.problems import InvalidFile
    from agents.loading.reading import load_catalogue, load_settings

    problems: list[Any] = []
    catalogue = sources = None
    try:
        catalogue = load_catalogue(deployment.catalogue, os.environ)
    except InvalidFile as error:
        problems += error.problems
    try:
        sources = set(load_settings(deployment.settings).sources)
    except InvalidFile as error:
        problems += error.problems
    return catalogue, sources, problems


def _problem(problem: Any) -> dict[str, Any]:
    names = ("file", "line", "column", "path", "found", "expected", "nearest", "reason")
    return {**{name: getattr(problem, name) for name in names}, "sentence": str(problem)}
