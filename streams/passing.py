"""Which errors pass: the broker's and the network's, as Faust and aiokafka raise them, and not the event's or ours.

In: an exception. Out: whether trying again can help although nothing was mended. Keeps nothing. Pure.
"""

from aiokafka.errors import KafkaConnectionError, KafkaError, KafkaTimeoutError, ProducerClosed
from faust.exceptions import ProducerSendError


def passes(error: BaseException) -> bool:
    """Say whether an error is the broker's or the network's, which passes, and not the event's or ours, which stays."""
    if isinstance(error, ProducerSendError):
        return error.__cause__ is None or passes(error.__cause__)
    if isinstance(error, KafkaError):
        always = isinstance(error, KafkaConnectionError | KafkaTimeoutError | ProducerClosed)
        return always or bool(error.retriable)
    return isinstance(error, OSError | TimeoutError)
