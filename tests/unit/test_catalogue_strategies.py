"""Which strategies and models a catalogue file means, in which environment."""

import copy
from collections.abc import Mapping
from typing import Any

import pytest

from agents.deciding.catalogue import (
    BUILT_IN_RETRIEVAL,
    Catalogue,
    Model,
    RetrievalProfile,
    UnknownStrategyError,
    retrieval_profile_of,
)
from agents.deciding.catalogue_file import CatalogueFile, CatalogueInvalidError, build_catalogue

HOSTED = {"OPENAI_API_KEY": "invented"}
TIERS = ("simple", "balanced", "premium")
PROFILES = (
    "semantic",
    "hierarchical",
    "entity_based",
    "entity_based-graph",
    "conversation_turn",
    "conversation_turn-graph",
)


def content() -> dict[str, Any]:
    def hosted(tier: str) -> dict[str, Any]:
        return {
            "name": f"large-{tier}",
            "name_env": f"PENSTOCK_MODEL_{tier.upper()}",
            "price_env": f"PENSTOCK_PRICE_{tier.upper()}",
            "runs": "hosted",
            "sees": "internal",
            "input_usd_per_million": 1.0,
            "output_usd_per_million": 4.0,
        }

    def local(tier: str) -> dict[str, Any]:
        return {
            "name": f"own-{tier}",
            "runs": "local",
            "sees": "personal",
            "per_cpu_second_usd": 0.00001,
        }

    return {
        "use": "auto",
        "providers": {
            "embedded": {"models": {tier: local(tier) for tier in TIERS}},
            "openai": {
                "when": {"env": ["OPENAI_API_KEY", "OPENAI_BASE_URL"]},
                "base_url": "https://hosted.invalid/v1",
                "base_url_env": "OPENAI_BASE_URL",
                "api_key_env": "OPENAI_API_KEY",
                "models": {tier: hosted(tier) for tier in TIERS},
            },
        },
        "strategies": {
            "profiles": [
                {"retrieval": "semantic", "top_k": 5},
                {"retrieval": "hierarchical", "top_k": 5},
                {"retrieval": "entity_based", "top_k": 3},
                {"retrieval": "entity_based", "top_k": 3, "graph": True},
                {"retrieval": "conversation_turn", "top_k": 8},
                {"retrieval": "conversation_turn", "top_k": 8, "graph": True},
            ],
        },
    }


def built(changed: dict[str, Any] | None = None, environment: Mapping[str, str] | None = None) -> Catalogue:
    return build_catalogue(CatalogueFile.model_validate(changed or content()), environment or {})


def complaints_of(changed: dict[str, Any], environment: Mapping[str, str] | None = None) -> list[str]:
    with pytest.raises(CatalogueInvalidError) as caught:
        built(changed, environment)
    return [each.reason or each.expected for each in caught.value.complaints]


def test_tiers_times_profiles_are_eighteen_strategies_in_a_fixed_order() -> None:
    assert built().ids == tuple(f"{tier}-{profile}" for tier in TIERS for profile in PROFILES)


def test_a_strategy_carries_what_its_profile_says() -> None:
    strategy = built().strategy("premium-conversation_turn-graph")
    assert (strategy.tier, strategy.retrieval, strategy.top_k, strategy.graph) == (
        *("premium", "conversation_turn", 8, True),
    )
    assert (strategy.agent, strategy.refinement) == ("direct", "none")


def test_an_explicit_entry_comes_after_the_others_under_its_own_id() -> None:
    changed = content()
    changed["strategies"]["entries"] = [{"id": "wide", "tier": "simple", "retrieval": "semantic", "top_k": 20}]
    assert built(changed).ids[-1] == "wide"
    assert built(changed).strategy("wide").top_k == 20


def test_an_id_that_is_there_twice_is_refused() -> None:
    changed = content()
    changed["strategies"]["entries"] = [{"tier": "simple", "retrieval": "semantic", "top_k": 9}]
    assert complaints_of(changed) == ["strategy simple-semantic is there twice"]


def test_an_unknown_strategy_is_an_error_that_names_the_nearest() -> None:
    with pytest.raises(UnknownStrategyError, match="did you mean premium-semantic") as caught:
        built().strategy("premium-semantics")
    assert caught.value.nearest[0] == "premium-semantic"
    assert caught.value.strategy_id == "premium-semantics"


@pytest.mark.parametrize(
    ("environment", "provider"),
    [
        ({}, "embedded"),
        ({"OPENAI_API_KEY": ""}, "embedded"),
        ({"OPENAI_API_KEY": "invented"}, "openai"),
        ({"OPENAI_BASE_URL": "http://own.invalid/v1"}, "openai"),
        ({"OPENAI_API_KEY": "invented", "PENSTOCK_PROVIDER": "embedded"}, "embedded"),
        ({"PENSTOCK_PROVIDER": "openai"}, "openai"),
    ],
)
def test_the_environment_chooses_the_provider(environment: dict[str, str], provider: str) -> None:
    catalogue = built(None, environment)
    assert {model.provider for model in catalogue.models.values()} == {provider}


