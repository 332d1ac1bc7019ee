"""What a workflow states, what it leaves to the system, and what it may not say."""

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from agents.deciding.catalogue import Catalogue, Model, Strategy
from agents.deciding.workflow import (
    LATER_AGENTS,
    Pins,
    Workflow,
    check_workflow,
    prompt_variables,
    serves,
)


def a_workflow(*, node: dict[str, Any] | None = None, **parts: Any) -> Workflow:
    content = {
        "name": "customer_support",
        "version": "1.0.0",
        "workflow": {"nodes": [{"id": "help", **(node or {})}]},
    }
    return Workflow.model_validate(content | parts)


def a_catalogue(*tiers: Any) -> Catalogue:
    models = {tier: Model(tier, tier, "embedded", None, "local", "personal", per_cpu_second_usd=1.0) for tier in tiers}
    return Catalogue(
        models,
        tuple(Strategy(f"{tier}-semantic", "direct", tier, "semantic", 5, False) for tier in tiers),
    )


FULL_NODE: dict[str, Any] = {
    "agent": "direct",
    "model": "premium",
    "context": {
        "sources": ["penstock_docs"],
        "strategy": "entity_based",
        "top_k": 3,
        "graph": True,
        "max_chunk_size": 500,
    },
    "tools": [],
    "prompt": "Help: {{message}}",
    "preferences": {"priority": "cost_over_quality", "max_answer_characters": 400},
}
FULL_SETTINGS: dict[str, Any] = {
    "quality_floor": {"relative": 0.95},
    "cost_ceiling_usd": 0.2,
    "learning_enabled": False,
    "auto_optimization": True,
    "exploration": 0.1,
    "deadline_ms": 1_000,
    "fallback_to_simple": False,
}


def test_all_that_is_stated_is_pinned_and_nothing_else() -> None:
    workflow = a_workflow(node={"model": "premium", "context": {"top_k": 3, "graph": False}})
    assert workflow.pins == Pins(tier="premium", top_k=3, graph=False)
    assert workflow.pinned_parts == ("tier", "top_k", "graph")
    assert set(workflow.decided_parts) == {*("agent", "retrieval", "sources", "tools", "max_chunk_size")}


def test_a_full_node_pins_every_part() -> None:
    workflow = a_workflow(node=FULL_NODE)
    assert workflow.decided_parts == ()
    assert workflow.pins.tools == ()


AUTO_OR_EMPTY = st.sampled_from(["auto", None])


@given(st.data())
def test_auto_and_nothing_mean_a_missing_key_everywhere(data: st.DataObject) -> None:
    def thinned(content: dict[str, Any], *, marked: bool, left_out: set[str], at: str) -> Any:
        kept: dict[str, Any] = {}
        for key, value in content.items():
            place = f"{at}.{key}"
            if place in left_out:
                if marked:
                    kept[key] = data.draw(AUTO_OR_EMPTY)
            elif isinstance(value, dict):
                kept[key] = thinned(value, marked=marked, left_out=left_out, at=place)
            else:
                kept[key] = copy.copy(value)
        return kept

    places = [
        *(f"node.{key}" for key in FULL_NODE),
        *(f"node.context.{key}" for key in FULL_NODE["context"]),
        *(f"node.preferences.{key}" for key in FULL_NODE["preferences"]),
        *(f"settings.{key}" for key in FULL_SETTINGS),
    ]
    left_out = data.draw(st.sets(st.sampled_from(places)))
    marked, missing = (
        a_workflow(
            node=thinned(FULL_NODE, marked=each, left_out=left_out, at="node"),
            settings=thinned(FULL_SETTINGS, marked=each, left_out=left_out, at="settings"),
        )
        for each in (True, False)
    )
    assert marked == missing
    assert marked.config_hash == missing.config_hash


def test_whole_parts_may_be_auto() -> None:
    assert a_workflow(settings="auto", content_types="auto") == a_workflow()


