"""How a Faust app is, read from another thread: which partitions it has, whether it consumes, how far it has come.

In: the app, and the sources that its agents consume. Out: places, an obstacle, a fingerprint of its progress. Keeps the
places that it had last. Only reads, and only what is whole at any moment; what the app has not made yet counts as not there.
Cannot fail.
"""

from collections.abc import Hashable
from typing import Any

from aiokafka.errors import KafkaError
from faust.exceptions import ConsumerNotStarted
from faust.types import TP, AppT

from streams.lag import Place


class Condition:
    """Looks at one app. ``sources`` maps topics' names on the broker to their names without prefix, and may grow."""

    def __init__(self, app: AppT, sources: dict[str, str]) -> None:
        self._app: Any = app
        self._sources = sources
        self._places: frozenset[Place] | None = None

    def mine(self) -> list[TP]:
        """Give the partitions of the sources that are this worker's at the moment."""
        try:
            return [tp for tp in self._app.consumer.assignment() if tp.topic in self._sources]
        except ConsumerNotStarted:
            return []

    def places(self) -> frozenset[Place] | None:
        """Give the same as places; during a rebalance those before it; None before the first."""
        if self._is_assigned():
            self._places = frozenset((self._sources[tp.topic], tp.partition) for tp in self.mine())
        return self._places

    def passed(self) -> dict[Place, int]:
        """Give the offsets that were read up to, of the partitions of which nothing is under way; none where that is not clear."""
        try:
            reached = {tp: self._position(tp) for tp in self.mine()}
            under_way = {message.tp for message in list(self._app.consumer.unacked) if not message.acked}
        except (
            AssertionError,
            AttributeError,
            KafkaError,
            RuntimeError,
        ):  # a partition or an event came or went meanwhile
            return {}
        return {
            (self._sources[tp.topic], tp.partition): offset
            for tp, offset in reached.items()
            if offset is not None and tp not in under_way
        }

    def obstacle(self) -> str:
        """Say what keeps the app from consuming; "" where nothing does."""
        if self._app.should_stop:
            return "it stops"
        if not self._is_assigned():
            return "its partitions are being shared out"
        if not (self._app.tables.actives_ready and self._app.flow_control.is_active()):
            return "its tables are being recovered"
        return "" if self._has_fetched() else "the broker has answered no fetch yet"

    def progress(self) -> Hashable:
        """Give something that changes as offsets are committed, partitions change hands and tables are recovered."""
        consumer = self._app.consumer
        committed = sum(offset or 0 for offset in list(consumer._committed_offset.values()))  # noqa: SLF001 - nowhere else
        recovered = sum(list(self._app.tables.recovery.active_offsets.values()))
        return committed, recovered, self._app.rebalancing_count, self._app.tables.actives_ready

    def _has_fetched(self) -> bool:
        try:
            return all(self._app.consumer.highwater(tp) is not None for tp in self.mine())
        except (AssertionError, AttributeError, KafkaError):  # a partition went meanwhile
            return False

    def _position(self, tp: TP) -> int | None:
        """Where the next fetch begins; Faust's own question waits for its thread."""
        subscription = self._app.consumer._thread._consumer._subscription.subscription  # noqa: SLF001 - nowhere else
        state = subscription.assignment.state_value(tp)
        return int(state.position) if state.has_valid_position else None

    def _is_assigned(self) -> bool:
        """Whether partitions were shared out and no rebalance is under way."""
        app = self._app
        return bool(app.consumer_generation_id and not app.rebalancing and not app.should_stop)
