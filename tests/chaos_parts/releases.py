"""Two releases of the source side by side: this one, and a later one whose events have a field more.

In: a folder. Out: a copy of the packages with the field added and its schemas generated anew, as a developer would; commands that
run a role of either; the later release's way to write a request. Keeps the copy, and which role runs which release.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from io import BytesIO
from pathlib import Path
from typing import Any

import msgspec
from fastavro import parse_schema, schemaless_writer

from schemas import Record, RequestReceived, SchemaPublished
from schemas.generate import snake
from streams.codec import MARKER, Codec, fingerprint_of
from streams.deployment import ROOT
from streams.identity import event_id

FOLDERS = ("schemas", "streams", "agents", "analytics", "infra", "docs")
CHANGED = ("RequestReceived", "RequestRouted", "GenerationCompleted", "ResponseReady")
FIELD = "weather"
WORD = "sunny"


class Releases:
    """Which release each role runs; this one until ``upgrade`` says otherwise."""

    def __init__(self, folder: Path) -> None:
        self.later = _later_release(folder / "later")
        self._upgraded: set[str] = set()

    def upgrade(self, role: str) -> None:
        """Have the role's next process be of the later release."""
        self._upgraded.add(role)

    def go_back(self, role: str) -> None:
        """Have the role's next process be of this release again."""
        self._upgraded.discard(role)

    def command(self, role: str) -> list[str]:
        """Give the command that runs a role; -P, or the working folder would be imported first."""
        tree = self.later if role in self._upgraded else ROOT
        return ["/usr/bin/env", f"PYTHONPATH={tree}", sys.executable, "-P", "-m", "streams.worker", role]


def _later_release(tree: Path) -> Path:
    """Copy the packages and add a field to some events."""
    for folder in FOLDERS:
        shutil.copytree(ROOT / folder, tree / folder, ignore=shutil.ignore_patterns("__pycache__"))
    for name in CHANGED:
        path = tree / "schemas" / f"{snake(name)}.py"
        source = path.read_text(encoding="utf-8")
        changed, count = re.subn(
            rf'(class {name}\(Record.*?\):\n    """.*?"""\n)',
            rf'\1\n    {FIELD}: str = "{WORD}"\n    """How the weather was."""\n',
            source,
            flags=re.DOTALL,
        )
        assert count == 1, path
        path.write_text(changed, encoding="utf-8")
    run = [sys.executable, "-P", "-m", "schemas.generate"]
    subprocess.run(run, env={"PYTHONPATH": str(tree)}, check=True, capture_output=True, timeout=60)
    compiled = [sys.executable, "-m", "compileall", "-q", str(tree)]  # as a release that is installed is
    subprocess.run(compiled, check=True, capture_output=True, timeout=60)
    return tree


class LaterCodec(Codec):
    """Writes requests as the later release does, and all else as this one."""

    def __init__(self, releases: Releases) -> None:
        super().__init__()
        self._text = (releases.later / "schemas" / "request_received.avsc").read_text(encoding="utf-8")
        self._later: Any = parse_schema(json.loads(self._text))

    def encode(self, event: Record) -> bytes:
        if not isinstance(event, RequestReceived):
            return super().encode(event)
        out = BytesIO()
        schemaless_writer(out, self._later, msgspec.to_builtins(event))
        return MARKER + fingerprint_of(self._later) + out.getvalue()

    def published(self) -> SchemaPublished:
        """The schema, as the later release's client publishes it when it opens."""
        fingerprint = fingerprint_of(self._later).hex()
        return SchemaPublished(
            event_id=event_id("SchemaPublished", fingerprint),
            occurred_at_us=0,
            fingerprint=fingerprint,
            event_type="RequestReceived",
            schema=self._text,
        )
