"""Topic ``rewards``: the one reward of a request so far."""

from schemas.record import Part, Record


class RewardPart(Part, frozen=True, kw_only=True):
    """One signal's share in a reward."""

    name: str
    """rating, thumb, edit, retry, abandon, support or relevance."""
    value: float
    """The signal mapped to [0, 1]."""
    share: float
    """Its share of the reward; the shares sum to 1."""


class RewardComputed(Record, frozen=True, kw_only=True):
    """The evaluator computed the reward of a request; a higher revision replaces a lower."""

    tenant: str
    """Who asked."""
    conversation_id: str
    """The conversation."""
    request_id: str
    """The request."""
    workflow: str
    """The workflow that answered."""
    strategy: str
    """The strategy that answered."""
    routing_id: str
    """Event id of the plan."""
    revision: int
    """0 for the first reward, then one more with each feedback."""
    reward: float
    """In [0, 1]."""
    rated: bool
    """True where a user's feedback is in it, false where only automatic scores are."""
    parts: tuple[RewardPart, ...]
    """What it is made of."""
    evaluator: str
    """Name and version of the rule, ``reward@1``."""
    cause_id: str
    """Event id of the feedback or response that led to it."""
