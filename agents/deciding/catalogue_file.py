"""The operator's catalogue file, and the catalogue that it means in an environment.

Comes in: the content of the file and the environment, as a mapping. Goes out: a ``Catalogue``.
Keeps nothing. Fails with ``CatalogueInvalidError``, all complaints in one. Pure.

Which provider answers is data: ``use: auto`` takes the first provider whose ``when`` names a
variable that is set, else the first without ``when``; PENSTOCK_PROVIDER, where set, replaces
``use``. A provider gives one model per tier; the strategies are tiers times retrieval profiles, in
the file's order, then the explicit entries.
"""

import math
from collections.abc import Iterator, Mapping
from typing import Annotated

from pydantic import Field, StrictBool, StrictInt

from agents.deciding.catalogue import (
    TIERS,
    Agent,
    Catalogue,
    Model,
    Retrieval,
    Runs,
    Sensitivity,
    Strategy,
    Tier,
    strategy_id,
)
from agents.deciding.mistakes import AUTO, Complaint, Path, Stated

PROVIDER_VARIABLE = "PENSTOCK_PROVIDER"

Name = Annotated[str, Field(min_length=1, max_length=200)]
USD = Annotated[float, Field(strict=True, ge=0)]
USD_EXPECTED = "an amount in USD, at least 0"

_ONE_PRICE = ([True, False, False], [False, True, True])


class CatalogueInvalidError(ValueError):
    """A catalogue that contradicts itself or the environment; ``complaints`` says where."""

    def __init__(self, complaints: tuple[Complaint, ...]) -> None:
        self.complaints = complaints
        super().__init__("; ".join(each.reason or each.expected for each in complaints))


class ModelEntry(Stated):
    """A model in the file; ``name_env`` and ``price_env`` name variables that replace its own."""

    name: Name = Field(description="the model's name at its provider")
    runs: Runs = Field(description="local or hosted")
    sees: Sensitivity = Field(description="public, internal or personal")
    name_env: Name | None = Field(default=None, description="the name of an environment variable")
    price_env: Name | None = Field(default=None, description="the name of an environment variable")
    per_cpu_second_usd: USD | None = Field(default=None, description=USD_EXPECTED)
    input_usd_per_million: USD | None = Field(default=None, description=USD_EXPECTED)
    output_usd_per_million: USD | None = Field(default=None, description=USD_EXPECTED)


class Condition(Stated):
    """When a provider is taken: when any of these variables is set and not empty."""

    env: tuple[Name, ...] = Field(description="a list of environment variables")


class ProviderEntry(Stated):
    """Where models are, and one for each tier."""

    when: Condition | None = Field(default=None, description="{env: [names of variables]}")
    base_url: Name | None = Field(default=None, description="an address such as http://host:port/v1")
    base_url_env: Name | None = Field(default=None, description="the name of an environment variable")
    api_key_env: Name | None = Field(default=None, description="the name of an environment variable")
    models: dict[Tier, ModelEntry] = Field(description="simple, balanced and premium, each with a model")


class ProfileEntry(Stated):
    """A retrieval profile in the file."""

    retrieval: Retrieval = Field(description="entity_based, hierarchical, conversation_turn or semantic")
    top_k: Annotated[StrictInt, Field(ge=1, le=50)] = Field(description="a whole number from 1 to 50")
    graph: StrictBool = Field(default=False, description="true or false")


class StrategyEntry(ProfileEntry):
    """An explicit strategy in the file; without an id it gets the usual one."""

    id: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_-]{0,99}$")] | None = Field(
        default=None, description="a name of small letters, digits, _ and -"
    )
    agent: Agent = Field(default="direct", description="direct")
    tier: Tier = Field(description="simple, balanced or premium")
    prompt_version: Name = Field(default="1", description="a text in quotes")


class StrategiesEntry(Stated):
    """The strategies, compactly: every tier with every profile, then the explicit entries."""

    tiers: tuple[Tier, ...] = Field(default=TIERS, description="a list of simple, balanced, premium")
    profiles: tuple[ProfileEntry, ...] = Field(default=(), description="a list of retrieval profiles")
    entries: tuple[StrategyEntry, ...] = Field(default=(), description="a list of strategies")


class CatalogueFile(Stated):
    """infra/strategies.yaml."""

    use: Name = Field(default=AUTO, description="auto or the name of a provider")
    providers: dict[Name, ProviderEntry] = Field(description="names of providers, each a mapping")
    strategies: StrategiesEntry = Field(description="a mapping of tiers, profiles and entries")


