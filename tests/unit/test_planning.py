"""A whole plan: what is refused, what is chosen with which probability, and that the same again gives the same bytes."""

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.deciding import policy, spreading
from agents.deciding.catalogue import Catalogue
from agents.deciding.checking import (
    MAX_DOCUMENTS_BYTES,
    MAX_MESSAGE_CHARACTERS,
    MAX_REQUEST_BYTES,
)
from agents.deciding.complexity import complexity_of
from agents.deciding.features import EMBEDDED, FEATURE_SET, LAG, NAMES, PLAIN
from agents.deciding.held import Held
from agents.deciding.workflow import Pins
from schemas import GivenDocument, GraphSwitch, Incumbent, RequestRouted, Turn
from streams.codec import Codec
from streams.errors import Code, Rejected
from streams.identity import draw
from tests.deciding_parts import (
    DEFAULT,
    LAWS,
    NOW_US,
    OVERRIDES,
    PINS,
    VECTOR,
    belief,
    catalogue,
    heads,
    hosted,
    override,
    planner,
    profile,
    request,
    strategy,
    workflow,
)

CODEC = Codec()
LATER_US = NOW_US + 20_000
LEARNED = tuple(
    belief(each.id, content_type, band, quality=0.85 if each.tier == "simple" else 0.9, cost_usd=cost)
    for content_type in ("general", "support")
    for band in ("low", "middle", "high")
    for each, cost in zip(DEFAULT.strategies, np.geomspace(1e-7, 1e-5, 18).tolist(), strict=True)
)
QUESTIONS = {
    2: "Show order 7.",
    5: "Which of the two is better, the lexical model or the static one, if latency counts?",
    9: "Compare both models, the lexical one and the static one, and explain why one of the two differs from the other. "
    "Which of the two would you take for a machine with two cores, and what would it cost?",
}


KNOWLEDGE = st.sampled_from([False, True, "heads"])
"""Nothing learned, beliefs by kind of request, heads."""


def held(*overrides: tuple[str, str], learned: bool | str = False, **of_profile: Any) -> Held:
    heard = Held()
    for name, stated in overrides:
        assert heard.set_override(override(name, stated))
    if learned:
        by: dict[str, Any] = {"heads": heads()} if learned == "heads" else {}
        assert heard.take_profile(profile(*LEARNED, **by, **of_profile))
    return heard


def code_of(plan: Any) -> tuple[Code, str]:
    with pytest.raises(Rejected) as caught:
        plan()
    assert caught.value.what.endswith((".", "?"))
    assert caught.value.remedy
    return caught.value.code, caught.value.what


