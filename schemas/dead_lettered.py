"""Topics ``(role)-dlq``: a message that a stage could not handle, as it came."""

from schemas.record import Record


class DeadLettered(Record, frozen=True, kw_only=True):
    """A stage gave up on a message; its bytes are kept so that it can be replayed."""

    stage: str
    """The role that gave up."""
    topic: str
    """Where the message came from."""
    partition: int
    """Its partition."""
    offset: int
    """Its offset."""
    key: bytes | None
    """Its key."""
    value: bytes | None
    """Its value, byte for byte."""
    code: str
    """Why, from the closed catalogue of error codes."""
    error: str
    """Why, in a sentence."""
    attempts: int
    """How often it was tried."""
