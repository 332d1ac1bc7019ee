"""Splits documents into passages, in a way of its own for each retrieval strategy.

In: a document, a strategy's name, a limit in characters. Out: passages in the document's order;
each text is within the limit, and no word of the document is lost. Kept: nothing. Fails:
ValueError for an unknown strategy or a limit below 1. Pure.

A text is first read into blocks: headings, paragraphs, list items, tables, code. Strategies put
blocks together; a block is cut only where it alone exceeds the limit: prose between sentences, a
table between rows (each part with the header, if it fits), code between lines.
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

_HEADING = re.compile(r"^(#{1,6})\s+(.*?)\s*#*\s*$")
_FENCE = re.compile(r"^\s*(```+|~~~+)")
_ITEM = re.compile(r"^\s*(?:[-*+]|\d{1,3}[.)])\s+\S")
_TABLE_ROW = re.compile(r"^\s*\|.*\|\s*$")
_TABLE_RULE = re.compile(r"^\s*\|[\s:|-]+\|\s*$")
_SENTENCE_END = re.compile(r"(?<=[.!?])[\"')\]*_]*\s+(?=[\"'(\[*_`]*[A-Z0-9])")
_ABBREVIATION = re.compile(r"(?:\b(?:e\.g|i\.e|etc|vs|cf|approx|no|mr|mrs|dr)|\b[A-Z])\.$", re.IGNORECASE)


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
        elif heading := _HEADING.match(line):
            level = len(heading.group(1))
            path = [entry for entry in path if entry[0] < level] + [(level, heading.group(2))]
            blocks.append(Block("heading", line.strip(), tuple(title for _, title in path)))
            at += 1
        else:
            kind, end = _extent(lines, at)
            blocks.append(Block(kind, "\n".join(lines[at:end]).rstrip(), headings))
            at = end
    return blocks


def _extent(lines: Sequence[str], at: int) -> tuple[Kind, int]:
    """Return the kind of the block that starts in line `at`, and the line after its last."""
    if fence := _FENCE.match(lines[at]):
        mark = fence.group(1)
        end = at + 1
        while end < len(lines) and not lines[end].strip().startswith(mark):
            end += 1
        return "code", min(end + 1, len(lines))
    end = at + 1
    if _TABLE_ROW.match(lines[at]):
        while end < len(lines) and _TABLE_ROW.match(lines[end]):
            end += 1
        return "table", end
    kind: Kind = "item" if _ITEM.match(lines[at]) else "paragraph"
    while end < len(lines) and not _starts_block(lines[end]):
        end += 1
    return kind, end


def _starts_block(line: str) -> bool:
    return not line.strip() or any(pattern.match(line) for pattern in (_HEADING, _FENCE, _TABLE_ROW, _ITEM))


def sentences(text: str) -> list[str]:
    """Return the sentences of prose; abbreviations do not end one."""
    parts: list[str] = []
    start = 0
    for end in _SENTENCE_END.finditer(text):
        if _ABBREVIATION.search(text[start : end.start()]):
            continue
        parts.append(text[start : end.end()].strip())
        start = end.end()
    parts.append(text[start:].strip())
    return [part for part in parts if part]


def split_table(text: str) -> tuple[str, list[str]]:
    """Return a table's header (with its rule, or empty where there is none) and its rows."""
    lines = text.splitlines()
    if len(lines) > 1 and _TABLE_RULE.match(lines[1]):
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
    text = group[0].text
    for before, block in itertools.pairwise(group):
        text += ("\n" if before.kind == block.kind == "item" else "\n\n") + block.text
    return text


def _fit(block: Block, size: int) -> list[Block]:
    """Cut a block that exceeds `size` where it hurts least."""
    if len(block.text) <= size:
        return [block]
    if block.kind == "table":
        header, rows = split_table(block.text)
        if header and len(header) + 1 + max(map(len, rows), default=0) <= size:
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
    while len(text) > size:
        space = text.rfind(" ", 1, size + 1)
        end = space if space > 0 else size
        pieces.append(text[:end].rstrip())
        text = text[end:].lstrip()
    pieces.append(text)
    return pieces


Groups = list[list[Block]]


def _length(group: Sequence[Block], block: Block) -> int:
    return len(_joined([*group, block]))


def _semantic(blocks: Sequence[Block], size: int) -> Groups:
    """Neighbouring paragraphs, also over headings, which then stand in the text."""
    groups: Groups = []
    for block in blocks:
        after_half = bool(groups) and len(_joined(groups[-1])) > size // 2
        crosses = block.kind == "heading" and after_half
        if groups and not crosses and _length(groups[-1], block) <= size:
            groups[-1].append(block)
        elif groups and groups[-1][-1].kind == "heading" and len(groups[-1]) > 1:
            heading = groups[-1].pop()
            fits = _length([heading], block) <= size
            groups.append([heading, block] if fits else [heading])
            if not fits:
                groups.append([block])
        else:
            groups.append([block])
    return groups


def _hierarchical(blocks: Sequence[Block], size: int) -> Groups:
    """Whole sections; the heading stands in the passage's path, so not again in its text."""
    groups: Groups = []
    for block in _without_headings(blocks):
        same = groups and groups[-1][0].headings == block.headings
        if same and _length(groups[-1], block) <= size:
            groups[-1].append(block)
        else:
            groups.append([block])
    return groups


def _entity_based(blocks: Sequence[Block], _size: int) -> Groups:
    """Each paragraph or list item for itself."""
    return [[block] for block in _without_headings(blocks)]


def _conversation_turn(blocks: Sequence[Block], size: int) -> Groups:
    """Sections in overlapping steps: a passage begins with the last block of the one before."""
    groups: Groups = []
    for block in _without_headings(blocks):
        if not groups or groups[-1][0].headings != block.headings:
            groups.append([block])
        elif _length(groups[-1], block) <= size:
            groups[-1].append(block)
        elif _length(groups[-1][-1:], block) <= size:
            groups.append([groups[-1][-1], block])
        else:
            groups.append([block])
    return groups


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
