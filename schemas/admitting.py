"""Which schemas of strangers may be read with: those of our events that bring neither harm nor disagreement.

In: a schema's JSON text, as somebody published it, and the event that it claims to describe. Out: the schema rebuilt from
nothing but what the wire needs (names, types, symbols), so that no attribute that a library gives a meaning survives. Keeps
nothing. Fails with ``Inadmissible``, which says why.

What is refused, and what it would do: more than ``MAX_TEXT_BYTES`` of text; a record that contains itself (it reads for ever);
more than ``MAX_NODES`` types when every name is spelled out (a few names that each use the one before twice are a
million); a list whose items take no bytes (a length of 2^60 and nothing behind it keeps a reader busy for ever); another record
than the event's; a type that no event of ours uses; a schema that ours cannot read by Avro's rules.
"""

import json
import re
from typing import Any

from avro.errors import AvroException

from schemas import EVENTS
from schemas.compatibility import unreadable
from schemas.generate import NAMESPACE, rendered

MAX_TEXT_BYTES = 128 * 1024
MAX_NODES = 5_000
MAX_DEPTH = 32

_LEAST_BYTES = {"null": 0, "boolean": 1, "int": 1, "long": 1, "float": 4, "double": 8, "bytes": 1, "string": 1}
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,127}")


class Inadmissible(Exception):
    """A schema that nothing may be read with; the text says why."""


class _Rebuilding:
    """Rebuilds a schema, name by name; ``least`` is how few bytes a named type takes, ``nodes`` how many types it is."""

    def __init__(self) -> None:
        self._named: dict[str, tuple[int, int]] = {}
        self._open: set[str] = set()

    def of(self, schema: Any, depth: int = 0) -> tuple[Any, int, int]:
        """Give the schema rebuilt, the fewest bytes of a value, and its number of types spelled out."""
        if depth > MAX_DEPTH:
            raise Inadmissible(f"it is nested more than {MAX_DEPTH} deep")
        rebuilt, least, nodes = self._of(schema, depth)
        if nodes > MAX_NODES:
            raise Inadmissible(f"it has more than {MAX_NODES:,} types when its names are spelled out")
        return rebuilt, least, nodes

    def _of(self, schema: Any, depth: int) -> tuple[Any, int, int]:
        match schema:
            case str():
                return self._of_name(schema)
            case list():
                return self._union(schema, depth)
            case {"type": "array", "items": items}:
                inner, least, nodes = self.of(items, depth + 1)
                if least == 0:
                    raise Inadmissible("it has a list whose items take no bytes")
                return {"type": "array", "items": inner}, 1, nodes + 1
            case {"type": "map", "values": values}:
                inner, _, nodes = self.of(values, depth + 1)
                return {"type": "map", "values": inner}, 1, nodes + 1
            case {"type": "enum", "name": name, "symbols": [_, *_] as symbols}:
                rebuilt = {"type": "enum", "name": self._new(name), "symbols": [_name(s) for s in symbols]}
                self._named[name] = (1, 1)
                return rebuilt, 1, 1
            case {"type": "record", "name": name, "fields": list(fields)}:
                return self._record(name, fields, depth)
            case {"type": (str() | dict() | list()) as inner} if inner not in ("record", "enum", "array", "map"):
                return self.of(inner, depth + 1)
        raise Inadmissible(f"it has a type that none of our events use: {json.dumps(schema)[:80]}")

    def _of_name(self, name: str) -> tuple[Any, int, int]:
        if name in _LEAST_BYTES:
            return name, _LEAST_BYTES[name], 1
        name = name.removeprefix(f"{NAMESPACE}.")
        if name in self._open:
            raise Inadmissible(f"{name[:80]} contains itself")
        if name not in self._named:
            raise Inadmissible(f"it uses {name[:80]!r}, which it does not define")
        return name, *self._named[name]

    def _union(self, branches: list[Any], depth: int) -> tuple[Any, int, int]:
        found = [self.of(branch, depth + 1) for branch in branches]
        if not found:
            raise Inadmissible("it has a union of nothing")
        return [each for each, _, _ in found], 1, 1 + sum(nodes for _, _, nodes in found)

    def _record(self, name: Any, fields: list[Any], depth: int) -> tuple[Any, int, int]:
        self._open.add(self._new(name))
        rebuilt, least, nodes = [], 0, 1
        for field in fields:
            if not isinstance(field, dict) or "name" not in field or "type" not in field:
                raise Inadmissible(f"{name} has a field without a name or a type")
            inner, bytes_of_it, nodes_of_it = self.of(field["type"], depth + 1)
            rebuilt.append({"name": _name(field["name"]), "type": inner})
            least, nodes = least + bytes_of_it, nodes + nodes_of_it
        if len({field["name"] for field in rebuilt}) < len(rebuilt):
            raise Inadmissible(f"{name} has two fields of one name")
        self._open.remove(name)
        self._named[name] = (least, nodes)
        return {"type": "record", "name": name, "fields": rebuilt}, least, nodes

    def _new(self, name: Any) -> str:
        if _name(name) in self._named or name in self._open or name in _LEAST_BYTES:
            raise Inadmissible(f"it defines {name} twice")
        return str(name)


def _name(stated: Any) -> str:
    if not isinstance(stated, str) or not _NAME.fullmatch(stated):
        raise Inadmissible(f"{str(stated)[:80]!r} is no name")
    return stated


def admitted(event_type: str, text: str) -> dict[str, Any]:
    """Give the schema to read a stranger's ``event_type`` with, or raise ``Inadmissible``."""
    if event_type not in EVENTS:
        raise Inadmissible(f"{event_type[:80]!r} is no event of this release")
    if len(text.encode("utf-8", "replace")) > MAX_TEXT_BYTES:
        raise Inadmissible(f"its text has more than {MAX_TEXT_BYTES:,} bytes")
    try:
        schema = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise Inadmissible(f"its text is no JSON ({type(error).__name__})") from error
    if not isinstance(schema, dict) or (schema.get("type"), schema.get("namespace"), schema.get("name")) != (
        "record",
        NAMESPACE,
        event_type,
    ):
        raise Inadmissible(f"it is not the record {NAMESPACE}.{event_type}")
    rebuilt, _, _ = _Rebuilding().of(schema)
    rebuilt = {"type": "record", "name": event_type, "namespace": NAMESPACE, "fields": rebuilt["fields"]}
    try:
        disagreements = unreadable(reader=rendered(EVENTS[event_type]), writer=json.dumps(rebuilt))
    except AvroException as error:  # a symbol twice, and what else the specification forbids
        raise Inadmissible(f"it is no Avro schema: {error}"[:500]) from error
    if disagreements:
        raise Inadmissible("; ".join(disagreements)[:500])
    return rebuilt
