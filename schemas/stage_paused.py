"""Topic ``metrics``: a stage stopped consuming a topic, because too much of it would have ended in the dead letters."""

from schemas.record import Record


class StagePaused(Record, frozen=True, kw_only=True):
    """A worker reached its limit on dead letters for one source topic and holds the event that would have broken it."""

    stage: str
    """The role."""
    worker: str
    """The process."""
    source: str
    """The topic that is no longer consumed."""
    letters: int
    """Dead letters of that topic within the window."""
    handled: int
    """Events of that topic that were handled within the window."""
    window_s: float
    """The window, in seconds."""
    most: int
    """The limit in number: so many dead letters a window are let through whatever their share."""
    share: float
    """The limit in share: more than ``most`` are let through while they are at most this share of all events."""
    code: str
    """Why the held event would have been dead-lettered, from the closed catalogue of error codes."""
    held_partition: int
    """Where the held event is in the source."""
    held_offset: int
    """Where the held event is in the source."""
