"""The limit on dead letters: how many a source may have within a window before its stage pauses. Pure.

In: what became of events (handled, dead-lettered) and when. Out: whether one more letter is within the limit, and the counts.
Keeps counts by slot of the window, ``SLOTS`` of them however many events there are. Cannot fail.

The rule: a letter breaks the limit where the letters of the window, this one among them, are more than ``most`` and more than
``share`` of all events of the window. So a few bad messages never pause a source with little traffic, nor many bad ones among
far more good ones; after a bad deploy every event fails, and the role stops after ``most`` letters.

A slot leaves the window as a whole: an event counts for at least the window and at most a slot longer. A clock that goes back
stands still here.
"""

from collections import deque
from dataclasses import dataclass

SLOTS = 20


@dataclass(frozen=True)
class Limit:
    """``most`` letters and ``share`` of all events, both of the last ``window_s`` seconds."""

    most: int = 100
    share: float = 0.2
    window_s: float = 60.0

    def allows(self, *, letters: int, handled: int) -> bool:
        """Say whether so many letters beside so many handled events are within the limit."""
        return letters <= self.most or letters <= self.share * (letters + handled)


@dataclass(frozen=True)
class Counts:
    """What became of the events of a window."""

    letters: int = 0
    handled: int = 0


@dataclass
class _Slot:
    number: int
    letters: int = 0
    handled: int = 0


class Window:
    """Counts the events of one source; times in microseconds."""

    def __init__(self, window_s: float) -> None:
        self._slot_us = max(1, int(window_s * 1_000_000 / SLOTS))
        self._slots: deque[_Slot] = deque()
        self._letters = 0
        self._handled = 0

    def add(self, now_us: int, *, letters: int = 0, handled: int = 0) -> None:
        """Count events that ended now."""
        slot = self._newest(now_us)
        slot.letters += letters
        slot.handled += handled
        self._letters += letters
        self._handled += handled

    def counts(self, now_us: int) -> Counts:
        """Give the counts of the window that ends now."""
        self._newest(now_us)
        return Counts(self._letters, self._handled)

    def _newest(self, now_us: int) -> _Slot:
        number = now_us // self._slot_us
        if not self._slots or number > self._slots[-1].number:
            self._slots.append(_Slot(number))
            while self._slots[0].number < number - SLOTS:
                gone = self._slots.popleft()
                self._letters -= gone.letters
                self._handled -= gone.handled
        return self._slots[-1]
