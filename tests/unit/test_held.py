"""What a router holds: only newer profiles are taken, and overrides are read, set and cleared."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.deciding.governance import Overrides
from agents.deciding.held import Held, Profile, read_override
from agents.deciding.prior import prior_estimate, rule_incumbent
from schemas import GraphSwitch, Incumbent
from tests.deciding_parts import DEFAULT, LAWS, belief, override, profile

SIMPLE = DEFAULT.strategy("simple-semantic")


def test_without_a_profile_the_built_in_rules_hold():
    held = Held().profile("help")
    assert (held.version, held.learned) == (0, False)
    prior = prior_estimate(SIMPLE, DEFAULT.model_of(SIMPLE), "low")
    assert held.estimate(DEFAULT, SIMPLE, "general", "low") == prior
    assert held.incumbent(DEFAULT, "support", "high") == rule_incumbent(DEFAULT, "support", "high")


def test_what_was_learned_replaces_the_prior_exactly_where_it_was_learned():
    held = Held()
    assert held.take_profile(
        profile(
            belief("simple-semantic", quality=0.93),
            incumbents=(Incumbent(content_type="general", band="low", strategy="premium-semantic", since_version=1),),
        )
    )
    taken = held.profile("help")
    assert taken.estimate(DEFAULT, SIMPLE, "general", "low").quality == 0.93
    assert taken.estimate(DEFAULT, SIMPLE, "general", "high").requests == 0
    assert taken.incumbent(DEFAULT, "general", "low") == "premium-semantic"
    assert taken.incumbent(DEFAULT, "general", "middle") == "balanced-semantic"
    assert not held.profile("another").learned


@LAWS
@given(st.lists(st.tuples(st.sampled_from("ab"), st.integers(1, 6)), max_size=12))
def test_the_newest_version_of_each_scope_is_held_and_every_other_one_is_counted(arrivals):
    held = Held()
    newest: dict[str, int] = {}
    stale = 0
    for scope, version in arrivals:
        taken = held.take_profile(
            profile(belief("simple-semantic", quality=version / 10), scope=scope, version=version)
        )
        assert taken is (version > newest.get(scope, 0))
        stale += not taken
        newest[scope] = max(newest.get(scope, 0), version)
    assert held.stale_total == stale
    assert held.newest_version == max(newest.values(), default=0)
    for scope, version in newest.items():
        assert held.profile(scope).version == version
        assert held.profile(scope).estimate(DEFAULT, SIMPLE, "general", "low").quality == version / 10


def test_a_rollback_to_the_built_in_rules_is_a_newer_version_that_knows_nothing():
    held = Held()
    held.take_profile(profile(belief("simple-semantic")))
    held.take_profile(profile(version=2))
    assert held.profile("help").version == 2
    assert not held.profile("help").learned


def test_a_graph_switch_says_what_it_rests_on():
    switch = GraphSwitch(content_type="support", gain=0.012, latency_ratio=1.84, requests=90)
    assert Profile.of(profile(graph_off=(switch,))).graph_off == {
        "support": "graph lookups are off for support requests: they gained +0.01 quality at 1.8 times the latency"
    }


@pytest.mark.parametrize("name", ["force_simple_agents", "disable_graph_queries"])
def test_a_switch_is_set_and_cleared_by_its_text(name):
    held = Held()
    for stated, on in (("true", True), ("false", False), ("true", True), (None, False)):
        assert held.set_override(override(name, stated))
        assert held.overrides.active == ((name,) if on else ())


def test_a_size_is_set_and_cleared_and_the_other_overrides_stay():
    held = Held()
    held.set_override(override("force_simple_agents", "true"))
    held.set_override(override("max_chunk_size", "500"))
    assert held.overrides == Overrides(force_simple_agents=True, max_chunk_size=500)
    held.set_override(override("max_chunk_size", None))
    assert held.overrides == Overrides(force_simple_agents=True)


UNREADABLE = [
    *itertools.product(["force_simple_agents", "disable_graph_queries"], ["yes", "1", "True", ""]),
    *itertools.product(["max_chunk_size"], ["0", "-5", "5.5", "many", "", "true", "\u00b2", "9" * 30, "9" * 5_000]),
    ("no_such_override", "true"),
    ("no_such_override", None),
]


@pytest.mark.parametrize(("name", "stated"), UNREADABLE, ids=lambda each: repr(each)[:20])
def test_an_override_that_cannot_be_read_changes_nothing_and_is_reported(name, stated):
    held = Held()
    held.set_override(override("max_chunk_size", "300"))
    assert held.set_override(override(name, stated)) is False
    assert held.overrides == Overrides(max_chunk_size=300)


@LAWS
@given(st.text(), st.none() | st.text())
def test_reading_an_override_never_fails(name, stated):
    for each in (name, "force_simple_agents", "max_chunk_size"):
        read_override(Overrides(), each, stated)
