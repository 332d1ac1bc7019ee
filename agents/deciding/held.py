"""What a router worker holds: the newest profile of each scope, the overrides and the experiments in force.

Comes in: events of ``profile-updates`` and ``controls``, in any order and repeatedly. Goes out: estimates and switches for a
decision. Keeps one profile a scope; an older version than the one held is ignored and counted. Fails with ``Unusable`` on a
profile by which nothing can be decided; an override that cannot be read is reported by ``set_override`` returning False. Pure.
"""

from dataclasses import dataclass, field, replace
from math import isfinite

from agents.deciding.catalogue import Catalogue, Strategy
from agents.deciding.experiment import Experiments
from agents.deciding.governance import Overrides
from agents.deciding.learned import Learned, Unusable, read
from agents.deciding.prior import Band, Estimate, prior_estimate, rule_incumbent
from schemas import Belief, OverrideSet, ProfileUpdated

_TRUE = {"true": True, "false": False}
_MOST_DIGITS = 9
"""Of a size in characters: more than any text has, and still a number that fits into a plan."""


@dataclass(frozen=True)
class Profile:
    """A profile made ready for look-ups; version 0 is the built-in prior."""

    scope: str
    version: int = 0
    beliefs: dict[tuple[str, str, str], Belief] = field(default_factory=dict)
    incumbents: dict[tuple[str, str], str] = field(default_factory=dict)
    graph_off: dict[str, str] = field(default_factory=dict)
    heads: Learned | None = None

    @classmethod
    def of(cls, event: ProfileUpdated) -> "Profile":
        """The profile in an event. Raises ``Unusable`` where nothing can be decided by it."""
        for each in event.beliefs:
            if not all(map(isfinite, (each.quality, each.quality_sd, each.gap_sd, each.cost_usd, each.latency_ms))):
                raise Unusable(f"what is believed of {each.strategy} is no number")
        return cls(
            scope=event.scope,
            version=event.version,
            beliefs={(b.content_type, b.band, b.strategy): b for b in event.beliefs},
            incumbents={(i.content_type, i.band): i.strategy for i in event.incumbents},
            graph_off={
                g.content_type: f"graph lookups are off for {g.content_type} requests: they gained {g.gain:+.2f} "
                f"quality at {g.latency_ratio:.1f} times the latency"
                for g in event.graph_off
            },
            heads=None if event.heads is None else read(event.heads),
        )

    @property
    def learned(self) -> bool:
        """Whether there is anything in it; version 0 and a rollback to it hold no beliefs."""
        return bool(self.beliefs)

    def estimate(self, catalogue: Catalogue, strategy: Strategy, content_type: str, band: Band) -> Estimate:
        """What is believed of a strategy; the prior where nothing was learned."""
        belief = self.beliefs.get((content_type, band, strategy.id))
        if belief is None:
            return prior_estimate(strategy, catalogue.model_of(strategy), band)
        return Estimate(
            belief.quality, belief.quality_sd, belief.gap_sd, belief.cost_usd, belief.latency_ms, belief.requests
        )

    def incumbent(self, catalogue: Catalogue, content_type: str, band: Band) -> str:
        """The strategy that a kind of request is answered with, exploration aside."""
        return self.incumbents.get((content_type, band)) or rule_incumbent(catalogue, content_type, band)


class Held:
    """Everything that was last heard of profiles and overrides."""

    def __init__(self) -> None:
        self.overrides = Overrides()
        self.experiments = Experiments()
        self.stale_total = 0
        self._profiles: dict[str, Profile] = {}
        self._empty: dict[str, Profile] = {}

    def profile(self, scope: str) -> Profile:
        """The newest profile of a scope, the same object until a newer one comes; version 0 where there is none."""
        return self._profiles.get(scope) or self._empty.setdefault(scope, Profile(scope))

    @property
    def newest_version(self) -> int:
        """The highest version held of any scope."""
        return max((p.version for p in self._profiles.values()), default=0)

    def take_profile(self, event: ProfileUpdated) -> bool:
        """Hold a profile unless a newer one, or this one, is held already; whether it was taken. ``Unusable``: it is none."""
        if event.version <= self.profile(event.scope).version:
            self.stale_total += 1
            return False
        self._profiles[event.scope] = Profile.of(event)
        return True

    def set_override(self, event: OverrideSet) -> bool:
        """Set or clear an emergency override; False where its name or value cannot be read."""
        changed = read_override(self.overrides, event.name, event.value)
        if changed is None:
            return False
        self.overrides = changed
        return True


def read_override(overrides: Overrides, name: str, stated: str | None) -> Overrides | None:
    """The overrides with one of them set from its text (``true``, ``false``, characters) or cleared by None; None if unreadable."""
    if name in ("force_simple_agents", "disable_graph_queries"):
        switch = False if stated is None else _TRUE.get(stated)
        return None if switch is None else replace(overrides, **{name: switch})
    if name == "max_chunk_size":
        if stated is None:
            return replace(overrides, max_chunk_size=None)
        size = int(stated) if stated.isdecimal() and len(stated) <= _MOST_DIGITS else 0
        return replace(overrides, max_chunk_size=size) if size > 0 else None
    return None
