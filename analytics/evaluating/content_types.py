"""How well the content type is found on intents that nobody has seen: the classifier that serves, on real utterances.

In: utterances (text, intent, content_type) to test on and, where given, others to learn from; the examples, the shipped weights and
the encoders. Out: a `Report`. Keeps nothing. Fails: `NotMeasurable`, which says what is wrong with the file.

How it works.
1. The intents are dealt into `FOLDS` folds, type by type, anew for each seed. Without a file to learn from, a fold is tested by
   weights learned from the other folds; with one, by weights learned from that file less the intents that are tested.
   The weights that Penstock ships are not used for that, only the examples are.
2. Three readings stand beside it: `nearest_taken_away`, where each intent under test has lost the `TAKEN_AWAY` examples that are
   nearest to it, which is what an intent gets that nobody thought of (the encoder picks them, so it is pessimistic);
   `examples_only`, without any weights; `as_shipped`, with the shipped ones, honest only where they were learned elsewhere.
3. Keyword rules and the largest type are measured as well: what costs nothing.

Standard deviations are over the folds of all seeds. Balanced accuracy is the mean over the types of the share found.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import compress
from pathlib import Path
from typing import Final, NamedTuple

import duckdb
import msgspec
import numpy as np
import numpy.typing as npt

from agents.deciding.content_types import ContentTypes, TypeGuess
from agents.deciding.content_weights import Utterances, Vectors, Weights, inputs_of, learn

FOLDS: Final = 5
TAKEN_AWAY: Final = 3

_COLUMNS: Final = ("text", "intent", "content_type")
_READERS: Final = {
    ".parquet": "read_parquet",
    ".csv": "read_csv",
    ".jsonl": "read_json_auto",
    ".json": "read_json_auto",
}
_KEYWORDS: Final = (
    ("support", re.compile(r"\b(issue|problem|not working)")),
    ("transactional", re.compile(r"\b(order|return|refund)")),
    ("informational", re.compile(r"\b(how to|guide|explain)")),
)
_OTHERWISE: Final = "general"


class NotMeasurable(ValueError):
    """A file of utterances cannot be used: `problem`, and the `remedy`."""

    def __init__(self, problem: str, remedy: str) -> None:
        """Take what is wrong and what to do."""
        super().__init__(f"{problem}; {remedy}")
        self.problem = problem
        self.remedy = remedy


class Encoding(NamedTuple):
    """An encoder by its name, as the weights know it."""

    name: str
    encode: Callable[[Sequence[str]], Vectors]


class Found(msgspec.Struct, frozen=True, kw_only=True):
    """How often the type was right: means and standard deviations over folds; by_type is the share found of each type."""

    accuracy: float
    accuracy_sd: float
    balanced_accuracy: float
    balanced_accuracy_sd: float
    by_type: dict[str, float]


class Tenth(msgspec.Struct, frozen=True, kw_only=True):
    """Confidence against accuracy in one tenth of confidence."""

    utterances: int
    confidence: float
    accuracy: float


class OfEncoder(msgspec.Struct, frozen=True, kw_only=True):
    """What was measured with one encoder."""

    unseen_intents: Found
    nearest_taken_away: Found
    examples_only: Found
    as_shipped: Found | None
    folds: list[tuple[float, float]]
    """(accuracy, balanced accuracy) of `unseen_intents` in each fold."""
    calibration: list[Tenth]
    """Of `nearest_taken_away`."""


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """The whole. `accuracy` and the three below are those of `encoder` on unseen intents."""

    accuracy: float
    accuracy_sd: float
    balanced_accuracy: float
    balanced_accuracy_sd: float
    encoder: str
    utterances: int
    intents: int
    types: dict[str, int]
    learned_from: str
    seeds: int
    keywords: Found
    majority: Found
    encoders: dict[str, OfEncoder]


def read_utterances(path: Path) -> Utterances:
    """Read Parquet, CSV or JSON lines with the columns text, intent and content_type; raises NotMeasurable."""
    reader = _READERS.get(path.suffix.lower())
    if reader is None:
        raise NotMeasurable(f"{path} is of no known kind", f"give a file that ends in one of {', '.join(_READERS)}")
    if not path.is_file():
        raise NotMeasurable(f"{path} is not there", "give the path of a file of utterances")
    with duckdb.connect() as connection:
        try:
            table = connection.sql(f"SELECT * FROM {reader}(?)", params=[str(path)])  # noqa: S608 # one of three names
            missing = [name for name in _COLUMNS if name not in table.columns]
            if missing:
                raise NotMeasurable(f"{path} has no column {', '.join(missing)}", f"it needs {', '.join(_COLUMNS)}")
            rows = [
                tuple(None if cell is None else str(cell) for cell in row)
                for row in table.select(*_COLUMNS).order("ALL").fetchall()
            ]
        except duckdb.Error as error:
            raise NotMeasurable(f"{path} cannot be read ({error})", "write it again") from error
    if any(cell is None or not cell.strip() for row in rows for cell in row):
        raise NotMeasurable(f"{path} has an empty text, intent or type", "fill it in, or take the row out")
    texts, intents, types = ([str(row[place]) for row in rows] for place in range(3))
    return Utterances(texts=texts, intents=intents, types=types)


def measure(
    tested: Utterances,
    examples: Mapping[str, Sequence[str]],
    encodings: Sequence[Encoding],
    *,
    train: Utterances | None = None,
    shipped: Mapping[str, Weights] | None = None,
    seeds: int = FOLDS,
) -> Report:
    """Measure with each encoding; the first is the one that the report is headed by. Raises NotMeasurable."""
    _check(tested, examples, train, seeds)
    folds = list(_dealt(tested, seeds))
    by_encoder = {
        each.name: _with(each, tested, examples, train, (shipped or {}).get(each.name), folds) for each in encodings
    }
    head = by_encoder[encodings[0].name].unseen_intents
    largest = Counter((train or tested).types).most_common(1)[0][0]
    return Report(
        accuracy=head.accuracy,
        accuracy_sd=head.accuracy_sd,
        balanced_accuracy=head.balanced_accuracy,
        balanced_accuracy_sd=head.balanced_accuracy_sd,
        encoder=encodings[0].name,
        utterances=len(tested.texts),
        intents=len(set(tested.intents)),
        types=dict(sorted(Counter(tested.types).items())),
        learned_from="the other folds" if train is None else "another file",
        seeds=seeds,
        keywords=_found(tested, [([by_keywords(tested.texts[row]) for row in fold], fold) for fold in folds]),
        majority=_found(tested, [([largest] * len(fold), fold) for fold in folds]),
        encoders=by_encoder,
    )


def learned(encoding: Encoding, utterances: Utterances, examples: Mapping[str, Sequence[str]]) -> Weights:
    """The weights from all utterances of a file, to be shipped; raises NothingToLearn."""
    sentences = [text for given in examples.values() for text in given]
    return learn(
        encoding.name,
        utterances,
        inputs_of(utterances.texts, encoding.encode(utterances.texts)),
        examples,
        inputs_of(sentences, encoding.encode(sentences)),
    )


def by_keywords(text: str) -> str:
    """The type by plain words: of an issue, of an order, of a guide, in this order; else general."""
    lowered = text.lower()
    return next((name for name, words in _KEYWORDS if words.search(lowered)), _OTHERWISE)


def _check(tested: Utterances, examples: Mapping[str, Sequence[str]], train: Utterances | None, seeds: int) -> None:
    intents = len(set(tested.intents))
    if intents < FOLDS:
        raise NotMeasurable(f"there are {intents} intents", f"at least {FOLDS} are needed, one for each fold")
    strangers = sorted({*tested.types, *(train.types if train else ())} - set(examples))
    if strangers:
        raise NotMeasurable(f"no example defines {', '.join(strangers)}", f"use {', '.join(examples)}")
    if train is not None and not set(train.intents) - set(tested.intents):
        raise NotMeasurable(
            "the file to learn from has no intent of its own", "leave --train out, or give another file"
        )
    if seeds < 1:
        raise NotMeasurable(f"{seeds} seeds were asked for", "ask for one or more")


def _dealt(utterances: Utterances, seeds: int) -> Iterator[list[int]]:
    """Rows of each fold of each seed: whole intents, shuffled within their type, dealt in turn."""
    kinds = dict(zip(utterances.intents, utterances.types, strict=True))
    for seed in range(seeds):
        chance = np.random.default_rng(seed)
        order = [str(each) for each in chance.permutation(sorted(kinds))]
        order.sort(key=lambda intent: kinds[intent])
        fold_of = {intent: place % FOLDS for place, intent in enumerate(order)}
        for fold in range(FOLDS):
            yield [row for row, intent in enumerate(utterances.intents) if fold_of[intent] == fold]


class _Bench:
    """One encoder's vectors and inputs of everything, so that a fold only picks rows."""

    def __init__(
        self, encoding: Encoding, tested: Utterances, examples: Mapping[str, Sequence[str]], train: Utterances | None
    ) -> None:
        self.name = encoding.name
        self.tested, self.train = tested, train or tested
        self.vectors = encoding.encode(tested.texts)
        self.inputs = inputs_of(self.train.texts, self.vectors if train is None else encoding.encode(self.train.texts))
        self.examples = [(name, text) for name, given in examples.items() for text in given]
        self.types = tuple(examples)
        self.example_vectors = encoding.encode([text for _, text in self.examples])
        self._row = {text: row for row, (_, text) in enumerate(self.examples)}

    def kept(self, away: set[int]) -> dict[str, list[str]]:
        """The examples without some rows; a type keeps its last ones, for it cannot be without."""
        left: dict[str, list[str]] = {name: [] for name in self.types}
        for row, (name, text) in enumerate(self.examples):
            if row not in away:
                left[name].append(text)
        return {name: found or [text for each, text in self.examples if each == name] for name, found in left.items()}

    def encoded(self, texts: Sequence[str]) -> Vectors:
        """Vectors of examples."""
        found: Vectors = self.example_vectors[[self._row[text] for text in texts]]
        return found

    def learn(self, fold: Sequence[int], examples: Mapping[str, Sequence[str]]) -> Weights:
        """Weights without the fold's intents."""
        hidden = {self.tested.intents[row] for row in fold}
        if self.train is not self.tested:
            hidden = set(self.tested.intents)
        rows = [row for row, intent in enumerate(self.train.intents) if intent not in hidden]
        sentences = [text for given in examples.values() for text in given]
        inputs = inputs_of(sentences, self.encoded(sentences))
        return learn(self.name, self.train.at(rows), self.inputs[rows], examples, inputs)

    def guess(
        self, fold: Sequence[int], examples: Mapping[str, Sequence[str]], weights: Weights | None
    ) -> list[TypeGuess]:
        """Classify the fold's utterances by the classifier that serves."""
        types = ContentTypes.build(examples, self.encoded, weights)
        return [types.classify(self.tested.texts[row], self.vectors[row]) for row in fold]

    def nearest(self, fold: Sequence[int]) -> set[int]:
        """The examples nearest to each intent of the fold, by the mean over its utterances."""
        intents = np.array([self.tested.intents[row] for row in fold])
        likeness = self.vectors[list(fold)] @ self.example_vectors.T
        found: set[int] = set()
        for intent in set(intents.tolist()):
            found |= set(np.argsort(-likeness[intents == intent].mean(axis=0))[:TAKEN_AWAY].tolist())
        return found


