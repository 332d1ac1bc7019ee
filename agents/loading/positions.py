"""YAML with positions: plain values, and where each of them stands.

Comes in: the bytes of a file. Goes out: a ``Document``: its content as dicts, lists and scalars,
the line and column of every key and value, and the mistakes of YAML itself (duplicate keys, tags,
keys that are no text). Keeps nothing. Fails with ``InvalidFile`` only where there is nothing to
read on with: no text, no YAML, or more than the limits.

Safe by construction: nodes are composed, never constructed, so no tag does anything; anchors
cannot multiply a document beyond MAX_NODES, nor nesting beyond MAX_DEPTH.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

import yaml

from agents.deciding.mistakes import Path
from agents.loading.problems import InvalidFile, Position, Problem, shown, written

MAX_BYTES = 256 * 1024
MAX_NODES = 20_000
MAX_DEPTH = 32

_TAG = "tag:yaml.org,2002:"
_STANDARD_TAGS = {f"{_TAG}{name}" for name in ("map", "seq", "str", "int", "float", "bool", "null")}
_TEXT_TAGS = {f"{_TAG}timestamp", f"{_TAG}value"}
_WORDS = {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False}


@dataclass
class Document:
    """A file's content with the position of each key and each value, by its path."""

    file: str
    content: object = None
    keys: dict[Path, Position] = field(default_factory=dict)
    values: dict[Path, Position] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)

    def position(self, path: Path, *, of_key: bool = False) -> Position:
        """Where a path stands; where there is nothing, the nearest thing around it."""
        if of_key and path in self.keys:
            return self.keys[path]
        while path and path not in self.values:
            path = path[:-1]
        return self.values.get(path, Position(1, 1))


class _LimitError(Exception):
    """More nesting or nodes than the limits."""

    def __init__(self, position: Position, found: str, expected: str) -> None:
        self.position, self.found, self.expected = position, found, expected
        super().__init__(found)


def _position(mark: yaml.Mark) -> Position:
    return Position(mark.line + 1, mark.column + 1)


class _Composer(yaml.SafeLoader):
    """Composes nodes down to MAX_DEPTH."""

    depth = 0

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        if self.depth >= MAX_DEPTH:
            place = _position(parent.start_mark) if parent else Position(1, 1)
            raise _LimitError(place, "deeper nesting", f"at most {MAX_DEPTH} levels")
        self.depth += 1
        try:
            return super().compose_node(parent, index)
        finally:
            self.depth -= 1


def read_document(file: str, content: bytes) -> Document:
    """The document in these bytes; ``file`` is the name that problems are reported under.

    Raises InvalidFile where the bytes are no YAML document within the limits.
    """

    def invalid(position: Position, found: str, expected: str) -> InvalidFile:
        return InvalidFile((Problem(file, position.line, position.column, "", found, expected),))

    if len(content) > MAX_BYTES:
        found = f"a file of more than {MAX_BYTES // 1024} KiB"
        raise invalid(Position(1, 1), found, f"at most {MAX_BYTES // 1024} KiB")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = content[: error.start]
        place = Position(before.count(b"\n") + 1, error.start - before.rfind(b"\n"))
        raise invalid(place, "bytes that are no UTF-8", "a text in UTF-8") from error
    document = Document(file)
    try:
        root = _composed(text)
        if root is not None:
            document.content = _Reading(document).value(root, ())
    except yaml.reader.ReaderError as error:
        before_it = text[: error.position]
        place = Position(before_it.count("\n") + 1, len(before_it) - before_it.rfind("\n"))
        raise invalid(place, "a control character", "printable text") from error
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = _position(mark) if mark else Position(1, 1)
        raise invalid(place, error.problem or "something else", "YAML") from error
    except _LimitError as error:
        raise invalid(error.position, error.found, error.expected) from error
    except (yaml.YAMLError, ValueError, OverflowError) as error:
        # PyYAML lets through what Python says about an impossible escape or directive
        raise invalid(Position(1, 1), f"something unreadable ({error})", "YAML") from error
    return document


def _composed(text: str) -> yaml.Node | None:
    composer = _Composer(text)
    try:
        root: yaml.Node | None = composer.get_single_node()
    finally:
        composer.dispose()
    return root


class _Reading:
    """Turns nodes into values and writes down where they stand."""

    def __init__(self, document: Document) -> None:
        self.document = document
        self.nodes = 0

    def value(self, node: yaml.Node, path: Path) -> object:
        place = _position(node.start_mark)
        self.nodes += 1
        if self.nodes > MAX_NODES:
            found = "more values, anchors expanded"
            raise _LimitError(place, found, f"at most {MAX_NODES} values")
        if len(path) > MAX_DEPTH:
            found = "deeper nesting, anchors expanded"
            raise _LimitError(place, found, f"at most {MAX_DEPTH} levels")
        self.document.values.setdefault(path, place)
        if isinstance(node, yaml.MappingNode):
            self._check_tag(node, path)
            return dict(self._pairs(node, path))
        if isinstance(node, yaml.SequenceNode):
            self._check_tag(node, path)
            return [self.value(each, (*path, index)) for index, each in enumerate(node.value)]
        return self._scalar(node, path)

    def _pairs(self, node: yaml.MappingNode, path: Path) -> Iterator[tuple[str, object]]:
        first: dict[str, Position] = {}
        for key_node, value_node in node.value:
            place = _position(key_node.start_mark)
            if not isinstance(key_node, yaml.ScalarNode):
                self._report(place, path, "a list or a mapping as a key", "a key that is a text")
                continue
            if key_node.tag == f"{_TAG}merge":
                self._report(place, path, "a merge key (<<)", "keys written out")
                continue
            key = str(key_node.value)
            inside = (*path, key)
            if key in first:
                earlier = f"the first {shown(key)} is in line {first[key].line}"
                self._report(place, inside, f"the key {shown(key)} again", f"each key once; {earlier}")
                continue
            first[key] = place
            self.document.keys.setdefault(inside, place)
            yield key, self.value(value_node, inside)

    def _scalar(self, node: yaml.Node, path: Path) -> object:
        text = str(node.value)
        if any("\ud800" <= character <= "\udfff" for character in text):
            self._report(_position(node.start_mark), path, "half a character", "whole characters")
            return text.encode(errors="replace").decode()
        name = node.tag.removeprefix(_TAG)
        if name == "null":
            return None
        if name == "bool":
            return _WORDS.get(text.lower(), text)
        if name in ("int", "float"):
            return _number(text)
        if node.tag not in _TEXT_TAGS:
            self._check_tag(node, path)
        return text

    def _check_tag(self, node: yaml.Node, path: Path) -> None:
        if node.tag not in _STANDARD_TAGS:
            self._report(_position(node.start_mark), path, f"the tag {shown(node.tag)}", "no tags")

    def _report(self, position: Position, path: Path, found: str, expected: str) -> None:
        self.document.problems.append(
            Problem(
                self.document.file,
                position.line,
                position.column,
                written(path),
                found,
                expected,
            )
        )


def _number(text: str) -> object:
    """A decimal number; anything else that YAML 1.1 calls a number (0o7, 1:30) stays a text."""
    plain = text.replace("_", "")
    for kind in (int, float):
        try:
            return kind(plain)
        except ValueError:
            continue
    return text
