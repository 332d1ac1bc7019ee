"""Content type: what kind of request a text is, by the examples that define each type.

In: example sentences by type, an encoder (once, in `build`); then a text and its vector, request by request.
Out: a `TypeGuess`. Kept: a frozen table made from the examples. Fails: `BadExamples`, in `build` and
`parse_examples` only.

How it works. An embedding mostly recovers what a text is about; a content type is what is wanted of it.
So thirteen yes-or-no features of the sentence's form (`FORM_FEATURES`) stand beside the vector, and the
likeness of two sentences is

    s(a, b) = cos(a, b) - FORM_PENALTY * (number of form features in which they differ).

A type's score is the sum of two readings of the same likenesses:

1. kernel ridge regression, fitted in `build`: k(a, b) = exp(SHARPNESS * (s(a, b) - 1)); the target is 1 for the
   example's own type and 0 for the others, less 1 / types; the ridge of an example is proportional to the size of
   its type, so that three examples of a user's type count as much as a hundred of a built-in one;
2. the mean likeness of the type's `NEAREST` nearest examples, which decides close to an example.

The confidence is the softmax of the scores times `STEEPNESS`, which was set by the log loss on utterances whose
nearest examples had been taken away (`tests/benchmarks/content_types.py` shows the calibration).

Trap: the form features know English only. In another language they are mostly alike for all texts, and likeness
is left to the encoder. Source of 1: Saunders, Gammerman, Vovk, "Ridge Regression Learning Algorithm in Dual
Variables", 1998.
"""

import hashlib
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Self

import msgspec
import numpy as np
import numpy.typing as npt
import yaml

Floats = npt.NDArray[np.float64]
Encode = Callable[[Sequence[str]], npt.NDArray[np.float32]]

BUILT_IN_TYPES: Final = ("transactional", "informational", "support", "general")
NEAREST: Final = 3
FORM_PENALTY: Final = 0.02
SHARPNESS: Final = 4.0
RIDGE: Final = 0.1
STEEPNESS: Final = 6.0
CHARACTERS_READ: Final = 1_000
"""The form is read off the first characters; more would cost time and say nothing about the sentence's form."""

_METHOD_VERSION: Final = "1"

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
_TOLD = re.compile(
    r"\b(tell me|let me know|(want|need|like) to know|know (what|how|if|which|when|where|whether)"
    r"|find out|wonder\w*|idea|explain|curious|information|info)\b"
)
_PROBLEM = re.compile(
    r"\b(not work\w*|doesn't|didn't|won't|can(no|')t (find|open|connect|log|access|get|use|hear|see|sign)"
    r"|isn't|hasn't|never (arriv|came|show)\w*|no longer|broken?|broke|fail\w*|error\w*|problem\w*"
    r"|issue\w*|wrong|stuck|crash\w*|lost|stolen|missing|misplaced|declined|refused|rejected|blocked"
    r"|locked|frozen|freez\w*|denied|dead|flat|leak\w*|damaged|hangs?|trouble|fix|help)\b"
)


class BadExamples(ValueError):
    """The examples cannot define types: which (`content_type`, "" for all), what (`problem`) and the `remedy`."""

    def __init__(self, content_type: str, problem: str, remedy: str) -> None:
        """Take the type's name, what is wrong with it and the next step."""
        super().__init__(f"{content_type or 'content types'}: {problem}; {remedy}")
        self.content_type = content_type
        self.problem = problem
        self.remedy = remedy


class TypeGuess(msgspec.Struct, frozen=True):
    """The most likely content type, its probability in [0, 1], and the probability of each type (they sum to 1)."""

    content_type: str
    confidence: float
    scores: dict[str, float]


def form_of(text: str) -> Floats:
    """Give the form features of a text, shape (13,), each 0.0 or 1.0, in the order of `FORM_FEATURES`."""
    lowered = text[:CHARACTERS_READ].lower().replace("\u2019", "'")
    every_word = words = _WORD.findall(lowered)
    while len(words) > 1 and words[0] in _LEADING:
        words = words[1:]
    first = words[0] if words else ""
    second = words[1] if len(words) > 1 else ""
    begins_how, asks_measure = first == "how", first == "how" and second in _MEASURES
    begins_wh, begins_auxiliary = first in _WH, first in _AUXILIARY
    begins_ability, begins_i = first in _ABILITY, first in _SPEAKER
    asks_to_be_told = _TOLD.search(lowered) is not None
    asks = begins_wh or begins_how or begins_auxiliary or begins_ability or asks_to_be_told
    imperative = len(words) > 1 and not (asks or begins_i or first in _NO_VERB)
    # "could you" and "do you" address the assistant without being about it.
    is_address = "you" in words[:2] and (begins_ability or first in {"will", "do"})
    addressed = sum(word in _ADDRESSED for word in words) - is_address
    return np.array(
        (
            begins_wh,
            begins_how and not asks_measure,
            asks_measure,
            begins_auxiliary,
            begins_ability,
            begins_i,
            _WISH.match(" ".join(words[:5])) is not None,
            asks_to_be_told,
            imperative,
            addressed > 0,
            not _OWN.isdisjoint(words),
            len(every_word) <= 3,  # noqa: PLR2004
            _PROBLEM.search(lowered) is not None,
        ),
        dtype=np.float64,
    )


