"""Which strategies may answer a request, and for each other one the reason why not.

Comes in: what the user pinned, what the caller demands, the request's sensitivity, the emergency overrides, what was learned
of graph lookups, the cost ceiling and the time that is left. Goes out: the eligible strategies and the exclusions, in the
catalogue's order. Keeps nothing, cannot fail: an empty result is the caller's to refuse. Pure.

A learned switch (graph lookups off) never overrules what the user stated and never leaves a request without a strategy; an
emergency override always wins.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

from agents.deciding.catalogue import Catalogue, Sensitivity, Strategy
from agents.deciding.governance import Overrides
from agents.deciding.prior import Estimate
from agents.deciding.workflow import Pins, serves

Estimator = Callable[[Strategy], Estimate]
Excluded = tuple[tuple[Strategy, str], ...]
Settled = tuple[tuple[Strategy, str | None], ...]


@dataclass(frozen=True)
class Limits:
    """What one request leaves open."""

    pins: Pins
    demanded: str | None
    sensitivity: Sensitivity
    overrides: Overrides
    graph_off_reason: str | None
    cost_ceiling_usd: float
    time_left_ms: float


def eligible(
    catalogue: Catalogue, limits: Limits, estimate: Estimator, known: Settled | None = None
) -> tuple[tuple[Strategy, ...], Excluded]:
    """Split the catalogue into (eligible, excluded with reason). ``known``: what ``settled`` gives, where it was asked before."""
    able, excluded = _split(known or settled(catalogue, limits), limits, estimate)
    if not able and limits.graph_off_reason is not None:
        anew = replace(limits, graph_off_reason=None)
        return _split(settled(catalogue, anew), anew, estimate)
    return able, excluded


def settled(catalogue: Catalogue, limits: Limits) -> Settled:
    """Each strategy, and why it may not answer, by all of the limits but cost and time: those change from request to request."""
    graph = _graph_wanted(catalogue, limits)
    return tuple((strategy, _excluded_because(catalogue, strategy, limits, graph)) for strategy in catalogue.strategies)


def _split(known: Settled, limits: Limits, estimate: Estimator) -> tuple[tuple[Strategy, ...], Excluded]:
    able: list[Strategy] = []
    excluded: list[tuple[Strategy, str]] = []
    for strategy, settled_because in known:
        reason = settled_because or _too_much_because(estimate(strategy), limits)
        if reason is None:
            able.append(strategy)
        else:
            excluded.append((strategy, reason))
    return tuple(able), tuple(excluded)


def _too_much_because(expected: Estimate, limits: Limits) -> str | None:
    if expected.cost_usd > limits.cost_ceiling_usd:
        return f"it costs {expected.cost_usd:.4f} USD and the conversation may cost {limits.cost_ceiling_usd:.4f}"
    if expected.latency_ms > limits.time_left_ms:
        return f"it takes {expected.latency_ms:,.0f} ms and {limits.time_left_ms:,.0f} ms are left"
    return None


def _graph_wanted(catalogue: Catalogue, limits: Limits) -> bool | None:
    """The pinned state of graph lookups where a strategy that may serve has it; else the pin is laid over the others instead."""
    wanted = limits.pins.graph
    if wanted is None or limits.overrides.disable_graph_queries:
        return None
    pins = replace(limits.pins, tier="simple") if limits.overrides.force_simple_agents else limits.pins
    candidates = [
        s for s in catalogue.strategies if serves(s, pins) and catalogue.model_of(s).may_see(limits.sensitivity)
    ]
    return wanted if any(s.graph == wanted for s in candidates) else None


def _excluded_because(catalogue: Catalogue, strategy: Strategy, limits: Limits, graph: bool | None) -> str | None:
    pins, overrides = limits.pins, limits.overrides
    model = catalogue.model_of(strategy)
    if not model.may_see(limits.sensitivity):
        return f"{model.name} runs {model.runs} and may not see {limits.sensitivity} data"
    if overrides.force_simple_agents and strategy.tier != "simple":
        return "the override force_simple_agents is on"
    if overrides.disable_graph_queries and strategy.graph:
        return "the override disable_graph_queries is on"
    if limits.demanded is not None and strategy.id != limits.demanded:
        return f"the caller demands {limits.demanded}"
    for part, pinned, own in (
        ("agent", pins.agent, strategy.agent),
        ("model", None if overrides.force_simple_agents else pins.tier, strategy.tier),
        ("context.strategy", pins.retrieval, strategy.retrieval),
        ("context.graph", graph, strategy.graph),
    ):
        if pinned is not None and pinned != own:
            stated = str(pinned).lower() if isinstance(pinned, bool) else pinned
            return f"the workflow states {part}: {stated}"
    if limits.graph_off_reason and strategy.graph and pins.graph is None and limits.demanded is None:
        return limits.graph_off_reason
    return None
