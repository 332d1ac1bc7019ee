"""Topic ``controls``: an operator's word that an experiment begins or ends."""

from typing import Literal

from schemas.record import Part, Record

ExperimentKind = Literal["strategy", "prompt", "workflow", "profile", "unknown"]


class Experiment(Part, frozen=True, kw_only=True):
    """Two versions side by side: what is new, for which requests, in which shares, and what counts as harm."""

    name: str
    """Its name, used once and never again."""
    workflow: str
    """The workflow whose requests take part."""
    kind: ExperimentKind
    """What is new: a strategy, a prompt version, a workflow or a profile; a kind that a reader does not know takes no part."""
    version: str
    """A strategy's id, a prompt version, the name of a workflow, or the version of a profile."""
    shares: tuple[float, ...]
    """Shares of the conversations that get the new version, in their order: one for a split, several for a canary."""
    floor: float
    """The quality floor: a reward, or with ``floor_is_relative`` a share of the old version's."""
    floor_is_relative: bool = False
    """Whether ``floor`` is a share of the old version's quality."""
    alpha: float = 0.05
    """Chance of any wrong verdict, however often one looks."""
    quality_margin: float = 0.02
    """How much worse in quality is no harm, in reward."""
    cost_margin: float = 0.10
    """How much dearer is no harm, as a share of the old version's mean cost."""
    latency_margin: float = 0.20
    """How much slower is no harm, as a share of the old version's mean latency."""
    failures_margin: float = 0.01
    """How many more failures are no harm, as a share of the conversations."""
    most: int = 100_000
    """Conversations after which it ends undecided."""
    profile: bytes | None = None
    """For kind ``profile``, that profile as it stands in the history (ProfileUpdated, encoded)."""


class ExperimentOrdered(Record, frozen=True, kw_only=True):
    """An operator began an experiment, or ended one. Analytics carries it out and answers with ExperimentStepped."""

    subject: str
    """``experiment-order:NAME``; the key on Kafka."""
    name: str
    """The experiment."""
    experiment: Experiment | None = None
    """What begins; null where it ends."""
    keep: str = "old"
    """Where it ends, what all conversations get from then on: ``old``, ``new``, or ``neither`` (it has no effect any more)."""
    tried: str = ""
    """What the log said of it before its first user, or why it was not asked."""
    reason: str = ""
    """Why, in the operator's words."""
    ordered_by: str = ""
    """Who, as the operator's login says."""
