"""Content type: what kind of request a text is, by the examples that define each type.

In: example sentences by type, an encoder (once, in `build`), and weights that were learned for that encoder, if there are any;
then a text and its vector, request by request. Out: a `TypeGuess`. Kept: a frozen table made from the examples.
Fails: `BadExamples`, in `build` and `parse_examples` only.

How it works. An embedding mostly recovers what a text is about; a content type is what is wanted of it.
So thirteen yes-or-no features of the sentence's form (`sentence_form`) stand beside the vector, and the
likeness of two sentences is

    s(a, b) = cos(a, b) - FORM_PENALTY * (number of form features in which they differ).

A type's score is the sum of three readings:

1. kernel ridge regression, fitted in `build`: k(a, b) = exp(SHARPNESS * (s(a, b) - 1)); the target is 1 for the
   example's own type and 0 for the others, less 1 / types; the ridge of an example is proportional to the size of
   its type, so that three examples of a user's type count as much as a hundred of a built-in one;
2. the mean likeness of the type's `NEAREST` nearest examples, which decides close to an example;
3. `LEARNED_SHARE` times the score of the weights (`content_weights`), which know how people put things. They know the built-in
   types. A user's type takes the largest of the scores of those built-in types that its own examples are of, so that its
   examples alone decide between it and them, and no type has to be learned to be added.

The order of a type's examples changes nothing. The confidence is the softmax of the scores times `STEEPNESS`, which was set by the
log loss on utterances whose nearest examples and whose intents had been taken away (`penstock evaluate --content-types` shows the
calibration).

Trap: form and words are English only. In another language they are mostly alike for all texts, and likeness
is left to the encoder. Source of 1: Saunders, Gammerman, Vovk, "Ridge Regression Learning Algorithm in Dual
Variables", 1998.
"""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Self

import msgspec
import numpy as np
import numpy.typing as npt
import yaml

from agents.deciding.content_weights import Scorer, Weights
from agents.deciding.sentence_form import form_of

Singles = npt.NDArray[np.float32]
Encode = Callable[[Sequence[str]], npt.NDArray[np.float32]]

BUILT_IN_TYPES: Final = ("transactional", "informational", "support", "general")
NEAREST: Final = 3
FORM_PENALTY: Final = 0.02
SHARPNESS: Final = 4.0
RIDGE: Final = 0.1
LEARNED_SHARE: Final = 1.5
STEEPNESS: Final = 3.0

