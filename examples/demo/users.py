"""The simulated users: they rate an answer by the key facts that stand in it.

In: a question and an answer. Out: the share of its facts found in the answer's first ``READ_CHARACTERS`` characters, in [0,
1], and the rating from 1 to 5 that says it. Keeps nothing, draws nothing at random but who rates at all. Pure.
"""

import re

from examples.demo.questions import Question

READ_CHARACTERS = 400
RATES_ONE_IN = 10
"""One in so many answers is not rated, and so is scored automatically."""


def normalised(text: str) -> str:
    """The text without marks of emphasis and code, in small letters, with single spaces."""
    return " ".join(re.sub(r"[`*_\"“”]+", "", text).lower().split())


def quality(question: Question, answer: str) -> float:
    """The share of the question's facts that the answer states."""
    read = normalised(answer[:READ_CHARACTERS])
    found = sum(any(normalised(alternative) in read for alternative in fact) for fact in question.facts)
    return found / len(question.facts)


def rating(quality_of_answer: float) -> float:
    """The rating from 1 to 5."""
    return 1.0 + 4.0 * quality_of_answer
