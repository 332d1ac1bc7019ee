"""Each .avsc says what its record says. Read from both sides, without the generator that wrote the one from the other."""

from __future__ import annotations

import copy
import json
import shutil
import types
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import avro.schema
import fastavro
import msgspec
import pytest

from analytics.columns import COLUMNS
from schemas import EVENTS
from schemas.generate import FOLDER, avro_schema, main, rendered, snake
from schemas.record import Record

PRIMITIVES = {str: "string", int: "long", float: "double", bool: "boolean", bytes: "bytes"}
NOTHING = object()


def avsc(name: str) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((FOLDER / f"{snake(name)}.avsc").read_text(encoding="utf-8"))
    return content


def default_of(field: msgspec.structs.FieldInfo) -> Any:
    value = field.default if field.default_factory is msgspec.NODEFAULT else field.default_factory()
    return NOTHING if value is msgspec.NODEFAULT else json.loads(msgspec.json.encode(value))


def disagreements(record: type, schema: Any, named: dict[str, Any], where: str) -> list[str]:
    """Where a record and an Avro record differ; ``named`` are the Avro types defined so far."""
    if isinstance(schema, str):
        schema = named.get(schema, {})
    if schema.get("type") != "record" or schema.get("name") != record.__name__:
        return [f"{where}: not the record {record.__name__}"]
    named[record.__name__] = schema
    fields, hints = msgspec.structs.fields(record), get_type_hints(record)
    if [f.name for f in fields] != [f["name"] for f in schema["fields"]]:
        return [f"{where}: other fields"]
    found = []
    for field, written in zip(fields, schema["fields"], strict=True):
        place = f"{where}.{field.name}"
        found += type_disagreements(hints[field.name], written["type"], named, place)
        stated, wanted = written.get("default", NOTHING), default_of(field)
        if stated != wanted or type(stated) is not type(wanted):
            found.append(f"{place}: other default")
    return found


def type_disagreements(annotation: Any, written: Any, named: dict[str, Any], where: str) -> list[str]:
    origin, arguments = get_origin(annotation), get_args(annotation)
    if annotation in PRIMITIVES:
        return [] if written == PRIMITIVES[annotation] else [f"{where}: other type"]
    if origin in (Union, types.UnionType):
        (inner,) = [a for a in arguments if a is not type(None)]
        if not isinstance(written, list) or len(written) != len(arguments) or written[0] != "null":
            return [f"{where}: not a union with null"]
        return type_disagreements(inner, written[1], named, where)
    if origin in (tuple, dict):
        kind, of, inner = ("array", "items", arguments[0]) if origin is tuple else ("map", "values", arguments[1])
        if not isinstance(written, dict) or written.get("type") != kind:
            return [f"{where}: not a {kind}"]
        return type_disagreements(inner, written[of], named, where)
    if origin is Literal:
        if not isinstance(written, dict) or written.get("type") != "enum" or written["symbols"] != list(arguments):
            return [f"{where}: other symbols"]
        return [] if written.get("default") in arguments else [f"{where}: an unknown symbol would be an error"]
    return disagreements(annotation, written, named, where)


@pytest.mark.parametrize("name", EVENTS)
def test_a_record_and_its_schema_have_the_same_fields_types_and_defaults(name):
    assert disagreements(EVENTS[name], avsc(name), {}, name) == []


def changed(path: str, **change: Any) -> dict[str, Any]:
    schema = copy.deepcopy(avsc("FeedbackGiven"))
    field = next(f for f in schema["fields"] if f["name"] == path)
    field.update(change)
    return schema


