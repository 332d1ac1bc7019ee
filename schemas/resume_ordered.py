"""Topic ``controls``: an operator's word that a paused role goes on."""

from schemas.record import Record


class ResumeOrdered(Record, frozen=True, kw_only=True):
    """An operator ordered a role to consume again what its limit on dead letters had paused."""

    subject: str
    """``stage:ROLE``; the key on Kafka."""
    role: str
    """The role; every worker of it obeys."""
    source: str = ""
    """The topic; empty is every topic that is paused."""
    reason: str = ""
    """Why, in a sentence."""
    ordered_by: str = ""
    """Who, as the operator's login says."""
