"""What holds for every request of a workflow until a profile or an override comes, worked out once.

Comes in: a workflow, the catalogue, the settings' levels, a profile, the overrides. Goes out: the effective settings and their
hash, the estimates and the incumbent of a kind of request, what its limits settle, the steps. Keeps each from the first
time that it is asked for. Cannot fail. Pure: the same whether it is kept or not, only sooner.
"""

import hashlib
from functools import cached_property

from agents.deciding.catalogue import Catalogue, Strategy
from agents.deciding.eligibility import Limits, Settled, settled
from agents.deciding.governance import Effective, GovernanceFile, Overrides
from agents.deciding.held import Profile
from agents.deciding.learned import Learned
from agents.deciding.prior import Band, Estimate
from agents.deciding.workflow import Workflow
from schemas import Step


def config_hash(workflow: Workflow, catalogue: Catalogue, effective: Effective) -> str:
    """The hash of all that a plan depends on beside the request, the profile and the time."""
    parts = (workflow.config_hash, catalogue.version, repr(effective.settings), repr(effective.overrides))
    return hashlib.sha256("\x1f".join(parts).encode()).hexdigest()[:16]


class InForce:
    """What holds for one workflow under one profile and one set of overrides."""

    def __init__(
        self,
        workflow: Workflow,
        catalogue: Catalogue,
        governance: GovernanceFile,
        environment: str,
        *,
        held: Profile,
        overrides: Overrides,
    ) -> None:
        """``held``: the profile of the workflow's scope, which counts only where learning is on."""
        self.held = held
        self.overrides = overrides
        self.effective = governance.effective(environment, workflow.settings, overrides)
        settings = self.effective.settings
        self.learning = settings.learning_enabled and settings.auto_optimization
        self.profile = held if self.learning else Profile(held.scope)
        self.overridden = overrides.active
        self.pins = workflow.pins
        self.decided_parts = workflow.decided_parts
        self.pinned_parts = workflow.pinned_parts
        self._workflow = workflow
        self._catalogue = catalogue
        self._sources = tuple(governance.sources)
        self._estimates: dict[tuple[str, Band], dict[str, Estimate]] = {}
        self._incumbents: dict[tuple[str, Band], str] = {}
        self._steps: dict[str, Step] = {}
        self._settled: dict[tuple[str | None, str, str | None], Settled] = {}

    @cached_property
    def config_hash(self) -> str:
        """The hash of all that a plan depends on beside the request, the profile and the time."""
        return config_hash(self._workflow, self._catalogue, self.effective)

    def estimates(self, content_type: str, band: Band) -> dict[str, Estimate]:
        """What is believed of every strategy of the catalogue for a kind of request, by id; not to be changed."""
        found = self._estimates.get((content_type, band))
        if found is None:
            found = self._estimates[content_type, band] = {
                strategy.id: self.profile.estimate(self._catalogue, strategy, content_type, band)
                for strategy in self._catalogue.strategies
            }
        return found

    def heads(self, encoder: str) -> Learned | None:
        """The heads that requests are decided by; None where there are none of this encoder."""
        heads = self.profile.heads
        return heads if heads is not None and heads.encoder == encoder else None

    def incumbent(self, content_type: str, band: Band) -> str:
        """The strategy that a kind of request is answered with, exploration aside, eligible or not."""
        found = self._incumbents.get((content_type, band))
        if found is None:
            found = self._incumbents[content_type, band] = self.profile.incumbent(self._catalogue, content_type, band)
        return found

    def settled(self, limits: Limits) -> Settled:
        """What the limits other than cost and time settle; ``limits`` with the pins and overrides that are in force here."""
        key = (limits.demanded, limits.sensitivity, limits.graph_off_reason)
        found = self._settled.get(key)
        if found is None:
            found = self._settled[key] = settled(self._catalogue, limits)
        return found

    def step(self, strategy: Strategy) -> Step:
        """A strategy with the workflow's pins and the overrides laid over it."""
        found = self._steps.get(strategy.id)
        if found is None:
            found = self._steps[strategy.id] = self._step(strategy)
        return found

    def _step(self, strategy: Strategy) -> Step:
        pins, overrides = self.pins, self.overrides
        model = self._catalogue.model_of(strategy)
        graph = strategy.graph if pins.graph is None else pins.graph
        sizes = [size for size in (pins.max_chunk_size, overrides.max_chunk_size) if size is not None]
        return Step(
            strategy=strategy.id,
            agent=strategy.agent,
            tier=strategy.tier,
            model=model.name,
            provider=model.provider,
            retrieval=strategy.retrieval,
            top_k=pins.top_k or strategy.top_k,
            graph=graph and not overrides.disable_graph_queries,
            sources=self._sources if pins.sources is None else pins.sources,
            tools=strategy.tools if pins.tools is None else pins.tools,
            max_chunk_size=min(sizes, default=None),
            refinement=strategy.refinement,
            prompt_version=strategy.prompt_version,
        )
