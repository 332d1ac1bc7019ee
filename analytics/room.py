"""A full disk: what needs room is tried again until there is some, and it is said meanwhile.

In: work to do, and the storage's folder. Out: what the work gives. Keeps what is being said: ``wanting`` is "" while there is
room. Fails with what the work raises for any other reason, and with ``NoRoom`` when ``stop`` is set first.

Nothing is lost: a batch that found no room was not taken in, and nothing is read from the log before it is.
"""

import errno
import shutil
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import duckdb

from streams.errors import PenstockError

FIRST_PAUSE_S = 0.5
LONGEST_PAUSE_S = 5.0
_NUMBERS = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_WORDS = ("no space left on device", "disk quota exceeded", "file too large")
_MIB = 1024 * 1024
_T = TypeVar("_T")


class NoRoom(PenstockError):
    """The process was told to stop while it waited for room on the disk."""


def is_full(error: BaseException) -> bool:
    """Say whether an error means that a file could not grow."""
    if isinstance(error, OSError) and error.errno in _NUMBERS:
        return True
    return isinstance(error, OSError | duckdb.Error) and any(words in str(error).lower() for words in _WORDS)


class Room:
    """Watches over what needs room in ``folder``. ``recover`` is called before each try after the first: it may raise, too."""

    def __init__(self, folder: Path, log: Any, recover: Callable[[], None]) -> None:
        self._folder = folder
        self._log = log
        self._recover = recover
        self.wanting = ""
        """What is said while there is no room."""

    def insist(self, work: Callable[[], _T], stop: threading.Event) -> _T:
        """Do the work; while there is no room for it, wait and try again."""
        pause_s = FIRST_PAUSE_S
        while True:
            try:
                if self.wanting:
                    self._recover()
                done = work()
            except Exception as error:
                if not is_full(error):
                    raise
                self._say(error)
            else:
                self._take_back()
                return done
            if stop.wait(pause_s):
                raise NoRoom("There is no room on the disk of analytics.", remedy="Make room, then start it again.")
            pause_s = min(2 * pause_s, LONGEST_PAUSE_S)

    def attempt(self, work: Callable[[], object]) -> bool:
        """Do the work if there is room; whether there was. It is for the caller to come again."""
        try:
            if self.wanting:
                self._recover()
            work()
        except Exception as error:
            if not is_full(error):
                raise
            self._say(error)
            return False
        self._take_back()
        return True

    def _say(self, error: BaseException) -> None:
        free = shutil.disk_usage(self._folder).free // _MIB
        self.wanting = f"there is no room in {self._folder} ({free} MiB free)"
        self._log.error("disk_full", folder=str(self._folder), free_mib=free, error=type(error).__name__)

    def _take_back(self) -> None:
        if self.wanting:
            self._log.info("disk_has_room", folder=str(self._folder))
            self.wanting = ""
