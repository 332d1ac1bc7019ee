"""The sentence that explains a plan, made from the numbers that decided it.

Comes in: the kind of request, the chosen candidate, its rivals, why the choice was open or closed. Goes out: one sentence that
a support agent understands. Keeps nothing, cannot fail. Pure: the same numbers give the same words.
"""

from collections.abc import Sequence

import msgspec

from schemas import Candidate

CENT_USD = 0.01
MANY_WAIT = 300
"""Requests: fewer are what a healthy loop has under way."""


class Circumstances(msgspec.Struct, frozen=True, kw_only=True):
    """What the sentence is about, besides the numbers."""

    content_type: str
    complexity: int
    complexity_reasons: tuple[str, ...]
    learned: bool
    learning_off: bool
    pinned: tuple[str, ...]
    overrides: tuple[str, ...]
    floor: float
    floor_met: bool
    incumbent: str | None
    personal: tuple[str, ...] = ()
    experiment: str = ""
    new_version: bool = False
    by_heads: bool = False
    """Whether the numbers are about this request, and not about its kind."""
    strange: bool = False
    waiting: int = 0


def reasoning(chosen: Candidate, candidates: Sequence[Candidate], about: Circumstances) -> str:
    """Say why ``chosen`` answers this request."""
    opening = f"{_article(about.content_type)} {about.content_type} request of complexity {about.complexity}"
    if about.complexity_reasons:
        opening += f" ({', '.join(about.complexity_reasons[:2])})"
    return f"{opening}: {_because(chosen, candidates, about)}{_bounds(about)}."


def _article(word: str) -> str:
    return "An" if word[:1] in "aeiou" else "A"


def _because(chosen: Candidate, candidates: Sequence[Candidate], about: Circumstances) -> str:
    name = chosen.strategy
    if len(candidates) == 1:
        return f"{name} is the only strategy that may answer it"
    if not about.learned:
        rule = (
            "by the built-in rules, learning being off"
            if about.learning_off
            else "by the built-in rules, nothing being learned yet"
        )
        if name == about.incumbent:
            return f"{name} answers {rule}"
        return f"{name} is tried, chosen with probability {chosen.probability:.3f}, to learn how good it is"
    if about.by_heads:
        return _by_heads(chosen, candidates, about)
    rival = _rival(chosen, candidates, about)
    numbers = (
        f"expected quality {chosen.quality:.2f} (at least {chosen.quality_lower:.2f}) for {money(chosen.cost_usd)}"
    )
    compared = f", against {rival.quality:.2f} for {money(rival.cost_usd)} from {rival.strategy}" if rival else ""
    if not about.floor_met:
        known = f"no strategy is known to meet the quality floor of {about.floor:.2f}, so the best known are tried"
        return f"{known}; {name}: {numbers}{compared}"
    rests = ""
    if chosen.requests:
        rests = f", from {chosen.requests} rewarded request{'' if chosen.requests == 1 else 's'} of this kind"
    if chosen.quality_lower >= about.floor:
        return f"{name} meets the quality floor of {about.floor:.2f}; {numbers}{compared}{rests}"
    if name != about.incumbent or chosen.quality < about.floor:
        return (
            f"{name} is tried, chosen with probability {chosen.probability:.3f}, to learn whether it meets the quality floor of "
            f"{about.floor:.2f}; {numbers}{compared}"
        )
    return (
        f"{name} goes on answering, its expected quality meeting the quality floor of {about.floor:.2f}; "
        f"{numbers}{compared}{rests}"
    )


def _by_heads(chosen: Candidate, candidates: Sequence[Candidate], about: Circumstances) -> str:
    """Say it with what is expected of this request, of the chosen and of the likeliest other strategy."""
    name = chosen.strategy
    rival = max((c for c in candidates if c.strategy != name), key=lambda c: (c.probability, c.quality))
    numbers = (
        f"expected quality {chosen.quality:.2f} (at least {chosen.quality_lower:.2f}) for {money(chosen.cost_usd)}"
    )
    compared = f", against {rival.quality:.2f} for {money(rival.cost_usd)} from {rival.strategy}"
    rests = f", from {chosen.requests} rewarded request{'' if chosen.requests == 1 else 's'}" if chosen.requests else ""
    first = "" if chosen.probability >= rival.probability else f"tried with probability {chosen.probability:.3f}, "
    if about.strange:
        why = "the request is unlike those learned from, so whatever keeps the quality floor mostly answers; "
    elif not about.floor_met:
        why = f"no strategy is known to meet the quality floor of {about.floor:.2f} here, so price counts for nothing; "
    else:
        why = ""
    return f"{why}{name}: {first}{numbers}{compared}{rests}"


def _rival(chosen: Candidate, candidates: Sequence[Candidate], about: Circumstances) -> Candidate | None:
    others = [c for c in candidates if c.strategy != chosen.strategy]
    incumbent = next((c for c in others if c.strategy == about.incumbent), None)
    return incumbent or max(others, key=lambda c: (c.quality, -c.cost_usd), default=None)


def _bounds(about: Circumstances) -> str:
    said = ""
    if about.experiment:
        said += f"; in the experiment {about.experiment} this conversation has the {'new' if about.new_version else 'old'} version"
    if about.pinned:
        said += f"; the workflow or the caller stated {', '.join(about.pinned)}"
    if about.overrides:
        said += f"; overrides in force: {', '.join(about.overrides)}"
    if about.personal:
        said += f"; its text holds {' and '.join(about.personal)}, so only models that may see personal data may answer"
    if about.waiting >= MANY_WAIT:
        said += f"; {about.waiting:,} requests wait, which counts in how long an answer takes"
    return said


def money(cost_usd: float) -> str:
    """An amount a person can compare: dollars from a cent on, else per thousand or per million answers."""
    if cost_usd >= CENT_USD:
        return f"${cost_usd:.2f}"
    if cost_usd >= CENT_USD / 1_000:
        return f"${cost_usd * 1_000:.2f} per 1,000 answers"
    return f"${cost_usd * 1_000_000:.2f} per million answers"
