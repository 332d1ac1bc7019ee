"""Mode shift: learned elsewhere, then a stream of another kind; only the chosen strategy's outcome is shown.

In: a task to learn from with all outcomes, a task to stream, the floor. Out: figures. Keeps nothing. Fails with nothing. Pure.

Until the stream is found strange, or a strategy is found to do worse or better than believed, the policy learned elsewhere
answers. Then that experience is set aside: of it only each strategy's mean quality stays, as the start of a new one. Whatever is
likely to answer best answers, at any price, until ``ENOUGH`` is known to find a trade from; that is done at growing distances, and
leaves ``CAREFUL`` of what the floor would give away.
"""

from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from agents.deciding.heads import Heads
from agents.deciding.policy import choose_index
from agents.deciding.spreading import Trade, spread
from analytics.evaluating.offline import MOST_WEIGHTS
from analytics.evaluating.online import NEW_REWARDS, SHARE_NEW, rows_of
from analytics.evaluating.task import Task, all_rows, informed_start
from analytics.fitting.change import Strangeness, Surprise
from analytics.fitting.experience import Experience
from analytics.fitting.rows import Start
from analytics.fitting.trading import BEST, CAREFUL, ENOUGH, Asked, find_trade, judged

Floats = npt.NDArray[np.float64]

WINDOW: Final = 500
Z: Final = 1.0
TRADE_GROWTH: Final = 1.3
HELD_FOR_RADIUS: Final = 5
_SD: Final = 0.45


@dataclass(eq=False)
class Learned:
    """What was learned elsewhere. ``quality``: the mean of each strategy there."""

    quality: tuple[float, ...]
    heads: Heads
    trade: Trade
    strangeness: Strangeness


def learn_all(train: Task, *, floor: float, exploration: float) -> Learned:
    """Learn from all outcomes of all prompts."""
    start = informed_start(train.strategies, train.cost_usd.mean(axis=0))
    rows, prompt = all_rows(train)
    experience = Experience(start, MOST_WEIGHTS, texts_a_row=1.0 / len(train.strategies))
    experience.take(rows)
    fitted = experience.fitted()
    heads = fitted.heads
    known = judged(fitted, rows, np.ones(len(rows)), prompt)
    trade = find_trade(known, Asked(floor), exploration=exploration)
    means = tuple(train.quality.mean(axis=0).tolist())
    apart = Experience(start, MOST_WEIGHTS, texts_a_row=1.0 / len(train.strategies))
    apart.take(rows.part(prompt % HELD_FOR_RADIUS != 0))
    unseen = train.features[::HELD_FOR_RADIUS]
    return Learned(means, heads, trade, Strangeness.of(apart.heads().lens.strangeness(unseen)))


def shift(
    learned: Learned, stream: Task, *, floor: float, exploration: float, seed: int
) -> tuple[dict[str, Any], dict[str, Any]]:
    """The figures of one order of the stream, and the lines for the plots."""
    order = np.random.default_rng(seed).permutation(len(stream))
    stream = stream.part(order)
    chosen, found_after, why = _stream(learned, stream, floor, exploration, seed)
    every = np.arange(len(stream))
    best = int(np.argmax(stream.quality.mean(axis=0)))
    got, top = stream.quality[every, chosen], stream.quality[:, best]
    width = min(WINDOW, len(stream))
    windows = [
        float(got[i : i + width].mean() / max(top[i : i + width].mean(), 1e-9))
        for i in range(0, len(stream) - width + 1, width)
    ]
    saving = 1.0 - float(stream.cost_usd[every, chosen].mean() / stream.cost_usd[:, best].mean())
    return {
        "requests": len(stream),
        "worst_window_quality_ratio": min(windows),
        "quality_ratio": float(got.mean() / top.mean()),
        "saving": saving,
        "requests_to_detect": found_after,
        "detected_by": why,
        "best_fixed": {"strategy": stream.strategies[best], "quality": float(top.mean())},
    }, {"gain": got - top, "chosen": chosen}


def _stream(
    learned: Learned, stream: Task, floor: float, exploration: float, seed: int
) -> tuple[npt.NDArray[np.intp], int | None, str]:
    count, strategies = stream.quality.shape
    chance = np.random.default_rng(seed)
    heads, trade = learned.heads, learned.trade
    strangeness, surprises = replace(learned.strangeness), [Surprise() for _ in range(strategies)]
    chosen = np.zeros(count, dtype=np.intp)
    propensity = np.ones(count)
    experience: Experience | None = None
    found_after = None
    why, taken, traded = "", 0, 0
    distances = heads.lens.strangeness(stream.features)
    for i in range(count):
        beliefs = heads.beliefs(stream.features[i])
        probabilities = spread(beliefs, trade, exploration=exploration)
        chosen[i] = choose_index(probabilities.tolist(), chance.random())
        propensity[i] = probabilities[chosen[i]]
        if experience is None:
            believed = float(beliefs.quality[chosen[i]])
            strange = strangeness.notice(float(distances[i]))
            otherwise = surprises[chosen[i]].notice(believed, float(stream.quality[i, chosen[i]]), _SD)
            if strange or otherwise:
                found_after = i + 1
                why = "requests unlike any learned" if strange else otherwise
                experience = Experience(_anew(learned, stream))
                heads, taken = experience.heads(), i + 1
                trade = BEST
            continue
        new = i + 1 - taken
        if new >= max(NEW_REWARDS, SHARE_NEW * len(experience.rows)):
            experience.take(rows_of(stream, chosen, slice(taken, i + 1)))
            taken, heads = i + 1, experience.heads()
            known = len(experience.rows)
            if found_after is not None and known >= max(ENOUGH, TRADE_GROWTH * traded):
                trade, traded = _trade(experience, propensity[found_after : i + 1], floor, exploration), known
    return chosen, found_after, why


def _anew(learned: Learned, stream: Task) -> Start:
    """The start in a new domain: what each strategy's mean was elsewhere; prices are known."""
    return Start.plain(stream.strategies, learned.quality, tuple(stream.cost_usd.mean(axis=0).tolist()))


def _trade(experience: Experience, propensity: Floats, floor: float, exploration: float) -> Trade:
    known = judged(experience.fitted(), experience.rows, propensity)
    return find_trade(known, Asked(floor, kept=CAREFUL), exploration=exploration, z=Z)