def parse_examples(yaml_text: str) -> dict[str, tuple[str, ...]]:
    """Read a YAML mapping from type to a list of sentences; raises BadExamples, naming the type."""
    try:
        loaded = yaml.safe_load(yaml_text)
    except yaml.YAMLError as error:
        raise BadExamples("", f"not YAML ({error})", "write `type:` and a list of sentences") from error
    if not isinstance(loaded, dict):
        raise BadExamples("", "not a mapping", "write `type:` and a list of sentences")
    examples: dict[str, tuple[str, ...]] = {}
    for name, sentences in loaded.items():
        if not isinstance(name, str) or not isinstance(sentences, list):
            raise BadExamples(str(name), "not a list of sentences", "start each sentence with `- `")
        for sentence in sentences:
            if not isinstance(sentence, str):
                raise BadExamples(name, f"{sentence!r} is not text", "put it in quotation marks")
        examples[name] = tuple(sentences)
    return examples


def with_own_types(
    built_in: Mapping[str, Sequence[str]], own: Mapping[str, Sequence[str]]
) -> dict[str, tuple[str, ...]]:
    """Add the user's types to the built-in ones; sentences for a name that exists are added to it."""
    names = dict.fromkeys((*built_in, *own))
    return {name: (*built_in.get(name, ()), *own.get(name, ())) for name in names}


@dataclass(frozen=True, slots=True, eq=False)
class ContentTypes:
    """The types and what was fitted on their examples. Build it with `build`; safe to share between threads.

    version: a hash of the types' names, their examples and this module's method; the encoder's version is not in it.
    """

    names: tuple[str, ...]
    version: str
    _likeness: Floats  # (examples, dimensions + 13): times [vector, form] it gives cos + 2 * penalty * shared features
    _own_penalty: Floats  # (examples,): penalty * number of features of the example
    _coefficients: Floats  # (examples, types)
    _places: npt.NDArray[np.intp]  # (types, largest type): the examples of each type, padded with `examples`
    _nearest: npt.NDArray[np.intp]  # (types,): how many examples the mean is taken over

    @classmethod
    def build(cls, examples: Mapping[str, Sequence[str]], encode: Encode) -> Self:
        """Fit on the examples; the cost grows with the cube of their number (450: about 30 ms, 2,000: a second).

        encode gives (n, dimensions) unit vectors for n texts, and is called once. Raises BadExamples where there is
        no type, or a type without a name, without examples or with an empty one.
        """
        _check(examples)
        names = tuple(examples)
        sentences = [sentence for name in names for sentence in examples[name]]
        sizes = np.array([len(examples[name]) for name in names])
        owner = np.repeat(np.arange(len(names)), sizes)
        vectors = np.asarray(encode(sentences), dtype=np.float64)
        forms = np.stack([form_of(sentence) for sentence in sentences])
        likeness = np.hstack([vectors, 2 * FORM_PENALTY * forms])
        own_penalty = FORM_PENALTY * forms.sum(axis=1)
        among = np.hstack([vectors, forms]) @ likeness.T - own_penalty - own_penalty[:, None]
        ridge = RIDGE * sizes[owner] * len(names) / len(sentences)
        targets = (owner[:, None] == np.arange(len(names))) - 1 / len(names)
        coefficients = np.linalg.solve(_kernel(among) + np.diag(ridge), targets)
        places = np.full((len(names), max(int(sizes.max()), NEAREST)), len(sentences), dtype=np.intp)
        for row, size in enumerate(sizes):
            places[row, :size] = np.flatnonzero(owner == row)
        nearest = np.minimum(sizes, NEAREST).astype(np.intp)
        return cls(names, _version_of(examples), likeness, own_penalty, coefficients, places, nearest)

    def classify(self, text: str, vector: npt.NDArray[np.float32]) -> TypeGuess:
        """Guess the type of a text by its vector, shape (dimensions,), from the encoder given to `build`.

        A text without any known word (a vector of zeros) is judged by its form alone. Ties go to the type named first.
        """
        form = form_of(text)
        likeness = self._likeness @ np.concatenate((vector, form))
        likeness -= self._own_penalty + FORM_PENALTY * form.sum()
        padded = np.append(likeness, -np.inf)[self._places]
        top = np.partition(padded, -NEAREST, axis=1)[:, -NEAREST:]
        top[top == -np.inf] = 0.0
        mean_of_nearest = top.sum(axis=1) / self._nearest
        totals = STEEPNESS * (_kernel(likeness) @ self._coefficients + mean_of_nearest)
        odds = np.exp(totals - totals.max())
        probabilities = (odds / odds.sum()).tolist()
        best = max(range(len(probabilities)), key=probabilities.__getitem__)
        return TypeGuess(
            content_type=self.names[best],
            confidence=probabilities[best],
            scores=dict(zip(self.names, probabilities, strict=True)),
        )


def _kernel(likeness: Floats) -> Floats:
    return np.exp(SHARPNESS * (likeness - 1))


def _check(examples: Mapping[str, Sequence[str]]) -> None:
    if not examples:
        raise BadExamples("", "there is no type", "name at least one type with examples")
    for name, sentences in examples.items():
        if not name.strip():
            raise BadExamples("", "a type has no name", "give it a name")
        if isinstance(sentences, str) or not sentences:
            raise BadExamples(name, "has no list of examples", "write three sentences or more")
        if any(not sentence.strip() for sentence in sentences):
            raise BadExamples(name, "an example is empty", "write a sentence or take it out")


def _version_of(examples: Mapping[str, Sequence[str]]) -> str:
    told = msgspec.json.encode([_METHOD_VERSION, [[name, list(given)] for name, given in examples.items()]])
    return hashlib.sha256(told).hexdigest()[:16]
