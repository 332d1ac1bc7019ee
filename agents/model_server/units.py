"""What an extractive model can say: the sentences, list items, table rows and code lines it got.

In: passages. Out: units in reading order, each with what has to be known to understand it. Kept:
nothing. Fails: never. Pure.
"""

import re
from collections.abc import Sequence

import msgspec

from agents.answering import Passage
from agents.answering.splitting import Block, read_blocks, sentences, split_table

_BULLET = re.compile(r"^\s*(?:[-*+]|\d{1,3}[.)])\s+")
_HEADING_MARK = re.compile(r"^#{1,6}\s+")
# Characters of what units repeat: the names around them, and of a table's column.
_AROUND_AT_MOST = 600
_COLUMN_AT_MOST = 80
_BARE = re.compile(r"[\W_]*")
# A sentence that begins so is about what the sentence before it names.
_REFERS_BACK = re.compile(r"^(?:It|They|This|These|That|Those|He|She|Both|Then|So|But|Otherwise)\b")


class Unit(msgspec.Struct, frozen=True):
    """One thing to say. `place` is its position among all units; `context` is for ranking only."""

    text: str
    context: str
    heading: str
    passage_number: int
    place: int
    title: str


def read_units(passages: Sequence[Passage]) -> list[Unit]:
    """Return the units of all passages in order; of texts that repeat, the first."""
    units: list[Unit] = []
    seen: set[str] = set()
    for passage_number, passage in enumerate(passages):
        title = passage.title[:_AROUND_AT_MOST]
        heading = (passage.heading or passage.title)[:_AROUND_AT_MOST]
        lead = ""
        for block in read_blocks(passage.text):
            if block.kind == "heading":
                heading = block.headings[-1]
                lead = ""
                continue
            texts = _texts(block)
            before = lead
            for text in texts:
                if text not in seen and not _BARE.fullmatch(text):
                    seen.add(text)
                    context = before if block.kind != "paragraph" or _REFERS_BACK.match(text) else ""
                    unit = Unit(text, context[-_AROUND_AT_MOST:], heading, passage_number, len(units), title)
                    units.append(unit)
                if block.kind == "paragraph":
                    before = text
            if block.kind == "paragraph" and texts:
                lead = texts[-1]
    return units


def _texts(block: Block) -> list[str]:
    if block.kind == "table":
        return _rows(block.text)
    if block.kind == "code":
        lines = block.text.splitlines()
        inside = lines[1:-1] if len(lines) > 1 and lines[-1].strip().startswith(("```", "~~~")) else (lines[1:])
        return [f"`{line.strip()}`" for line in inside if not _BARE.fullmatch(line)]
    flat = " ".join(block.text.split())
    if block.kind == "item":
        return [_BULLET.sub("", flat)]
    return sentences(_HEADING_MARK.sub("", flat))


def _rows(table: str) -> list[str]:
    """Return each row as `first: name second; name third`, with the header's names."""
    header, rows = split_table(table)
    names = [name[:_COLUMN_AT_MOST] for name in _cells(header.splitlines()[0])] if header else []
    texts: list[str] = []
    for row in rows:
        cells = _cells(row)
        named = [
            f"{names[column]} {cell}" if column < len(names) else cell
            for column, cell in enumerate(cells)
            if column > 0 and cell not in {"", "-"}
        ]
        texts.append(f"{cells[0]}: {'; '.join(named)}" if named else cells[0])
    return texts


def _cells(row: str) -> list[str]:
    inner = row.strip().strip("|")
    return [cell.strip().replace("\\|", "|") for cell in re.split(r"(?<!\\)\|", inner)]
