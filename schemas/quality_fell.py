"""Topic ``metrics``: quality or satisfaction fell in a workflow, and what accounts for how much of it."""

from schemas.record import Part, Record


class FallPart(Part, frozen=True, kw_only=True):
    """What a group of requests accounts for; the parts of a dimension sum to the fall."""

    dimension: str
    """content type, strategy, model, prompt version, profile version, configuration or sources."""
    group: str
    """Which of them."""
    share_before: float
    """Its share of the requests before the fall."""
    share_after: float
    """And after it."""
    quality_before: float | None
    """Its mean before; null where there was nothing of it."""
    quality_after: float | None
    """Its mean after; null where there is nothing of it any more."""
    within: float
    """How much of the fall is because it got worse."""
    mix: float
    """How much is because there is more of it, or less."""
    error: float
    """Half the width of the 95 % interval of both together."""


class Advice(Part, frozen=True, kw_only=True):
    """What to do about a fall."""

    kind: str
    """pull_back, rollback, prompt, sources or look."""
    sentence: str
    """In words."""
    command: str = ""
    """A command that does it, where there is one."""


class QualityFell(Record, frozen=True, kw_only=True):
    """A diagnosis found a fall beyond chance."""

    stage: str = "analytics"
    """Whose word it is; the key on Kafka."""
    workflow: str
    """The workflow."""
    measure: str
    """quality (the reward, 0 for a failure), or satisfaction (rewards with a user's rating only)."""
    since_us: int
    """When it fell, in microseconds since 1970-01-01 UTC."""
    earliest_us: int
    """The earliest that it may have been."""
    latest_us: int
    """The latest."""
    before: float
    """The mean before."""
    after: float
    """The mean after."""
    chance: float
    """How likely so large a fall would be if nothing had changed."""
    requests_before: int
    """Requests before it."""
    requests_after: int
    """Requests after it."""
    parts: tuple[FallPart, ...] = ()
    """What accounts for it, by dimension, the largest first."""
    advice: tuple[Advice, ...] = ()
    """What to do, the most likely first."""
    sentence: str
    """The same in words."""
