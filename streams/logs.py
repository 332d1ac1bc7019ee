"""Structured logs: one JSON line an event, with ids and never a text.

In: a level. Out: lines on standard error. Keeps structlog's configuration of the process. A key that could carry a user's text
(``message``, ``text``, ``question``, ``comment``, ``history``, ``documents``) or a secret is replaced before it is written.
"""

import logging
import sys
import traceback
from collections.abc import MutableMapping
from typing import Any

import structlog

from streams.errors import PenstockError

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


def _without_texts(_: Any, __: str, line: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    for key in _NEVER & line.keys():
        line[key] = "(withheld)"
    return line


def configure(level: str = "INFO") -> None:
    """Make this process log JSON lines at ``level`` and above; the libraries' own logs at warning and above."""
    number = logging.getLevelNamesMapping().get(level.upper(), logging.INFO)
    stamp = structlog.processors.TimeStamper(fmt="iso", utc=True)
    shared: list[Any] = [structlog.stdlib.add_log_level, stamp, _without_texts]
    structlog.configure(
        processors=[
            *shared,
            structlog.processors.format_exc_info,
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
                structlog.processors.format_exc_info,
                structlog.processors.JSONRenderer(),
            ],
            foreign_pre_chain=[structlog.stdlib.add_logger_name, *shared],
        )
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
