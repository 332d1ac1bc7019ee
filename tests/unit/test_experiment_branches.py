"""What a request in an experiment sees: its branch, who may answer, exact probabilities; and what nobody overrules."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.deciding.catalogue import Catalogue
from agents.deciding.experiment import gets_new
from agents.deciding.held import Held, Profile
from agents.deciding.planning import Planner
from agents.deciding.policy import choose
from schemas import Experiment, ExperimentOrdered, ExperimentStepped, Plan
from tests.deciding_parts import (
    DEFAULT,
    LAWS,
    NOW_US,
    VECTOR,
    belief,
    catalogue,
    override,
    planner,
    profile,
    request,
    strategy,
    workflow,
)

TRIED = "premium-semantic"
BELIEFS = tuple(
    belief(each.id, "general", band, quality=0.9, cost_usd=cost)
    for band in ("low", "middle", "high")
    for each, cost in zip(DEFAULT.strategies, np.geomspace(1e-7, 1e-5, 18).tolist(), strict=True)
)
TALKS = [f"talk-{number}" for number in range(60)]


def stepped(
    name: str = "try", number: int = 1, state: Any = "running", share: float = 0.5, **fields: Any
) -> ExperimentStepped:
    given: dict[str, Any] = {"workflow": "help", "kind": "strategy", "version": TRIED, "shares": (0.5,), "floor": 0.8}
    return ExperimentStepped(
        event_id=f"{name}-{number}",
        occurred_at_us=NOW_US,
        subject=f"experiment:{name}",
        experiment=Experiment(name=name, **{**given, **fields}),
        number=number,
        state=state,
        share=share,
        reason="because",
    )


def ended(name: str, keep: str) -> ExperimentOrdered:
    return ExperimentOrdered(
        event_id="e" * 32, occurred_at_us=NOW_US, subject=f"experiment-order:{name}", name=name, keep=keep
    )


def held(*steps: ExperimentStepped, tried: Profile | None = None) -> Held:
    heard = Held()
    heard.take_profile(profile(*BELIEFS, version=7))
    for step in steps:
        assert heard.experiments.take(step, tried)
    return heard


def plan(heard: Held, talk: str, by: Planner | None = None, **fields: Any) -> Plan:
    return (
        (by or planner()).plan(request(conversation_id=talk, request_id=talk, **fields), VECTOR, heard, NOW_US + 1).plan
    )


def exact(made: Plan) -> bool:
    """The probabilities sum to one, the propensity is the chosen one's, and the draw falls on it."""
    probabilities = {each.strategy: each.probability for each in made.candidates}
    chosen = made.steps[0].strategy
    return (
        math.isclose(math.fsum(probabilities.values()), 1.0, abs_tol=1e-9)
        and made.propensity == probabilities[chosen]
        and choose(probabilities, made.draw) == chosen
    )


def test_the_new_branch_is_answered_by_the_strategy_and_the_old_one_does_not_see_it():
    heard = held(stepped())
    for talk in TALKS:
        made = plan(heard, talk)
        new = gets_new("try", "acme", talk, 0.5)
        assert (made.experiment, made.branch, made.branch_share) == ("try", "new" if new else "old", 0.5)
        assert exact(made)
        names = {each.strategy for each in made.candidates}
        assert names == {TRIED} if new else TRIED not in names
        assert {each.strategy for each in made.exclusions} | names == set(DEFAULT.ids)
        assert f"in the experiment try this conversation has the {'new' if new else 'old'} version" in made.reasoning
        steps = [step.strategy for step in made.steps]
        assert (steps[0] == TRIED and len(steps) > 1) if new else TRIED not in steps, (
            "only the new branch falls back on others"
        )


def test_all_requests_of_a_conversation_get_the_same_branch_on_every_worker():
    one, other = held(stepped()), held(stepped())
    for talk in TALKS:
        branches = {
            planner().plan(request(conversation_id=talk, request_id=f"{n}"), VECTOR, heard, NOW_US + 1).plan.branch
            for n, heard in enumerate((one, other, one))
        }
        assert len(branches) == 1


def test_who_demands_a_strategy_gets_it_and_is_in_no_experiment():
    heard = held(stepped(), stepped("past", state="rolled_back", version="simple-semantic"))
    for talk, demanded in itertools.product(TALKS[:10], ("simple-semantic", TRIED)):
        made = plan(heard, talk, strategy=demanded)
        assert (made.steps[0].strategy, made.experiment, made.branch) == (demanded, "", "")
    of = planner(workflow(), workflow("help_next"))
    another = held(stepped(kind="workflow", version="help_next"))
    assert {plan(another, talk, by=of, strategy=TRIED).branch for talk in TALKS[:10]} == {""}


def test_in_the_old_branch_the_strategy_does_not_step_in_either_even_where_it_is_the_only_one_of_its_tier():
    of = planner(of=catalogue(strategy(), strategy(retrieval="hierarchical"), strategy("premium")))
    for talk in TALKS[:20]:
        made = plan(held(stepped()), talk, by=of)
        assert (TRIED in {step.strategy for step in made.steps}) is (made.branch == "new")


@pytest.mark.parametrize(
    "node", [{"model": "premium", "context": {"strategy": "semantic", "graph": False}}, {"model": "simple"}]
)
@pytest.mark.parametrize("state", ["running", "rolled_back"])
def test_what_the_workflow_pinned_is_not_overruled_and_where_only_one_version_could_answer_nothing_is_compared(
    node, state
):
    pinned = planner(workflow(node=node))
    heard, without = held(stepped(state=state)), held()
    for talk in TALKS[:10]:
        made = plan(heard, talk, by=pinned)
        assert (made.experiment, made.branch) == ("", "")
        assert made.candidates == plan(without, talk, by=pinned).candidates


