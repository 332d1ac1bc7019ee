"""A request that cannot be answered ends at once in ResponseFailed, with a stable code and a sentence, and delays nobody."""

from __future__ import annotations

from typing import Any

import pytest

from schemas import GivenDocument, RequestReceived, ResponseFailed, ResponseReady, Turn
from streams.topics import MAX_EVENT_BYTES
from tests.loop import CODEC, QUESTION, Loop

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


def sized(loop: Loop, size: int) -> RequestReceived:
    """A request whose event has so many bytes, most of them in its documents, the rest in its history."""
    documents = [GivenDocument(document_id="d", text="The gate is green. " * 50_000)]
    bare = len(CODEC.encode(loop.request(documents=documents, history=[Turn(role="user", text="")])))
    filler = "a" * (size - bare - 3)  # the length of a long text takes three bytes more than that of none
    return loop.request(documents=documents, history=[Turn(role="user", text=filler)])


def test_a_request_that_is_an_event_but_would_be_none_with_its_plan_is_refused_and_not_lost(loop: Loop) -> None:
    request = sized(loop, MAX_EVENT_BYTES - 200)
    (failed,) = loop.ask(request)
    assert isinstance(failed, ResponseFailed)
    assert failed.code == "invalid_request"
    assert "bytes in all" in failed.error


def test_a_large_request_is_answered(loop: Loop) -> None:
    (answer,) = loop.ask(sized(loop, 5 * MIB // 4 - 1_000))
    assert isinstance(answer, ResponseReady)


def test_the_sentence_names_what_was_probably_meant(loop: Loop) -> None:
    (workflow, strategy) = loop.ask(loop.request(workflow="halp"), loop.request(strategy="simple-semantik"))
    assert isinstance(workflow, ResponseFailed)
    assert "help" in workflow.error
    assert isinstance(strategy, ResponseFailed)
    assert "simple-semantic" in strategy.error
