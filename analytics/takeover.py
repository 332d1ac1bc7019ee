"""What the system changes by itself, by rule and with evidence: who answers a kind of request, and graph lookups.

In: the new estimates, what was in force, the quality floor. Out: the incumbents and graph switches now in force, and an
``Optimization`` with a sentence for each change. Keeps nothing, cannot fail. Pure.

Where heads decide, whoever answers most of a kind is its incumbent, with a lead: nothing else follows from it, and the change is
told. Where they do not, a challenger takes over from the incumbent of a kind only if its lower quality bound meets the floor, and

- its value (quality per cost, or as the workflow's priority weighs them) is more than 10 % better (``policy.LEAD``), or the
  incumbent's expected quality misses the floor; and
- it has answered ``LEAST_REQUESTS`` rewarded requests of the content type.

Graph lookups are switched off for a content type where they gain less than ``LEAST_GAIN`` of quality and take ``MOST_LATENCY``
times as long or longer, and on again where that is no longer so by a margin.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from agents.deciding import policy
from agents.deciding.catalogue import Catalogue
from agents.deciding.governance import Floor
from agents.deciding.prior import BANDS, Estimate, rule_incumbent
from agents.deciding.reasoning import money
from analytics.beliefs import Cell, Sums
from analytics.fitting.leading import Kind, Leading
from schemas import GraphSwitch, Incumbent, Optimization

LEAST_REQUESTS = 8
LEAD_OF_SHARE = 0.1
"""By how much of the traffic of a kind another strategy must lead where heads decide."""
LEAST_GAIN = 0.05
MOST_LATENCY = 1.5
MARGIN_GAIN = 0.02
MARGIN_LATENCY = 0.2
LEAST_GRAPH_REQUESTS = 20
_SAME = 0.02
_MANIFOLD = 2.5


@dataclass(frozen=True)
class InForce:
    """What the parent profile had put in force."""

    incumbents: Mapping[tuple[str, str], Incumbent]
    graph_off: Mapping[str, GraphSwitch]


@dataclass(frozen=True)
class Changed:
    """What is in force now, and what changed."""

    incumbents: tuple[Incumbent, ...]
    graph_off: tuple[GraphSwitch, ...]
    optimizations: tuple[Optimization, ...]


def reconsider(
    catalogue: Catalogue,
    content_types: Sequence[str],
    estimates: Mapping[Cell, Estimate],
    seen: Mapping[Cell, Sums],
    before: InForce,
    *,
    floor: Floor,
    version: int,
    priority: str = "balanced",
    leading: Callable[[Mapping[str, frozenset[str]]], Mapping[Kind, Leading]] | None = None,
) -> Changed:
    """Decide what is in force from ``version`` on.

    ``leading``: where heads decide, who leads each kind of request when these strategies are off, by content type.
    """
    switches, changes = [], []
    for content_type in content_types:
        switch, change = _graph(catalogue, content_type, estimates, seen, before.graph_off.get(content_type))
        if switch is not None:
            switches.append(switch)
        if change is not None:
            changes.append(change)
    off = {switch.content_type for switch in switches}
    graphs = frozenset(strategy.id for strategy in catalogue.strategies if strategy.graph)
    leaders = None if leading is None else leading(dict.fromkeys(off, graphs))
    incumbents = []
    for content_type in content_types:
        for band in BANDS:
            held = before.incumbents.get((content_type, band)) or Incumbent(
                content_type=content_type,
                band=band,
                strategy=rule_incumbent(catalogue, content_type, band),
                since_version=0,
            )
            if leaders is not None:
                held, change = _led(held, leaders.get((content_type, band)), seen, version)
                incumbents.append(held)
                changes.extend([] if change is None else [change])
                continue
            able = [s.id for s in catalogue.strategies if not (s.graph and content_type in off)]
            of_kind = {name: estimates[content_type, band, name] for name in able}
            successor = _successor(content_type, held.strategy, of_kind, seen, floor, priority)
            if successor is not None and held.strategy in catalogue.ids:
                of_held, of_next = estimates[content_type, band, held.strategy], of_kind[successor]
                changes.append(_took_over(held, successor, of_held, of_next, _requests(seen, content_type, successor)))
            if successor is not None:
                held = Incumbent(content_type=content_type, band=band, strategy=successor, since_version=version)
            incumbents.append(held)
    return Changed(tuple(incumbents), tuple(switches), tuple(changes))


def _requests(seen: Mapping[Cell, Sums], content_type: str, strategy: str) -> int:
    return sum(seen[content_type, band, strategy].requests for band in BANDS if (content_type, band, strategy) in seen)


def _successor(
    content_type: str,
    incumbent: str,
    of_kind: Mapping[str, Estimate],
    seen: Mapping[Cell, Sums],
    floor: Floor,
    priority: str,
) -> str | None:
    limit = policy.threshold(floor, of_kind)
    able = [
        name
        for name in policy.safe(of_kind, floor)
        if name != incumbent and _requests(seen, content_type, name) >= LEAST_REQUESTS
    ]
    if not able:
        return None
    best = max(able, key=lambda name: policy.value(of_kind[name], priority))
    current = of_kind.get(incumbent)
    if current is None or current.quality < limit:
        return best
    lead = policy.value(of_kind[best], priority) - policy.value(current, priority)
    return best if lead > math.log1p(policy.LEAD) else None


def _led(
    held: Incumbent, leading: Leading | None, seen: Mapping[Cell, Sums], version: int
) -> tuple[Incumbent, Optimization | None]:
    """Who is in office now where heads decide: whoever has the largest share, once it is larger by ``LEAD_OF_SHARE``."""
    if leading is None:
        return held, None
    first = leading.first
    if leading.share[first] < leading.share.get(held.strategy, 0.0) + LEAD_OF_SHARE:
        return held, None
    now = Incumbent(content_type=held.content_type, band=held.band, strategy=first, since_version=version)
    if held.strategy not in leading.share:
        return now, None
    before, after = (
        Estimate(leading.quality[name], 0.0, 0.0, leading.cost_usd[name], 0.0) for name in (held.strategy, first)
    )
    return now, _took_over(held, first, before, after, _requests(seen, held.content_type, first))


def _took_over(held: Incumbent, successor: str, before: Estimate, after: Estimate, requests: int) -> Optimization:
    sentence = (
        f"{successor} answers {held.content_type} requests of {held.band} complexity {_better(before, after)} "
        f"({after.quality:.2f} against {before.quality:.2f} of {held.strategy}) {_cheaper(before, after)}; {requests} requests"
    )
    return Optimization(
        kind="strategy_took_over",
        content_type=held.content_type,
        band=held.band,
        before=held.strategy,
        after=successor,
        quality_before=before.quality,
        quality_after=after.quality,
        cost_usd_before=before.cost_usd,
        cost_usd_after=after.cost_usd,
        requests=requests,
        sentence=sentence,
    )


def _better(before: Estimate, after: Estimate) -> str:
    change = after.quality / max(before.quality, 1e-3) - 1.0
    if abs(change) < _SAME:
        return "equally well"
    return (
        f"{abs(change):.0%} {'better' if change > 0 else 'worse'}, above the floor,"
        if change < 0
        else f"{change:.0%} better"
    )


def _cheaper(before: Estimate, after: Estimate) -> str:
    if before.cost_usd <= 0.0:
        return "at the same price" if after.cost_usd <= 0.0 else f"for {money(after.cost_usd)} instead of nothing"
    ratio = after.cost_usd / before.cost_usd
    if abs(ratio - 1.0) < _SAME:
        return "at the same price"
    prices = f"({money(after.cost_usd)} against {money(before.cost_usd)})"
    if ratio < 1:
        return f"for {1 - ratio:.0%} less {prices}"
    return f"for {ratio:.0f} times the price {prices}" if ratio >= _MANIFOLD else f"for {ratio - 1:.0%} more {prices}"


def _graph(
    catalogue: Catalogue,
    content_type: str,
    estimates: Mapping[Cell, Estimate],
    seen: Mapping[Cell, Sums],
    was_off: GraphSwitch | None,
) -> tuple[GraphSwitch | None, Optimization | None]:
    gains, ratios, with_graph, without = [], [], 0, 0
    plain = {(s.tier, s.retrieval): s.id for s in catalogue.strategies if not s.graph}
    for strategy in catalogue.strategies:
        twin = plain.get((strategy.tier, strategy.retrieval))
        if not strategy.graph or twin is None:
            continue
        with_graph += _requests(seen, content_type, strategy.id)
        without += _requests(seen, content_type, twin)
        for band in BANDS:
            on, off = estimates[content_type, band, strategy.id], estimates[content_type, band, twin]
            gains.append(on.quality - off.quality)
            ratios.append(on.latency_ms / max(off.latency_ms, 1e-6))
    if not gains or min(with_graph, without) < LEAST_GRAPH_REQUESTS:
        return was_off, None
    gain, ratio = sum(gains) / len(gains), sum(ratios) / len(ratios)
    keep_off = was_off is not None
    least_gain = LEAST_GAIN + (MARGIN_GAIN if keep_off else 0.0)
    most_latency = MOST_LATENCY - (MARGIN_LATENCY if keep_off else 0.0)
    off_now = gain < least_gain and ratio >= most_latency
    requests = with_graph + without
    switch = (
        GraphSwitch(content_type=content_type, gain=gain, latency_ratio=ratio, requests=requests) if off_now else None
    )
    if off_now == keep_off:
        return switch, None
    done = "are switched off" if off_now else "are switched on again"
    return switch, Optimization(
        kind="graph_switched_off" if off_now else "graph_switched_on",
        content_type=content_type,
        before="graph lookups" if off_now else "no graph lookups",
        after="no graph lookups" if off_now else "graph lookups",
        requests=requests,
        sentence=(
            f"graph lookups {done} for {content_type} requests: they gain {gain:+.2f} quality at {ratio:.1f} times the "
            f"latency; {requests} requests"
        ),
    )
