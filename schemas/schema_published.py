"""Topic ``schemas``: a schema that somebody writes events with."""

from schemas.record import Record


class SchemaPublished(Record, frozen=True, kw_only=True):
    """A writer made known which schema it writes. This event's own schema never changes: who reads it may be of any release."""

    fingerprint: str
    """CRC-64-AVRO of the schema's parsing canonical form, 16 hexadecimal digits in the order of the wire; the key on Kafka."""
    event_type: str
    """Name of the event that it describes."""
    schema: str
    """The schema, as JSON."""
