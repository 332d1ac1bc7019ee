"""Whether a plan's evidence holds: its probabilities, its propensity, its draw, its choice.

In: the fields of a ``RequestRouted`` as decoded, and the exploration that its configuration states. Out: what is wrong, as (check,
detail). Keeps nothing. Fails with nothing: a plan that lacks a field was not decoded. Pure.

What must hold, with p_i the probability of candidate i of K, e the exploration and d the draw:

1. every p_i is in [0, 1], and they sum to 1 within 1e-9;
2. p_i >= e / K, the floor share of the mixture (1 - e) x own + e / K;
3. the propensity is the probability of the first step's strategy;
4. d is the function of (tenant, conversation, request id) that ``streams.identity.draw`` is;
5. walking the candidates in their order, d falls on the first step's strategy.
"""

import math
from collections.abc import Iterator, Mapping
from typing import Any

from agents.deciding.policy import choose
from streams.identity import draw

SUM_WITHIN = 1e-9
SHARE_WITHIN = 1e-9
"""Relative: the mixture is divided by its own sum, which is 1 but for rounding."""


def faults_of(event: Mapping[str, Any], explorations: Mapping[str, float]) -> Iterator[tuple[str, str]]:
    """Give each check that a plan fails, with the numbers; ``explorations`` by configuration hash, as far as they are known."""
    plan, request = event["plan"], event["request"]
    probabilities = {each["strategy"]: each["probability"] for each in plan["candidates"]}
    total = math.fsum(probabilities.values())
    outside = [name for name, p in probabilities.items() if not 0.0 <= p <= 1.0]
    if outside:
        yield "probabilities", f"{outside[0]} has probability {probabilities[outside[0]]!r}"
    elif len(probabilities) < len(plan["candidates"]):
        yield "probabilities", "a candidate is there twice"
    elif not abs(total - 1.0) <= SUM_WITHIN:
        yield "probabilities", f"{len(probabilities)} probabilities sum to {total!r}"
    yield from _floor_share(plan, probabilities, explorations)
    yield from _choice(plan, request, probabilities)


def _floor_share(
    plan: Mapping[str, Any], probabilities: Mapping[str, float], explorations: Mapping[str, float]
) -> Iterator[tuple[str, str]]:
    exploration = explorations.get(plan["config_hash"])
    if exploration and probabilities:
        share = exploration / len(probabilities)
        name = min(probabilities, key=lambda each: probabilities[each])
        if probabilities[name] < share * (1 - SHARE_WITHIN):
            yield "floor_share", f"{name} has {probabilities[name]!r}, the floor share is {share!r}"


def _choice(
    plan: Mapping[str, Any], request: Mapping[str, Any], probabilities: Mapping[str, float]
) -> Iterator[tuple[str, str]]:
    chosen = plan["steps"][0]["strategy"] if plan["steps"] else ""
    if probabilities.get(chosen) != plan["propensity"]:
        stated = probabilities.get(chosen)
        yield "propensity", f"propensity {plan['propensity']!r}, but {chosen or 'no step'} has {stated!r}"
    drawn = draw(request["tenant"], request["conversation_id"], request["request_id"])
    if plan["draw"] != drawn:
        yield "draw", f"draw {plan['draw']!r}, but the request's is {drawn!r}"
    elif probabilities and (falls_on := choose(probabilities, drawn)) != chosen:
        yield "draw", f"{drawn!r} falls on {falls_on}, but {chosen or 'nothing'} was chosen"