@pytest.mark.parametrize(
    "change",
    [
        {"version": "1.0.1"},
        {"settings": {"learning_enabled": False}},
        {"node": {"model": "premium"}},
        {"node": {"prompt": "Help with: {{message}}"}},
        {"content_types": {"orders": ["a", "b", "c"]}},
    ],
)
def test_the_hash_changes_with_the_meaning(change: dict[str, Any]) -> None:
    assert a_workflow(**change).config_hash != a_workflow().config_hash


@pytest.mark.parametrize("agent", LATER_AGENTS)
def test_an_agent_of_later_versions_is_refused_by_name(agent: str) -> None:
    with pytest.raises(ValidationError) as caught:
        a_workflow(node={"agent": agent})
    (error,) = caught.value.errors()
    reason = f"agent {agent} does not exist yet in this version; use auto or direct"
    assert error["ctx"]["reason"] == reason


def test_the_agents_of_later_versions_are_the_three_announced() -> None:
    assert LATER_AGENTS == ("reasoning", "code", "tools")


@pytest.mark.parametrize(
    "node",
    [
        {"agent": "none"},
        {"model": "huge"},
        {"context": {"top_k": 0}},
        {"context": {"top_k": 51}},
        {"context": {"top_k": "3"}},
        {"context": {"graph": "yes"}},
        {"context": {"strategy": "semantics"}},
        {"context": "everything"},
        {"tools": ["web_search"]},
        {"tools": ["*"]},
        {"prompt": "Help"},
        {"prompt": "{{message}} {{name"},
        {"prompt": "{{message}} {{two words}}"},
        {"preferences": {"priority": "fast"}},
        {"preferences": {"max_answer_characters": 0}},
        {"id": "Two Words"},
        {"unknown": 1},
    ],
)
def test_a_node_outside_what_exists_is_refused(node: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        a_workflow(node=node)


@pytest.mark.parametrize(
    "parts",
    [
        {"version": "1.0"},
        {"version": 1.0},
        {"version": "01.0.0"},
        {"name": ""},
        {"content_types": {"orders": ["one", "two"]}},
        {"content_types": {"orders": ["one", "two", ""]}},
        {"workflow": {"nodes": []}},
        {"workflow": {"nodes": [{"id": "a"}, {"id": "b"}]}},
        {"settings": {"quality_floor": 1.5}},
    ],
)
def test_a_workflow_outside_what_exists_is_refused(parts: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        a_workflow(**parts)


def test_the_variables_of_a_prompt_are_named_in_order_and_other_braces_are_not_variables() -> None:
    prompt = '{"q": {"text": "{{ message }}", "for": "{{name}}"}}'
    assert prompt_variables(prompt) == ("message", "name")


@pytest.mark.parametrize(
    ("pins", "served"),
    [
        (Pins(), True),
        (Pins(agent="direct", tier="simple", retrieval="semantic"), True),
        (Pins(top_k=50, graph=True, max_chunk_size=100, sources=()), True),
        (Pins(tier="premium"), False),
        (Pins(retrieval="hierarchical"), False),
    ],
)
def test_top_k_and_graph_modify_a_strategy_and_the_rest_must_match(pins: Pins, served: bool) -> None:
    assert serves(a_catalogue("simple").strategies[0], pins) is served


def test_a_pinned_combination_that_nothing_serves_is_a_complaint() -> None:
    workflow = a_workflow(node={"model": "simple", "context": {"strategy": "hierarchical"}})
    (complaint,) = check_workflow(workflow, a_catalogue("simple", "premium"), None)
    assert complaint.path == ("workflow", "nodes", 0, "context", "strategy")
    assert "model simple, context.strategy hierarchical" in complaint.reason


def test_every_unknown_source_is_a_complaint_that_knows_the_valid_ones() -> None:
    workflow = a_workflow(node={"context": {"sources": ["a", "docs", "b"]}})
    complaints = check_workflow(workflow, None, {"docs"})
    assert [each.path[-1] for each in complaints] == [0, 2]
    assert complaints[0].valid == ("docs",)
