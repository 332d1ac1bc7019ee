"""The form of a text: sixteen numbers that tell what kind of thing it is, whatever it is about.

In: a text. Out: a tuple of numbers in the order of ``FORM``. Keeps nothing, cannot fail. Pure.

An embedding mostly says what a text is about; which strategy can answer it depends as much on what is wanted: a sum to work out,
code to write, a fact to name, a sentence to complete. The form tells these apart in few dimensions, and few dimensions are learned
soon: on real outcomes of nine models a linear model of these sixteen gained more than one of 256 dimensions of an embedding
(docs/learning.md). Only the first characters are read, so a long text costs no more than a page.
"""

import math
import re
from typing import Final

CHARACTERS_READ: Final = 4_000

FORM: Final = (
    "log characters",
    "log words",
    "root share of digits",
    "root share of capitals",
    "root share of punctuation",
    "log lines",
    "ends with a question mark",
    "ends with a full stop",
    "ends with neither",
    "begins with a small letter",
    "characters a word",
    "log numbers",
    "has mathematical markup",
    "has code",
    "log sentences",
    "has a gap to fill",
)

_NUMBER = re.compile(r"\d+")
_DIGIT = re.compile(r"\d")
_MARK = re.compile(r"[^\w\s]|_")
_CODE = re.compile(r"\bdef \w+\(|\bfunction\b|[{};]\s*\n|==|->")
_CODE_HAS: Final = ("function", "\n", "==", "->", "def ")
_SENTENCE = re.compile(r"[.!?]\s")
_ASCII: Final = tuple(map(chr, range(128)))
_DIGITS: Final = "".join(filter(_DIGIT.match, _ASCII)).encode()
_CAPITALS: Final = "".join(filter(str.isupper, _ASCII)).encode()
_MARKS: Final = "".join(filter(_MARK.match, _ASCII)).encode()


def text_form(text: str) -> tuple[float, ...]:
    """Give the form of a text, a number for each of ``FORM``; an empty text is mostly zeros."""
    read = text[:CHARACTERS_READ]
    size = max(len(read), 1)
    words = max(len(text.split()), 1)
    last = text.rstrip()[-1:]
    digits, capitals, marks = _counted(read)
    return (
        math.log1p(len(text)),
        math.log1p(words),
        math.sqrt(digits / size),
        math.sqrt(capitals / size),
        math.sqrt(marks / size),
        math.log1p(read.count("\n")),
        float(last == "?"),
        float(last == "."),
        float(last not in ("?", ".")),
        float(text[:1].islower()),
        len(text) / words / 10.0,
        math.log1p(len(_NUMBER.findall(read)) if digits else 0),
        float("\\" in read or "$" in read),
        float(_has_code(read)),
        math.log1p(len(_SENTENCE.findall(read))),
        float("__" in read),
    )


def _counted(text: str) -> tuple[int, int, int]:
    """How many digits, capitals and punctuation marks a text has."""
    if not text.isascii():
        return len(_DIGIT.findall(text)), sum(map(str.isupper, text)), len(_MARK.findall(text))
    raw = text.encode()
    size = len(raw)
    return (
        size - len(raw.translate(None, _DIGITS)),
        size - len(raw.translate(None, _CAPITALS)),
        size - len(raw.translate(None, _MARKS)),
    )


def _has_code(text: str) -> bool:
    return any(map(text.__contains__, _CODE_HAS)) and _CODE.search(text) is not None
