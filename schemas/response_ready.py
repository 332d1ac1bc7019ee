"""Topic ``responses``: the answer. Terminal: a request ends in one ResponseReady or one ResponseFailed."""

from schemas.record import Record


class ResponseReady(Record, frozen=True, kw_only=True):
    """A request was answered."""

    tenant: str
    """Who asked and pays."""
    conversation_id: str
    """The conversation."""
    request_id: str
    """The request."""
    workflow: str
    """The workflow that answered."""
    text: str
    """The answer."""
    strategy: str
    """The strategy that answered."""
    model: str
    """The model that answered."""
    routing_id: str
    """Event id of the plan."""
    generation_id: str
    """Event id of the call that gave the answer."""
    profile_scope: str
    """The scope whose profile decided."""
    profile_version: int
    """Its version."""
    content_type: str
    """The request's content type."""
    complexity: int
    """The request's complexity, 1 to 10."""
    step: int
    """Index of the plan's step that answered: 0 unless the chosen strategy failed."""
    sources: tuple[str, ...] = ()
    """Ids of the passages given to the model."""
    cost_usd: float
    """Price of all calls for this request, in US dollars."""
    latency_ms: float
    """From the request's ``occurred_at_us`` to the answer, in milliseconds."""
    reasoning: str
    """Why it was answered so, in a sentence with numbers."""
