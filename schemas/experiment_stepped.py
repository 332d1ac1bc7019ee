"""Topic ``controls``: where an experiment stands, with the evidence that brought it there."""

from typing import Literal

from schemas.experiment_ordered import Experiment
from schemas.record import Part, Record

ExperimentState = Literal["running", "won", "stopped", "rolled_back", "cleared"]


class ExperimentEvidence(Part, frozen=True, kw_only=True):
    """What one confidence sequence says: new less old, or the new version's own level."""

    name: str
    """quality, cost_usd, latency_ms, failed (all differences), or level (the new version's own quality)."""
    estimate: float
    """The estimate."""
    lower: float | None
    """Lower end of the interval that holds at all times; null while nothing can be said."""
    upper: float | None
    """Upper end; null while nothing can be said."""
    old: float
    """Mean of the conversations with the old version."""
    new: float
    """Mean of those with the new one."""


class ExperimentStepped(Record, frozen=True, kw_only=True):
    """An experiment was started, grew, was won, stopped or rolled back. Complete in itself: the newest says all that holds."""

    subject: str
    """``experiment:NAME``; the key on Kafka."""
    experiment: Experiment
    """What it is."""
    number: int
    """From 1, one more with each step; an older step than the one held says nothing new."""
    state: ExperimentState
    """running, won (all get the new version), stopped or rolled_back (all get the old one), or cleared (it has no effect)."""
    share: float
    """Share of the conversations that get the new version from now on."""
    conversations: int = 0
    """Conversations that the evidence rests on."""
    given: int = 0
    """Of these, how many got the new version."""
    evidence: tuple[ExperimentEvidence, ...] = ()
    """Quality, cost, latency, failures, and the new version's own quality."""
    reason: str
    """Why this step."""
    cause_id: str = ""
    """Event id of the order, or of the plan of the last conversation that was looked at."""
    stepped_by: str = ""
    """Who ordered it; nothing where the evidence did."""
