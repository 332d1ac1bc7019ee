"""Topic ``controls``: an operator's emergency override."""

from schemas.record import Record


class OverrideSet(Record, frozen=True, kw_only=True):
    """An operator set or cleared an override; it holds for every request decided after it arrived."""

    subject: str
    """``override:NAME``; the key on Kafka."""
    name: str
    """force_simple_agents, disable_graph_queries or max_chunk_size."""
    value: str | None
    """``true``, ``false``, a number of characters; null clears it."""
    reason: str = ""
    """Why, in the operator's words."""
    set_by: str = ""
    """Who, as the operator's login says."""
