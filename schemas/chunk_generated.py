"""Topic ``response-chunks``: tokens as they arrive, for requests with ``stream``."""

from schemas.record import Record


class ChunkGenerated(Record, frozen=True, kw_only=True):
    """A piece of an answer arrived. The terminal response repeats the whole text."""

    tenant: str
    """Who asked."""
    conversation_id: str
    """The conversation."""
    request_id: str
    """The request."""
    step: int
    """Index of the plan's step; a higher one replaces the pieces of a lower."""
    index: int
    """Position of the piece, from 0."""
    text: str
    """The piece."""
