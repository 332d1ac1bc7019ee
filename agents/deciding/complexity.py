"""Complexity of a request, 1 to 10, from its text and its place in the conversation.

In: the text, the number of history turns. Out: a `Complexity`. Kept: nothing. Fails: never; any text has a level.

How it works. A greeting, thanks or a yes or no is 1. Everything else is 1 plus points:

    more than one word                           1
    parts: questions and joined asks beyond one  2 for the second, 1 for each further, at most 4
    comparison (compare, versus, trade-off ...)  2
    conditions and limits (if, unless, at most)  1 for the first, 1 more from the third
    reasons and derivations (why, explain ...)   1 for the first, 1 more from the third
    length                                       1 from 25 words, 2 from 60, 3 from 150, 4 from 400
    code or an error's trace                     2
    background (three sentences, or announced)   1
    history                                      1 from one turn, 2 from six

and at most 10. Points come from counts of what was found, so the level is monotone: text added after a space, and
turns added to the history, never lower it. The points are judgement, not learned. The words are English; in another
language question marks, lists, code, length and history still count.
"""

import re
from typing import Final

import msgspec

from agents.deciding.phrases import Phrases, beginnings

Begun = frozenset[str] | None

LOWEST: Final = 1
HIGHEST: Final = 10
CHARACTERS_READ: Final = 20_000
"""The rest of a longer text is not read: by then the length alone has given its points."""

_NUMBERS: Final = ("no", "one", "two", "three", "four")
_MOST_PARTS_POINTS: Final = 4
_LENGTH_STEPS: Final = (25, 60, 150, 400)
_HISTORY_STEPS: Final = (1, 6)
_AGAIN: Final = 3
_BACKGROUND_SENTENCES: Final = 3


def _words(spaced: str) -> frozenset[str]:
    return frozenset(spaced.split())


_WORD = re.compile(r"[^\W_]+(?:['\u2019][^\W_]+)*")
_SMALL_TALK = _words(
    "hello hi hey hiya there good morning afternoon evening night bye goodbye thanks thank you very much "
    "so many a lot yes no ok okay yep nope sure please great cheers welcome how are"
)
_MOST_SMALL_TALK_WORDS: Final = 6

_QUESTION_MARKS = re.compile(r"[?\uff1f]+(?=[\s\"')]|\Z)")
_ASKS = _words(
    "what which who when where why how explain compare show tell list describe give write recommend say suggest"
)
_JOINED = re.compile(
    r"(?:\b(?:and|then|also|plus)|;)\s{1,4}(?:(?:also|then)\s{1,4})?"
    rf"(?:{'|'.join(sorted(_ASKS))})\b"
    r"|(?:^|\n)[ \t]{0,8}(?:\d{1,3}[.)]|[-*•])\s"
    r"|\b(?:firstly|secondly|thirdly|additionally|furthermore|as well as|in addition)\b",
    re.IGNORECASE,
)
_LINKS = _words("and then also plus")
_LINKED = frozenset(word[:4] for word in _ASKS)
_IN_ORDER = _words("firs seco thir addi furt well")
"""The first four letters of words without which nothing of an ASCII text is joined, but for a list's items."""
_ITEM_BEGINS = frozenset(" \t*-0123456789")
_COMPARISON = Phrases(
    r"compar\w+", "versus", "vs", "tradeoffs?", "trade-offs?", "pros and cons", "advantages?", "disadvantages?", "rather than",
    "differences?", "different from", "differs?", "better", "worse", r"prefer\w*", "instead of", "which should",
    "which one should",
)  # fmt: skip
_CONDITION = Phrases(
    "if", "unless", "provided that", "assuming", "suppose", "except", "without", "must", "at most", "at least",
    "no more than", "less than", "more than", "within", r"under \d", "below", "budget", "limited to", "only when",
    "as long as", "given that", "even when", "while keeping", "in case",
)  # fmt: skip
_REASON = Phrases(
    "why", r"explain\w*", "reasons?", "justify", "prove", "proof", r"deriv\w+", r"analyse\w*", r"analyze\w*", r"evaluat\w+",
    "design", r"optimise\w*", r"optimize\w*", r"diagnos\w+", "step by step", "implications?", "consequences?", "strategy for",
    r"recommend\w*", "root cause", "architecture", "critique",
)  # fmt: skip
_CODE = re.compile(
    r"```|\bdef \w+\(|\bclass \w+[:({]|=>|->|\w\(\)|\{|;\s*\n|Traceback|\wException\b|\wError\b|\bat \w+\.\w+\("
    r"|\b(?:SELECT|INSERT|UPDATE)\b.{1,200}?\b(?:FROM|INTO|SET)\b"
    r"|(?:^|\n)import [\w.]{1,60}\n|(?:^|\n)from [\w.]{1,60} import |[!=]=",
    re.DOTALL,
)
_CODE_HAS: Final = (
    "`",
    "(",
    "{",
    ">",
    ";",
    "=",
    ":",
    "import ",
    "Traceback",
    "Exception",
    "Error",
    "SELECT",
    "INSERT",
    "UPDATE",
)
"""A text that has none of these has no code."""
_ANNOUNCED = Phrases(
    "background", "context", "for context", "in other words", "i mean", "to be clear", "as i said", "currently (?:we|i)",
    "we currently", "i already", "we already", "i have tried", "i tried", "earlier", "so far",
)  # fmt: skip
_SENTENCE_ENDS = re.compile(r"[.!?\uff1f][\s\"')]")


