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
    """strategy_took_over, strategy_reopened, graph_switched_off, graph_switched_on or rolled_back."""
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


class Traded(Part, frozen=True, kw_only=True):
    """What quality is traded at where a request or its workflow states this priority."""

    priority: str
    """balanced, quality_over_speed, speed_over_quality or cost_over_quality."""
    reward_per_usd: float
    """So much expected reward is given up to save a US dollar."""
    reward_per_ms: float
    """So much expected reward is given up to save a millisecond."""
    keeper: str = ""
    """The strategy that keeps the floor, which answers the share ``hold`` in any case; nothing where there is none."""
    hold: float = 0.0
    """That share, in [0, 1]: what is not known well enough to be left to the heads."""


class Reopened(Part, frozen=True, kw_only=True):
    """A strategy that no longer does what was believed of it: what was learned of it before counts little, so it is tried again."""

    strategy: str
    """The strategy."""
    since_us: int
    """When the first request of the change was routed, in microseconds since 1970-01-01 UTC."""
    believed: float
    """Mean reward that was expected of its answers since then."""
    reward: float
    """Mean reward that they got."""
    requests: int
    """How many there are."""


class LearnedHeads(Part, frozen=True, kw_only=True):
    """Expected quality, cost and latency of every strategy as functions of a request's feature vector.

    Arrays are rows of float32, little-endian. K strategies; F numbers in a feature vector; C coarse and D fine kinds of text, each
    of P numbers; W = 1 + C + D + (F - 64) + ``linear`` weights a strategy.
    """

    strategies: tuple[str, ...]
    """The K strategies, in the order of all arrays."""
    requests: tuple[int, ...]
    """How many rewarded requests of each were learned from."""
    encoder: str
    """Name and version of the encoder that the feature vectors are made with."""
    feature_set: str
    """Version of the feature set."""
    linear: int
    """So many leading dimensions of the embedding are weighed linearly."""
    lens_offset: bytes
    """(F,): what is taken off a feature vector."""
    lens_scale: bytes
    """(F,): what the rest is multiplied by."""
    lens_coarse: bytes
    """(C, P): the coarse kinds of text."""
    lens_fine: bytes
    """(D, P): the fine kinds of text."""
    radius: float
    """Squared distance to the nearest kind, beyond which a request is unlike those learned from; 0 where it is not known."""
    base: bytes
    """(K, 2): expected reward before anything was learned, and its change from no complexity to the highest."""
    weights: bytes
    """(K, W): what is added to it, weight by weight."""
    variance: bytes
    """(K, C), or (K, 1) without kinds: variance of a strategy's expected reward against the others', by kind."""
    cost: bytes
    """(K, 3): logarithm of the cost, of 1, log characters and log words less their offsets."""
    cost_noise: float
    """Variance of the logarithm of a cost about its expectation."""
    latency: bytes
    """(K, 3): logarithm of the latency, of 1, log characters and log queue lag less their offsets."""
    latency_noise: float
    """Variance of the logarithm of a latency about its expectation."""
    trades: tuple[Traded, ...]
    """By priority."""
    reopened: tuple[Reopened, ...] = ()
    """Strategies that changed."""


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
    heads: LearnedHeads | None = None
    """What requests are decided by; null in profiles of the first release, and before feature vectors were logged."""
