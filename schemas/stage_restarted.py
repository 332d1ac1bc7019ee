"""Topic ``metrics``: a stage that had stopped doing anything ended itself, to be started again."""

from schemas.record import Record


class StageRestarted(Record, frozen=True, kw_only=True):
    """The watchdog of a worker found events waiting and nothing done, and ended the process."""

    stage: str
    """The role."""
    worker: str
    """The process that ended."""
    lag_events: int
    """Events that waited in its partitions."""
    stalled_s: float
    """For how long nothing had been done, in seconds."""
    reason: str
    """What it was at, as far as it can be told."""