class Complexity(msgspec.Struct, frozen=True):
    """A level from 1 to 10, and the reasons for it, most telling first: phrases such as "two questions"."""

    level: int
    reasons: tuple[str, ...]


def complexity_of(text: str, history_turns: int = 0) -> Complexity:
    """Give the complexity of a request's text, asked after `history_turns` earlier messages of the conversation."""
    read = text[:CHARACTERS_READ]
    words = _WORD.findall(read)
    begun = beginnings(read)
    if _is_small_talk(words, read):
        return Complexity(LOWEST, ("a short message",))
    told = [
        _parts(read, begun),
        (2, "asks to compare") if _COMPARISON.are_in(read, begun) else (0, ""),
        (2, "contains code") if _has_code(read) else (0, ""),
        _counted(_CONDITION.count_in(read, begun), "sets a condition", "sets several conditions"),
        _counted(_REASON.count_in(read, begun), "asks for reasons", "asks for thorough reasoning"),
        _length(len(words)),
        _background(read, begun),
        _history(history_turns),
    ]
    points = sum(point for point, _ in told) + (len(words) > 1)
    reasons = tuple(reason for point, reason in told if point > 0)
    plain = "a short message" if len(words) <= 1 else "one plain request"
    return Complexity(min(HIGHEST, LOWEST + points), reasons or (plain,))


def _is_small_talk(words: list[str], text: str) -> bool:
    return (
        len(words) <= _MOST_SMALL_TALK_WORDS
        and all(word.lower() in _SMALL_TALK for word in words)
        and not _has_code(text)
    )


def _has_code(text: str) -> bool:
    return any(map(text.__contains__, _CODE_HAS)) and _CODE.search(text) is not None


def _parts(text: str, begun: Begun) -> tuple[int, str]:
    # A text without a question mark asks one thing, whether or not it is a question.
    marked = "?" in text or "\uff1f" in text
    questions = len(_QUESTION_MARKS.findall(text)) if marked else 0
    joined = len(_JOINED.findall(text)) if _may_join(text, begun) else 0
    parts = max(questions, 1) + joined
    if parts == 1:
        return 0, ""
    noun = "questions" if joined == 0 else "parts"
    return min(_MOST_PARTS_POINTS, parts), f"{_NUMBERS[parts] if parts < len(_NUMBERS) else 'many'} {noun}"


def _may_join(text: str, begun: Begun) -> bool:
    if begun is None or "\n" in text or text[:1] in _ITEM_BEGINS or not _IN_ORDER.isdisjoint(begun):
        return True
    return not _LINKED.isdisjoint(begun) and (";" in text or not _LINKS.isdisjoint(begun))


def _counted(found: int, once: str, often: str) -> tuple[int, str]:
    if found == 0:
        return 0, ""
    return (2, often) if found >= _AGAIN else (1, once)


def _length(words: int) -> tuple[int, str]:
    points = sum(words >= step for step in _LENGTH_STEPS)
    return points, ("", "a longer text", "a long text", "a very long text", "a text as long as a document")[points]


def _background(text: str, begun: Begun) -> tuple[int, str]:
    ends = len(_SENTENCE_ENDS.findall(text + " "))
    gives = ends >= _BACKGROUND_SENTENCES or _ANNOUNCED.are_in(text, begun)
    return int(gives), "gives background" if gives else ""


def _history(turns: int) -> tuple[int, str]:
    points = sum(turns >= step for step in _HISTORY_STEPS)
    return points, "continues a conversation" if points else ""
