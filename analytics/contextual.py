"""The heads of every scope, from the outcomes that are stored.

In: the tables of outcomes inside the caller's transaction, the floor. Out: ``Contextual``: what was learned and from what. Keeps
each scope's experience, so that only what is new is worked out; what is given follows from the tables alone. Fails as DuckDB does.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

import duckdb

from agents.deciding.catalogue import Catalogue
from agents.deciding.governance import Floor
from agents.deciding.learned import Learned
from analytics.evidence import EvidenceReader, Seen
from analytics.fitting.leading import Kind, Leading, leading_of
from analytics.fitting.scope import ScopeExperience
from analytics.fitting.starting import start_of
from schemas import LearnedHeads, Optimization, Reopened


@dataclass(frozen=True, eq=False)
class Contextual:
    """The heads of a scope, what they were learned from, and the priority of its workflow."""

    learned: Learned
    seen: Seen
    priority: str

    def leading(self, off: Mapping[str, frozenset[str]]) -> dict[Kind, Leading]:
        """Who leads each kind of request while these strategies are off, by content type."""
        return leading_of(self.learned, self.seen.rows.features, self.seen.kinds, off, self.priority)


def news(reopened: tuple[Reopened, ...], before: LearnedHeads | None) -> tuple[Optimization, ...]:
    """What is said of strategies that changed and that the parent's heads did not know to have."""
    known = {(each.strategy, each.reward < each.believed) for each in (before.reopened if before else ())}
    fresh = [each for each in reopened if (each.strategy, each.reward < each.believed) not in known]
    return tuple(
        Optimization(
            kind="strategy_reopened",
            content_type="",
            before=each.strategy,
            after=each.strategy,
            quality_before=each.believed,
            quality_after=each.reward,
            requests=each.requests,
            sentence=(
                f"{each.strategy} answers {'worse' if each.reward < each.believed else 'better'} than believed since "
                f"{datetime.fromtimestamp(each.since_us / 1e6, UTC):%Y-%m-%d %H:%M} UTC ({each.reward:.2f} where "
                f"{each.believed:.2f} was expected; {each.requests} requests): what was learned of it before counts "
                "little, and it is tried again"
            ),
        )
        for each in fresh
    )


class ContextualLearner:
    """Learns the heads of each scope."""

    def __init__(self, catalogue: Catalogue) -> None:
        self._start = start_of(catalogue)
        self._reader = EvidenceReader(catalogue.ids)
        self._experiences: dict[str, ScopeExperience] = {}

    def learn(
        self,
        connection: duckdb.DuckDBPyConnection,
        scope: str,
        requests: int,
        *,
        floor: Floor,
        exploration: float,
        priority: str,
    ) -> Contextual | None:
        """From so many rewarded requests; None where no feature vector was logged with them."""
        seen = self._reader.read(connection, scope, requests)
        if seen is None:
            return None
        experience = self._experiences.get(scope)
        if experience is None:
            experience = self._experiences[scope] = ScopeExperience(self._start)
        learned = experience.learn(
            seen.rows, seen.propensity, seen.routed_at_us, encoder=seen.encoder, floor=floor, exploration=exploration
        )
        return Contextual(learned, seen, priority)
