"""Topic ``requests``: one thing that a caller wants answered."""

from typing import Literal

from schemas.record import Part, Record

Sensitivity = Literal["public", "internal", "personal"]


class Turn(Part, frozen=True, kw_only=True):
    """An earlier turn of the conversation."""

    role: str
    """``user`` or ``assistant``."""
    text: str
    """What was said."""


class GivenDocument(Part, frozen=True, kw_only=True):
    """A document that the caller sends along with the request."""

    document_id: str
    """The caller's name of it; quoted in answers."""
    title: str = ""
    """A title, or nothing."""
    text: str
    """The whole text."""


class RequestReceived(Record, frozen=True, kw_only=True):
    """A caller published a request. Identified by (tenant, conversation, request id)."""

    tenant: str = "default"
    """Who asks and pays."""
    conversation_id: str
    """The conversation; a request without one is its own, and then this is the request id. The key on Kafka."""
    request_id: str
    """Unique within the conversation; the same id again is the same request, answered once and paid once."""
    workflow: str
    """Name of the workflow that answers."""
    message: str
    """What the user wrote, at most 65,536 characters."""
    history: tuple[Turn, ...] = ()
    """Earlier turns, oldest first."""
    documents: tuple[GivenDocument, ...] = ()
    """Documents to answer from, besides the workflow's sources."""
    variables: dict[str, str] = {}  # noqa: RUF012 - msgspec copies an empty default for each record
    """Values for the other variables of the workflow's prompt."""
    strategy: str | None = None
    """A strategy that the caller demands by id; null leaves the choice to the system."""
    priority: str | None = None
    """Overrides the workflow's ``preferences.priority`` for this request."""
    sensitivity: Sensitivity = "internal"
    """How far the text may travel: public, internal, or personal (only where the catalogue allows it)."""
    deadline_ms: int | None = None
    """How long the caller waits, counted from when the broker took it; null means the settings' deadline."""
    stream: bool = False
    """Whether tokens are published to ``response-chunks`` as they arrive."""
