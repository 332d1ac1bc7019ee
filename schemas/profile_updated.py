"""Topics ``profile-updates`` and ``profile-history``: what has been learned in a scope, versioned and immutable."""

from schemas.record import Part, Record


class Belief(Part, frozen=True, kw_only=True):
    """What is believed of a strategy for one kind of request."""

    content_type: str
    """The content type."""
    band: str
    """Complexity band: low (1 to 3), middle (4 to 7) or high (8 to 10)."""
    strategy: str
    """The strategy's id."""
    requests: int
    """Rewarded requests of exactly this kind; the numbers also rest on related ones."""
    quality: float
    """Posterior mean of the reward."""
    quality_sd: float
    """Its standard deviation: uncertainty about the mean, not the spread of rewards."""
    gap_sd: float
    """Standard deviation of its difference to the best strategy of the same kind; what a relative floor is held against."""
    cost_usd: float
    """Expected cost of an answer, in US dollars."""
    latency_ms: float
    """Expected time to answer, in milliseconds."""


class Incumbent(Part, frozen=True, kw_only=True):
    """The strategy that a kind of request is answered with, exploration aside."""

    content_type: str
    """The content type."""
    band: str
    """Complexity band."""
    strategy: str
    """The strategy's id."""
    since_version: int
    """Profile version in which it took over; 0 means that the built-in rule put it there."""


class GraphSwitch(Part, frozen=True, kw_only=True):
    """Graph lookups are off for a content type."""

    content_type: str
    """The content type."""
    gain: float
    """Quality gained by graph lookups, in reward."""
    latency_ratio: float
    """Latency with them over latency without."""
    requests: int
    """Evidence."""


class Optimization(Part, frozen=True, kw_only=True):
    """Something that the system changed by itself, with its evidence."""

    kind: str
    """strategy_took_over, graph_switched_off, graph_switched_on or rolled_back."""
    content_type: str
    """Where."""
    band: str = ""
    """Complexity band, or nothing where it concerns all."""
    before: str
    """What answered before."""
    after: str
    """What answers now."""
    quality_before: float = 0.0
    """Expected reward before."""
    quality_after: float = 0.0
    """Expected reward after."""
    cost_usd_before: float = 0.0
    """Expected cost before, in US dollars."""
    cost_usd_after: float = 0.0
    """Expected cost after, in US dollars."""
    requests: int
    """How many requests it rests on."""
    sentence: str
    """The same in words."""


class Evidence(Part, frozen=True, kw_only=True):
    """What a profile was computed from."""

    requests: int
    """Rewarded requests in all."""
    rated: int
    """Of these, rated by users."""
    watermark: dict[str, int]
    """``topic/partition`` to the next offset: the profile is a function of the log before it."""


class ProfileUpdated(Record, frozen=True, kw_only=True):
    """The learner published a new version of a scope's profile."""

    scope: str
    """The scope; the key on Kafka."""
    version: int
    """From 1, one more with each update."""
    parent: int
    """The version that it replaces; 0 for none."""
    learner: str
    """Name and version of the learner."""
    kind: str = "learned"
    """learned or rolled_back."""
    restored_version: int | None = None
    """For a rollback, the version whose content this is."""
    beliefs: tuple[Belief, ...]
    """In the order content type, band, strategy."""
    incumbents: tuple[Incumbent, ...]
    """In the order content type, band."""
    graph_off: tuple[GraphSwitch, ...] = ()
    """Content types without graph lookups."""
    optimizations: tuple[Optimization, ...] = ()
    """What changed against the parent."""
    evidence: Evidence
    """What it was computed from."""
    sentence: str
    """What is new, in a sentence with numbers."""
