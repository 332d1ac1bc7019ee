"""The seam between the consumer and the learner: what the one gives and the other returns.

In: the writer's connection inside an open transaction, the vector of offsets up to which the storage has taken the
log in, the operator's orders that no step has answered yet, and the time. Out: the profiles to publish, in order.
What the learner itself keeps is in the private file (tables ``profile`` and ``held_scope``), so it has no state
that a restart could lose. An exception rolls the transaction back and stops the process; nothing was published
then.
"""

from collections.abc import Sequence
from typing import Protocol

import duckdb

from schemas import ProfileUpdated, Record


class Learner(Protocol):
    """Reads outcomes, returns profiles."""

    def step(
        self,
        connection: duckdb.DuckDBPyConnection,
        watermark: dict[str, int],
        controls: Sequence[Record],
        now_us: int,
    ) -> list[ProfileUpdated]:
        """Give the profiles that are due, each scope's versions ascending.

        ``connection`` is in a transaction that the caller ends: never begin, commit or roll back. Read ``outcome``,
        ``evidence_sums``, ``profile`` and ``held_scope``; write nothing into them, for the consumer inserts the
        returned profiles in this same transaction and publishes them after it. ``watermark`` is ``topic/partition`` to
        the next offset. ``controls`` are ``RollbackOrdered`` and ``LearningResumed`` in log order; each is handed over
        exactly once, unless the transaction fails. ``held_scope`` already reflects them.
        """
        ...
