"""A worker whose delivery is broken on purpose: it acknowledges an event before it was handled.

``python -m tests.chaos_parts.broken_worker ROLE``; all else is ``streams.worker``. Only the test uses it that shows that the fault
suite can fail.
"""

from __future__ import annotations

import asyncio
import sys
from typing import Any

from streams import worker
from streams.delivery import Delivery

_take_in = Delivery.take_in
_under_way: set[asyncio.Task[Any]] = set()


async def _acknowledge_first(self: Delivery, *arguments: Any, **named: Any) -> None:
    """Return at once, which acknowledges the event, and handle it afterwards."""
    task = asyncio.create_task(_take_in(self, *arguments, **named))
    _under_way.add(task)
    task.add_done_callback(_under_way.discard)


if __name__ == "__main__":
    Delivery.take_in = _acknowledge_first  # type: ignore[method-assign]
    sys.exit(worker.main(sys.argv[1:]))
