"""Splits documents into passages, in a way of its own for each retrieval strategy.

In: a document, a strategy's name, a limit in characters. Out: passages in the document's order;
each text is within the limit, and no word of the document is lost. Kept: nothing. Fails:
ValueError for an unknown strategy or a limit below 1. Pure.

A text is first read into blocks: headings, paragraphs, list items, tables, code. Strategies put
blocks together; a block is cut only where it alone exceeds the limit: prose between sentences, a
table between rows (each part with the header, if it fits), code between lines.

Texts come from callers, so the work is linear in their length, whatever they hold: no pattern can
read the same characters from many places, nothing grows by being joined again and again, and what
every passage below it repeats (a heading) is short.
"""

import itertools
import re
from collections.abc import Callable, Iterable, Sequence
from typing import Literal

import msgspec

from agents.answering import Document, Passage

Kind = Literal["heading", "paragraph", "item", "table", "code"]

# Characters in a passage, where no override asks for less.
CHUNK_SIZES: dict[str, int] = {
    "semantic": 700,
    "hierarchical": 1200,
    "entity_based": 400,
    "conversation_turn": 600,
}

# Characters in a heading; a longer line of that form is a paragraph.
HEADING_AT_MOST = 300

_HEADING_MARK = re.compile(r"(#{1,6})\s")
_FENCE = re.compile(r"^\s*(```+|~~~+)")
_ITEM = re.compile(r"^\s*(?:[-*+]|\d{1,3}[.)])\s+\S")
_TABLE_RULE = re.compile(r"\|[\s:|-]+\|")
_SENTENCE_END = re.compile(r"(?<=[.!?])[\"')\]*_]*\s+(?=[\"'(\[*_`]*[A-Z0-9])")
_ABBREVIATION = re.compile(r"(?:\b(?:e\.g|i\.e|etc|vs|cf|approx|no|mr|mrs|dr)|\b[A-Z])\.$", re.IGNORECASE)
_ABBREVIATION_AT_MOST = 12


class Block(msgspec.Struct, frozen=True):
    """A part of a text that reads as one; `headings` is the path above it, outermost first."""

    kind: Kind
    text: str
    headings: tuple[str, ...]


def read_blocks(text: str) -> list[Block]:
    """Return the blocks of a Markdown or plain text, in order, without blank ones."""
    blocks: list[Block] = []
    path: list[tuple[int, str]] = []
    lines = text.splitlines()
    at = 0
    while at < len(lines):
        line = lines[at]
        headings = tuple(title for _, title in path)
        if not line.strip():
            at += 1
        elif heading := read_heading(line):
            path = [entry for entry in path if entry[0] < heading[0]] + [heading]
            blocks.append(Block("heading", line.strip(), tuple(title for _, title in path)))
            at += 1
        else:
            kind, end = _extent(lines, at)
            blocks.append(Block(kind, "\n".join(lines[at:end]).rstrip(), headings))
            at = end
    return blocks


def read_heading(line: str) -> tuple[int, str] | None:
    """Return the level (1 to 6) and the title of a heading of at most 300 characters, None for another line."""
    mark = _HEADING_MARK.match(line)
    if mark is None:
        return None
    title = line[mark.end() :].strip().rstrip("#").rstrip()
    return (len(mark.group(1)), title) if len(title) <= HEADING_AT_MOST else None


def _is_table_row(line: str) -> bool:
    inner = line.strip()
    return len(inner) > 1 and inner[0] == inner[-1] == "|"


def _extent(lines: Sequence[str], at: int) -> tuple[Kind, int]:
    """Return the kind of the block that starts in line `at`, and the line after its last."""
    if fence := _FENCE.match(lines[at]):
        mark = fence.group(1)
        end = at + 1
        while end < len(lines) and not lines[end].strip().startswith(mark):
            end += 1
        return "code", min(end + 1, len(lines))
    end = at + 1
    if _is_table_row(lines[at]):
        while end < len(lines) and _is_table_row(lines[end]):
            end += 1
        return "table", end
    kind: Kind = "item" if _ITEM.match(lines[at]) else "paragraph"
    while end < len(lines) and not _starts_block(lines[end]):
        end += 1
    return kind, end