REFUSED: list[tuple[dict[str, Any], Code, str]] = [
    ({"workflow": "hlep"}, Code.UNKNOWN_WORKFLOW, "Did you mean help?"),
    ({"workflow": "x" * 1_000_000}, Code.UNKNOWN_WORKFLOW, "Known: help."),
    ({"message": " \n\t"}, Code.EMPTY_MESSAGE, "empty"),
    ({"message": "x" * (MAX_MESSAGE_CHARACTERS + 1)}, Code.MESSAGE_TOO_LONG, "65,537"),
    ({"strategy": "simple-semantics"}, Code.UNKNOWN_STRATEGY, "Did you mean simple-semantic?"),
    ({"strategy": "?"}, Code.UNKNOWN_STRATEGY, "'?'"),
    ({"request_id": ""}, Code.INVALID_REQUEST, "must not be empty"),
    ({"conversation_id": ""}, Code.INVALID_REQUEST, "must not be empty"),
    ({"priority": "fast"}, Code.INVALID_REQUEST, "must be one of balanced"),
    ({"deadline_ms": 0}, Code.INVALID_REQUEST, "deadline_ms is 0"),
    ({"deadline_ms": -1}, Code.INVALID_REQUEST, "deadline_ms is -1"),
    ({"deadline_ms": 2**62}, Code.INVALID_REQUEST, "deadline_ms is"),
    ({"history": (Turn(role="system", text="Obey."),)}, Code.INVALID_REQUEST, "neither user nor assistant"),
    (
        {"documents": (GivenDocument(document_id="d", text="x" * (MAX_DOCUMENTS_BYTES + 1)),)},
        Code.INVALID_REQUEST,
        "the documents",
    ),
    (
        {"documents": (GivenDocument(document_id="d", text="\u20ac" * (MAX_DOCUMENTS_BYTES // 3 + 1)),)},
        Code.INVALID_REQUEST,
        "the documents",
    ),
    (
        {"history": (Turn(role="user", text="x" * MAX_REQUEST_BYTES),)},
        Code.INVALID_REQUEST,
        "bytes in all; at most 1,310,720",
    ),
    ({"deadline_ms": 3_600_001}, Code.INVALID_REQUEST, "it must be from 1 to 3600000"),
    ({"conversation_id": "c" * 257}, Code.INVALID_REQUEST, "conversation_id has more than 256 characters"),
    (
        {"documents": (GivenDocument(document_id="d" * 257, text="t"),)},
        Code.INVALID_REQUEST,
        "a document_id has more than 256 characters",
    ),
    ({"strategy": "premium-semantic"}, Code.NO_ELIGIBLE_STRATEGY, "the workflow states model: simple"),
]


@pytest.mark.parametrize(
    ("fields", "code", "said"), REFUSED, ids=lambda each: each if isinstance(each, str) else repr(each)[:40]
)
def test_what_cannot_be_answered_is_refused_with_its_code_and_what_is_wrong(fields, code, said):
    known = planner(workflow(node={"model": "simple"}))
    found, what = code_of(lambda: known.plan(request(**fields), VECTOR, held(), LATER_US))
    assert found == code
    assert said in what
    assert len(what) < 2_000


def test_a_request_past_its_deadline_is_planned_all_the_same_because_the_generator_knows_whether_it_has_ended():
    known = planner(workflow())
    late = known.plan(request(deadline_ms=1), VECTOR, held(), LATER_US)
    assert late.plan.deadline_at_us < LATER_US
    assert len(late.plan.candidates) == len(known.catalogue.ids)


def test_a_clock_that_is_ahead_buys_no_time():
    known = planner(workflow())
    ahead = known.plan(request(occurred_at_us=NOW_US + 10**15), VECTOR, held(), NOW_US)
    assert ahead.plan.deadline_at_us == NOW_US + 30_000_000


@pytest.mark.parametrize("apart_us", [-300_000_000, 300_000_000])
def test_a_deadline_begins_when_the_broker_took_the_request_whatever_the_callers_clock_says(apart_us):
    asked = request(occurred_at_us=NOW_US + apart_us, deadline_ms=5_000)
    routed = planner(workflow()).plan(asked, VECTOR, held(), NOW_US + 20_000, NOW_US)
    assert routed.plan.deadline_at_us == NOW_US + 5_000_000


def test_a_variable_that_the_prompt_needs_must_be_given():
    known = planner(workflow(node={"prompt": "For {{name}} in {{place}}: {{message}}"}))
    asked = request(variables={"place": "Rome"})
    code, what = code_of(lambda: known.plan(asked, VECTOR, held(), NOW_US))
    assert (code, "the variables name" in what) == (Code.INVALID_REQUEST, True)
    complete = request(variables={"place": "Rome", "name": "Ada"})
    assert known.plan(complete, VECTOR, held(), NOW_US).request == complete


def test_where_nobody_may_answer_every_reason_is_named_once():
    of = catalogue(
        strategy("simple"), strategy("premium"), strategy("premium", "hierarchical"), premium=hosted("premium")
    )
    known = planner(workflow(node={"model": "premium"}), of=of)
    code, what = code_of(lambda: known.plan(request(), VECTOR, held(), NOW_US))
    assert code == Code.NO_ELIGIBLE_STRATEGY
    assert what == (
        "No strategy may answer: the workflow states model: premium; "
        "premium-model runs hosted and may not see internal data."
    )


@pytest.mark.parametrize("level", QUESTIONS)
def test_before_anything_was_learned_the_rules_answer_and_the_rest_is_explored(level):
    assert complexity_of(QUESTIONS[level]).level == level
    plan = planner(content_type="support").plan(request(QUESTIONS[level]), VECTOR, held(), LATER_US).plan
    tier = {2: "simple", 5: "balanced", 9: "premium"}[level]
    shares = {each.strategy: each.probability for each in plan.candidates}
    assert shares[f"{tier}-conversation_turn-graph"] == pytest.approx(0.95 + 0.05 / 18)
    assert (plan.policy, plan.profile_version, plan.complexity) == (policy.RULES, 0, level)


@pytest.mark.parametrize("off", [{"learning_enabled": False}, {"auto_optimization": False}])
def test_with_learning_off_the_rules_pick_is_certain_whatever_was_learned(off):
    plan = planner(workflow(settings=off)).plan(request(), VECTOR, held(learned=True), LATER_US).plan
    assert plan.steps[0].strategy == "simple-semantic"
    assert (plan.propensity, plan.profile_version, plan.policy) == (1.0, 0, policy.RULES)
    assert sorted(each.probability for each in plan.candidates)[-2:] == [0.0, 1.0]
    assert "learning being off" in plan.reasoning


def test_with_a_profile_the_policy_decides_and_the_plan_names_both():
    plan = planner().plan(request(), VECTOR, held(learned=True, version=7), LATER_US).plan
    assert (plan.policy, plan.profile_scope, plan.profile_version) == (policy.NAME, "help", 7)
    assert {each.requests for each in plan.candidates} == {50}


def test_with_heads_the_plan_names_their_policy_and_its_numbers_are_about_the_request():
    heard, known = held(learned="heads"), planner()
    plan = known.plan(request(), VECTOR, heard, LATER_US).plan
    assert (plan.policy, plan.profile_version) == (spreading.NAME, 1)
    other = known.plan(request(), -VECTOR, heard, LATER_US).plan
    assert [each.quality for each in plan.candidates] != [each.quality for each in other.candidates]
    assert {each.requests for each in plan.candidates} == set(heads().requests)


def test_heads_of_another_encoder_decide_nothing():
    heard = Held()
    assert heard.take_profile(profile(*LEARNED, heads=heads(encoder="words@2")))
    assert planner().plan(request(), VECTOR, heard, LATER_US).plan.policy == policy.NAME


def test_a_strategy_that_the_heads_do_not_know_yet_is_explored_as_every_other():
    of = Catalogue(DEFAULT.models, (*DEFAULT.strategies, strategy("simple", "semantic", graph=True)))
    plan = planner(of=of).plan(request(), VECTOR, held(learned="heads"), LATER_US).plan
    shares = {each.strategy: each.probability for each in plan.candidates}
    assert plan.policy == spreading.NAME
    assert math.fsum(shares.values()) == pytest.approx(1.0)
    assert shares["simple-semantic-graph"] >= 0.05 / len(shares) - 1e-12


def test_how_many_requests_wait_is_in_the_features_and_in_the_words_where_it_is_many():
    known, heard = planner(), held(learned="heads")
    calm, busy = (known.plan(request(), VECTOR, heard, LATER_US, waiting=waiting).plan for waiting in (0, 5_000))
    assert busy.features[LAG] == pytest.approx(math.log1p(5_000))
    assert calm.features[LAG] == 0.0
    assert "5,000 requests wait" in busy.reasoning
    assert "wait" not in calm.reasoning


def test_a_higher_priority_of_cost_gives_up_more_quality_for_less_money():
    known, heard = planner(), held(learned="heads")

    def expected(priority: str) -> tuple[float, float]:
        plan = known.plan(request(priority=priority), VECTOR, heard, LATER_US).plan
        return (
            sum(each.probability * each.quality for each in plan.candidates),
            sum(each.probability * each.cost_usd for each in plan.candidates),
        )

    (good, dear), (worse, cheap) = expected("quality_over_speed"), expected("cost_over_quality")
    assert good >= worse
    assert dear >= cheap


@LAWS
@given(PINS, OVERRIDES, KNOWLEDGE, st.text(min_size=1), st.sampled_from(["public", "internal", "personal"]))
def test_every_step_obeys_every_pin_and_every_override_whatever_was_learned(
    pins, overrides, learned, request_id, sensitivity
):
    context = {
        "strategy": pins.retrieval,
        "top_k": pins.top_k,
        "graph": pins.graph,
        "sources": list(pins.sources) if pins.sources else None,
        "max_chunk_size": pins.max_chunk_size,
    }
    stated = workflow(node={"agent": pins.agent, "model": pins.tier, "context": context})
    assert stated.pins == pins
    heard = held(learned=learned, graph_off=(GraphSwitch(content_type="general", gain=0, latency_ratio=2, requests=9),))
    heard.overrides = overrides
    asked = request(request_id=request_id, sensitivity=sensitivity)
    plan = planner(stated, sources={"docs": {"path": "docs"}}).plan(asked, VECTOR, heard, LATER_US).plan
    pinned_parts = {"strategy": pins.retrieval, "top_k": pins.top_k, "agent": pins.agent}
    for step in plan.steps:
        for part, pinned in pinned_parts.items():
            assert pinned in (None, getattr(step, "retrieval" if part == "strategy" else part))
        if overrides.force_simple_agents:
            assert step.tier == "simple"
        else:
            assert pins.tier in (None, step.tier)
        if overrides.disable_graph_queries:
            assert not step.graph
        else:
            assert pins.graph in (None, step.graph)
        sizes = [size for size in (pins.max_chunk_size, overrides.max_chunk_size) if size is not None]
        assert step.max_chunk_size == min(sizes, default=None)
        assert step.sources == ("docs",)
    assert plan.pinned == pins.pinned_parts
    assert plan.overrides == overrides.active
    assert set(plan.pinned) | set(plan.decided) == set(Pins.__dataclass_fields__)


@LAWS
@given(KNOWLEDGE, st.text(min_size=1), st.text(min_size=1), st.sampled_from([None, "quality_over_speed"]))
def test_the_plan_can_be_checked_from_what_it_states(learned, conversation_id, request_id, priority):
    asked = request(conversation_id=conversation_id, request_id=request_id, priority=priority)
    routed = planner().plan(asked, VECTOR, held(learned=learned), LATER_US)
    plan, shares = routed.plan, {each.strategy: each.probability for each in routed.plan.candidates}
    assert math.fsum(shares.values()) == pytest.approx(1.0, abs=1e-12)
    assert min(shares.values()) >= 0.05 / 18 - 1e-12
    assert plan.draw == draw("acme", conversation_id, request_id)
    assert plan.steps[0].strategy == policy.choose(shares, plan.draw)
    assert plan.propensity == shares[plan.steps[0].strategy]
    assert {*shares, *(each.strategy for each in plan.exclusions)} == set(DEFAULT.ids)
    tiers = [step.tier for step in plan.steps]
    assert len(set(tiers)) == len(tiers) == 3
    assert plan.fallback


def plan_of_everything(learned: bool | str) -> RequestRouted:
    asked = request(
        QUESTIONS[5],
        history=(Turn(role="user", text="Hello."),),
        documents=(GivenDocument(document_id="d", text="Both are small."),),
        priority="speed_over_quality",
    )
    heard = held(("max_chunk_size", "400"), learned=learned)
    return planner(workflow(node={"context": {"graph": False}}), content_type="support").plan(
        asked, VECTOR.copy(), heard, LATER_US
    )


@pytest.mark.parametrize("learned", [True, False, "heads"])
def test_the_same_request_vector_knowledge_and_time_give_the_same_bytes(learned):
    once, again = plan_of_everything(learned), plan_of_everything(learned)
    assert CODEC.encode(once) == CODEC.encode(again)
    assert CODEC.decode(CODEC.encode(once)) == once


def test_features_have_the_documented_length_and_hold_numbers_only():
    routed = plan_of_everything(learned=True)
    features = routed.plan.features
    assert len(features) == PLAIN + EMBEDDED
    assert all(type(each) is float and math.isfinite(each) for each in features)
    told = dict(zip(NAMES, features, strict=False))
    assert (told["complexity"], told["turns"], told["has documents"]) == (routed.plan.complexity / 10, 0.1, 1.0)
    assert features[PLAIN:] == tuple(VECTOR[:EMBEDDED].tolist())
    assert routed.plan.feature_set == FEATURE_SET


@pytest.mark.parametrize(("allowed", "tiers"), [(True, {"simple", "balanced", "premium"}), (False, {"premium"})])
def test_simple_alternatives_are_offered_only_where_the_settings_allow_them(allowed, tiers):
    of = catalogue(strategy("simple"), strategy("balanced"), strategy("premium"))
    known = planner(workflow(settings={"fallback_to_simple": allowed, "learning_enabled": False}), of=of)
    steps = known.plan(request(QUESTIONS[9]), VECTOR, held(), LATER_US).plan.steps
    assert [step.tier for step in steps] == (["premium", "balanced", "simple"] if allowed else ["premium", "balanced"])
    assert tiers <= {step.tier for step in steps}


@pytest.mark.parametrize("learned", [True, "heads"])
def test_a_demanded_strategy_is_certain_pinned_and_has_no_alternatives(learned):
    plan = planner().plan(request(strategy="premium-hierarchical"), VECTOR, held(learned=learned), LATER_US).plan
    assert [step.strategy for step in plan.steps] == ["premium-hierarchical"]
    assert (plan.propensity, plan.fallback) == (1.0, False)
    assert "strategy" in plan.pinned


def test_a_requests_deadline_counts_from_when_it_was_published_and_is_stronger_than_the_settings():
    for asked, after_us in ((request(deadline_ms=5_000), 5_000_000), (request(), 30_000_000)):
        assert planner().plan(asked, VECTOR, held(), LATER_US).plan.deadline_at_us == NOW_US + after_us


def test_an_incumbent_that_may_not_answer_gives_way_to_the_rules():
    incumbents = (Incumbent(content_type="general", band="low", strategy="premium-semantic", since_version=1),)
    known = planner(workflow(node={"model": "simple"}))
    plan = known.plan(request(), VECTOR, held(learned=True, incumbents=incumbents), LATER_US).plan
    assert {each.strategy.split("-")[0] for each in plan.candidates} == {"simple"}


def test_the_hash_of_the_configuration_changes_with_settings_and_overrides():
    def hash_of(heard: Held, **parts: Any) -> str:
        return planner(workflow(**parts)).plan(request(), VECTOR, heard, LATER_US).plan.config_hash

    plain = hash_of(held())
    assert plain == hash_of(held())
    assert len({plain, hash_of(held(("max_chunk_size", "9"))), hash_of(held(), settings={"exploration": 0.5})}) == 3


def test_a_text_that_shows_personal_data_goes_to_no_model_that_may_not_see_it():
    of = catalogue(strategy("simple"), strategy("premium"), premium=hosted("premium", sees="internal"))
    asked = request(message="Write to some.body@example.org: why?", sensitivity="public")
    plan = planner(of=of).plan(asked, VECTOR, Held(), NOW_US).plan
    assert (plan.sensitivity_in_force, plan.personal) == ("personal", ("an e-mail address",))
    assert [candidate.strategy for candidate in plan.candidates] == ["simple-semantic"]
    assert plan.exclusions[0].reason == "premium-model runs hosted and may not see personal data"
    assert "some.body" not in plan.reasoning
    assert "an e-mail address" in plan.reasoning


@pytest.mark.parametrize(
    "hidden",
    [
        {"history": (Turn(role="user", text="I am some.body@example.org"),)},
        {"documents": (GivenDocument(document_id="d", text="From some.body@example.org"),)},
        {"variables": {"who": "some.body@example.org"}},
    ],
)
def test_it_is_looked_for_in_all_text_that_reaches_a_model(hidden):
    assert planner().plan(request(**hidden), VECTOR, Held(), NOW_US).plan.sensitivity_in_force == "personal"


def test_nothing_is_looked_for_where_the_settings_say_so():
    of = workflow(settings={"detect_personal_data": False})
    plan = planner(of).plan(request(message="Write to some.body@example.org"), VECTOR, Held(), NOW_US).plan
    assert (plan.sensitivity_in_force, plan.personal) == ("internal", ())


def test_a_refusal_says_which_kind_of_data_was_found():
    of = catalogue(strategy("premium"), premium=hosted("premium", sees="internal"))
    asked = request(message="Write to some.body@example.org")
    code, said = code_of(lambda: planner(of=of).plan(asked, VECTOR, Held(), NOW_US))
    assert code is Code.NO_ELIGIBLE_STRATEGY
    assert "holds an e-mail address" in said
