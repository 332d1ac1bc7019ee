"""Topic ``responses``: the end of a request that could not be answered."""

from schemas.record import Record


class ResponseFailed(Record, frozen=True, kw_only=True):
    """A request ended without an answer, with a stable code and a sentence."""

    tenant: str
    """Who asked."""
    conversation_id: str
    """The conversation."""
    request_id: str
    """The request."""
    workflow: str
    """The workflow that was asked for."""
    code: str
    """One of the closed catalogue of error codes (docs/errors.md)."""
    error: str
    """What went wrong, in a sentence."""
    remedy: str
    """What the caller can do."""
    routing_id: str | None = None
    """Event id of the plan, where there was one."""
    cost_usd: float = 0.0
    """Price of the calls made in vain, in US dollars."""
    latency_ms: float
    """From the request's ``occurred_at_us`` to this end, in milliseconds."""
