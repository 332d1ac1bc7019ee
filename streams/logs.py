"""Structured logs: one JSON line an event, with ids and never a text.

In: a level. Out: lines on standard error. Keeps structlog's configuration of the process. A key that could carry a user's text
(``message``, ``text``, ``question``, ``comment``, ``history``, ``documents``) or a secret is replaced before it is written.
"""

import logging
import sys
from collections.abc import MutableMapping
from typing import Any

import structlog

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
