"""Words to the pieces that a BERT vocabulary has: the tokenizer's own answer, several times sooner for plain English.

In: a text. Out: the numbers of its pieces, without those that mark its beginning and end. Keeps the tokenizer, whose vocabulary
it asks word by word: no second vocabulary, and nothing of any text. Fails as the tokenizer does, where its file cannot be read.

How it works. For a text of printable ASCII, BERT's normalisation is making letters small, and its words are runs of letters and
digits, and each punctuation mark. A word that is in the vocabulary is one piece; another is divided into the longest pieces from
the left, all but the first beginning with ``##``; where that does not work out, or the word is too long, it is unknown. Every other
text (accents, other scripts, control characters, brackets that might hold a special token) is the tokenizer's own to divide. That
both say the same is tested on texts of every sort.

Source: Wu et al., "Google's Neural Machine Translation System", 2016, section 4.1 (word pieces, the longest first).
"""

import re
from pathlib import Path
from typing import Final

from tokenizers import Tokenizer

_MOST_CHARACTERS: Final = 100
"""Of a word, as in the tokenizer's file: a longer one is unknown."""
_NOT_PLAIN = re.compile(r"[^\t\n\r -Z\\-~]")
_WORD = re.compile(r"[a-z0-9]+|\S")


class WordPieces:
    """The tokenizer in a file, without padding and without a limit."""

    def __init__(self, path: Path) -> None:
        """Open the file; raises what the tokenizer's Rust core raises: a bare Exception."""
        self._tokenizer = Tokenizer.from_file(str(path))
        self._tokenizer.no_padding()
        self._tokenizer.no_truncation()
        self._number_of = self._tokenizer.token_to_id
        self.unknown = self.number_of("[UNK]")

    def number_of(self, piece: str) -> int:
        """The number of a piece that must be in the vocabulary; raises LookupError where it is not."""
        number: int | None = self._number_of(piece)
        if number is None:
            raise LookupError(f"the vocabulary has no {piece}")
        return number

    def read(self, text: str) -> list[int]:
        """Give the numbers of a text's pieces; an empty text has none."""
        if _NOT_PLAIN.search(text) is not None:
            found: list[int] = self._tokenizer.encode(text, add_special_tokens=False).ids
            return found
        pieces: list[int] = []
        for word in _WORD.findall(text.lower()):
            number = self._number_of(word)
            if number is None:
                pieces += self._divided(word)
            else:
                pieces.append(number)
        return pieces

    def _divided(self, word: str) -> list[int]:
        if len(word) > _MOST_CHARACTERS:
            return [self.unknown]
        pieces: list[int] = []
        start, before = 0, ""
        while start < len(word):
            for end in range(len(word), start, -1):
                number = self._number_of(before + word[start:end])
                if number is not None:
                    break
            else:
                return [self.unknown]
            pieces.append(number)
            start, before = end, "##"
        return pieces
