"""How many values an encoded event consists of, counted without making them: 1.4 MB of empty turns are 290 MB of objects.

In: a parsed Avro schema and the bytes of a large event. Out: nothing, where it is within ``MAX_VALUES``. Keeps nothing. Fails with
``TooManyValues``, and with ``IndexError`` or ``ValueError`` where the bytes end early or state a length below zero.

Only what has more than ``WEIGHED_FROM_BYTES`` is weighed: less cannot become much, and long texts, of which a large event that
somebody meant consists, are stepped over in one.
"""

from collections.abc import Iterator
from typing import Any

MAX_VALUES = 200_000
"""An event with more values (numbers, texts, records, entries) is refused as oversized."""
WEIGHED_FROM_BYTES = 128 * 1024

_LONGEST_NUMBER = 10
_FIXED = {"null": 0, "boolean": 1, "float": 4, "double": 8}


class TooManyValues(Exception):
    """An event consists of more values than anything that was meant."""


class _Scale:
    def __init__(self, schema: Any, raw: bytes, at: int) -> None:
        self._raw = raw
        self._at = at
        self._values = 0
        self._named = dict(_named(schema))

    def step_over(self, schema: Any) -> None:
        self._values += 1
        if self._values > MAX_VALUES:
            raise TooManyValues
        if isinstance(schema, list):
            self.step_over(schema[self._number(below=len(schema))])
            return
        kind = schema["type"] if isinstance(schema, dict) else schema
        if kind in _FIXED:
            self._skip(_FIXED[kind])
        elif kind in ("int", "long"):
            self._number()
        elif kind in ("string", "bytes"):
            self._skip(self._number(below=len(self._raw)))
        elif isinstance(schema, dict):
            self._step_over_parts(schema, kind)
        else:
            self.step_over(self._named[kind])

    def _step_over_parts(self, schema: dict[str, Any], kind: Any) -> None:
        match kind:
            case "record":
                for field in schema["fields"]:
                    self.step_over(field["type"])
            case "enum":
                self._number(below=len(schema["symbols"]))
            case "array":
                self._blocks(schema["items"], keyed=False)
            case "map":
                self._blocks(schema["values"], keyed=True)
            case _:
                self.step_over(kind)

    def _blocks(self, inner: Any, *, keyed: bool) -> None:
        while count := self._number():
            if count < 0:
                count = -count
                self._number()  # the bytes of the block, for who would pass over it
            for _ in range(count):
                if keyed:
                    self.step_over("string")
                self.step_over(inner)

    def _number(self, *, below: int | None = None) -> int:
        value = 0
        for place in range(_LONGEST_NUMBER):
            byte = self._raw[self._at]
            self._at += 1
            value |= (byte & 0x7F) << (7 * place)
            if byte < 0x80:  # noqa: PLR2004 - the continuation bit
                break
        else:
            raise ValueError("a number has more than 64 bits")
        number = (value >> 1) ^ -(value & 1)
        if below is not None and not 0 <= number < below:
            raise ValueError(f"{number} where a number from 0 to {below - 1} should be")
        return number

    def _skip(self, count: int) -> None:
        self._at += count
        if self._at > len(self._raw):
            raise IndexError("the bytes end before the event does")


def _named(schema: Any) -> Iterator[tuple[str, Any]]:
    """Every type with a name, by its name: where it is defined, the event may have nothing, and use it later."""
    if isinstance(schema, list):
        for branch in schema:
            yield from _named(branch)
    elif isinstance(schema, dict):
        if "name" in schema:
            yield schema["name"], schema
        inner = [field["type"] for field in schema.get("fields", ())]
        for each in (*inner, schema["type"], schema.get("items"), schema.get("values")):
            yield from _named(each)


def weigh(schema: Any, raw: bytes, begin: int) -> None:
    """Count the values of the event that begins at byte ``begin`` of ``raw``, and raise where they are too many."""
    _Scale(schema, raw, begin).step_over(schema)
