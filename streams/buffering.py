"""What was fetched and waits for its agent: handed over without waiting, and no more fetched where it is much.

In: events as they are fetched. Out: the same, to the agents. Keeps at most ``BATCH`` events for each partition beyond Faust's
``stream_buffer_maxsize``. Cannot fail.

Why not Faust's own: one task hands over the events of all topics of a role, and where a queue is full Faust 0.15.3 has it wait. A
topic that stands still (paused, or with a slow provider) then keeps the role's other topics from being read.
"""

from collections.abc import Callable, Iterable
from typing import Any

import faust
from mode import ServiceT
from mode.utils.queues import ThrowableQueue

BATCH = 500
"""So many events come by one fetch, at most: what is handed over after a topic's queue was found long."""


class Buffer(ThrowableQueue[Any]):
    """A queue that is never full, and says that it is long with every event that makes it longer."""

    def full(self) -> bool:
        """No: who hands over never waits."""
        return False

    def in_pressure_high_state(self, callback: Callable[..., Any]) -> bool:
        """Whether it is long; then ``callback`` is called when it is short again."""
        if self.qsize() < self.pressure_high_size:
            return False
        self._pending_pressure_drop_callbacks.add(callback)
        return True


class BufferingApp(faust.App):
    """Faust's app with our queues, and without its monitor: every event would tell it of eight steps, and nobody asks it."""

    def on_init_dependencies(self) -> Iterable[ServiceT]:
        """Give the services that start with the app; as Faust says, but for its monitor."""
        services = [each for each in super().on_init_dependencies() if each is not self.monitor]
        self.sensors.remove(self.monitor)
        return services

    def FlowControlQueue(self, maxsize: int | None = None, *, clear_on_resume: bool = False) -> Buffer:  # noqa: N802 - Faust's
        """Give a queue; as Faust says, but never full."""
        size = self.conf.stream_buffer_maxsize if maxsize is None else maxsize
        return Buffer(maxsize=size, flow_control=self.flow_control, clear_on_resume=clear_on_resume)
