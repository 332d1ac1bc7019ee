"""Topic ``feedback``: a raw signal about an answer."""

from typing import Literal

from schemas.record import Record

FeedbackSource = Literal["user", "implicit", "unknown"]
FeedbackKind = Literal["rating", "thumb", "edit", "retry", "abandon", "unknown"]


class FeedbackGiven(Record, frozen=True, kw_only=True):
    """A user rated an answer, or did something that tells how good it was."""

    tenant: str = "default"
    """Who asked."""
    conversation_id: str
    """The conversation."""
    request_id: str
    """The request that was answered."""
    source: FeedbackSource = "unknown"
    """user (said) or implicit (done)."""
    kind: FeedbackKind = "unknown"
    """rating 1 to 5, thumb 0 or 1, edit 0 to 1 (share of the text changed), retry 1, abandon 1."""
    value: float
    """In the range of its kind."""
    comment: str | None = None
    """What the user wrote about it."""
