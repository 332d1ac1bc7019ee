"""An emergency override holds in a running system, in the router and in the generator, and is gone when it is cleared."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import msgspec

from schemas import GenerationCompleted, RequestRouted, ResponseReady
from streams.identity import event_id
from tests.loop import Loop
from tests.waiting import eventually


@contextmanager
def override(loop: Loop, name: str, value: str) -> Iterator[None]:
    """Set an override, and clear it again; returns when the router has both."""
    loop.penstock("override", "set", name, value, "--reason", "a test")
    try:
        yield
    finally:
        loop.penstock("override", "clear", name)
        eventually(lambda: name not in " ".join(plan(loop).plan.overrides), describe=f"{name} cleared")


def plan(loop: Loop) -> RequestRouted:
    request = loop.request()
    loop.ask(request)
    return loop.plan_of(request)


def plan_where(loop: Loop, holds: Callable[[RequestRouted], bool]) -> RequestRouted:
    return eventually(lambda: [p] if holds(p := plan(loop)) else [], describe="a plan under the override")[0]


def carried_out(loop: Loop, routed: RequestRouted) -> GenerationCompleted:
    """Give the generator a plan made before, for a request of its own; the router has no part in it."""
    name = uuid.uuid4().hex
    request = msgspec.structs.replace(routed.request, request_id=name, conversation_id=name)
    step = msgspec.structs.replace(
        routed.plan.steps[0], graph=True, top_k=3, retrieval="entity_based", max_chunk_size=None
    )
    later = msgspec.structs.replace(routed.plan, steps=(step,), deadline_at_us=routed.plan.deadline_at_us + 600_000_000)
    event = msgspec.structs.replace(routed, event_id=event_id("RequestRouted", name), request=request, plan=later)
    loop.publish("routing", event)
    return loop.first("generation", GenerationCompleted, name)


def test_with_force_simple_agents_only_simple_strategies_are_candidates_until_it_is_cleared(loop: Loop) -> None:
    assert len({each.strategy.split("-")[0] for each in plan(loop).plan.candidates}) > 1
    with override(loop, "force_simple_agents", "true"):
        forced = plan_where(loop, lambda routed: bool(routed.plan.overrides))
        assert {each.strategy.split("-")[0] for each in forced.plan.candidates} == {"simple"}
        assert {step.tier for step in forced.plan.steps} == {"simple"}
        assert forced.plan.exclusions
        (listed,) = loop.penstock_json("override", "list")
        assert (listed["name"], listed["value"], listed["reason"]) == ("force_simple_agents", "true", "a test")
    assert len({each.strategy.split("-")[0] for each in plan(loop).plan.candidates}) > 1


def test_with_disable_graph_queries_no_new_plan_has_them_and_the_generator_leaves_them_out_of_old_plans(
    loop: Loop,
) -> None:
    old = plan(loop)
    with_graph = len(carried_out(loop, old).passages)
    with override(loop, "disable_graph_queries", "true"):
        routed = plan_where(loop, lambda each: bool(each.plan.overrides))
        assert not any(step.graph for step in routed.plan.steps)
        without = eventually(
            lambda: [n] if (n := len(carried_out(loop, old).passages)) < with_graph else [], describe="fewer passages"
        )[0]
        assert 0 < without <= 3
    eventually(lambda: len(carried_out(loop, old).passages) == with_graph, describe="graph lookups again")


def test_with_max_chunk_size_no_passage_is_longer(loop: Loop) -> None:
    old = plan(loop)
    longest = max(len(each.text) for each in carried_out(loop, old).passages)
    most = 200
    assert longest > most
    with override(loop, "max_chunk_size", str(most)):
        eventually(
            lambda: max(len(each.text) for each in carried_out(loop, old).passages) <= most, describe="short passages"
        )
        routed = plan_where(loop, lambda each: bool(each.plan.overrides))
        assert {step.max_chunk_size for step in routed.plan.steps} == {most}
        (answer,) = loop.ask(loop.request())
        assert isinstance(answer, ResponseReady)
