"""Log events are a closed catalogue: every name that a line is written under is in it, and nothing else is."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from streams.log_events import LOG_EVENTS

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("streams", "agents", "analytics", "infra")
LEVELS = frozenset({"debug", "info", "warning", "error", "exception", "critical"})


def is_logger(owner: ast.expr) -> bool:
    """`log`, `self.log`, `self._log`, `_log`, `stage.log`, `logger(...)`."""
    match owner:
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return name.lstrip("_") == "log"
        case ast.Call(func=ast.Name(id="logger")):
            return True
    return False


def names_in(argument: ast.expr) -> Iterator[str | None]:
    match argument:
        case ast.Constant(value=str(name)):
            yield name
        case ast.IfExp(body=body, orelse=other):
            yield from names_in(body)
            yield from names_in(other)
        case _:
            yield None


def written(source: str) -> Iterator[tuple[int, str | None]]:
    """The line and the name of every log line that a module writes; None where the name is no literal."""
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Call(func=ast.Attribute(value=owner, attr=level), args=[first, *_]) if level in LEVELS:
                if is_logger(owner):
                    yield from ((node.lineno, name) for name in names_in(first))
            case ast.Call(func=ast.Attribute(attr="_until_done" | "_within_attempts"), args=[_, first]):
                yield from ((node.lineno, name) for name in names_in(first))


def modules() -> Iterator[Path]:
    for package in PACKAGES:
        yield from sorted((ROOT / package).rglob("*.py"))


def test_every_log_event_is_in_the_catalogue_and_every_name_of_the_catalogue_is_written():
    found: set[str] = set()
    for path in modules():
        for line, name in written(path.read_text(encoding="utf-8")):
            if name is None:
                assert "what, error=" in path.read_text(encoding="utf-8"), f"{path}:{line} writes a computed name"
                continue
            assert name in LOG_EVENTS, f"{path}:{line} writes {name!r}, which streams/log_events.py does not have"
            found.add(name)
    assert found == set(LOG_EVENTS)


@pytest.mark.parametrize(("name", "meaning"), LOG_EVENTS.items())
def test_a_name_is_in_small_letters_and_has_a_meaning(name, meaning):
    assert name == name.lower().replace(" ", "_").replace("-", "_")
    assert meaning


def test_the_search_finds_a_name_wherever_it_is_written():
    source = (
        "self._log.info('a')\nlogger(part='x').error('b', id=1)\nstage.log.warning('c' if x else 'd')\nmath.log.x(2)"
    )
    assert [name for _, name in written(source)] == ["a", "b", "c", "d"]
