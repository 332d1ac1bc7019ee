"""Phrases to look for in a text, found sooner: a text without the most telling word of any of them is not searched.

In: regular expressions for phrases, and a text's ``beginnings``. Out: matches. Keeps the compiled patterns. Fails with
``ValueError`` on a phrase without a plain word before its first bracket, when it is made. Pure.

How it works. A pattern that begins with a word's border is tried at every character of a text. But every phrase has a word that
must be there, so the first four letters of all words of the text, as a set, tell at once whether any phrase can be. They may allow
too much (then the pattern decides), never too little. That goes for ASCII only: elsewhere a letter has more than one small form.
"""

import re
from typing import Final

_LETTERS: Final = 4
_RUN = re.compile(r"[a-z0-9]+")
_PLAIN = re.compile(r"([a-z]+)(?:['-][a-z]+)?([a-z]\?|\\w[*+]|)")
"""A word as it is written in a phrase: its letters, and what may follow them within the word."""


def beginnings(text: str) -> frozenset[str] | None:
    """The first four letters of each of a text's words, small; None for a text that is not ASCII, in which anything may be."""
    if not text.isascii():
        return None
    return frozenset([word[:_LETTERS] for word in _RUN.findall(text.lower())])


class Phrases:
    """Phrases, each of which begins and ends at a word's border; found in large and small letters."""

    def __init__(self, *phrases: str) -> None:
        """Take regular expressions of words with one space between two."""
        self._pattern = re.compile(rf"\b(?:{'|'.join(phrases)})\b", re.IGNORECASE)
        self._telling = frozenset(_telling(phrase) for phrase in phrases)

    def are_in(self, text: str, begun: frozenset[str] | None) -> bool:
        """Whether any is in a text; ``begun``: the text's ``beginnings``."""
        if begun is not None and self._telling.isdisjoint(begun):
            return False
        return self._pattern.search(text) is not None

    def count_in(self, text: str, begun: frozenset[str] | None) -> int:
        """How many are in a text, one after the other."""
        if begun is not None and self._telling.isdisjoint(begun):
            return 0
        return len(self._pattern.findall(text))


def _telling(phrase: str) -> str:
    """The first letters of the longest word that a phrase must have: four, or all of a shorter one."""
    before, bracket, _ = phrase.partition("(")
    words = before.split(" ")
    if bracket:
        words.pop()  # it may go on within the bracket
    found = [match.groups() for word in words if (match := _PLAIN.fullmatch(word))]
    sure = [letters for letters, after in found if not after or len(letters) >= _LETTERS]
    if not sure:
        raise ValueError(f"the phrase {phrase!r} has no plain word before its first bracket")
    return max(reversed(sure), key=len)[:_LETTERS]
