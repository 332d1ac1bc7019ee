"""Deciding the past again: the probabilities that another policy would have given, with the code that serves.

In: what was decided (kind of request, eligible strategies with their probabilities, the profile's version), a policy file, the
profiles, the catalogue, the settings. Out: for every request a probability for each of its eligible strategies. Keeps what it
worked out for a kind of request. Fails with ``NoSuchProfile``. Pure.

What does not change: a request that had one eligible strategy (pinned, demanded, excluded otherwise) keeps it, and a strategy
that was not eligible stays so, since nothing was logged about it. Where a stated strategy was not eligible, what served stays.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from agents.deciding import policy
from agents.deciding.catalogue import Catalogue
from agents.deciding.governance import Floor
from agents.deciding.held import Profile
from agents.deciding.policy_file import ALL_OTHERS, PolicyFile
from agents.deciding.prior import Band, rule_pick

Distribution = Mapping[str, float]


class NoSuchProfile(LookupError):
    """A profile that the policy needs is not in the history. ``scope``, ``version``."""

    def __init__(self, scope: str, version: int) -> None:
        self.scope, self.version = scope, version
        super().__init__(f"there is no version {version} of the profile {scope!r}")


@dataclass(frozen=True)
class Decided:
    """What a policy needs to decide a request again; ``probabilities`` of all that were eligible, in the plan's order."""

    workflow: str
    scope: str
    content_type: str
    band: Band
    profile_version: int
    priority: str | None
    probabilities: Distribution


@dataclass(frozen=True)
class InForce:
    """A workflow's settings, which hold where the policy states nothing."""

    floor: Floor
    exploration: float
    priority: str


class Redecider:
    """Decides logged requests again."""

    def __init__(
        self,
        stated: PolicyFile,
        catalogue: Catalogue,
        settings: Mapping[str, InForce],
        profiles: Mapping[tuple[str, int], Profile],
    ) -> None:
        """``settings`` by workflow, ``profiles`` by scope and version; version 0 need not be there."""
        self._stated = stated
        self._catalogue = catalogue
        self._settings = settings
        self._profiles = profiles
        self._known: dict[object, Distribution] = {}

    def decide(self, request: Decided) -> Distribution:
        """The probabilities of the eligible strategies. Raises NoSuchProfile."""
        able = tuple(request.probabilities)
        if len(able) == 1:
            return request.probabilities
        if not self._stated.learned:
            return self._as_stated(request, able)
        version = request.profile_version if self._stated.profile is None else self._stated.profile
        key = (request.workflow, request.scope, version, request.content_type, request.band, request.priority, able)
        found = self._known.get(key)
        if found is None:
            found = self._known[key] = self._learned(request, able, version)
        return found

    def _as_stated(self, request: Decided, able: tuple[str, ...]) -> Distribution:
        stated = self._stated
        if stated.fixed is not None:
            own: Distribution = {stated.fixed: 1.0}
        else:
            tables = stated.shares or {}
            own = tables.get(request.content_type) or tables.get(ALL_OTHERS) or {}
        kept = {name: share for name, share in own.items() if name in request.probabilities and share > 0}
        total = sum(kept.values())
        if total <= 0:
            return request.probabilities
        exploration = stated.exploration or 0.0
        return {name: (1 - exploration) * kept.get(name, 0.0) / total + exploration / len(able) for name in able}

    def _learned(self, request: Decided, able: tuple[str, ...], version: int) -> Distribution:
        stated, settings = self._stated, self._settings[request.workflow]
        profile = self._profile(request.scope, version)
        exploration = settings.exploration if stated.exploration is None else stated.exploration
        floor = stated.quality_floor or settings.floor
        strategies = tuple(self._catalogue.strategy(name) for name in able if name in self._catalogue.ids)
        if not strategies:
            return request.probabilities
        estimates = {
            each.id: profile.estimate(self._catalogue, each, request.content_type, request.band) for each in strategies
        }
        incumbent = profile.incumbent(self._catalogue, request.content_type, request.band)
        if incumbent not in estimates:
            incumbent = rule_pick(strategies, request.content_type, request.band).id
        if not profile.learned:
            return policy.by_rule(incumbent, estimates, floor, exploration=exploration).probabilities
        return policy.decide(
            estimates,
            incumbent=incumbent,
            floor=floor,
            priority=stated.priority or request.priority or settings.priority,
            exploration=exploration,
        ).probabilities

    def _profile(self, scope: str, version: int) -> Profile:
        if version == 0:
            return Profile(scope)
        found = self._profiles.get((scope, version))
        if found is None:
            raise NoSuchProfile(scope, version)
        return found
