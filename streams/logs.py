"""Structured logs: one JSON line an event, with ids and never a text.

In: a level. Out: lines on standard error. Keeps structlog's configuration of the process, and what is being handled. Fails with
nothing. What keeps texts and secrets out, whoever writes the line:

1. our own lines have names of a closed catalogue (``streams/log_events.py``), and a key that could carry a text is withheld;
2. of an exception its type, those of its causes and the places it came through are written, never what it says: in our lines, in
   libraries' lines, and where it ends a thread or the process;
3. of a library's line the first line of its form, with numbers, short identifiers and types in the places of its arguments.

While an event is handled, every line has its tenant, conversation, request and event id, and the id of its trace. They are read
from the event when a line is written: an event about which nothing is said costs nothing.
"""

import logging
import re
import sys
import threading
import traceback
import warnings
from collections.abc import Iterator, Mapping, MutableMapping
from contextlib import contextmanager
from contextvars import ContextVar
from types import TracebackType
from typing import Any

import structlog

from schemas import Record
from streams import tracing
from streams.errors import PenstockError
from streams.identity import ids_of

OURS = frozenset({"agents", "analytics", "infra", "schemas", "streams"})
_NEVER = frozenset(
    {
        "message",
        "text",
        "question",
        "comment",
        "history",
        "documents",
        "api_key",
        "authorization",
        "value",
    }
)
_MOST_CAUSES = 5
_MOST_CHARACTERS = 300
_IDENTIFIER = re.compile(r"(?=[^\s]*[-._:/#0-9])[\w\-.:/#\[\]^+]{1,100}")
"""A name as programs have them, such as a topic, a group or an address; a word of a sentence is none."""

handled: ContextVar[Record | Mapping[str, str] | None] = ContextVar("handled", default=None)
"""The event that is being handled, or the ids of what is acted upon."""


@contextmanager
def about(ids: Mapping[str, str]) -> Iterator[None]:
    """Have every line say these ids: ``tenant``, ``conversation_id``, ``request_id``."""
    before = handled.set(ids)
    try:
        yield
    finally:
        handled.reset(before)


def _with_ids(_: Any, __: str, line: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    event = handled.get()
    if event is not None:
        for name, value in (event if isinstance(event, Mapping) else ids_of(event)).items():
            line.setdefault(name, value)
    trace_id = tracing.trace_id()
    if trace_id is not None:
        line.setdefault("trace_id", trace_id)
    return line


def _without_words(_: Any, __: str, line: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """The type and the places of an exception instead of its traceback, which quotes what it says."""
    given = line.pop("exc_info", None)
    error = given[1] if isinstance(given, tuple) else given if isinstance(given, BaseException) else None
    if error is None and given:
        error = sys.exc_info()[1]
    if error is not None:
        line["exception"] = described(error)
        line["raised_through"] = trail(error)
    line.pop("stack_info", None)
    return line


class _Told(str):
    """An argument's type in the place of the argument, without quotation marks."""

    __slots__ = ()

    def __repr__(self) -> str:
        return str(self)


def _told(argument: object) -> object:
    if argument is None or isinstance(argument, bool | int | float):
        return argument
    if isinstance(argument, str) and _IDENTIFIER.fullmatch(argument):
        return argument
    return _Told(f"<{type(argument).__name__}>")


def _shorn(record: logging.LogRecord) -> bool:
    """Take out of a library's line what may be a text; always True, because the line itself is written."""
    form = str(record.msg).partition("\n")[0]
    given = record.args
    try:
        if isinstance(given, Mapping):
            form = form % {name: _told(value) for name, value in given.items()}
        elif given:
            form = form % tuple(_told(value) for value in given)
    except (TypeError, ValueError, KeyError):  # %d of something that is no number: the form alone says enough
        pass
    record.msg, record.args = form[:_MOST_CHARACTERS], None
    return True


def _say_that_it_warned(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: Any = None,
    line: str | None = None,
) -> None:
    del message, file, line  # what a warning says may quote a text
    logger().warning("warned", category=category.__name__, place=f"{filename}:{lineno}")


def _say_that_it_ended(
    kind: type[BaseException], error: BaseException | None, trace: TracebackType | None, *, where: str
) -> None:
    if error is not None and not isinstance(error, KeyboardInterrupt):
        logger().error("ended_by_an_error", where=where, exc_info=error.with_traceback(trace))
    elif error is None:
        logger().error("ended_by_an_error", where=where, error=kind.__name__)


def _without_texts(_: Any, __: str, line: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    for key in _NEVER & line.keys():
        line[key] = "(withheld)"
    return line


def configure(level: str = "INFO") -> None:
    """Make this process log JSON lines at ``level`` and above; the libraries' own logs at warning and above."""
    number = logging.getLevelNamesMapping().get(level.upper(), logging.INFO)
    stamp = structlog.processors.TimeStamper(fmt="iso", utc=True)
    shared: list[Any] = [structlog.stdlib.add_log_level, stamp, _with_ids, _without_texts]
    structlog.configure(
        processors=[
            *shared,
            _without_words,
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                _without_words,
                structlog.processors.JSONRenderer(),
            ],
            foreign_pre_chain=[structlog.stdlib.add_logger_name, *shared],
        )
    )
    handler.addFilter(_shorn)
    warnings.showwarning = _say_that_it_warned
    sys.excepthook = lambda kind, error, trace: _say_that_it_ended(kind, error, trace, where="process")
    threading.excepthook = lambda ended: _say_that_it_ended(
        ended.exc_type, ended.exc_value, ended.exc_traceback, where="thread"
    )
    sys.unraisablehook = lambda ended: _say_that_it_ended(
        ended.exc_type, ended.exc_value, ended.exc_traceback, where="finalizer"
    )
    logging.basicConfig(level=max(number, logging.WARNING), handlers=[handler], force=True)
    logging.getLogger("mode").setLevel(logging.ERROR)


def logger(**bound: Any) -> Any:
    """Give a logger that carries ``bound`` in every line."""
    return structlog.get_logger(**bound)


def described(error: BaseException) -> str:
    """Say what an exception is without anything that it may quote.

    A ``PenstockError`` keeps its sentence. Of any other only its type, those of its causes, and the innermost place of
    ours that it came through are told: what a library says may hold a user's text.
    """
    if isinstance(error, PenstockError):
        return str(error)
    types = [type(error).__name__]
    cause = error.__cause__
    while cause is not None and len(types) < _MOST_CAUSES:
        types.append(type(cause).__name__)
        cause = cause.__cause__
    said = " from ".join(types)
    places = [place for place in trail(error) if place.partition(".")[0].partition(":")[0] in OURS]
    return f"{said} in {places[-1]}" if places else said


def trail(error: BaseException) -> list[str]:
    """Give the places that an exception came through, outermost first: module:function:line, and nothing of their values."""
    return [
        f"{frame.f_globals.get('__name__', '?')}:{frame.f_code.co_qualname}:{line}"
        for frame, line in traceback.walk_tb(error.__traceback__)
    ]