def test_an_address_from_the_environment_replaces_the_files() -> None:
    assert built(None, HOSTED).models["simple"].base_url == "https://hosted.invalid/v1"
    own = built(None, {"OPENAI_BASE_URL": "http://own.invalid/v1"})
    assert own.models["simple"].base_url == "http://own.invalid/v1"


def test_a_provider_that_does_not_exist_is_refused() -> None:
    (said,) = complaints_of(content() | {"use": "embeded"})
    assert "a provider of this file" in said


def test_where_no_condition_holds_and_all_have_one_there_is_no_provider() -> None:
    changed = content()
    del changed["providers"]["embedded"]
    assert "without when" in complaints_of(changed)[0]


def test_a_name_from_the_environment_needs_its_price_from_there_too() -> None:
    environment = {"OPENAI_API_KEY": "x", "PENSTOCK_MODEL_SIMPLE": "tiny"}
    assert "whose price is not known" in complaints_of(content(), environment)[0]
    model = built(None, environment | {"PENSTOCK_PRICE_SIMPLE": "0.5/2"}).models["simple"]
    assert (model.name, model.input_usd_per_million, model.output_usd_per_million) == (*("tiny", 0.5, 2.0),)


@pytest.mark.parametrize("price", ["free", "1", "1/2/3", "-1/2", "nan/1", "inf/1"])
def test_a_price_that_is_none_is_refused(price: str) -> None:
    (said,) = complaints_of(content(), HOSTED | {"PENSTOCK_PRICE_PREMIUM": price})
    assert "PENSTOCK_PRICE_PREMIUM" in said


@pytest.mark.parametrize(
    "prices",
    [
        {"input_usd_per_million": None},
        {"output_usd_per_million": None},
        {"input_usd_per_million": None, "output_usd_per_million": None},
        {"per_cpu_second_usd": 1.0},
        {"per_cpu_second_usd": 1.0, "input_usd_per_million": None},
    ],
)
def test_a_model_in_use_has_exactly_one_price(prices: dict[str, Any]) -> None:
    changed = content()
    changed["providers"]["openai"]["models"]["balanced"].update(prices)
    assert "needs one price" in complaints_of(changed, HOSTED)[0]
    assert built(changed).ids == built().ids


def test_a_tier_without_a_model_is_refused_once_for_each_strategy_of_it() -> None:
    changed = content()
    del changed["providers"]["embedded"]["models"]["premium"]
    assert len(complaints_of(changed)) == len(PROFILES)


def test_a_catalogue_without_strategies_is_refused() -> None:
    changed = content()
    changed["strategies"] = {}
    assert complaints_of(changed) == ["at least one strategy"]


def test_the_version_changes_exactly_with_the_content() -> None:
    changed = copy.deepcopy(content())
    assert built(changed).version == built().version
    changed["providers"]["embedded"]["models"]["simple"]["per_cpu_second_usd"] = 0.00002
    assert built(changed).version != built().version


def test_a_call_costs_its_cpu_time_or_its_tokens() -> None:
    local = built().models["simple"]
    hosted = built(None, HOSTED).models["simple"]
    used = {"input_tokens": 1_000_000, "output_tokens": 500_000}
    assert local.cost_usd(**used, cpu_seconds=2.0) == pytest.approx(0.00002)
    assert hosted.cost_usd(**used, cpu_seconds=2.0) == pytest.approx(3.0)


@pytest.mark.parametrize(
    ("sees", "may"),
    [
        ("public", ["public"]),
        ("internal", ["public", "internal"]),
        ("personal", ["public", "internal", "personal"]),
    ],
)
def test_a_model_sees_up_to_its_sensitivity(sees: Any, may: list[str]) -> None:
    model = Model("m", "simple", "embedded", None, "local", sees)
    levels: tuple[Any, ...] = ("public", "internal", "personal")
    assert [level for level in levels if model.may_see(level)] == may


def test_the_built_in_retrieval_profiles_are_those_of_the_design() -> None:
    assert dict(BUILT_IN_RETRIEVAL) == {
        "transactional": RetrievalProfile("entity_based", 3, graph=True),
        "informational": RetrievalProfile("hierarchical", 5),
        "support": RetrievalProfile("conversation_turn", 8, graph=True),
        "general": RetrievalProfile("semantic", 5),
    }
    assert retrieval_profile_of("a_users_own") == BUILT_IN_RETRIEVAL["general"]