_METHOD_VERSION: Final = "2"


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

    version: a hash of the types' names, their examples, the weights and this module's method; the encoder's version is not in it.
    """

    names: tuple[str, ...]
    version: str
    _likeness: Singles  # (examples, dimensions + 13): times [vector, form] it gives cos + 2 * penalty * shared features
    _own_penalty: Singles  # (examples,): penalty * number of features of the example
    _coefficients: Singles  # (examples, types)
    _places: npt.NDArray[np.intp]  # (types, largest type): the examples of each type, padded with `examples`
    _nearest: Singles  # (types,): how many examples the mean is taken over
    _few: bool  # whether a type has fewer than `NEAREST`
    _scorer: Scorer | None
    _resembled: Singles  # (types, types of the weights): 0 where the type is of that one, minus infinity elsewhere

    @classmethod
    def build(cls, examples: Mapping[str, Sequence[str]], encode: Encode, weights: Weights | None = None) -> Self:
        """Fit on the examples; the cost grows with the cube of their number (450: about 30 ms, 2,000: a second).

        encode gives (n, dimensions) unit vectors for n texts, and is called once. weights are those of the same encoder;
        without them the examples decide alone. Raises BadExamples where there is no type, or a type without a name, without
        examples or with an empty one.
        """
        _check(examples)
        names = tuple(examples)
        sentences = [sentence for name in names for sentence in examples[name]]
        sizes = np.array([len(examples[name]) for name in names])
        owner = np.repeat(np.arange(len(names)), sizes)
        vectors = np.asarray(encode(sentences), dtype=np.float64)
        read = [form_of(sentence) for sentence in sentences]
        forms = np.stack([form.features for form in read])
        likeness = np.hstack([vectors, 2 * FORM_PENALTY * forms])
        own_penalty = FORM_PENALTY * forms.sum(axis=1)
        among = np.hstack([vectors, forms]) @ likeness.T - own_penalty - own_penalty[:, None]
        ridge = RIDGE * sizes[owner] * len(names) / len(sentences)
        targets = (owner[:, None] == np.arange(len(names))) - 1 / len(names)
        coefficients = np.linalg.solve(_kernel(among) + np.diag(ridge), targets)
        places = np.full((len(names), max(int(sizes.max()), NEAREST)), len(sentences), dtype=np.intp)
        for row, size in enumerate(sizes):
            places[row, :size] = np.flatnonzero(owner == row)
        nearest = np.minimum(sizes, NEAREST).astype(np.float32)
        scorer = None if weights is None else Scorer(weights)
        seen = np.hstack([vectors, forms]).astype(np.float32)
        return cls(
            names=names,
            version=_version_of(examples, weights),
            _likeness=likeness.astype(np.float32),
            _own_penalty=own_penalty.astype(np.float32),
            _coefficients=coefficients.astype(np.float32),
            _places=places,
            _nearest=nearest,
            _few=bool(sizes.min() < NEAREST),
            _scorer=scorer,
            _resembled=_resembled(names, owner, scorer, seen, [form.words for form in read]),
        )

    def classify(self, text: str, vector: Singles) -> TypeGuess:
        """Guess the type of a text by its vector, shape (dimensions,), from the encoder given to `build`.

        A text without any known word (a vector of zeros) is judged by its form alone. Ties go to the type named first.
        """
        form = form_of(text)
        seen = np.concatenate((vector, form.features), dtype=np.float32)
        likeness = self._likeness @ seen
        likeness -= self._own_penalty + np.float32(FORM_PENALTY * np.add.reduce(form.features))
        padded = np.concatenate((likeness, _NOTHING)).take(self._places)
        padded.partition(padded.shape[1] - NEAREST, axis=1)
        top = padded[:, -NEAREST:]
        if self._few:
            top[top == -np.inf] = 0.0
        totals = _kernel(likeness) @ self._coefficients + np.add.reduce(top, axis=1) / self._nearest
        if self._scorer is not None:
            learned = self._scorer.score(seen, form.words) + self._resembled
            totals += LEARNED_SHARE * np.maximum.reduce(learned, axis=1)
        totals *= STEEPNESS
        odds = np.exp(totals - np.maximum.reduce(totals))
        probabilities = (odds / np.add.reduce(odds)).tolist()
        best = probabilities.index(max(probabilities))
        return TypeGuess(
            content_type=self.names[best],
            confidence=probabilities[best],
            scores=dict(zip(self.names, probabilities, strict=True)),
        )


_NOTHING: Final = np.array([-np.inf], dtype=np.float32)


def _resembled(
    names: Sequence[str], owner: npt.NDArray[np.intp], scorer: Scorer | None, seen: Singles, words: Sequence[list[int]]
) -> Singles:
    """Which of the weights' types each type is of: a built-in one is itself, another is whatever one of its examples is."""
    if scorer is None:
        return np.zeros((len(names), 0), dtype=np.float32)
    found = np.full((len(names), len(scorer.types)), -np.inf, dtype=np.float32)
    for row, name in enumerate(names):
        if name in scorer.types:
            found[row, scorer.types.index(name)] = 0.0
        else:
            for place in np.flatnonzero(owner == row).tolist():
                found[row, scorer.score(seen[place], words[place]).argmax()] = 0.0
    return found


def _kernel(likeness: npt.NDArray[Any]) -> npt.NDArray[Any]:
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


def _version_of(examples: Mapping[str, Sequence[str]], weights: Weights | None) -> str:
    told = [_METHOD_VERSION, [[name, list(given)] for name, given in examples.items()], weights]
    return hashlib.sha256(msgspec.json.encode(told)).hexdigest()[:16]
