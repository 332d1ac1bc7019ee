"""No log line holds a text, wherever the text came in and whatever failed over it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
CANARY = "zxqv the parcel of Ann 4711 never came"


@pytest.fixture(scope="module")
def lines() -> list[dict[str, Any]]:
    done = subprocess.run(
        [sys.executable, "-m", "tests.canary", CANARY],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
    )
    assert done.stdout == ""
    assert done.returncode == 1  # it ends with an error on purpose
    return [json.loads(line) for line in done.stderr.splitlines()]


def test_the_text_is_in_no_line_of_any_role_or_library(lines):
    assert [line for line in lines if "zxqv" in json.dumps(line)] == []


def test_the_failures_were_all_written_nevertheless(lines):
    """Else there would have been nothing to find it in."""
    failed = {(line.get("role"), line["event"]) for line in lines}
    assert failed >= {
        ("router", "handler_failed"),
        ("router", "dead_lettered"),
        (None, "step_failed"),
        ("evaluator", "handler_failed"),
    }
    assert [line["category"] for line in lines if line["event"] == "warned"] == ["UserWarning"]
    assert {line["where"] for line in lines if line["event"] == "ended_by_an_error"} == {"thread", "process"}
    assert {line.get("logger") for line in lines} >= {"aiokafka", "mode", "faust", "asyncio"}


def test_every_line_about_a_request_says_which(lines):
    about = [line for line in lines if line["event"] in {"handler_failed", "step_failed"} and "text" not in line]
    assert about
    for line in about:
        assert {"tenant", "conversation_id", "request_id"} <= line.keys(), line


def test_a_librarys_line_keeps_what_an_operator_needs(lines):
    (line,) = (line for line in lines if line.get("logger") == "aiokafka")
    assert line["event"] == "cannot send <str> to requests-v1 after 3 tries: <KeyError>"
    (crashed,) = (line for line in lines if line.get("logger") == "faust" and "exception" in line)
    assert crashed["exception"].startswith("RuntimeError from ValueError")
    assert any(place.startswith("__main__:through_libraries") for place in crashed["raised_through"])
