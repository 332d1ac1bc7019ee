"""Topic ``metrics``: a paused stage consumes again."""

from schemas.record import Record


class StageResumed(Record, frozen=True, kw_only=True):
    """A worker consumes a topic again that it had paused; what it held is tried anew."""

    stage: str
    """The role."""
    worker: str
    """The process."""
    source: str
    """The topic that is consumed again."""
    paused_s: float
    """How long it was paused, in seconds."""
    ordered_by: str = ""
    """Who ordered it, as the operator's login says."""
