"""What real utterances teach about content types: weights for a vector, the sentence's form and its words of grammar.

In: utterances with their intent and type, and the examples that define the types, with their vectors. Out: `Weights`, one linear
score for each type. Keeps nothing. Fails: `BadWeights` on a damaged file, `NothingToLearn` without utterances or without examples.

How it works. Ridge regression from [vector, form, words] on the type (1 for the own, 0 for the others):

    min over W of  sum over rows of  w (y - W x)^2  +  RIDGE |W|^2

where the rows are the utterances and the examples. The examples together weigh `EXAMPLES_SHARE` of all utterances together, so that
what is learned does not forget subjects that the utterances lack. Every intent weighs the same, however many utterances it has, but
that a type of few intents is made heavier by the root of its rarity; so is a type of few examples. A word's share of the input is
smaller than the form's (`WORD_SCALE`, `FORM_SCALE`): each of many may say a little.

The weights that Penstock ships are in `content_type_weights.json`, one entry for each encoder. No utterance is in it. It is made by

    penstock evaluate --content-types FILE --write-weights agents/deciding/content_type_weights.json

There is no chance in it: the same file, examples and encoder give the same weights. The constants were set by leaving intents out.
Source: Hoerl, Kennard, "Ridge Regression: Biased Estimation for Nonorthogonal Problems", 1970.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Final, Self

import msgspec
import numpy as np
import numpy.typing as npt

from agents.deciding.sentence_form import FORM_FEATURES, FORM_WORDS, Floats, form_of

RIDGE: Final = 0.016
EXAMPLES_SHARE: Final = 0.5
FORM_SCALE: Final = 0.3
WORD_SCALE: Final = 0.2
_WORD_ROWS: Final = 2 * len(FORM_WORDS)
_DECIMALS: Final = 4

Vectors = npt.NDArray[np.float32]


class BadWeights(ValueError):
    """A file of weights cannot be used: `problem`, and the `remedy`."""

    def __init__(self, problem: str) -> None:
        """Take what is wrong."""
        self.problem = problem
        self.remedy = "make it again with `penstock evaluate --content-types FILE --write-weights PATH`"
        super().__init__(f"weights of content types: {problem}; {self.remedy}")


class NothingToLearn(ValueError):
    """There are no utterances or no examples of their types."""


class Weights(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A linear score for each type, as it is stored; every row has one number for each of `types`.

    encoder: the name of the encoder whose vectors it reads. vector, form, words: rows for the vector's dimensions, for
    `FORM_FEATURES`, and for `FORM_WORDS` twice (anywhere; at the beginning). offset: what is added.
    """

    encoder: str
    types: tuple[str, ...]
    vector: list[list[float]]
    form: list[list[float]]
    words: list[list[float]]
    offset: list[float]


class Scorer:
    """Weights as arrays, ready to score."""

    def __init__(self, weights: Weights) -> None:
        """Take weights that `parse_weights` or `learn` gave."""
        self.types = weights.types
        self._dense = np.array([*weights.vector, *weights.form], dtype=np.float32).T.copy()
        self._words = np.array(weights.words, dtype=np.float32)
        self._offset = np.array(weights.offset, dtype=np.float32)

    def score(self, read: Vectors, words: list[int]) -> Vectors:
        """Score one text by its [vector, form features] and the form's words, shape (types,).

        A score is about 1 for the text's type and 0 for the others; they sum to 1.
        """
        scores: Vectors = self._dense @ read + self._offset
        if words:
            scores += np.add.reduce(self._words.take(words, axis=0))
        return scores


class Utterances(msgspec.Struct, frozen=True, kw_only=True):
    """Texts with what was wanted by them, of one length: `intents` are names of narrower kinds within a type."""

    texts: Sequence[str]
    intents: Sequence[str]
    types: Sequence[str]

    def at(self, rows: Sequence[int]) -> Self:
        """The utterances of these rows."""
        return type(self)(
            texts=[self.texts[row] for row in rows],
            intents=[self.intents[row] for row in rows],
            types=[self.types[row] for row in rows],
        )