def _with(
    encoding: Encoding,
    tested: Utterances,
    examples: Mapping[str, Sequence[str]],
    train: Utterances | None,
    shipped: Weights | None,
    folds: Sequence[list[int]],
) -> OfEncoder:
    bench = _Bench(encoding, tested, examples, train)
    every = range(len(tested.texts))
    alone = bench.guess(every, examples, None)
    given = None if shipped is None else bench.guess(every, examples, shipped)
    unseen: list[tuple[list[str], list[int]]] = []
    away: list[tuple[list[str], list[int]]] = []
    sure: list[tuple[float, bool]] = []
    for fold in folds:
        guesses = bench.guess(fold, examples, bench.learn(fold, examples))
        unseen.append(([each.content_type for each in guesses], fold))
        kept = bench.kept(bench.nearest(fold))
        guesses = bench.guess(fold, kept, bench.learn(fold, kept))
        away.append(([each.content_type for each in guesses], fold))
        sure += [
            (each.confidence, each.content_type == tested.types[row]) for each, row in zip(guesses, fold, strict=True)
        ]
    return OfEncoder(
        unseen_intents=_found(tested, unseen),
        nearest_taken_away=_found(tested, away),
        examples_only=_found(tested, [([alone[row].content_type for row in fold], fold) for fold in folds]),
        as_shipped=None
        if given is None
        else _found(tested, [([given[row].content_type for row in f], f) for f in folds]),
        folds=[
            (round(right, 4), round(balanced, 4)) for right, balanced, _ in (_shares(tested, *each) for each in unseen)
        ],
        calibration=_calibration(sure),
    )


