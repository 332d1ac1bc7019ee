"""Which level of the settings wins, and that it is known which."""

from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from agents.deciding.governance import (
    Environment,
    Floor,
    GovernanceFile,
    Overrides,
    Settings,
    StatedSettings,
    UnknownEnvironmentError,
    resolve,
)

STATED = st.builds(
    StatedSettings,
    auto_optimization=st.none() | st.booleans(),
    learning_enabled=st.none() | st.booleans(),
    cost_ceiling_usd=st.none() | st.floats(0, 10),
    quality_floor=st.none() | st.floats(0, 1),
    exploration=st.none() | st.floats(0, 1),
    fallback_to_simple=st.none() | st.booleans(),
    deadline_ms=st.none() | st.integers(1, 60_000),
)


@given(STATED, STATED, STATED)
def test_the_most_specific_level_that_states_a_key_wins(
    defaults: StatedSettings, environment: StatedSettings, workflow: StatedSettings
) -> None:
    effective = resolve(defaults, Environment("experimental", environment), workflow, Overrides())
    levels = [
        ("workflow", workflow),
        ("environments.experimental", environment),
        ("defaults", defaults),
    ]
    for key in StatedSettings.model_fields:
        stating = [(name, getattr(level, key)) for name, level in levels]
        stated = [each for each in stating if each[1] is not None]
        origin, value = stated[0] if stated else ("built in", getattr(Settings(), key))
        assert effective.origins[key] == origin
        assert getattr(effective.settings, key) == value


def test_every_setting_can_be_stated_and_the_other_way_round() -> None:
    assert set(StatedSettings.model_fields) == set(Settings.__dataclass_fields__)


@pytest.mark.parametrize(
    ("overrides", "active"),
    [
        (Overrides(), ()),
        (Overrides(force_simple_agents=True), ("force_simple_agents",)),
        (
            Overrides(disable_graph_queries=True, max_chunk_size=1),
            ("disable_graph_queries", "max_chunk_size"),
        ),
    ],
)
def test_the_overrides_that_are_on_are_named(overrides: Overrides, active: tuple[str, ...]) -> None:
    effective = resolve(StatedSettings(), Environment(), StatedSettings(), overrides)
    named = tuple(key for key, level in effective.origins.items() if level == "overrides")
    assert overrides.active == active == named
    assert effective.overrides == overrides


def test_a_chunk_of_no_characters_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 1"):
        Overrides(max_chunk_size=0)


@pytest.mark.parametrize(
    ("stated", "floor"),
    [
        (0.8, Floor("absolute", 0.8)),
        (1, Floor("absolute", 1.0)),
        ({"absolute": 0.7}, Floor("absolute", 0.7)),
        ({"relative": 0.95}, Floor("relative", 0.95)),
    ],
)
def test_a_floor_is_a_reward_or_a_share_of_the_best(stated: Any, floor: Floor) -> None:
    assert StatedSettings.model_validate({"quality_floor": stated}).quality_floor == floor


def test_a_relative_floor_moves_with_the_best_strategy() -> None:
    assert Floor("relative", 0.5).threshold(0.6) == pytest.approx(0.3)
    assert Floor("absolute", 0.5).threshold(0.6) == 0.5


@pytest.mark.parametrize(
    "stated",
    [
        {"quality_floor": 1.01},
        {"quality_floor": -0.1},
        {"quality_floor": True},
        {"quality_floor": "high"},
        {"quality_floor": {"relative": 2}},
        {"quality_floor": {"relativ": 0.9}},
        {"quality_floor": {"relative": 0.9, "absolute": 0.8}},
        {"quality_floor": float("nan")},
        {"cost_ceiling_usd": -0.01},
        {"cost_ceiling_usd": float("inf")},
        {"exploration": 1.5},
        {"exploration": "0.1"},
        {"deadline_ms": 0},
        {"deadline_ms": 1.5},
        {"learning_enabled": "yes"},
        {"learning": True},
    ],
)
def test_a_setting_out_of_range_is_refused(stated: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        StatedSettings.model_validate(stated)


def test_an_environment_that_the_file_leaves_out_states_nothing() -> None:
    file = GovernanceFile.model_validate({"environments": {"conservative": {"exploration": 0.02}}})
    assert file.environment("production") == Environment("production", StatedSettings())
    effective = file.effective("conservative", StatedSettings(), Overrides())
    assert effective.settings.exploration == 0.02
    assert effective.origins["exploration"] == "environments.conservative"


def test_an_unknown_environment_is_an_error_with_the_nearest_name() -> None:
    with pytest.raises(UnknownEnvironmentError, match="did you mean production") as caught:
        GovernanceFile().environment("prodction")
    assert caught.value.nearest == ("production",)


@pytest.mark.parametrize(
    "content",
    [
        {"environments": {"staging": {}}},
        {"operations": {"partitions": 0}},
        {"operations": {"rating_wait_s": -1}},
        {"sources": {"docs": {"path": ""}}},
        {"sources": {"The Docs": {"path": "docs"}}},
    ],
)
def test_a_settings_file_outside_what_exists_is_refused(content: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        GovernanceFile.model_validate(content)


def test_the_kinds_of_a_floor_are_two() -> None:
    assert get_args(Floor.__annotations__["kind"]) == ("absolute", "relative")