@pytest.mark.parametrize(
    ("schema", "said"),
    [
        (changed("value", name="worth"), "FeedbackGiven: other fields"),
        (changed("value", type="float"), "FeedbackGiven.value: other type"),
        (changed("value", default=0.0), "FeedbackGiven.value: other default"),
        (changed("tenant", default="nobody"), "FeedbackGiven.tenant: other default"),
        (changed("comment", type="string"), "FeedbackGiven.comment: not a union with null"),
        (
            changed("kind", type={"type": "enum", "name": "K", "symbols": ["rating"]}),
            "FeedbackGiven.kind: other symbols",
        ),
    ],
)
def test_the_comparison_sees_a_schema_that_differs(schema, said):
    assert disagreements(EVENTS["FeedbackGiven"], schema, {}, "FeedbackGiven") == [said]


def test_the_comparison_sees_a_default_that_is_missing_or_of_another_type():
    schema = avsc("RequestReceived")
    fields = {f["name"]: f for f in schema["fields"]}
    del fields["history"]["default"]
    fields["stream"]["default"] = 0  # equal to False, and yet no boolean
    found = disagreements(EVENTS["RequestReceived"], schema, {}, "R")
    assert found == ["R.history: other default", "R.stream: other default"]


@pytest.mark.parametrize("name", EVENTS)
def test_both_avro_libraries_accept_a_schema_and_name_it_alike(name):
    text = json.dumps(avsc(name))
    by_avro: Any = avro.schema.parse(text)
    by_fastavro: Any = fastavro.parse_schema(json.loads(text))
    assert by_avro.fullname == by_fastavro["name"] == f"penstock.{name}"


@pytest.mark.parametrize("name", EVENTS)
def test_every_field_of_a_schema_says_what_it_means(name):
    def undocumented(schema: Any, where: str) -> list[str]:
        if isinstance(schema, list):
            return [u for each in schema for u in undocumented(each, where)]
        if not isinstance(schema, dict):
            return []
        below = [undocumented(schema[k], where) for k in ("items", "values") if k in schema]
        here = []
        if schema.get("type") == "record":
            here += [where] * (not schema.get("doc"))
            for field in schema["fields"]:
                place = f"{schema['name']}.{field['name']}"
                here += [place] * (not field.get("doc"))
                below.append(undocumented(field["type"], place))
        return here + [u for each in below for u in each]

    assert undocumented(avsc(name), name) == []


def test_there_is_a_schema_for_every_event_and_no_other():
    assert {path.stem for path in FOLDER.glob("*.avsc")} == {snake(name) for name in EVENTS}


@pytest.mark.parametrize("name", EVENTS)
def test_the_generated_schemas_are_fresh(name):
    assert (FOLDER / f"{snake(name)}.avsc").read_text(encoding="utf-8") == rendered(EVENTS[name])


@pytest.fixture
def copied(tmp_path: Path) -> Path:
    for path in FOLDER.glob("*.avsc"):
        shutil.copy(path, tmp_path)
    return tmp_path


def test_the_generator_says_what_is_stale_and_writes_only_when_told_to(copied, capsys):
    assert main(["--check"], copied) == 0
    stale = copied / "feedback_given.avsc"
    right = stale.read_text(encoding="utf-8")
    stale.write_text(right.replace("double", "float"), encoding="utf-8")
    (copied / "response_ready.avsc").unlink()
    assert main(["--check"], copied) == 1
    assert "feedback_given.avsc" in (said := capsys.readouterr().err)
    assert "response_ready.avsc" in said
    assert stale.read_text(encoding="utf-8") != right
    assert main([], copied) == 0
    assert stale.read_text(encoding="utf-8") == right
    assert main(["--check"], copied) == 0


class Doubtful(Record, frozen=True, kw_only=True):
    """A record with a type that Avro does not have."""

    worth: complex


def test_a_type_without_an_avro_type_is_refused_with_the_fields_name():
    with pytest.raises(TypeError, match=r"Doubtful\.worth"):
        avro_schema(Doubtful)


def test_no_event_has_a_field_that_is_called_as_a_column_of_its_place_in_the_log():
    stored = {name: columns.schema.names for name, columns in COLUMNS.items()}
    assert {name: names for name, names in stored.items() if len(set(names)) < len(names)} == {}
