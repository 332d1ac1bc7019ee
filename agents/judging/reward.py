"""The reward: the one place where feedback and automatic scores become a number from 0 to 1.

In: what the user said and did about one answer, and its automatic scores. Out: the reward, its parts with their shares, and
whether users' feedback is in it. Keeps nothing. Fails with ``ValueError`` where there is nothing to judge by, or for a value that
``out_of_range`` refuses. Pure.

The strongest kind of signal decides:

1. said (rating, thumb): the newest, by the time at which it was given;
2. else done (edit, retry, abandon): the lowest;
3. else the automatic scores: (support + relevance) / 2.

    rating r in [1, 5] -> (r - 1) / 4      thumb t in {0, 1} -> t
    edit e in [0, 1]   -> 1 - e            retry -> 0.2            abandon -> 0
"""

from collections.abc import Iterable
from typing import Final

import msgspec

from agents.judging.automatic import Scores
from schemas import RewardPart

EVALUATOR: Final = "reward@1"
"""Name and version of the rule; another formula is another version."""

SAID: Final = frozenset({"rating", "thumb"})
"""Kinds by which a user states a judgement."""
DONE: Final = frozenset({"edit", "retry", "abandon"})
"""Kinds by which a user shows one."""

RETRY_REWARD: Final = 0.2
_LOWEST_RATING: Final = 1.0
_HIGHEST_RATING: Final = 5.0


class Signal(msgspec.Struct, frozen=True):
    """One feedback in range: its kind, its value in the kind's own unit, and when it was given, in microseconds."""

    kind: str
    value: float
    at_us: int


def out_of_range(kind: str, value: float) -> str | None:
    """Say what is wrong with a feedback's kind or value; None where nothing is. NaN is in no range."""
    expected: str
    match kind:
        case "rating":
            good, expected = _LOWEST_RATING <= value <= _HIGHEST_RATING, "from 1 to 5"
        case "thumb":
            good, expected = value in (0.0, 1.0), "0 or 1"
        case "edit":
            good, expected = 0.0 <= value <= 1.0, "from 0 to 1"
        case "retry" | "abandon":
            good, expected = value == 1.0, "1"
        case _:
            return f"The kind {kind} is unknown; known are rating, thumb, edit, retry and abandon."
    return None if good else f"The value of a {kind} is {expected}, not {value:g}."


def mapped(signal: Signal) -> float:
    """Give the reward in [0, 1] that a signal alone stands for; ``ValueError`` where it is out of range."""
    problem = out_of_range(signal.kind, signal.value)
    if problem is not None:
        raise ValueError(problem)
    match signal.kind:
        case "rating":
            return (signal.value - _LOWEST_RATING) / (_HIGHEST_RATING - _LOWEST_RATING)
        case "thumb":
            return signal.value
        case "edit":
            return 1.0 - signal.value
        case "retry":
            return RETRY_REWARD
        case _:
            return 0.0


def reward(signals: Iterable[Signal], scores: Scores | None) -> tuple[float, tuple[RewardPart, ...], bool]:
    """Give (reward in [0, 1], its parts, whether users' feedback is in it).

    ``signals`` may be in any order. Of two judgements stated in the same microsecond the lower counts.
    """
    given = tuple(signals)
    said = [signal for signal in given if signal.kind in SAID]
    done = [signal for signal in given if signal.kind not in SAID]
    if said:
        deciding = max(said, key=lambda signal: (signal.at_us, -mapped(signal)))
    elif done:
        deciding = min(done, key=lambda signal: (mapped(signal), signal.kind))
    elif scores is not None:
        parts = (
            RewardPart(name="support", value=scores.support, share=0.5),
            RewardPart(name="relevance", value=scores.relevance, share=0.5),
        )
        return (scores.support + scores.relevance) / 2, parts, False
    else:
        raise ValueError("There is neither feedback nor a score to compute a reward from.")
    value = mapped(deciding)
    return value, (RewardPart(name=deciding.kind, value=value, share=1.0),), True
