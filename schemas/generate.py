"""Writes one ``.avsc`` beside each record, from the record itself.

In: the event types of ``schemas.EVENTS``. Out: ``schemas/<event>.avsc``, each complete in itself (nested records are
spelled out at their first use), so that other languages need one file an event. ``python -m schemas.generate`` writes,
``--check`` only compares and exits 1 when a file is stale.

Types map as: str string, int long, float double, bool boolean, bytes bytes, ``X | None`` a union with null (the default's
type first, as Avro demands), ``tuple[X, ...]`` array, ``dict[str, X]`` map, ``Literal`` enum (a symbol that a
reader does not know is read as the last), a ``Part`` record. Field
documentation is the string under the field. Anything else raises ``TypeError`` naming the field.
"""

import ast
import inspect
import json
import re
import sys
import textwrap
import types
from functools import cache
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import msgspec

from schemas import EVENTS
from schemas.record import Part, Record

NAMESPACE = "penstock"
FOLDER = Path(__file__).parent

_PRIMITIVES: dict[type, str] = {
    str: "string",
    int: "long",
    float: "double",
    bool: "boolean",
    bytes: "bytes",
}


def snake(name: str) -> str:
    """Give the file name of an event: ``RequestReceived`` is ``request_received``."""
    return re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower()


@cache
def _field_docs(cls: type) -> dict[str, str]:
    docs: dict[str, str] = {}
    for owner in reversed(cls.__mro__):
        if owner in (object, msgspec.Struct) or not issubclass(owner, msgspec.Struct):
            continue
        body = ast.parse(textwrap.dedent(inspect.getsource(owner))).body[0]
        if not isinstance(body, ast.ClassDef):  # pragma: no cover - a record is always a class
            continue
        for field, below in zip(body.body, body.body[1:], strict=False):
            if (
                isinstance(field, ast.AnnAssign)
                and isinstance(field.target, ast.Name)
                and isinstance(below, ast.Expr)
                and isinstance(below.value, ast.Constant)
            ):
                docs[field.target.id] = " ".join(str(below.value.value).split())
    return docs


def _avro_type(annotation: Any, where: str, seen: set[str]) -> Any:
    if annotation in _PRIMITIVES:
        return _PRIMITIVES[annotation]
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin in (Union, types.UnionType):
        (inner,) = [a for a in arguments if a is not type(None)]
        return ["null", _avro_type(inner, where, seen)]
    if origin is tuple:
        return {"type": "array", "items": _avro_type(arguments[0], where, seen)}
    if origin is dict:
        return {"type": "map", "values": _avro_type(arguments[1], where, seen)}
    if origin is Literal:
        owner, field = where.rsplit(".", 1)
        name = owner + field.title().replace("_", "")
        return {
            "type": "enum",
            "name": name,
            "symbols": list(arguments),
            "default": arguments[-1],
        }
    if isinstance(annotation, type) and issubclass(annotation, Part | Record):
        if annotation.__name__ in seen:
            return annotation.__name__
        return _record_schema(annotation, seen)
    msg = f"{where}: no Avro type for {annotation!r}"
    raise TypeError(msg)


def _record_schema(cls: type[msgspec.Struct], seen: set[str]) -> dict[str, Any]:
    seen.add(cls.__name__)
    hints = get_type_hints(cls)
    docs = _field_docs(cls)
    fields = []
    for info in msgspec.structs.fields(cls):
        default: Any = info.default
        if info.default_factory is not msgspec.NODEFAULT:
            default = info.default_factory()
        where = f"{cls.__name__}.{info.name}"
        has_default = default is not msgspec.NODEFAULT
        field: dict[str, Any] = {"name": info.name}
        if info.name in docs:
            field["doc"] = docs[info.name]
        field["type"] = _avro_type(hints[info.name], where, seen)
        if has_default:
            field["default"] = list(default) if isinstance(default, tuple) else default
        fields.append(field)
    doc = inspect.cleandoc(cls.__doc__ or "").split("\n\n")[0]
    return {"type": "record", "name": cls.__name__, "doc": " ".join(doc.split()), "fields": fields}


def avro_schema(event: type[Record]) -> dict[str, Any]:
    """Give the Avro schema of an event type, complete in itself."""
    schema = _record_schema(event, set())
    return {
        "type": "record",
        "name": schema["name"],
        "namespace": NAMESPACE,
        **{k: schema[k] for k in ("doc", "fields")},
    }


def rendered(event: type[Record]) -> str:
    """Give the text of an event's ``.avsc`` file."""
    return json.dumps(avro_schema(event), indent=2, ensure_ascii=False) + "\n"


def main(arguments: list[str], folder: Path = FOLDER) -> int:
    """Write or check every ``.avsc`` in ``folder``; the exit status."""
    stale = []
    for name, event in EVENTS.items():
        path = folder / f"{snake(name)}.avsc"
        text = rendered(event)
        if path.exists() and path.read_text(encoding="utf-8") == text:
            continue
        stale.append(path.name)
        if "--check" not in arguments:
            path.write_text(text, encoding="utf-8")
    if stale and "--check" in arguments:
        sys.stderr.write(f"stale: {', '.join(stale)}; run: python -m schemas.generate\n")
        return 1
    sys.stdout.write(
        f"schemas: {len(EVENTS)} events, {len(stale)} {'stale' if '--check' in arguments else 'written'}\n"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
