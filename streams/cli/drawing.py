"""``penstock topology``: the graph of roles and topics, from its one declaration.

In: ``streams/topics.py`` and the documents that carry its picture. Out: the drawing, or the difference. Keeps nothing; with
``--write`` it rewrites the documents. Fails with status 1 where a document differs.
"""

from pathlib import Path
from typing import Annotated, Literal

import typer

from streams.cli.printing import FAILED, Failure, note, say, say_json
from streams.cli.surroundings import AsJson

Form = Literal["mermaid", "table", "json"]


def add_to(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(topology)


def topology(
    form: Annotated[Form, typer.Option("--format", help="mermaid, table (markdown) or json.")] = "mermaid",
    check: Annotated[bool, typer.Option("--check", help="Compare README.md and docs/topics.md with the code.")] = False,
    write: Annotated[bool, typer.Option("--write", help="Write the drawings into those documents.")] = False,
    root: Annotated[Path | None, typer.Option(help="The project's folder; by default this installation's.")] = None,
    as_json: AsJson = False,
) -> None:
    """Draw the graph of roles and topics from its declaration in streams/topics.py.

    Example: penstock topology --format table
    """
    from streams import topology as drawings

    if check or write:
        _compare(root, write=write, as_json=as_json)
    elif as_json or form == "json":
        say_json(drawings.values())
    elif form == "table":
        say(drawings.table().rstrip("\n"))
    else:
        say(drawings.mermaid().rstrip("\n"))


def _compare(root: Path | None, *, write: bool, as_json: bool) -> None:
    from streams import topology as drawings
    from streams.deployment import ROOT

    folder = root or ROOT
    found = _difference(
        folder, "README.md", drawings.PICTURE_MARKER, drawings.fenced_mermaid(), demanded=True, write=write
    )
    found |= _difference(folder, "docs/topics.md", drawings.TABLE_MARKER, drawings.table(), demanded=False, write=write)
    if as_json:
        say_json({"differing": found, "written": write})
    elif write:
        say(f"topology: {', '.join(found) or 'nothing'} written")
    elif not found:
        say("topology: the documents show what the code declares")
    else:
        for difference in found.values():
            say(difference)
        note("Run `penstock topology --write`.")
    if found and not write:
        raise typer.Exit(FAILED)


def _difference(folder: Path, name: str, marker: str, block: str, *, demanded: bool, write: bool) -> dict[str, str]:
    """Give the document's difference by its name, or nothing; with ``write``, the document is made right."""
    from streams import topology as drawings

    path = folder / name
    document = path.read_text(encoding="utf-8") if path.exists() else ""
    wanted = drawings.with_block(document, marker, block)
    if wanted is None and demanded:
        raise Failure(
            f"{name} has no place for the picture.",
            remedy=f"Put <!-- {marker}:begin --> and <!-- {marker}:end --> where it belongs, and run this with --write.",
        )
    difference = drawings.difference(document, wanted, name) if wanted is not None else ""
    if not difference or wanted is None:
        return {}
    if write:
        path.write_text(wanted, encoding="utf-8")
    return {name: difference}
