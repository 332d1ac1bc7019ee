"""Mistakes in files, with their positions, as one sentence each.

Comes in: pydantic's errors and the complaints of ``agents.deciding``, and the positions of a
``Document``. Goes out: ``Problem``, and ``InvalidFile``, which carries all of them. Keeps nothing.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from agents.deciding.mistakes import Complaint, Path, nearest_names

MAX_SHOWN = 60


@dataclass(frozen=True, order=True)
class Position:
    """A place in a file; lines and columns count from 1."""

    line: int
    column: int


@dataclass(frozen=True)
class Problem:
    """One mistake: where it is, what was found, what was expected, the nearest valid name.

    ``line`` and ``column`` count from 1; ``path`` is written as ``workflow.nodes[0].agent`` and is
    empty for the whole file. ``nearest`` is empty where no valid name is similar; ``reason``,
    where given, is a whole sentence said instead of "found, expected".
    """

    file: str
    line: int
    column: int
    path: str
    found: str
    expected: str
    nearest: str = ""
    reason: str = ""

    def __str__(self) -> str:
        place = f" {self.path}:" if self.path else ""
        said = self.reason or f"found {self.found}, expected {self.expected}"
        hint = f"; did you mean {self.nearest}?" if self.nearest else ""
        return f"{self.file}:{self.line}:{self.column}:{place} {said}{hint}"


class InvalidFile(ValueError):
    """One or several files with mistakes; ``problems`` holds all of them, in reading order."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(sorted(dict.fromkeys(problems), key=lambda each: (each.file, each.line, each.column)))
        super().__init__("\n".join(str(each) for each in self.problems))


def shown(value: object) -> str:
    """A value as a reader of the file recognises it, at most MAX_SHOWN characters of it."""
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, list | tuple):
        return f"a list of {len(value)}"
    text = repr(value)
    return text if len(text) <= MAX_SHOWN else f"{text[:MAX_SHOWN]}..."


def written(path: Path) -> str:
    """The path as a person writes it: ``workflow.nodes[0].agent``."""
    parts = (f"[{part}]" if isinstance(part, int) else f".{part}" for part in path)
    return "".join(parts).removeprefix(".")


def located(file: str, position: Position, complaint: Complaint) -> Problem:
    """The complaint at its position, with the nearest of the valid names."""
    found = complaint.found
    nearest = nearest_names(found, complaint.valid) if isinstance(found, str) else ()
    said = f"the key {shown(found)}" if complaint.about_key else shown(found)
    return Problem(
        file,
        position.line,
        position.column,
        written(complaint.path),
        said,
        complaint.expected,
        nearest[0] if nearest else "",
        complaint.reason,
    )
