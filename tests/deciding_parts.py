"""What tests of deciding and learning share: builders of catalogues, estimates, requests, workflows and planners."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any, cast

import numpy as np
import numpy.typing as npt
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from agents.deciding.catalogue import SENSITIVITIES, TIERS, Catalogue, Model, Retrieval, Strategy, Tier, strategy_id
from agents.deciding.content_types import ContentTypes, TypeGuess
from agents.deciding.features import EMBEDDED, PLAIN
from agents.deciding.governance import Floor, GovernanceFile, Overrides
from agents.deciding.learned import written
from agents.deciding.planning import Planner
from agents.deciding.prior import Estimate
from agents.deciding.workflow import Pins, Workflow
from agents.loading.reading import load_catalogue
from analytics.fitting.rows import Rows
from analytics.fitting.scope import ScopeExperience
from analytics.fitting.starting import start_of
from schemas import (
    Belief,
    Evidence,
    GraphSwitch,
    Incumbent,
    LearnedHeads,
    OverrideSet,
    ProfileUpdated,
    RequestReceived,
)
from streams.identity import event_id

ROOT = Path(__file__).resolve().parents[1]
NOW_US = 1_800_000_000_000_000
DEFAULT = load_catalogue(ROOT / "infra" / "strategies.yaml", {})
"""The catalogue as it is delivered, with the embedded models."""
RETRIEVALS: tuple[Retrieval, ...] = ("entity_based", "hierarchical", "conversation_turn", "semantic")


def model(tier: Tier = "simple", **fields: Any) -> Model:
    """A local model that may see everything; its price is by CPU second."""
    given: dict[str, Any] = {
        "name": f"{tier}-model",
        "tier": tier,
        "provider": "embedded",
        "base_url": None,
        "runs": "local",
        "sees": "personal",
        "per_cpu_second_usd": 0.000014,
    }
    return Model(**{**given, **fields})


def strategy(tier: Tier = "simple", retrieval: Retrieval = "semantic", *, graph: bool = False) -> Strategy:
    return Strategy(strategy_id(tier, retrieval, graph=graph), "direct", tier, retrieval, 5, graph)


def catalogue(*strategies: Strategy, **models: Model) -> Catalogue:
    """Strategies, and models that are ``model(tier)`` where not given by tier."""
    return Catalogue({tier: models.get(tier) or model(tier) for tier in TIERS}, strategies)


def hosted(tier: Tier, **fields: Any) -> Model:
    """A hosted model that may see public data only; its price is by token."""
    prices = {"per_cpu_second_usd": None, "input_usd_per_million": 1.0, "output_usd_per_million": 4.0}
    return model(tier, **{"runs": "hosted", "sees": "public", **prices, **fields})


def estimate(quality: float = 0.8, cost_usd: float = 1e-6, sd: float = 0.0, **fields: Any) -> Estimate:
    """``sd`` is both uncertainties."""
    given = {"quality_sd": sd, "gap_sd": sd, "latency_ms": 50.0, "requests": 40}
    return Estimate(quality=quality, cost_usd=cost_usd, **{**given, **fields})


def request(message: str = "Where is it?", **fields: Any) -> RequestReceived:
    given: dict[str, Any] = {
        "event_id": "a" * 32,
        "occurred_at_us": NOW_US,
        "tenant": "acme",
        "conversation_id": "c1",
        "request_id": "r1",
        "workflow": "help",
    }
    return RequestReceived(message=message, **{**given, **fields})


def workflow(name: str = "help", *, node: dict[str, Any] | None = None, **parts: Any) -> Workflow:
    return Workflow.model_validate(
        {"name": name, "version": "1.0.0", "workflow": {"nodes": [{"id": "answer", **(node or {})}]}, **parts}
    )


class Always:
    """Finds the same content type in every text."""

    def __init__(self, content_type: str) -> None:
        self._guess = TypeGuess(content_type=content_type, confidence=0.9, scores={content_type: 0.9})

    def classify(self, text: str, vector: npt.NDArray[np.float32]) -> TypeGuess:
        return self._guess


def planner(*workflows: Workflow, of: Catalogue = DEFAULT, content_type: str = "general", **governance: Any) -> Planner:
    """A planner in production for these workflows (``help``, all left open, where none is given)."""
    return Planner(
        workflows={each.name: each for each in workflows or (workflow(),)},
        catalogue=of,
        governance=GovernanceFile.model_validate(governance),
        environment="production",
        content_types=lambda _: cast("ContentTypes", Always(content_type)),
        encoder="words@1",
    )


VECTOR: npt.NDArray[np.float32] = np.linspace(-1, 1, 256, dtype=np.float32)


def belief(name: str, content_type: str = "general", band: str = "low", **fields: Any) -> Belief:
    given = {"requests": 50, "quality": 0.9, "quality_sd": 0.02, "gap_sd": 0.02, "cost_usd": 1e-6, "latency_ms": 40.0}
    return Belief(content_type=content_type, band=band, strategy=name, **{**given, **fields})


@cache
def heads(count: int = 400, seed: int = 0, encoder: str = "words@1") -> LearnedHeads:
    """Heads of the delivered catalogue: a better tier answers better and costs more; twice so on one of two kinds of text."""
    chance = np.random.default_rng(seed)
    ids = DEFAULT.ids
    chosen = chance.integers(0, len(ids), count)
    tier = np.array([TIERS.index(DEFAULT.strategy(ids[place]).tier) for place in chosen])
    kind = chance.integers(0, 2, count)
    vectors = chance.normal(0.0, 0.1, (count, PLAIN + EMBEDDED))
    vectors[:, PLAIN] += 3.0 * kind
    likely = 0.85 + 0.05 * tier - 0.3 * kind * (2 - tier) / 2
    reward = (chance.random(count) < likely).astype(float)
    rows = Rows(vectors, chosen, reward, 1e-6 * 4.0**tier, 40.0 * (1 + tier), np.ones(count))
    propensity = np.full(count, 1 / len(ids))
    experience = ScopeExperience(start_of(DEFAULT))
    return written(
        experience.learn(
            rows, propensity, np.arange(count), encoder=encoder, floor=Floor("relative", 0.95), exploration=0.05
        )
    )


def profile(
    *beliefs: Belief,
    scope: str = "help",
    version: int = 1,
    incumbents: tuple[Incumbent, ...] = (),
    graph_off: tuple[GraphSwitch, ...] = (),
    heads: LearnedHeads | None = None,
) -> ProfileUpdated:
    return ProfileUpdated(
        event_id=event_id("ProfileUpdated", scope, str(version)),
        occurred_at_us=NOW_US,
        scope=scope,
        version=version,
        parent=version - 1,
        learner="test@1",
        beliefs=beliefs,
        incumbents=incumbents,
        graph_off=graph_off,
        evidence=Evidence(requests=50, rated=50, watermark={}),
        sentence="More is known.",
        heads=heads,
    )


def override(name: str, stated: str | None) -> OverrideSet:
    return OverrideSet(
        event_id=event_id("OverrideSet", name, stated or ""),
        occurred_at_us=NOW_US,
        subject=f"override:{name}",
        name=name,
        value=stated,
    )


# ------------------------------------------------------------------------------------------ what hypothesis draws from

LAWS = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
"""For every law: how fast the machine is at the moment is no part of it."""
ESTIMATES = st.builds(
    Estimate,
    quality=st.floats(0, 1),
    quality_sd=st.floats(0, 0.5),
    gap_sd=st.floats(0, 0.5),
    cost_usd=st.floats(0, 10),
    latency_ms=st.floats(0, 1e6),
    requests=st.integers(0, 10_000),
)
BELIEVED = st.lists(ESTIMATES, min_size=1, max_size=18).map(lambda all_: {f"s{i}": e for i, e in enumerate(all_)})
MODELS = st.builds(
    lambda sees, runs: {"sees": sees, "runs": runs},
    st.sampled_from(SENSITIVITIES),
    st.sampled_from(["local", "hosted"]),
)
_ALL = [strategy(t, r, graph=g) for t in TIERS for r in RETRIEVALS for g in (False, True)]
CATALOGUES = st.builds(
    lambda strategies, models: catalogue(
        *strategies, **{tier: model(tier, **given) for tier, given in zip(TIERS, models, strict=True)}
    ),
    st.lists(st.sampled_from(_ALL), min_size=1, max_size=24, unique=True),
    st.tuples(MODELS, MODELS, MODELS),
)
PINS = st.builds(
    Pins,
    agent=st.none() | st.just("direct"),
    tier=st.none() | st.sampled_from(TIERS),
    retrieval=st.none() | st.sampled_from(RETRIEVALS),
    top_k=st.none() | st.integers(1, 50),
    graph=st.none() | st.booleans(),
    sources=st.none() | st.just(("docs",)),
    max_chunk_size=st.none() | st.integers(50, 2_000),
)
OVERRIDES = st.builds(
    Overrides,
    force_simple_agents=st.booleans(),
    disable_graph_queries=st.booleans(),
    max_chunk_size=st.none() | st.integers(1, 3_000),
)