def build_catalogue(file: CatalogueFile, environment: Mapping[str, str]) -> Catalogue:
    """The catalogue of this file in this environment (variables by name; empty is unset).

    Raises CatalogueInvalidError.
    """
    complaints: list[Complaint] = []
    models: dict[Tier, Model] = {}
    provider = _chosen_provider(file, environment, complaints)
    if provider is not None:
        models = _models(provider, file.providers[provider], environment, complaints)
    strategies: dict[str, Strategy] = {}
    for path, strategy in _expanded(file.strategies):
        if strategy.id in strategies:
            reason = f"strategy {strategy.id} is there twice"
            complaints.append(Complaint(path, strategy.id, "an id of its own", reason=reason))
        strategies[strategy.id] = strategy
        if provider is not None and strategy.tier not in file.providers[provider].models:
            expected = f"a tier for which provider {provider} has a model"
            offered = tuple(file.providers[provider].models)
            complaints.append(Complaint(path, strategy.tier, expected, offered))
    if not strategies:
        complaints.append(Complaint(("strategies",), "no strategy", "at least one strategy"))
    if complaints:
        raise CatalogueInvalidError(tuple(complaints))
    return Catalogue(models, tuple(strategies.values()))


def _chosen_provider(file: CatalogueFile, environment: Mapping[str, str], complaints: list[Complaint]) -> str | None:
    wanted = environment.get(PROVIDER_VARIABLE, "").strip() or file.use
    if wanted in file.providers:
        return wanted
    if wanted != AUTO:
        known = (*file.providers, AUTO)
        expected = f"auto or a provider of this file (in use or {PROVIDER_VARIABLE})"
        complaints.append(Complaint(("use",), wanted, expected, known))
        return None
    unconditional = [name for name, entry in file.providers.items() if entry.when is None]
    for name, entry in file.providers.items():
        variables = entry.when.env if entry.when else ()
        if any(environment.get(variable, "").strip() for variable in variables):
            return name
    if not unconditional:
        expected = "a provider without when, to be taken where no variable is set"
        complaints.append(Complaint(("providers",), "none", expected))
        return None
    return unconditional[0]


def _models(
    provider: str,
    entry: ProviderEntry,
    environment: Mapping[str, str],
    complaints: list[Complaint],
) -> dict[Tier, Model]:
    base_url = environment.get(entry.base_url_env or "", "").strip() or entry.base_url
    models: dict[Tier, Model] = {}
    for tier, model in entry.models.items():
        path: Path = ("providers", provider, "models", tier)
        name = environment.get(model.name_env or "", "").strip() or model.name
        by_cpu, by_input, by_output = _price(path, name, model, environment, complaints)
        models[tier] = Model(
            name=name,
            tier=tier,
            provider=provider,
            base_url=base_url,
            runs=model.runs,
            sees=model.sees,
            api_key_env=entry.api_key_env,
            per_cpu_second_usd=by_cpu,
            input_usd_per_million=by_input,
            output_usd_per_million=by_output,
        )
    return models


def _price(
    path: Path,
    name: str,
    model: ModelEntry,
    environment: Mapping[str, str],
    complaints: list[Complaint],
) -> tuple[float | None, float | None, float | None]:
    """By CPU-second, by million tokens in, by million tokens out: the first, or the other two."""
    by_cpu = model.per_cpu_second_usd
    tokens = (model.input_usd_per_million, model.output_usd_per_million)
    stated = environment.get(model.price_env or "", "").strip()
    either = "per_cpu_second_usd, or input_usd_per_million and output_usd_per_million"
    if stated:
        try:
            by_input, by_output = (float(part) for part in stated.split("/"))
        except ValueError:
            by_input = by_output = -1.0
        if min(by_input, by_output) >= 0 and math.isfinite(by_input + by_output):
            return None, by_input, by_output
        reason = f"{model.price_env} is {stated!r}; expected USD per million tokens in and out, as 1.5/6"
        complaints.append(Complaint(path, stated, either, reason=reason))
    elif name != model.name:
        reason = (
            f"{model.name_env} replaces model {model.name} by {name}, whose price is not known; "
            f"set {model.price_env or 'price_env'} (USD per million tokens in and out, as 1.5/6)"
        )
        complaints.append(Complaint(path, name, either, reason=reason))
    elif [price is not None for price in (by_cpu, *tokens)] not in _ONE_PRICE:
        reason = f"model {name} is in use and needs one price: {either}" + (
            f" (or {model.price_env}, as 1.5/6)" if model.price_env else ""
        )
        reason += "; PENSTOCK_PROVIDER=embedded uses the embedded models instead"
        complaints.append(Complaint(path, name, either, reason=reason))
    return by_cpu, *tokens


def _expanded(entry: StrategiesEntry) -> Iterator[tuple[Path, Strategy]]:
    for place, tier in enumerate(entry.tiers):
        for profile in entry.profiles:
            name = strategy_id(tier, profile.retrieval, graph=profile.graph)
            yield (
                ("strategies", "tiers", place),
                Strategy(name, "direct", tier, profile.retrieval, profile.top_k, profile.graph),
            )
    for place, each in enumerate(entry.entries):
        name = each.id or strategy_id(each.tier, each.retrieval, graph=each.graph)
        yield (
            ("strategies", "entries", place),
            Strategy(
                name,
                each.agent,
                each.tier,
                each.retrieval,
                each.top_k,
                each.graph,
                prompt_version=each.prompt_version,
            ),
        )
