"""The demo's questions, and the order in which they are asked.

In: ``questions.jsonl`` and ``questions_late.jsonl`` beside this file. Out: questions with the key facts that a right answer
holds, and a seeded schedule. Keeps nothing. Fails with ``ValueError`` naming file and line where a question is malformed.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import msgspec

FOLDER = Path(__file__).parent
WORKFLOW = "docs_help"
PREMIUM_ONLY = "docs_help_premium"
PRIOR_ONLY = "docs_help_rules"


class Said(msgspec.Struct, frozen=True):
    """An earlier turn."""

    role: Literal["user", "assistant"]
    text: str


class Question(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One question. ``facts``: each a list of alternatives, any of which counts."""

    id: str
    content_type: str
    message: str
    facts: tuple[tuple[str, ...], ...]
    documents: tuple[str, ...]
    history: tuple[Said, ...] = ()


@dataclass(frozen=True)
class Asking:
    """One request of the schedule. ``quarter`` from 1 to 4, ``round`` counts how often the question was asked before."""

    workflow: str
    quarter: int
    round: int
    question: Question


def load(path: Path) -> list[Question]:
    """Read a file of questions, one JSON object a line."""
    found = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        try:
            found.append(msgspec.json.decode(line, type=Question))
        except msgspec.DecodeError as error:
            raise ValueError(f"{path.name}:{number}: {error}") from error
    return found


def schedule(known: Sequence[Question], late: Sequence[Question], *, requests: int, seed: int) -> list[list[Asking]]:
    """Four quarters of the learning workflow, seeded; the last also asks the late questions, and asks each of its questions of
    the two workflows that do not learn as well.

    The first three quarters go through the known questions in shuffled rounds. The last has every late question once and a
    sample of the known ones.
    """
    order = random.Random(seed)
    size = requests // 4
    stream: list[tuple[int, Question]] = []
    turn = 0
    while len(stream) < 4 * size:
        stream.extend((turn, question) for question in order.sample(list(known), len(known)))
        turn += 1
    quarters = [
        [
            Asking(WORKFLOW, quarter + 1, turn, question)
            for turn, question in stream[quarter * size : (quarter + 1) * size]
        ]
        for quarter in range(3)
    ]
    repeated = stream[3 * size : max(3 * size, 4 * size - len(late))]
    last = [*((0, question) for question in late), *repeated]
    order.shuffle(last)
    quarters.append(
        [
            Asking(workflow, 4, turn, question)
            for turn, question in last
            for workflow in order.sample((WORKFLOW, PREMIUM_ONLY, PRIOR_ONLY), 3)
        ]
    )
    return quarters
