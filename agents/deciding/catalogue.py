"""The strategy catalogue: which models exist, and which complete ways to answer use them.

Comes in: models and strategies, as ``agents.deciding.catalogue_file`` reads them. Goes out: a
frozen ``Catalogue`` with a version that changes exactly when its content does, and the built-in
retrieval profiles. Keeps nothing. Fails with ``UnknownStrategyError``. Pure.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Literal, get_args

from agents.deciding.mistakes import nearest_names

Tier = Literal["simple", "balanced", "premium"]
Retrieval = Literal["entity_based", "hierarchical", "conversation_turn", "semantic"]
Runs = Literal["local", "hosted"]
Sensitivity = Literal["public", "internal", "personal"]
Agent = Literal["direct"]

TIERS: tuple[Tier, ...] = get_args(Tier)
SENSITIVITIES: tuple[Sensitivity, ...] = get_args(Sensitivity)


@dataclass(frozen=True)
class RetrievalProfile:
    """How passages are found: the retrieval strategy, how many, and whether by the graph too."""

    retrieval: Retrieval
    top_k: int
    graph: bool = False


GENERAL = RetrievalProfile("semantic", 5)
BUILT_IN_RETRIEVAL: Mapping[str, RetrievalProfile] = {
    "transactional": RetrievalProfile("entity_based", 3, graph=True),
    "informational": RetrievalProfile("hierarchical", 5),
    "support": RetrievalProfile("conversation_turn", 8, graph=True),
    "general": GENERAL,
}


def retrieval_profile_of(content_type: str) -> RetrievalProfile:
    """The built-in retrieval profile; that of ``general`` for a type of the user's own."""
    return BUILT_IN_RETRIEVAL.get(content_type, GENERAL)


@dataclass(frozen=True)
class Model:
    """A language model and what it costs: by CPU-second, or by million tokens in and out.

    ``base_url`` None is the provider's own address. ``sees`` is the highest sensitivity of a
    request that it may be given.
    """

    name: str
    tier: Tier
    provider: str
    base_url: str | None
    runs: Runs
    sees: Sensitivity
    api_key_env: str | None = None
    per_cpu_second_usd: float | None = None
    input_usd_per_million: float | None = None
    output_usd_per_million: float | None = None

    def may_see(self, sensitivity: Sensitivity) -> bool:
        """Whether a request of this sensitivity may be sent to the model."""
        return SENSITIVITIES.index(sensitivity) <= SENSITIVITIES.index(self.sees)

    def cost_usd(self, *, input_tokens: int, output_tokens: int, cpu_seconds: float) -> float:
        """What a call cost: by its CPU time where that is the price, else by its tokens."""
        if self.per_cpu_second_usd is not None:
            return self.per_cpu_second_usd * cpu_seconds
        by_input = (self.input_usd_per_million or 0.0) * input_tokens
        return (by_input + (self.output_usd_per_million or 0.0) * output_tokens) / 1_000_000


@dataclass(frozen=True)
class Strategy:
    """One complete way to answer."""

    id: str
    agent: Agent
    tier: Tier
    retrieval: Retrieval
    top_k: int
    graph: bool
    tools: tuple[str, ...] = ()
    refinement: Literal["none"] = "none"
    prompt_version: str = "1"


class UnknownStrategyError(LookupError):
    """There is no such strategy. ``strategy_id``: what was asked for; ``nearest``: similar ones."""

    def __init__(self, strategy_id: str, nearest: tuple[str, ...]) -> None:
        self.strategy_id = strategy_id
        self.nearest = nearest
        hint = f"; did you mean {' or '.join(nearest)}?" if nearest else ""
        super().__init__(f"unknown strategy {strategy_id!r}{hint}")


@dataclass(frozen=True)
class Catalogue:
    """The models, one per tier, and the strategies in their fixed order."""

    models: Mapping[Tier, Model]
    strategies: tuple[Strategy, ...]

    @property
    def ids(self) -> tuple[str, ...]:
        """The ids of the strategies, in order."""
        return tuple(self._by_id)

    @cached_property
    def _by_id(self) -> dict[str, Strategy]:
        return {each.id: each for each in self.strategies}

    def strategy(self, strategy_id: str) -> Strategy:
        """The strategy of this id. Raises UnknownStrategyError."""
        found = self._by_id.get(strategy_id)
        if found is None:
            raise UnknownStrategyError(strategy_id, nearest_names(strategy_id, self._by_id, limit=3))
        return found

    def model_of(self, strategy: Strategy) -> Model:
        """The model that answers for a strategy."""
        return self.models[strategy.tier]

    @cached_property
    def version(self) -> str:
        """16 hexadecimal digits of SHA-256 over models and strategies."""
        content = {
            "models": {tier: asdict(model) for tier, model in self.models.items()},
            "strategies": [asdict(each) for each in self.strategies],
        }
        canonical = json.dumps(content, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(canonical.encode()).hexdigest()[:16]


def strategy_id(tier: str, retrieval: str, *, graph: bool) -> str:
    """``{tier}-{retrieval}``, with ``-graph`` where the graph is looked up too."""
    return f"{tier}-{retrieval}-graph" if graph else f"{tier}-{retrieval}"
