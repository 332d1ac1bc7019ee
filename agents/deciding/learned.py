"""What a profile says of every request: heads, and what their beliefs are traded at; as it is used, and as it travels.

In: heads and trades, or a ``LearnedHeads`` of an event. Out: the other. Keeps what it was made of. Fails with ``Unusable`` where
nothing can be decided by what an event states: sizes that do not fit, numbers that are none. Pure.

Arrays travel as float32: a thousandth of the uncertainty of anything learned.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from math import isfinite, isnan

import numpy as np
import numpy.typing as npt

from agents.deciding.features import EMBEDDED, FEATURE_SET, PLAIN
from agents.deciding.heads import Heads, Logarithmic
from agents.deciding.lens import Lens
from agents.deciding.spreading import Trade
from agents.deciding.text_form import FORM
from schemas import LearnedHeads, Reopened, Traded

Floats = npt.NDArray[np.float64]

_FEATURES = PLAIN + EMBEDDED
_PLACES = len(FORM) + EMBEDDED
_WIRE = "<f4"
_LARGEST = 1e6
"""No number of heads that were learned comes near it."""


class Unusable(ValueError):
    """A profile by which nothing can be decided; it is not one that was learned."""


@dataclass(frozen=True, eq=False)
class Learned:
    """``requests``: what each strategy was learned from; ``trades`` by priority; ``radius``: the squared distance to the nearest
    kind beyond which a request is unlike those learned from, 0 where it is not known.
    """

    heads: Heads
    requests: tuple[int, ...]
    encoder: str
    trades: Mapping[str, Trade]
    radius: float
    reopened: tuple[Reopened, ...] = ()

    def places(self, strategies: tuple[str, ...]) -> npt.NDArray[np.intp]:
        """The places of strategies in all arrays; -1 where the heads do not know one."""
        found = self._places.get(strategies)
        if found is None:
            own = self.heads.strategies
            places = [own.index(name) if name in own else -1 for name in strategies]
            found = self._places[strategies] = np.array(places, dtype=np.intp)
        return found

    @cached_property
    def _places(self) -> dict[tuple[str, ...], npt.NDArray[np.intp]]:
        """By the eligible, of which there are few sets: pins, overrides and sensitivities make them."""
        return {}

    def is_strange(self, strangeness: float) -> bool:
        """Whether a request of this strangeness is unlike those learned from."""
        return 0.0 < self.radius < strangeness


def written(learned: Learned) -> LearnedHeads:
    """As it travels."""
    heads = learned.heads
    lens = heads.lens
    return LearnedHeads(
        strategies=heads.strategies,
        requests=learned.requests,
        encoder=learned.encoder,
        feature_set=FEATURE_SET,
        linear=lens.linear,
        lens_offset=_bytes(lens.offset),
        lens_scale=_bytes(lens.scale),
        lens_coarse=_bytes(lens.coarse),
        lens_fine=_bytes(lens.fine),
        radius=learned.radius,
        base=_bytes(heads.base),
        weights=_bytes(heads.weights),
        variance=_bytes(heads.variance),
        cost=_bytes(heads.cost.weights),
        cost_noise=heads.cost.noise,
        latency=_bytes(heads.latency.weights),
        latency_noise=heads.latency.noise,
        trades=tuple(
            Traded(
                priority=priority,
                reward_per_usd=trade.exchange,
                reward_per_ms=trade.hurry,
                keeper="" if trade.keeper is None else heads.strategies[trade.keeper],
                hold=trade.hold,
            )
            for priority, trade in learned.trades.items()
        ),
        reopened=learned.reopened,
    )


def read(stated: LearnedHeads) -> Learned | None:
    """As it is used; None where it is of another feature set than this release's. Raises ``Unusable``."""
    if stated.feature_set != FEATURE_SET:
        return None
    count = len(stated.strategies)
    if not count or len(set(stated.strategies)) != count or len(stated.requests) != count:
        raise Unusable(f"the heads are of {count} strategies, {len(set(stated.strategies))} of them different")
    if not 0 <= stated.linear <= EMBEDDED:
        raise Unusable(f"the heads weigh {stated.linear} dimensions linearly, of {EMBEDDED}")
    traded = [number for each in stated.trades for number in (each.reward_per_usd, each.reward_per_ms, each.hold)]
    if not all(map(isfinite, traded)):
        raise Unusable("what the heads are traded at is no number")
    for number in (stated.radius, stated.cost_noise, stated.latency_noise):
        if not 0.0 <= number < _LARGEST:
            raise Unusable(f"{number} is neither a noise nor a distance")
    lens = Lens(
        _array(stated.lens_offset, _FEATURES, 1)[0],
        _array(stated.lens_scale, _FEATURES, 1)[0],
        _array(stated.lens_coarse, _PLACES),
        _array(stated.lens_fine, _PLACES),
        stated.linear,
    )
    heads = Heads(
        strategies=stated.strategies,
        lens=lens,
        base=_array(stated.base, 2, count),
        weights=_array(stated.weights, lens.size, count),
        variance=_array(stated.variance, max(len(lens.coarse), 1), count),
        cost=Logarithmic(_array(stated.cost, 3, count), stated.cost_noise),
        latency=Logarithmic(_array(stated.latency, 3, count), stated.latency_noise),
    )
    if heads.variance.min() < 0.0:
        raise Unusable("a variance of the heads is negative")
    with np.errstate(all="ignore"):
        beliefs, strangeness = heads.look(np.zeros(_FEATURES))
    believed = (beliefs.quality, beliefs.sd, beliefs.cost_usd, beliefs.latency_ms)
    if isnan(strangeness) or not all(np.isfinite(each).all() for each in believed):
        raise Unusable("what the heads believe is no number")
    trades = {
        each.priority: Trade(
            exchange=each.reward_per_usd,
            keeper=stated.strategies.index(each.keeper) if each.keeper in stated.strategies else None,
            hold=each.hold,
            hurry=each.reward_per_ms,
        )
        for each in stated.trades
    }
    return Learned(heads, stated.requests, stated.encoder, trades, stated.radius, stated.reopened)


def among(trade: Trade, places: npt.NDArray[np.intp], quality: Floats) -> Trade:
    """The trade among the strategies at these places; where its keeper is not among them, the best of them by ``quality``."""
    if trade.keeper is None or trade.hold <= 0.0:
        return replace(trade, keeper=None, hold=0.0)
    found = np.flatnonzero(places == trade.keeper)
    return replace(trade, keeper=int(found[0]) if len(found) else int(np.argmax(quality)))


def _bytes(array: Floats) -> bytes:
    return array.astype(_WIRE).tobytes()


def _array(stated: bytes, width: int, height: int | None = None) -> Floats:
    number, rest = divmod(len(stated), np.dtype(_WIRE).itemsize)
    if rest or number % width or (height is not None and number != width * height):
        raise Unusable(f"an array of the heads has {len(stated)} bytes, not rows of {width} numbers")
    rows = np.frombuffer(stated, dtype=_WIRE).astype(np.float64)
    if not (np.abs(rows) < _LARGEST).all():
        raise Unusable("an array of the heads has numbers that are none")
    return rows.reshape(-1, width)
