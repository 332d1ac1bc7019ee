"""One measurement: a mode over several seeds, with means, standard deviations and plots.

In: what was asked, the tasks. Out: figures in JSON's types, plots by file name. Keeps nothing. Fails with nothing.
"""

import time
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from analytics.evaluating import ope
from analytics.evaluating.figures import cheapest_mix
from analytics.evaluating.offline import exchange_of, offline
from analytics.evaluating.online import online
from analytics.evaluating.plots import plot
from analytics.evaluating.serving import Serving, world_of
from analytics.evaluating.shift import Learned, learn_all, shift
from analytics.evaluating.task import Task, split

LOGGED = 10_000
_POINTS = 200


@dataclass(frozen=True)
class Asked:
    """What is measured; ``cost_weight`` None lets the system find the exchange rate."""

    mode: str
    floor: float
    cost_weight: float | None
    exploration: float
    seeds: int
    trained_share: float


def measure(asked: Asked, task: Task, train: Task | None) -> tuple[dict[str, Any], dict[str, str]]:
    """The figures and the plots."""
    began = time.perf_counter()
    elsewhere = _elsewhere(asked, train)
    each, drawn = [], {}
    for seed in range(asked.seeds):
        figures, lines = _one(asked, task, train, elsewhere, seed)
        each.append(figures)
        if seed == 0:
            drawn = _pictures(asked, task, lines)
        if train is not None and asked.mode == "offline":
            break  # nothing is left to chance
    numbers = dict.fromkeys(name for one in each for name, value in one.items() if isinstance(value, float | int))
    means, spreads = {}, {}
    for name in numbers:
        values = [float(one[name]) for one in each if one[name] is not None]
        if values:
            means[name], spreads[name] = float(np.mean(values)), float(np.std(values))
    told = {
        "mode": asked.mode,
        **means,
        "sd": spreads,
        **{name: value for name, value in each[0].items() if name not in means},
        "each": each,
        "asked": asdict(asked),
        "prompts": len(task),
        "strategies": len(task.strategies),
        "seeds": len(each),
        "seconds": time.perf_counter() - began,
    }
    if asked.mode == "shift":
        told["detected"] = sum(one["requests_to_detect"] is not None for one in each)
    return told, drawn


def _elsewhere(asked: Asked, train: Task | None) -> Learned | None:
    """What mode shift learns before any stream: the same for all orders."""
    if asked.mode != "shift":
        return None
    if train is None:
        raise ValueError("mode shift needs a task to learn from")
    return learn_all(train, floor=asked.floor, exploration=asked.exploration)


def _one(
    asked: Asked, task: Task, train: Task | None, elsewhere: Learned | None, seed: int
) -> tuple[dict[str, Any], dict[str, Any]]:
    if asked.mode == "online":
        return online(
            task, floor=asked.floor, cost_weight=asked.cost_weight or 0.0, exploration=asked.exploration, seed=seed
        )
    if asked.mode == "ope":
        return _ope(asked, task, seed), {}
    if elsewhere is not None:
        return shift(elsewhere, task, floor=asked.floor, exploration=asked.exploration, seed=seed)
    known, test = (task, task) if train is None else (train, task)
    if train is None:
        first, rest = split(len(task), asked.trained_share, seed)
        known, test = task.part(first), task.part(rest)
    figures = offline(known, test, floor=asked.floor, cost_weight=asked.cost_weight)
    lines = {"curve": figures.pop("curve"), "fixed": figures.pop("fixed")}
    return figures, lines


def _ope(asked: Asked, task: Task, seed: int) -> dict[str, Any]:
    """One round: log with the policy that serves, estimate others."""
    exchange = exchange_of(asked.cost_weight or 0.0, task)
    found = ope.measure(
        world_of(task, exchange), Serving(exchange, asked.exploration), requests=LOGGED, rounds=1, seed=seed
    )
    return {
        "logged": found.requests,
        "relative_error": found.relative_error,
        "coverage": found.coverage,
        "false_promotions": found.false_promotions,
        "power": found.power,
        "clearly_better": found.clearly_better,
        "kinds": {name: asdict(summary) for name, summary in found.kinds.items()},
    }


def _pictures(asked: Asked, task: Task, lines: dict[str, Any]) -> dict[str, str]:
    drawn = {}
    if "gain" in lines:
        gained = np.cumsum(lines["gain"])
        step = max(1, len(gained) // _POINTS)
        drawn["learning-curve.svg"] = plot(
            "Gain over the best fixed strategy, added up",
            "requests",
            "reward",
            {"learned": [(float(i + 1), float(gained[i])) for i in range(0, len(gained), step)]},
        )
        width = max(50, len(gained) // 40)
        shares = {
            name: [
                (float(i), float((lines["chosen"][i : i + width] == k).mean()))
                for i in range(0, len(gained) - width + 1, width)
            ]
            for k, name in enumerate(task.strategies)
        }
        drawn["shares.svg"] = plot("Shares of the strategies", "requests", "share", shares)
    if "curve" in lines:
        best = int(np.argmax(task.quality.mean(axis=0)))
        means, costs = task.quality.mean(axis=0), task.cost_usd.mean(axis=0)
        wanted = np.linspace(float(means.min()), float(means.max()), 50)
        mix = [(float(1 - cheapest_mix(means, costs, float(q)) / costs[best]), float(q / means[best])) for q in wanted]
        top = task.quality.max(axis=1).mean() / means[best]
        drawn["cost-quality.svg"] = plot(
            f"Cost and quality, against the best strategy; {asked.floor:.0%} asked",
            "saving",
            "quality ratio",
            {"learned": lines["curve"], "random mix": mix, "oracle": [(min(x for x, _ in mix), top), (1.0, top)]},
            {"fixed strategies": lines["fixed"]},
        )
    return drawn
