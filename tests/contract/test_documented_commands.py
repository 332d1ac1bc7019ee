"""What README and docs tell a reader to type works: commands, make targets, SQL, YAML.

A command line in a code block must parse as it stands; within a sentence it may be a command's name, or leave values out.
Every checker here is shown a bad case too.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import pytest
import yaml
from pydantic import BaseModel, ValidationError
from typer.main import get_command

from agents.deciding.catalogue_file import CatalogueFile, ProviderEntry, build_catalogue
from agents.deciding.governance import GovernanceFile
from agents.deciding.policy_file import PolicyFile, check_policy_file
from agents.deciding.workflow import Workflow, check_workflow
from agents.loading.reading import load_catalogue, load_policy, load_settings
from analytics.public import NAME, publish
from analytics.storage import Storage
from streams.cli.main import app

ROOT = Path(__file__).resolve().parents[2]
PAGES = (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))
PLACEHOLDERS = {"ROLE": "router", "PORT": "9092", "VERSION": "11", "N": "2"}
"""Words that stand for a value that must be a number or one of a few names; every other placeholder is a text already."""
NOT_COMPLETE = {"MissingParameter", "BadOptionUsage"}
"""Errors that a command within a sentence may have: an argument or an option's value is left out."""
OTHER_SOURCES = {"handbook"}
"""Sources of examples that a reader makes."""

Place = tuple[str, str]
"""(page, what stands there)."""


def blocks(text: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", text, flags=re.DOTALL | re.MULTILINE)


def spans(text: str) -> list[str]:
    """Inline code, outside of code blocks."""
    return re.findall(r"`([^`\n]+)`", re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE))


def is_command(line: str) -> bool:
    return re.match(r"(\w+=\S+ )*(\.venv/bin/)?penstock( |$)", line) is not None


def commands_in_blocks(text: str) -> list[str]:
    return [line for block in blocks(text, "bash") for line in block.splitlines() if is_command(line)]


def commands_in_sentences(text: str) -> list[str]:
    return [span for span in spans(text) if is_command(span)]


def everywhere(find: Any) -> list[Place]:
    return [(page.name, each) for page in PAGES for each in dict.fromkeys(find(page.read_text(encoding="utf-8")))]


def words_of(line: str) -> list[str]:
    words = shlex.split(re.split(r" [|>] ", line)[0], comments=True)
    start = next(place for place, word in enumerate(words) if word.endswith("penstock"))
    return [PLACEHOLDERS.get(word, word) for word in words[start + 1 :]]


def understood(line: str, *, complete: bool) -> None:
    """Parse a command line as typer does. ``LookupError`` for no such command, typer's own error for anything else."""
    command: Any = get_command(app)
    words = words_of(line)
    path: list[str] = []
    while hasattr(command, "commands"):
        if not words or words[0].startswith("-"):
            options = {option for each in command.params for option in each.opts}
            if (words or complete) and not (words and set(words) <= options):
                raise LookupError(f"no command {' '.join([*path, *words])!r}")
            return
        if words[0] not in command.commands:
            raise LookupError(f"no command {' '.join([*path, words[0]])!r}")
        path.append(words[0])
        command, words = command.commands[words[0]], words[1:]
    try:
        command.make_context(" ".join(path), words)
    except Exception as error:
        if complete or type(error).__name__ not in NOT_COMPLETE:
            raise


@pytest.mark.parametrize(("page", "line"), everywhere(commands_in_blocks))
def test_every_command_line_in_a_code_block_parses(page, line):
    understood(line, complete=True)


@pytest.mark.parametrize(("page", "line"), everywhere(commands_in_sentences))
def test_every_command_in_a_sentence_exists_and_has_the_options(page, line):
    understood(line, complete=False)


@pytest.mark.parametrize(
    ("line", "complete"),
    [
        ("penstock profiles lst", False),
        ("penstock override", True),
        ("penstock override max_chunk_size 500", False),
        ("penstock dlq replay evaluator --event-id X", False),
        ("penstock send", True),
        ("penstock up --port", True),
        ("penstock up --port many", False),
        ("penstock worker painter", False),
        ("penstock --colour", False),
    ],
)
def test_a_command_line_that_does_not_parse_is_noticed(line, complete):
    with pytest.raises(Exception, match=r"(?i)no command|no such option|missing|requires|valid integer|not one of"):
        understood(line, complete=complete)


def test_commands_are_found_in_blocks_and_in_sentences():
    text = "Run `penstock up`, not `up`.\n\n```bash\nA=1 penstock down  # all\nmake up\n.venv/bin/penstock sql x\n```\n"
    assert commands_in_sentences(text) == ["penstock up"]
    assert commands_in_blocks(text) == ["A=1 penstock down  # all", ".venv/bin/penstock sql x"]
    assert [words_of(line) for line in commands_in_blocks(text)] == [["down"], ["sql", "x"]]


# Make


def targets(text: str) -> list[str]:
    said = [*spans(text), *(line for block in blocks(text, "bash") for line in block.splitlines())]
    return [found[1] for each in said if (found := re.match(r"make ([a-z-]+)\b", each))]


def made(makefile: str) -> set[str]:
    return set(re.findall(r"^([a-z-]+):(?!=)", makefile, flags=re.MULTILINE))


