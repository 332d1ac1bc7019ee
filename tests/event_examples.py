"""The examples of every event under schemas/examples, as tests use them."""

from __future__ import annotations

from pathlib import Path

import msgspec

from schemas import EVENTS, Record
from schemas.generate import FOLDER, snake

EXAMPLES = FOLDER / "examples"
KINDS = ("minimal", "full", "nasty")
ALL = [(name, kind) for name in EVENTS for kind in KINDS]


def path_of(name: str, kind: str) -> Path:
    return EXAMPLES / snake(name) / f"{kind}.json"


def example(name: str, kind: str = "full") -> Record:
    """The example as a record; bytes stand in JSON as base64."""
    return msgspec.json.decode(path_of(name, kind).read_bytes(), type=EVENTS[name])
