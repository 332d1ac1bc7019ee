"""Logs: one JSON line an event on standard error, with ids and never a text. In a process of its own: logging is global."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
SECRET = "where is my order 4711"


def logged(code: str, level: str = "INFO") -> list[dict[str, Any]]:
    """Run ``code`` in a new process that logs at ``level``; its lines."""
    program = (
        f"import logging\nfrom streams.logs import configure, logger\nconfigure({level!r})\nS = {SECRET!r}\n{code}"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout == ""
    return [json.loads(line) for line in done.stderr.splitlines()]


def test_a_line_is_json_with_the_event_its_level_its_time_and_what_is_bound():
    (line,) = logged("logger(role='router').info('consuming', partitions=8)")
    assert line.pop("timestamp").endswith("Z")
    assert line == {"event": "consuming", "level": "info", "role": "router", "partitions": 8}


WITHHELD = ("message", "text", "question", "comment", "history", "documents", "api_key", "authorization", "value")


def test_a_key_that_could_carry_a_text_or_a_secret_is_withheld_logged_or_bound():
    fields = ", ".join(f"{key}=S" for key in WITHHELD)
    lines = logged(
        f"logger().info('taken', request_id='r-1', {fields})\nlogger({fields}).warning('taken', request_id='r-1')"
    )
    for line in lines:
        assert {line[key] for key in WITHHELD} == {"(withheld)"}
        assert line["request_id"] == "r-1"
        assert SECRET not in json.dumps(line)


def test_a_key_that_a_library_logs_is_withheld_too():
    (line,) = logged("logging.getLogger('aiokafka').error('lost', extra={'message_text': 1})")
    assert line["event"] == "lost"
    assert line["logger"] == "aiokafka"


@pytest.mark.parametrize(
    ("level", "seen"),
    [
        ("DEBUG", ["debug", "info", "warning", "error"]),
        ("info", ["info", "warning", "error"]),
        ("ERROR", ["error"]),
        ("no such level", ["info", "warning", "error"]),
    ],
)
def test_lines_below_the_level_are_not_written(level, seen):
    code = "log = logger()\nfor name in ('debug', 'info', 'warning', 'error'): getattr(log, name)('x')"
    assert [line["level"] for line in logged(code, level)] == seen


def test_libraries_are_heard_at_warning_and_above_only():
    code = "for name in ('info', 'warning', 'error'): getattr(logging.getLogger('aiokafka.consumer'), name)('x')"
    assert [line["level"] for line in logged(code, "DEBUG")] == ["warning", "error"]


def test_an_exception_is_one_line_with_its_traceback():
    code = "try:\n    1 / 0\nexcept ZeroDivisionError:\n    logger().warning('handler_failed', exc_info=True)"
    (line,) = logged(code)
    assert "ZeroDivisionError" in line["exception"]


@pytest.mark.parametrize("text", ["line\\nbreak", "\\x00 \\x1b[31m", "\\ud83d half a pair", "\\u2028", "\\U0001f6b0"])
def test_a_line_is_one_line_whatever_is_in_it(text):
    (line,) = logged(f"logger().info('x', error='{text}')")
    assert line["error"]
