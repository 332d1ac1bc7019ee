"""Topic ``controls``: an operator's order to return to an earlier profile."""

from schemas.record import Record


class RollbackOrdered(Record, frozen=True, kw_only=True):
    """An operator ordered an earlier profile back. Analytics publishes it as a new version and holds learning in the scope."""

    subject: str
    """``learning:SCOPE``; the key on Kafka."""
    scope: str
    """The scope."""
    to_version: int
    """The version whose content returns; 0 means the built-in rules."""
    reason: str = ""
    """Why, in the operator's words."""
    ordered_by: str = ""
    """Who, as the operator's login says."""
