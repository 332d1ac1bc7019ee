"""Topic ``controls``: an operator's word that a held scope learns again."""

from schemas.record import Record


class LearningResumed(Record, frozen=True, kw_only=True):
    """An operator ended the hold that a rollback put on a scope."""

    subject: str
    """``learning:SCOPE``; the key on Kafka, so that it replaces the rollback."""
    scope: str
    """The scope."""
    ordered_by: str = ""
    """Who, as the operator's login says."""