@pytest.mark.parametrize(("page", "target"), everywhere(targets))
def test_every_make_target_exists(page, target):
    assert target in made((ROOT / "Makefile").read_text(encoding="utf-8"))


def test_a_make_target_that_does_not_exist_is_noticed():
    assert targets("`make tea`\n```bash\nmake coffee PYTHON=x\n```\n") == ["tea", "coffee"]
    assert made("VAR := x\ntea: water ## brew\n\t@boil\n") == {"tea"}


# SQL


def queries(text: str) -> list[str]:
    in_blocks = [each.strip() for block in blocks(text, "sql") for each in block.split(";") if each.strip()]
    lines = [*commands_in_blocks(text), *commands_in_sentences(text)]
    asked = [words[1] for line in lines if (words := words_of(line))[:1] == ["sql"] and len(words) > 1]
    return [*in_blocks, *(query for query in asked if not query.startswith("-"))]


@pytest.fixture(scope="module")
def views(tmp_path_factory: pytest.TempPathFactory) -> Iterator[duckdb.DuckDBPyConnection]:
    storage = Storage(tmp_path_factory.mktemp("documented") / "analytics", "cluster")
    publish(storage, 0)
    with duckdb.connect(str(storage.folder / NAME), read_only=True) as connection:
        yield connection
    storage.close()


@pytest.mark.parametrize(("page", "query"), everywhere(queries))
def test_every_query_runs_on_the_public_views(page, query, views):
    views.execute(query).fetchall()


def test_a_query_of_a_column_that_there_is_not_is_noticed(views):
    (query,) = queries("```sql\nselect org from cost_by_org_day;\n```\n")
    with pytest.raises(duckdb.Error, match="org"):
        views.execute(query)


def documented_columns(text: str) -> dict[str, list[str]]:
    """View to the columns that its passage names, up to the sentence that begins with another subject."""
    passages = re.findall(r"^### (\w+)\n(.*?)(?=^##)", text, flags=re.MULTILINE | re.DOTALL)
    named = {view: re.search(r"Columns (?:include|are) (.*?)\.(?:\s|$)", passage) for view, passage in passages}
    return {view: re.findall(r"`(\w+)`", found[1]) for view, found in named.items() if found}


def test_every_documented_column_is_in_its_view(views):
    said = documented_columns((ROOT / "docs" / "analytics.md").read_text(encoding="utf-8"))
    assert {"requests", "outcomes", "strategy_performance", "optimizations", "cost_by_org_day"} <= said.keys()
    for view, columns in said.items():
        there = {row[0] for row in views.execute(f"DESCRIBE {view}").fetchall()}
        assert set(columns) <= there, view


# YAML


def checked(content: dict[str, Any]) -> BaseModel:
    """Validate an example by what it is; a part of a workflow or of a catalogue as that part."""
    if "workflow" in content:
        workflow = Workflow.model_validate(content)
        catalogue = load_catalogue(ROOT / "infra" / "strategies.yaml", {"PENSTOCK_PROVIDER": "embedded"})
        sources = {*load_settings(ROOT / "infra" / "penstock.yaml").sources, *OTHER_SOURCES}
        complaints = check_workflow(workflow, catalogue, sources)
        assert not complaints, complaints
        return workflow
    if content.keys() & {"fixed", "shares", "profile"}:
        policy = PolicyFile.model_validate(content)
        catalogue = load_catalogue(ROOT / "infra" / "strategies.yaml", {"PENSTOCK_PROVIDER": "embedded"})
        assert not check_policy_file(policy, catalogue)
        return policy
    if "strategies" in content:
        file = CatalogueFile.model_validate(content)
        build_catalogue(file, {})
        return file
    if "providers" in content:
        (provider,) = content["providers"].values()
        return ProviderEntry.model_validate(provider)
    if content.keys() <= GovernanceFile.model_fields.keys():
        return GovernanceFile.model_validate(content)
    whole = {"name": "example", "version": "1.0.0", "workflow": {"nodes": [{"id": "answer"}]}}
    if content.keys() <= Workflow.model_fields.keys():
        return checked({**whole, **content})
    return checked({**whole, "workflow": {"nodes": [{"id": "answer", **content}]}})


def test_the_policy_that_comes_along_is_valid():
    catalogue = load_catalogue(ROOT / "infra" / "strategies.yaml", {"PENSTOCK_PROVIDER": "embedded"})
    for path in (ROOT / "examples" / "policies").iterdir():
        load_policy(path, catalogue)


def examples(text: str) -> list[str]:
    inline = [span for span in spans(text) if re.fullmatch(r"(context|preferences|settings|agent|tools): .+", span)]
    return [*blocks(text, "yaml"), *inline]


@pytest.mark.parametrize(("page", "example"), everywhere(examples))
def test_every_yaml_example_is_valid(page, example):
    checked(yaml.safe_load(example))


@pytest.mark.parametrize(
    "example",
    [
        "context: {strategie: semantic}",
        "content_types: {legal: [one, two]}",
        "sources: {docs: docs}",
        "providers: {x: {models: {simple: {name: m}}}}",
        "strategies: {tiers: [simple]}",
        "{name: x, version: '1', workflow: {nodes: []}}",
    ],
)
def test_a_yaml_example_that_is_not_valid_is_noticed(example):
    with pytest.raises(ValidationError):
        checked(yaml.safe_load(example))
