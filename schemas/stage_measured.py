"""Topic ``metrics``: operational measurements of a stage."""

from schemas.record import Part, Record


class Measure(Part, frozen=True, kw_only=True):
    """One number of the closed catalogue of metrics."""

    name: str
    """Name in the catalogue (streams/metrics.py)."""
    value: float
    """In the unit that the name ends with."""


class StageMeasured(Record, frozen=True, kw_only=True):
    """A stage reported what it did since its last report."""

    stage: str
    """The role."""
    worker: str
    """The process."""
    sequence: int
    """Number of the report of this process, from 0."""
    measures: tuple[Measure, ...]
    """What was counted or timed."""
