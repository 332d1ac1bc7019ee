"""Deciding the past again: the probabilities that another policy would have given, with the code that serves.

In: what was decided (kind of request, eligible strategies with their probabilities, the profile's version), a policy file, the
profiles, the catalogue, the settings. Out: for every request a probability for each of its eligible strategies. Keeps what it
worked out for a kind of request. Fails with ``NoSuchProfile``. Pure.

What does not change: a request that had one eligible strategy (pinned, demanded, excluded otherwise) keeps it, and a strategy
that was not eligible stays so, since nothing was logged about it. Where a stated strategy was not eligible, what served stays.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from agents.deciding import policy
from agents.deciding.catalogue import Catalogue
from agents.deciding.choosing import believed_of, by_heads
from agents.deciding.features import EMBEDDED, PLAIN
from agents.deciding.governance import Floor
from agents.deciding.held import Profile
from agents.deciding.learned import Learned
from agents.deciding.policy_file import ALL_OTHERS, PolicyFile
from agents.deciding.prior import Band, Estimate, rule_pick
from analytics.fitting.scope import trades_of
from analytics.fitting.trading import MOST_WEIGHT, Judged
from analytics.offpolicy.logged import QUALITY, Logged

Distribution = Mapping[str, float]


class NoSuchProfile(LookupError):
    """A profile that the policy needs is not in the history. ``scope``, ``version``."""

    def __init__(self, scope: str, version: int) -> None:
        self.scope, self.version = scope, version
        super().__init__(f"there is no version {version} of the profile {scope!r}")


@dataclass(frozen=True)
class Decided:
    """What a policy needs to decide a request again; ``probabilities`` of all that were eligible, in the plan's order; ``features``
    as they were logged, and the encoder that they are of (nothing where they are of another feature set than this release's).
    """

    workflow: str
    scope: str
    content_type: str
    band: Band
    profile_version: int
    priority: str | None
    probabilities: Distribution
    features: tuple[float, ...] = ()
    encoder: str = ""


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
        known: Callable[[Learned], Judged] | None = None,
    ) -> None:
        """``settings`` by workflow, ``profiles`` by scope and version; version 0 need not be there. ``known``: what a log says of
        every strategy with the help of these heads, from which a trade is found for a floor that the profile has none for.
        """
        self._judged = known
        self._trades: dict[tuple[str, int], Learned] = {}
        self._stated = stated
        self._catalogue = catalogue
        self._settings = settings
        self._profiles = profiles
        self._known: dict[object, Distribution] = {}
        self._kinds: dict[object, Mapping[str, Estimate]] = {}

    def decide(self, request: Decided) -> Distribution:
        """The probabilities of the eligible strategies. Raises NoSuchProfile."""
        able = tuple(request.probabilities)
        if len(able) == 1:
            return request.probabilities
        if not self._stated.learned:
            return self._as_stated(request, able)
        version = request.profile_version if self._stated.profile is None else self._stated.profile
        heads = self._heads(request, version)
        if heads is not None:
            return self._by_heads(request, able, version, heads)
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

    def _heads(self, request: Decided, version: int) -> Learned | None:
        """The heads that served, or would have."""
        learned = self._profile(request.scope, version).heads
        return learned if learned is not None and learned.encoder == request.encoder else None

    def _by_heads(self, request: Decided, able: tuple[str, ...], version: int, learned: Learned) -> Distribution:
        stated, settings = self._stated, self._settings[request.workflow]
        floor = stated.quality_floor or settings.floor
        exploration = settings.exploration if stated.exploration is None else stated.exploration
        before = self._estimates(request, version)
        known = {name: before[name] for name in able if name in before}
        if not known:
            return request.probabilities
        if stated.quality_floor is not None:
            learned = self._traded(request, version, learned, floor, exploration)
        believed = believed_of(learned, np.array(request.features), before, floor)
        return by_heads(
            believed,
            {name: believed.estimates[name] for name in known},
            floor=floor,
            priority=stated.priority or request.priority or settings.priority,
            exploration=exploration,
        ).decision.probabilities

    def _estimates(self, request: Decided, version: int) -> Mapping[str, Estimate]:
        key = ("estimates", request.scope, version, request.content_type, request.band)
        found = self._kinds.get(key)
        if found is None:
            profile = self._profile(request.scope, version)
            found = self._kinds[key] = {
                each.id: profile.estimate(self._catalogue, each, request.content_type, request.band)
                for each in self._catalogue.strategies
            }
        return found

    def _traded(self, request: Decided, version: int, learned: Learned, floor: Floor, exploration: float) -> Learned:
        """The heads with the trade that the learner would have found on the log for another floor."""
        found = self._trades.get((request.scope, version))
        if found is None and self._judged is not None:
            trades = trades_of(self._judged(learned), floor, exploration)
            found = self._trades[request.scope, version] = replace(learned, trades=trades)
        return found or learned

    def _profile(self, scope: str, version: int) -> Profile:
        if version == 0:
            return Profile(scope)
        found = self._profiles.get((scope, version))
        if found is None:
            raise NoSuchProfile(scope, version)
        return found


def judged_log(learned: Learned, decided: Sequence[Decided], log: Logged) -> Judged:
    """What a log says of every strategy of the heads: their beliefs, corrected by the logged rewards, doubly robust.

    Requests whose vectors are of another encoder are left out, and so are strategies that the heads do not know.
    """
    places = learned.places(log.strategies)
    able = np.array([each.encoder == learned.encoder for each in decided]) & (log.chosen >= 0)
    able &= places[log.chosen] >= 0
    rows = np.flatnonzero(able)
    vectors = np.array([decided[row].features for row in rows.tolist()]).reshape(len(rows), PLAIN + EMBEDDED)
    beliefs = learned.heads.beliefs_of(vectors)
    chosen, every = places[log.chosen[rows]], np.arange(len(rows))
    quality = beliefs.quality.copy()
    weight = np.minimum(1.0 / np.maximum(log.probabilities[rows, log.chosen[rows]], 1e-9), MOST_WEIGHT)
    quality[every, chosen] += weight * (log.outcomes[QUALITY][rows] - quality[every, chosen])
    return Judged(quality, beliefs)
