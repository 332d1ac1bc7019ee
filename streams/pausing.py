"""Which sources of a stage are paused, and what waits for that to end.

In: what became of the events of each source, the operator's orders. Out: leave for a dead letter or ``SourcePaused``, and what
happened, for whoever publishes it. Keeps a window of counts by source and what is paused, in memory: a restart resumes. Fails with
``SourcePaused`` where a letter would break the limit (streams/limit.py).

The event that would have broken the limit is held: neither dead-lettered nor acknowledged. When its source is resumed the counts
begin anew and the event is tried once more, so an order to resume without a remedy costs at most another ``most`` letters.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from schemas import Record, StagePaused, StageResumed
from streams.identity import event_id
from streams.limit import Limit, Window

ALL = ""
"""As a source: every source."""


@dataclass(frozen=True)
class Pause:
    """A source that is paused, and the evidence; ``partition`` and ``offset`` are the held event's."""

    source: str
    letters: int
    handled: int
    code: str
    partition: int
    offset: int
    at_us: int


@dataclass(frozen=True)
class Resumption:
    """A source that is consumed again."""

    source: str
    paused_s: float
    ordered_by: str
    at_us: int


class SourcePaused(Exception):
    """A dead letter would have broken the limit: the event must be held until ``source`` is resumed."""

    def __init__(self, source: str) -> None:
        super().__init__(f"{source} is paused")
        self.source = source


class Gate:
    """Lets dead letters through up to the limit, and events in while their source is not paused."""

    def __init__(self, limit: Limit, clock: Callable[[], int]) -> None:
        """``clock`` gives microseconds since 1970-01-01 UTC."""
        self.limit = limit
        self.news: deque[Pause | Resumption] = deque()
        """What happened and was not told yet, oldest first."""
        self._clock = clock
        self._windows: dict[str, Window] = {}
        self._paused: dict[str, Pause] = {}
        self._opened: dict[str, asyncio.Event] = {}

    @property
    def paused(self) -> dict[str, Pause]:
        """What is paused, by source."""
        return dict(self._paused)

    def count_handled(self, source: str, events: int = 1) -> None:
        """Count events that were handled to their end."""
        self._window(source).add(self._clock(), handled=events)

    def let_letter_through(self, source: str, *, code: str, partition: int, offset: int) -> None:
        """Count a letter that may go; ``SourcePaused`` where it would break the limit: then the source is paused."""
        if source not in self._paused:
            now_us = self._clock()
            counts = self._window(source).counts(now_us)
            if self.limit.allows(letters=counts.letters + 1, handled=counts.handled):
                self._window(source).add(now_us, letters=1)
                return
            pause = Pause(source, counts.letters, counts.handled, code, partition, offset, now_us)
            self._paused[source] = pause
            self._opened[source] = asyncio.Event()
            self.news.append(pause)
        raise SourcePaused(source)

    def resume(self, source: str = ALL, *, ordered_by: str = "") -> list[str]:
        """Resume a source, or all; those that were paused."""
        resumed = [each for each in self._paused if source in (ALL, each)]
        for each in resumed:
            pause = self._paused.pop(each)
            self._windows.pop(each, None)
            now_us = self._clock()
            paused_s = max(0, now_us - pause.at_us) / 1_000_000
            self.news.append(Resumption(each, paused_s, ordered_by, now_us))
            self._opened.pop(each).set()
        return resumed

    async def opened(self, source: str) -> None:
        """Return when the source is not paused."""
        while source in self._opened:
            await self._opened[source].wait()

    def _window(self, source: str) -> Window:
        if source not in self._windows:
            self._windows[source] = Window(self.limit.window_s)
        return self._windows[source]


def event_of(happened: Pause | Resumption, *, role: str, worker: str, limit: Limit) -> Record:
    """Give the event that tells of a pause or of its end."""
    if isinstance(happened, Resumption):
        return StageResumed(
            event_id=event_id("StageResumed", role, worker, happened.source, str(happened.at_us)),
            occurred_at_us=happened.at_us,
            stage=role,
            worker=worker,
            source=happened.source,
            paused_s=happened.paused_s,
            ordered_by=happened.ordered_by,
        )
    return StagePaused(
        event_id=event_id("StagePaused", role, worker, happened.source, str(happened.at_us)),
        occurred_at_us=happened.at_us,
        stage=role,
        worker=worker,
        source=happened.source,
        letters=happened.letters,
        handled=happened.handled,
        window_s=limit.window_s,
        most=limit.most,
        share=limit.share,
        code=happened.code,
        held_partition=happened.partition,
        held_offset=happened.offset,
    )