@pytest.mark.parametrize(
    ("state", "seen"), [("won", True), ("cleared", True), ("stopped", False), ("rolled_back", False)]
)
def test_after_its_end_a_strategy_is_open_to_the_policy_or_left_out_for_all(state, seen):
    heard = held(stepped(state=state, share=0.0))
    for talk in TALKS[:20]:
        made = plan(heard, talk)
        assert (made.experiment, exact(made)) == ("", True)
        assert (TRIED in {each.strategy for each in made.candidates}) is seen


def test_an_operators_word_ends_an_experiment_at_once_and_for_good():
    heard = held(stepped())
    assert heard.experiments.end(ended("try", "old"))
    assert not heard.experiments.end(ended("try", "both"))
    heard.experiments.take(stepped(number=2, share=0.9))
    assert {plan(heard, talk).experiment for talk in TALKS[:10]} == {""}
    assert all(TRIED not in {c.strategy for c in plan(heard, talk).candidates} for talk in TALKS[:10])
    assert heard.experiments.end(ended("try", "neither"))
    assert all(TRIED in {c.strategy for c in plan(heard, talk).candidates} for talk in TALKS[:10])


def worded() -> Catalogue:
    """The catalogue, with a second wording for two strategies."""
    again = tuple(
        replace(DEFAULT.strategy(name), id=f"{name}-2", prompt_version="2") for name in ("simple-semantic", TRIED)
    )
    return Catalogue(DEFAULT.models, (*DEFAULT.strategies, *again))


@pytest.mark.parametrize(("state", "wordings"), [("running", [{"1"}, {"2"}]), ("won", [{"2"}]), ("stopped", [{"1"}])])
def test_a_prompt_version_is_seen_by_the_new_branch_alone_and_by_all_when_it_has_won(state, wordings):
    heard, of = held(stepped(kind="prompt", version="2", state=state)), planner(of=worded())
    versions = {each.id: each.prompt_version for each in worded().strategies}
    found = {frozenset(versions[c.strategy] for c in plan(heard, talk, by=of).candidates) for talk in TALKS}
    assert found == {frozenset(each) for each in wordings}


def test_another_workflow_answers_the_new_branch_with_its_pins_and_prompt():
    of = planner(workflow(), workflow("help_next", node={"model": "simple", "prompt": "Shortly: {{message}}"}))
    heard = held(stepped(kind="workflow", version="help_next"))
    for talk in TALKS:
        made = plan(heard, talk, by=of)
        new = gets_new("try", "acme", talk, 0.5)
        assert made.branch == ("new" if new else "old")
        assert (made.prompt, made.profile_scope) == ("Shortly: {{message}}" if new else "{{message}}", "help")
        assert ({each.strategy.split("-")[0] for each in made.candidates} == {"simple"}) is new
        assert exact(made)
    after = held(stepped(kind="workflow", version="help_next", state="won"))
    assert {plan(after, talk, by=of).prompt for talk in TALKS[:10]} == {"Shortly: {{message}}"}


@pytest.mark.parametrize("version", ["help_next", "not_loaded"])
def test_a_workflow_that_could_not_answer_a_request_takes_no_part_in_it(version):
    of = planner(workflow(), workflow("help_next", node={"prompt": "{{message}} {{order}}"}))
    heard = held(stepped(kind="workflow", version=version))
    assert {(plan(heard, talk, by=of).branch, plan(heard, talk, by=of).prompt) for talk in TALKS[:20]} == {
        ("", "{{message}}")
    }


def test_the_new_branch_is_decided_by_the_profile_that_is_tried():
    tried = Profile.of(
        profile(*(belief(TRIED, "general", b, quality=1.0) for b in ("low", "middle", "high")), version=3)
    )
    heard = held(stepped(kind="profile", version="3"), tried=tried)
    for talk in TALKS:
        made = plan(heard, talk)
        assert made.profile_version == (3 if made.branch == "new" else 7)
        assert exact(made)
    assert {plan(held(stepped(kind="profile", version="3")), talk).branch for talk in TALKS[:10]} == {""}, "no profile"


def test_overrides_hold_in_either_branch():
    heard = held(stepped())
    heard.set_override(override("force_simple_agents", "true"))
    for talk in TALKS[:20]:
        made = plan(heard, talk)
        assert made.experiment == ""
        assert {step.tier for step in made.steps} == {"simple"}


@LAWS
@given(st.permutations([1, 1, 2, 3, 3, 4]), st.sampled_from(TALKS))
def test_steps_in_any_order_and_repeatedly_leave_the_last_one_in_force(order, talk):
    steps = {
        1: stepped(share=0.05),
        2: stepped(number=2, share=0.25),
        3: stepped(number=3, share=0.6),
        4: stepped(number=4, state="rolled_back", share=0.0),
    }
    heard = Held()
    taken = [heard.experiments.take(steps[number]) for number in order]
    assert sum(taken) == len([n for place, n in enumerate(order) if n > max((0, *order[:place]))])
    assert plan(heard, talk).branch == ""
    assert TRIED not in {each.strategy for each in plan(heard, talk).candidates}


def test_a_kind_that_this_release_does_not_know_takes_no_part():
    assert {plan(held(stepped(kind="unknown")), talk).branch for talk in TALKS[:10]} == {""}


def test_two_that_run_on_one_workflow_are_settled_alike_whatever_came_first():
    one, two = stepped("a"), stepped("b", version="simple-semantic")
    for talk in TALKS[:20]:
        assert plan(held(one, two), talk) == plan(held(two, one), talk)
        assert plan(held(one, two), talk).experiment == "a"