def _starts_block(line: str) -> bool:
    if not line.strip() or _is_table_row(line) or read_heading(line):
        return True
    return bool(_FENCE.match(line) or _ITEM.match(line))


def sentences(text: str) -> list[str]:
    """Return the sentences of prose; abbreviations do not end one."""
    parts: list[str] = []
    start = 0
    for end in _SENTENCE_END.finditer(text):
        if _ABBREVIATION.search(text[max(start, end.start() - _ABBREVIATION_AT_MOST) : end.start()]):
            continue
        parts.append(text[start : end.end()].strip())
        start = end.end()
    parts.append(text[start:].strip())
    return [part for part in parts if part]


def split_table(text: str) -> tuple[str, list[str]]:
    """Return a table's header (with its rule, or empty where there is none) and its rows."""
    lines = text.splitlines()
    if len(lines) > 1 and _TABLE_RULE.fullmatch(lines[1].strip()):
        return "\n".join(lines[:2]), lines[2:]
    return "", lines


def split(document: Document, strategy: str, chunk_size: int) -> list[Passage]:
    """Return the passages of `document`, each text at most `chunk_size` characters."""
    splitter = _SPLITTERS.get(strategy)
    if splitter is None:
        raise ValueError(f"unknown retrieval strategy {strategy!r}, expected one of {[*_SPLITTERS]}")
    if chunk_size < 1:
        raise ValueError(f"a passage needs at least 1 character, not {chunk_size}")
    blocks = [part for block in read_blocks(document.text) for part in _fit(block, chunk_size)]
    return [
        Passage(
            passage_id=f"{document.document_id}#{strategy}.{chunk_size}-{number}",
            document_id=document.document_id,
            title=document.title,
            heading=" > ".join(_below_title(group[0].headings, document.title)),
            text=_joined(group),
        )
        for number, group in enumerate(splitter(blocks, chunk_size), start=1)
    ]


def _below_title(headings: tuple[str, ...], title: str) -> tuple[str, ...]:
    return headings[1:] if headings and headings[0] == title else headings


def _joined(group: Sequence[Block]) -> str:
    parts = [group[0].text]
    for before, block in itertools.pairwise(group):
        parts += (_between(before, block), block.text)
    return "".join(parts)


def _fit(block: Block, size: int) -> list[Block]:
    """Cut a block that exceeds `size` where it hurts least."""
    if len(block.text) <= size:
        return [block]
    if block.kind == "table":
        header, rows = split_table(block.text)
        short = 2 * len(header) <= size  # else repeating it costs more than the rows
        if header and short and len(header) + 1 + max(map(len, rows), default=0) <= size:
            packed = _pack_texts(rows, size - len(header) - 1, "\n")
            texts = [f"{header}\n{part}" for part in packed]
        else:
            texts = _pack_texts(block.text.splitlines(), size, "\n")
    elif block.kind == "code":
        texts = _pack_texts(block.text.splitlines(), size, "\n")
    else:
        texts = _pack_texts(sentences(block.text), size, " ")
    return [Block(block.kind, text, block.headings) for text in texts]


def _pack_texts(parts: Iterable[str], size: int, between: str) -> list[str]:
    packed: list[str] = []
    for part in (piece for whole in parts for piece in _cut(whole, size)):
        if packed and len(packed[-1]) + len(between) + len(part) <= size:
            packed[-1] += between + part
        else:
            packed.append(part)
    return [text for text in packed if text.strip()]


def _cut(text: str, size: int) -> list[str]:
    """Cut at the last space before the limit; within a word only where it is longer than that."""
    pieces: list[str] = []
    at = 0
    while len(text) - at > size:
        space = text.rfind(" ", at + 1, at + size + 1)
        end = space if space > 0 else at + size
        pieces.append(text[at:end].rstrip())
        at = end
        while at < len(text) and text[at].isspace():
            at += 1
    pieces.append(text[at:])
    return pieces