def _shares(tested: Utterances, guessed: Sequence[str], fold: Sequence[int]) -> tuple[float, float, dict[str, float]]:
    truth = np.array([tested.types[row] for row in fold])
    right: npt.NDArray[np.bool_] = np.array(guessed) == truth
    by_type = {str(name): float(right[truth == name].mean()) for name in np.unique(truth)}
    return float(right.mean()), float(np.mean(list(by_type.values()))), by_type


def _found(tested: Utterances, guesses: Sequence[tuple[list[str], list[int]]]) -> Found:
    shares = [_shares(tested, *each) for each in guesses]
    accuracy, balanced = np.array([each[:2] for each in shares]).T
    names = sorted({name for each in shares for name in each[2]})
    by_type = {name: float(np.mean([each[2][name] for each in shares if name in each[2]])) for name in names}
    return Found(
        accuracy=round(float(accuracy.mean()), 4),
        accuracy_sd=round(float(accuracy.std()), 4),
        balanced_accuracy=round(float(balanced.mean()), 4),
        balanced_accuracy_sd=round(float(balanced.std()), 4),
        by_type={name: round(share, 4) for name, share in by_type.items()},
    )


def _calibration(sure: Sequence[tuple[float, bool]]) -> list[Tenth]:
    tenth = np.minimum(9, (np.array([each[0] for each in sure]) * 10).astype(int))
    found = []
    for place in np.unique(tenth):
        confident, right = np.array(list(compress(sure, tenth == place))).T
        found.append(
            Tenth(
                utterances=len(right),
                confidence=round(float(confident.mean()), 3),
                accuracy=round(float(right.mean()), 3),
            )
        )
    return found
