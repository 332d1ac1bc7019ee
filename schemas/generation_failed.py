"""Topic ``generation``: a language-model call that gave no answer."""

from schemas.record import Record


class GenerationFailed(Record, frozen=True, kw_only=True):
    """A provider gave no answer after the bounded retries."""

    tenant: str
    """Who asks and pays."""
    conversation_id: str
    """The conversation."""
    request_id: str
    """The request."""
    routing_id: str
    """Event id of the plan that was carried out."""
    step: int
    """Index of the plan's step, 0 for the chosen strategy."""
    tries: int
    """How many calls were made."""
    strategy: str
    """The strategy's id."""
    model: str
    """The model's name."""
    provider: str
    """The provider's name."""
    code: str
    """provider_unavailable, provider_rejected, deadline_exceeded or internal_error (finding the passages failed)."""
    error: str
    """What the provider said, without secrets."""
    cost_usd: float = 0.0
    """What was paid all the same, in US dollars."""
    latency_ms: float
    """Time until giving up, in milliseconds."""