Groups = list[list[Block]]


class _Grouping:
    """Groups of blocks in the making; knows how long the last one's text is without joining it."""

    def __init__(self, size: int) -> None:
        self.groups: Groups = []
        self.length = 0
        self._size = size

    @property
    def last(self) -> list[Block]:
        """The group that grows, empty before the first."""
        return self.groups[-1] if self.groups else []

    def fits(self, block: Block) -> bool:
        """Tell whether `block` may join the last group."""
        return bool(self.groups) and self.length + _added(self.last[-1], block) <= self._size

    def fit_together(self, before: Block, block: Block) -> bool:
        """Tell whether two blocks may begin a group together."""
        return len(before.text) + _added(before, block) <= self._size

    def join(self, block: Block) -> None:
        """Put `block` into the last group."""
        self.length += _added(self.last[-1], block)
        self.groups[-1].append(block)

    def begin(self, block: Block) -> None:
        """Begin a group with `block`."""
        self.groups.append([block])
        self.length = len(block.text)


def _added(before: Block, block: Block) -> int:
    """Return by how many characters a text that ends with `before` grows by `block`."""
    return len(_between(before, block)) + len(block.text)


def _between(before: Block, block: Block) -> str:
    return "\n" if before.kind == block.kind == "item" else "\n\n"


def _semantic(blocks: Sequence[Block], size: int) -> Groups:
    """Neighbouring paragraphs, also over headings, which then stand in the text."""
    grouping = _Grouping(size)
    for block in blocks:
        crosses = block.kind == "heading" and grouping.length > size // 2
        if not crosses and grouping.fits(block):
            grouping.join(block)
        elif len(grouping.last) > 1 and grouping.last[-1].kind == "heading":
            heading = grouping.groups[-1].pop()
            grouping.begin(heading)
            if grouping.fits(block):
                grouping.join(block)
            else:
                grouping.begin(block)
        else:
            grouping.begin(block)
    return grouping.groups


def _hierarchical(blocks: Sequence[Block], size: int) -> Groups:
    """Whole sections; the heading stands in the passage's path, so not again in its text."""
    grouping = _Grouping(size)
    for block in _without_headings(blocks):
        if grouping.fits(block) and grouping.last[0].headings == block.headings:
            grouping.join(block)
        else:
            grouping.begin(block)
    return grouping.groups


def _entity_based(blocks: Sequence[Block], _size: int) -> Groups:
    """Each paragraph or list item for itself."""
    return [[block] for block in _without_headings(blocks)]


def _conversation_turn(blocks: Sequence[Block], size: int) -> Groups:
    """Sections in overlapping steps: a passage begins with the last block of the one before."""
    grouping = _Grouping(size)
    for block in _without_headings(blocks):
        if not grouping.groups or grouping.last[0].headings != block.headings:
            grouping.begin(block)
        elif grouping.fits(block):
            grouping.join(block)
        else:
            before = grouping.last[-1]
            if grouping.fit_together(before, block):
                grouping.begin(before)
                grouping.join(block)
            else:
                grouping.begin(block)
    return grouping.groups


def _without_headings(blocks: Sequence[Block]) -> list[Block]:
    """Drop headings that have text under them; the path above that text holds their words."""
    kept: list[Block] = []
    for number, block in enumerate(blocks):
        following = blocks[number + 1] if number + 1 < len(blocks) else None
        covered = following is not None and following.headings[: len(block.headings)] == (block.headings)
        if block.kind != "heading" or not covered:
            kept.append(block)
    return kept


_SPLITTERS: dict[str, Callable[[Sequence[Block], int], Groups]] = {
    "entity_based": _entity_based,
    "hierarchical": _hierarchical,
    "conversation_turn": _conversation_turn,
    "semantic": _semantic,
}
