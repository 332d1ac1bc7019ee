"""The command line and its page agree: every command is documented, and every documented command exists."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import pytest
from typer.main import get_command
from typer.testing import CliRunner

from streams import supervisor
from streams.cli.main import app
from streams.cli.running import Role
from streams.topics import STAGES
from streams.worker import ROLES

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "command-line.md"


def commands(group: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, Any]]:
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from commands(command, (*path, name))
        else:
            yield " ".join((*path, name)), command


COMMANDS = dict(commands(get_command(app)))
NAMES = sorted(COMMANDS)


def documented_lines(page: Path = PAGE) -> list[str]:
    """Every command line of the page: in code blocks, and in code within a sentence where it is more than words."""
    found = []
    for block in re.findall(r"```bash\n(.*?)```", page.read_text(encoding="utf-8"), flags=re.DOTALL):
        found += [line for line in block.splitlines() if re.match(r"(\w+=\S+ )*penstock\b", line)]
    return found


def words_of(line: str) -> list[str]:
    words = shlex.split(line.split(" | ", maxsplit=1)[0], comments=True)
    return words[words.index("penstock") + 1 :]


def resolved(words: list[str]) -> tuple[str, Any, list[str]]:
    """The command that these words call, and the words that are its arguments."""
    command: Any = get_command(app)
    path: list[str] = []
    while hasattr(command, "commands"):
        if not words or words[0] not in command.commands:
            raise LookupError(f"no command {' '.join([*path, *words[:1]])}")
        path.append(words[0])
        command, words = command.commands[words[0]], words[1:]
    return " ".join(path), command, words


def test_every_command_is_on_the_page():
    text = PAGE.read_text(encoding="utf-8")
    missing = [name for name in NAMES if not re.search(rf"penstock {name}\b", text)]
    assert missing == []


@pytest.mark.parametrize("line", documented_lines())
def test_every_command_line_of_the_page_is_understood(line):
    name, command, arguments = resolved(words_of(line))
    command.make_context(name, arguments)


@pytest.mark.parametrize("name", NAMES)
def test_every_command_has_json(name):
    assert "--json" in {option for each in COMMANDS[name].params for option in each.opts}


@pytest.mark.parametrize("name", NAMES)
def test_every_command_has_a_help_text_with_an_example_that_it_understands(name):
    lines = [line.strip() for line in (COMMANDS[name].help or "").splitlines()]
    (example,) = [line.removeprefix("Example: ") for line in lines if line.startswith("Example: ")]
    called, command, arguments = resolved(words_of(example))
    assert called == name
    command.make_context(name, arguments)
    assert CliRunner().invoke(app, [*name.split(), "--help"]).exit_code == 0


def test_a_command_line_that_there_is_not_is_found_out():
    with pytest.raises(LookupError, match="no command profiles lst"):
        resolved(words_of("penstock profiles lst"))
    _, command, arguments = resolved(words_of("penstock tail requests --form -5"))
    with pytest.raises(Exception, match="--form"):
        command.make_context("tail", arguments)


def test_worker_offers_every_role_and_the_supervisor_starts_every_role():
    assert get_args(Role) == tuple(ROLES)
    assert set(supervisor.ROLES) == set(ROLES) == {"models", *STAGES}


def test_the_help_loads_none_of_the_heavy_libraries():
    heavy = (
        "faust",
        "aiokafka",
        "confluent_kafka",
        "duckdb",
        "pyarrow",
        "numpy",
        "openai",
        "pydantic",
        "fastavro",
        "torch",
    )
    program = (
        "import sys\nfrom streams.cli.main import app\n"
        "try:\n    app(['--help'])\nexcept SystemExit:\n    pass\n"
        f"print('LOADED', *[name for name in {heavy!r} if name in sys.modules])"
    )
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=ROOT, check=True)
    assert ran.stdout.splitlines()[-1].split() == ["LOADED"]


def test_the_version_is_that_of_the_package():
    assert re.fullmatch(r"penstock \d+\.\d+\.\d+\n", CliRunner().invoke(app, ["--version"]).stdout)
