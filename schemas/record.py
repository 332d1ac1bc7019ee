"""The base of every event: frozen, keyword-only, with an id computed from its cause and the moment it happened."""

import msgspec


class Part(msgspec.Struct, frozen=True, kw_only=True):
    """A piece of an event; it has no identity of its own."""


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """A fact that happened; what every event has in common."""

    event_id: str
    """32 hexadecimal digits computed from what caused the event, so that a repeat is recognised."""
    occurred_at_us: int
    """When it happened, in microseconds since 1970-01-01 UTC."""
