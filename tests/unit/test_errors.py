"""The tree of errors: codes are closed and stable, and every error says what to do."""

from __future__ import annotations

import re

import pytest

from streams.errors import (
    RESPONSE_CODES,
    Code,
    PenstockError,
    Rejected,
    Unconfigured,
    UndeclaredTopic,
    Undecodable,
    Undeliverable,
)

STABLE = {
    "unknown_workflow", "unknown_strategy", "empty_message", "message_too_long", "invalid_request", "no_eligible_strategy",
    "provider_unavailable", "provider_rejected", "deadline_exceeded", "cost_ceiling_reached", "internal_error",
}  # fmt: skip


def test_the_codes_of_responses_are_the_promised_ones():
    assert {str(code) for code in RESPONSE_CODES} == STABLE


@pytest.mark.parametrize("code", Code)
def test_a_code_is_its_own_name_in_small_letters(code):
    assert code.value == code.name.lower()
    assert re.fullmatch(r"[a-z]+(_[a-z]+)*", code.value)
    assert str(code) == code.value


@pytest.mark.parametrize("code", RESPONSE_CODES)
def test_every_code_of_a_response_has_a_meaning_and_a_remedy_in_sentences(code):
    meaning = RESPONSE_CODES[code]
    for sentence in (meaning.means, meaning.remedy):
        assert sentence[0].isupper()
        assert sentence.endswith(".")


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (PenstockError("x"), Code.INTERNAL_ERROR),
        (Undecodable("x"), Code.NOT_AVRO),
        (Undeliverable("x"), Code.UNEXPECTED_EVENT),
        (UndeclaredTopic("x"), Code.UNDECLARED_TOPIC),
        (Unconfigured("x"), Code.UNCONFIGURED),
        (Undecodable("x", code=Code.OVERSIZED), Code.OVERSIZED),
        (Rejected("x", code=Code.EMPTY_MESSAGE), Code.EMPTY_MESSAGE),
    ],
)
def test_an_error_has_the_code_of_its_kind_unless_it_is_given_another(error, code):
    assert error.code is code
    assert isinstance(error, PenstockError)


def test_the_code_of_one_error_is_not_that_of_the_next():
    Undecodable("x", code=Code.OVERSIZED)
    assert Undecodable("x").code is Code.NOT_AVRO


def test_an_error_reads_as_what_went_wrong_and_what_to_do():
    assert str(Unconfigured("No broker is known.", remedy="Run it.")) == "No broker is known. Run it."
    assert str(Unconfigured("No broker is known.")) == "No broker is known."


def test_a_rejection_has_the_remedy_of_the_catalogue_unless_it_has_a_better_one():
    assert Rejected("x", code=Code.EMPTY_MESSAGE).remedy == "Send a message with text."
    assert Rejected("x", code=Code.EMPTY_MESSAGE, remedy="Speak.").remedy == "Speak."


def test_a_rejection_takes_no_code_that_no_response_may_carry():
    with pytest.raises(KeyError):
        Rejected("x", code=Code.HANDLER_FAILED)
