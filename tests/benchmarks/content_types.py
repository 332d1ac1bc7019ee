"""How well the built-in content types fit utterances that nobody here wrote, and what a classification costs.

In: --data PATH, a Parquet file with the columns text, intent and content_type; --models PATH, the prepared encoders.
Out: JSON on the standard output. Kept: nothing. Fails: where a file is missing. No row of the data is printed.

Measures, each as the share of utterances classified right (all, and by type):
- as_shipped: all examples. No utterance of the data is an example, but many intents have an example that resembles them.
- nearest_taken_away: for each intent, the examples nearest to its utterances (`--away`, of whatever type) are removed
  before the types are built: what an intent gets that nobody thought of. The embedding picks them, so it is pessimistic.
- calibration of nearest_taken_away: mean confidence against accuracy, by tenth of confidence.
"""

import argparse
import json
import sys
import time
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import numpy.typing as npt

from agents.deciding.content_types import ContentTypes, TypeGuess, parse_examples
from agents.encoding.static import StaticEncoder

PROJECT = Path(__file__).resolve().parents[2]
Vectors = npt.NDArray[np.float32]
Row = tuple[str, str, str]


def shares(rows: Sequence[Row], guesses: Sequence[TypeGuess]) -> dict[str, Any]:
    """Give the share that is right, over all utterances, over types alike, and by type."""
    right: dict[str, list[bool]] = defaultdict(list)
    for (_, _, content_type), guess in zip(rows, guesses, strict=True):
        right[content_type].append(guess.content_type == content_type)
    by_type = {name: round(float(np.mean(found)), 3) for name, found in sorted(right.items())}
    every = [each for found in right.values() for each in found]
    return {
        "all": round(float(np.mean(every)), 3),
        "balanced": round(float(np.mean(list(by_type.values()))), 3),
    } | by_type


def without_nearest(
    rows: Sequence[Row], vectors: Vectors, examples: dict[str, tuple[str, ...]], encoder: StaticEncoder, away: int
) -> list[TypeGuess]:
    """Classify each intent's utterances by types built without the examples nearest to them."""
    sentences = [(name, text) for name, given in examples.items() for text in given]
    table = encoder.encode([text for _, text in sentences])
    place = {text: row for row, (_, text) in enumerate(sentences)}
    members: dict[str, list[int]] = defaultdict(list)
    for number, (_, intent, _) in enumerate(rows):
        members[intent].append(number)
    guesses: dict[int, TypeGuess] = {}
    for numbers in members.values():
        nearest = set(np.argsort(-(vectors[numbers] @ table.T).mean(axis=0))[:away].tolist())
        kept: dict[str, list[str]] = defaultdict(list)
        for row, (name, text) in enumerate(sentences):
            if row not in nearest:
                kept[name].append(text)
        types = ContentTypes.build(kept, lambda texts: table[[place[text] for text in texts]])
        guesses |= {number: types.classify(rows[number][0], vectors[number]) for number in numbers}
    return [guesses[number] for number in range(len(rows))]


def calibration(rows: Sequence[Row], guesses: Sequence[TypeGuess]) -> list[dict[str, float]]:
    """Compare confidence with accuracy in each tenth of confidence that occurs."""
    tenths: dict[int, list[tuple[float, bool]]] = defaultdict(list)
    for (_, _, content_type), guess in zip(rows, guesses, strict=True):
        tenths[min(9, int(guess.confidence * 10))].append((guess.confidence, guess.content_type == content_type))
    return [
        {
            "utterances": len(found),
            "confidence": round(float(np.mean([confidence for confidence, _ in found])), 3),
            "accuracy": round(float(np.mean([right for _, right in found])), 3),
        }
        for _, found in sorted(tenths.items())
    ]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="Measure the built-in content types.")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--models", type=Path, default=PROJECT / "var" / "models")
    parser.add_argument("--away", type=int, default=5, help="examples taken away for each intent")
    asked = parser.parse_args()
    query = "SELECT text, intent, content_type FROM read_parquet(?) ORDER BY intent, text"
    rows: list[Row] = duckdb.execute(query, [str(asked.data)]).fetchall()
    encoder = StaticEncoder(asked.models)
    yaml_text = (PROJECT / "agents" / "deciding" / "content_type_examples.yaml").read_text(encoding="utf-8")
    examples = parse_examples(yaml_text)
    vectors = encoder.encode([text for text, _, _ in rows])
    started = time.perf_counter()
    types = ContentTypes.build(examples, encoder.encode)
    built = time.perf_counter()
    shipped = [types.classify(text, vector) for (text, _, _), vector in zip(rows, vectors, strict=True)]
    classified = time.perf_counter()
    away = without_nearest(rows, vectors, examples, encoder, asked.away)
    report = {
        "utterances": len(rows),
        "intents": len({intent for _, intent, _ in rows}),
        "examples": {name: len(given) for name, given in examples.items()},
        "encoder_version": encoder.version,
        "types_version": types.version,
        "build_ms": round((built - started) * 1e3, 1),
        "classify_us": round((classified - built) * 1e6 / len(rows), 1),
        "as_shipped": shares(rows, shipped),
        "nearest_taken_away": {"examples_away": asked.away} | shares(rows, away),
        "calibration": calibration(rows, away),
    }
    sys.stdout.write(json.dumps(report, indent=2) + "\n")


if __name__ == "__main__":
    main()
