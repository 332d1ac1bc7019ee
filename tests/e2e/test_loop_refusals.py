"""A request that cannot be answered ends at once in ResponseFailed, with a stable code and a sentence, and delays nobody."""

from __future__ import annotations

from typing import Any

import pytest

from schemas import ResponseFailed, ResponseReady
from tests.loop import QUESTION, Loop

MIB = 1024 * 1024


@pytest.mark.parametrize(
    ("code", "workflow", "message", "fields"),
    [
        ("unknown_workflow", "halp", QUESTION, {}),
        ("unknown_strategy", "help", QUESTION, {"strategy": "simple-semantik"}),
        ("empty_message", "help", " \n\t", {}),
        ("message_too_long", "help", "a" * MIB, {}),
        ("invalid_request", "help", QUESTION, {"priority": "cheapest"}),
        ("invalid_request", "help", QUESTION, {"deadline_ms": 0}),
    ],
    ids=["workflow", "strategy", "empty", "1 MiB", "priority", "deadline"],
)
def test_what_cannot_be_answered_fails_with_its_code_and_a_sentence_before_a_later_request_is_answered(
    loop: Loop, code: str, workflow: str, message: str, fields: dict[str, Any]
) -> None:
    bad = loop.request(message, workflow, conversation_id="refused", **fields)
    good = loop.request(conversation_id="refused")
    failed, answered = loop.ask(bad, good)
    assert isinstance(failed, ResponseFailed)
    assert failed.code == code
    assert failed.error.endswith((".", "?"))
    assert failed.remedy
    assert isinstance(answered, ResponseReady)
    assert failed.occurred_at_us < answered.occurred_at_us


def test_the_sentence_names_what_was_probably_meant(loop: Loop) -> None:
    (workflow, strategy) = loop.ask(loop.request(workflow="halp"), loop.request(strategy="simple-semantik"))
    assert isinstance(workflow, ResponseFailed)
    assert "help" in workflow.error
    assert isinstance(strategy, ResponseFailed)
    assert "simple-semantic" in strategy.error