def inputs_of(texts: Sequence[str], vectors: Vectors) -> Vectors:
    """The rows that the regression reads, shape (texts, dimensions + 13 + words + 1), scaled."""
    dimensions, forms = vectors.shape[1], len(FORM_FEATURES)
    rows = np.zeros((len(texts), dimensions + forms + _WORD_ROWS + 1), dtype=np.float32)
    rows[:, :dimensions] = vectors
    for row, text in enumerate(texts):
        form = form_of(text)
        rows[row, dimensions : dimensions + forms] = FORM_SCALE * form.features
        rows[row, [dimensions + forms + word for word in form.words]] = WORD_SCALE
    rows[:, -1] = 1.0
    return rows


def learn(
    encoder: str,
    utterances: Utterances,
    inputs: Vectors,
    examples: Mapping[str, Sequence[str]],
    example_inputs: Vectors,
) -> Weights:
    """Fit the weights on the utterances and the examples, in their order; inputs as `inputs_of` gives them.

    The types are those of the examples; raises NothingToLearn without examples, without utterances, or where an utterance's
    type has no example.
    """
    types = tuple(examples)
    strangers = sorted(set(utterances.types) - set(types))
    if not types or not utterances.types or strangers:
        raise NothingToLearn(f"types without examples: {strangers}" if strangers else "no utterances or no examples")
    weights = np.concatenate((_of_utterances(utterances), _of_examples(examples))).astype(np.float32)
    names = [*utterances.types, *(name for name, given in examples.items() for _ in given)]
    targets = (np.array(names)[:, None] == np.array(types)).astype(np.float32)
    rows = np.concatenate((inputs, example_inputs))
    weighted = rows * weights[:, None]
    gram = (weighted.T @ rows).astype(np.float64)
    gram[np.diag_indices_from(gram)] += RIDGE
    gram[-1, -1] -= RIDGE * (1 - 1e-6)  # the offset is not shrunk
    found = np.linalg.solve(gram, (weighted.T @ targets).astype(np.float64))
    forms, dimensions = len(FORM_FEATURES), rows.shape[1] - len(FORM_FEATURES) - _WORD_ROWS - 1
    return Weights(
        encoder=encoder,
        types=types,
        vector=_rounded(found[:dimensions]),
        form=_rounded(FORM_SCALE * found[dimensions : dimensions + forms]),
        words=_rounded(WORD_SCALE * found[dimensions + forms : -1]),
        offset=_rounded(found[-1:])[0],
    )


def parse_weights(text: str) -> dict[str, Weights]:
    """Read a file of weights, by the encoder's name; raises BadWeights."""
    try:
        every = msgspec.json.decode(text, type=list[Weights])
    except msgspec.DecodeError as error:
        raise BadWeights(str(error)) from error
    for one in every:
        rows = [*one.vector, *one.form, *one.words, one.offset]
        if len(one.form) != len(FORM_FEATURES) or len(one.words) != _WORD_ROWS:
            raise BadWeights(f"those of {one.encoder} are of another version of the form's features")
        if any(len(row) != len(one.types) for row in rows):
            raise BadWeights(f"a row of those of {one.encoder} has not one number for each type")
    return {one.encoder: one for one in every}


def written(every: Sequence[Weights]) -> str:
    """Weights as the text of a file, by the encoder's name."""
    return msgspec.json.encode(sorted(every, key=lambda one: one.encoder)).decode() + "\n"


def _of_utterances(utterances: Utterances) -> Floats:
    """Each intent alike, types tempered by the root of their rarity, one in all."""
    told = Counter(utterances.intents)
    kinds = Counter(dict(zip(utterances.intents, utterances.types, strict=True)).values())
    given = [
        1 / (told[intent] * kinds[content_type] ** 0.5)
        for intent, content_type in zip(utterances.intents, utterances.types, strict=True)
    ]
    weights: Floats = np.array(given) / sum(given)
    return weights


def _of_examples(examples: Mapping[str, Sequence[str]]) -> Floats:
    given = np.array([1 / len(texts) ** 0.5 for texts in examples.values() for _ in texts])
    weights: Floats = EXAMPLES_SHARE * given / given.sum()
    return weights


def _rounded(rows: Floats) -> list[list[float]]:
    return [[round(float(each), _DECIMALS) for each in row] for row in rows]
