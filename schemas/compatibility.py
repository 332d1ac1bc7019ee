"""Refuses a schema that a released reader or writer would not understand.

In: the current ``.avsc`` files and ``schemas/released/<event>/<n>.avsc``, every version that ever left the house. Out: exit
status 0, or 1 with one line for each incompatibility. The rules are those of the ``avro`` package, in both directions:
a reader with the new schema reads what old writers wrote, and old readers read what new writers write.

``python -m schemas.compatibility`` checks (in ``make check``); ``python -m schemas.compatibility --release`` appends the current
version of each changed event to ``released/`` after it passed.
"""

import json
import sys
from pathlib import Path

from avro.compatibility import ReaderWriterCompatibilityChecker, SchemaCompatibilityType
from avro.schema import parse

from schemas import EVENTS
from schemas.generate import FOLDER, rendered, snake


def released_versions(name: str, folder: Path = FOLDER) -> list[Path]:
    """List the released versions of an event, oldest first; ``name`` is the event's type name."""
    return sorted((folder / "released" / snake(name)).glob("*.avsc"), key=lambda p: int(p.stem))


def unreadable(*, reader: str, writer: str) -> list[str]:
    """Say why a reader with one schema (JSON text) cannot read what another wrote; empty when it can."""
    checker = ReaderWriterCompatibilityChecker()  # type: ignore[no-untyped-call]
    result = checker.get_compatibility(reader=parse(reader), writer=parse(writer))
    if result.compatibility is SchemaCompatibilityType.compatible:
        return []
    places = zip(sorted(result.messages), sorted(result.locations), strict=False)
    return [f"{place} {message}" for message, place in places] or ["incompatible"]


def incompatibilities(old: str, new: str) -> list[str]:
    """Say why two schemas (JSON texts) cannot live side by side; empty when they can."""
    backwards, forwards = unreadable(reader=new, writer=old), unreadable(reader=old, writer=new)
    return [
        *(f"a new reader cannot read what was written before: {each}" for each in backwards),
        *(f"a released reader cannot read what is written now: {each}" for each in forwards),
    ]


def check(folder: Path = FOLDER) -> list[str]:
    """Give every breach of the current schemas in ``folder`` against all that was released."""
    breaches = []
    for name in EVENTS:
        current = (folder / f"{snake(name)}.avsc").read_text(encoding="utf-8")
        versions = released_versions(name, folder)
        if not versions:
            breaches.append(f"{name}: never released; run: python -m schemas.compatibility --release")
        for path in versions:
            found = incompatibilities(path.read_text(encoding="utf-8"), current)
            breaches.extend(f"{name} against release {path.stem}: {message}" for message in found)
    return breaches


def release(folder: Path = FOLDER) -> list[str]:
    """Append each event's schema to ``released/`` where it differs from the newest release; the names released."""
    names = []
    for name, event in EVENTS.items():
        versions = released_versions(name, folder)
        text = rendered(event)
        if versions and json.loads(versions[-1].read_text(encoding="utf-8")) == json.loads(text):
            continue
        target = folder / "released" / snake(name) / f"{len(versions) + 1}.avsc"
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text, encoding="utf-8")
        names.append(name)
    return names


def main(arguments: list[str]) -> int:
    """Check, or release; the exit status."""
    breaches = check()
    if "--release" in arguments:
        breaches = [b for b in breaches if "never released" not in b]
        if not breaches:
            sys.stdout.write(f"released: {', '.join(release()) or 'nothing new'}\n")
    for breach in breaches:
        sys.stderr.write(breach + "\n")
    if not breaches:
        sys.stdout.write(f"compatibility: {len(EVENTS)} events understand every release\n")
    return 1 if breaches else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
