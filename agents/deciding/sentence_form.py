"""The form of a sentence: what its words say of what is wanted, whatever it is about.

In: a text. Out: its `SentenceForm`: thirteen yes-or-no features, and which words of a closed list it has and begins with.
Keeps and fails: nothing. English only; a sentence in another language mostly has no feature at all.

The closed list (`FORM_WORDS`) holds words of grammar and the most common verbs of asking and of ordering, and no word that
names a subject.
"""

import re
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from agents.deciding.phrases import Phrases, beginnings

Floats = npt.NDArray[np.float64]

CHARACTERS_READ: Final = 1_000
"""The form is read off the first characters; more would cost time and say nothing about the sentence's form."""

FORM_FEATURES: Final = (
    "begins with a wh-word",
    "asks how something is or is done",
    "asks how much, how long or how often",
    "begins with an auxiliary verb",
    "begins with can, could, would or might",
    "begins with I",
    "states a wish",
    "asks to be told",
    "is an imperative",
    "is about the assistant",
    "is about the speaker's own",
    "is three words or fewer",
    "names a problem",
)


def _words(spaced: str) -> frozenset[str]:
    return frozenset(spaced.split())


_LISTED: Final = """
a an the this that these those some any all every each no not none never nothing
i me my mine you your yours we our us he she they it its him her them
who what which when where why how whose is are was were am be been being do does did done doing
have has had having will would can could shall should may might must
need want like wish let get got make know tell show give find help see look check think say said there here now
today tomorrow yesterday then again still already yet ever more most much many long far often few less too
very really just only also else to of in on at for from with without by about into onto over under up down out
off through between before after since until during as than if whether because so and or but please thanks
thank hello hi hey ok okay yes sure maybe sorry good nice great i'm i'd i've i'll it's that's what's
where's when's how's who's don't doesn't didn't won't can't cannot isn't aren't wasn't hasn't haven't
wouldn't couldn't shouldn't you're best better use used using set put take add change turn keep
stop start move remove cancel order book buy send pay call play open close make reserve schedule explain mean
means meaning difference way possible information
"""
FORM_WORDS: Final = tuple(dict.fromkeys(_LISTED.split()))

_WORD = re.compile(r"[a-z0-9']+")
_LEADING = _words("please kindly hey ok okay so and just also hi well")
_WH = _words("what which who whom whose when where why what's whats who's where's when's")
_MEASURES = _words("much many long far often high old big soon late")
_AUXILIARY = _words("is are was were do does did has have had will am should may")
_ABILITY = _words("can could would might")
_SPEAKER = _words("i i'm i'd i've im id")
_NO_VERB = _words(
    "the my a an this that it it's there your our every half all nobody somebody someone "
    "you he she we they yes no not maybe any"
)
_ADDRESSED = _words("you your yours you're yourself")
_OWN = frozenset(("my", "mine", "our"))
_WISH = re.compile(
    r"^(i|i'd|i'm|i would|we) (also )?(really )?(want|need|like|would like|wanna|have|must|am)\b|^i would like"
)
_WISHING = _words("i i'd i'm we")
_TOLD = Phrases(
    "tell me", "let me know", "want to know", "need to know", "like to know", "know (?:what|how|if|which|when|where|whether)",
    "find out", r"wonder\w*", "idea", "explain", "curious", "information", "info",
)  # fmt: skip
_PROBLEM = Phrases(
    r"not work\w*", "doesn't", "didn't", "won't",
    *(f"{cannot} (?:find|open|connect|log|access|get|use|hear|see|sign)" for cannot in ("cannot", "can't")),
    "isn't", "hasn't", r"never (?:arriv|came|show)\w*", "no longer", "broken?", "broke", r"fail\w*", r"error\w*",
    r"problem\w*", r"issue\w*", "wrong", "stuck", r"crash\w*", "lost", "stolen", "missing", "misplaced", "declined",
    "refused", "rejected", "blocked", "locked", "frozen", r"freez\w*", "denied", "dead", "flat", r"leak\w*", "damaged",
    "hangs?", "trouble", "fix", "help",
)  # fmt: skip
_ROW: Final = {word: row for row, word in enumerate(FORM_WORDS)}


@dataclass(frozen=True, slots=True, eq=False)
class SentenceForm:
    """A sentence's form.

    features: shape (13,), each 0.0 or 1.0, in the order of `FORM_FEATURES`.
    words: rows of the words of `FORM_WORDS` that it has, and, `len(FORM_WORDS)` further, of the one it begins with.
    """

    features: Floats
    words: list[int]


def form_of(text: str) -> SentenceForm:
    """Read the form off a text's first `CHARACTERS_READ` characters; an empty text has the features of three words or fewer."""
    lowered = text[:CHARACTERS_READ].lower().replace("\u2019", "'")
    every_word = words = _WORD.findall(lowered)
    while len(words) > 1 and words[0] in _LEADING:
        words = words[1:]
    first = words[0] if words else ""
    second = words[1] if len(words) > 1 else ""
    begins_how, asks_measure = first == "how", first == "how" and second in _MEASURES
    begins_wh, begins_auxiliary = first in _WH, first in _AUXILIARY
    begins_ability, begins_i = first in _ABILITY, first in _SPEAKER
    begun = beginnings(lowered)
    asks_to_be_told = _TOLD.are_in(lowered, begun)
    asks = begins_wh or begins_how or begins_auxiliary or begins_ability or asks_to_be_told
    imperative = len(words) > 1 and not (asks or begins_i or first in _NO_VERB)
    # "could you" and "do you" address the assistant without being about it.
    is_address = "you" in words[:2] and (begins_ability or first in {"will", "do"})
    addressed = sum(word in _ADDRESSED for word in words) - is_address
    features = np.array(
        (
            begins_wh,
            begins_how and not asks_measure,
            asks_measure,
            begins_auxiliary,
            begins_ability,
            begins_i,
            first in _WISHING and _WISH.match(" ".join(words[:5])) is not None,
            asks_to_be_told,
            imperative,
            addressed > 0,
            not _OWN.isdisjoint(words),
            len(every_word) <= 3,  # noqa: PLR2004
            _PROBLEM.are_in(lowered, begun),
        ),
        dtype=np.float64,
    )
    rows = [_ROW[word] for word in set(words) if word in _ROW]
    if first in _ROW:
        rows.append(len(FORM_WORDS) + _ROW[first])
    rows.sort()
    return SentenceForm(features, rows)
