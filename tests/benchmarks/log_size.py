"""How many bytes of the log a request takes: keys, values and headers of everything that was published for it.

In: a deployment. Out: bytes. Keeps nothing. Fails with ``TimeoutError`` where the log is not read to its end, and as the log does.

What the broker adds to a record (about ten bytes) and what it copies to its replicas is not counted, nor what compression saves.
"""

from streams.deployment import Deployment
from streams.following import KafkaLog, so_far
from streams.topics import TABLES, TOPICS

_WITHIN_S = 120.0


def log_bytes(deployment: Deployment) -> int:
    """The bytes in all topics and changelogs, as a reader gets them."""
    topics = [*TOPICS, *(table.changelog for table in TABLES)]
    with KafkaLog(deployment) as log:
        return sum(
            len(message.key or b"")
            + len(message.value or b"")
            + sum(len(name) + len(content or b"") for name, content in message.headers)
            for message in so_far(log, topics, within_s=_WITHIN_S)
        )
