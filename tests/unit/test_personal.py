"""Personal data by its form: what is found, what only looks like it, and how long looking takes to grow."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.deciding.personal import KINDS, personal_kinds
from tests.deciding_parts import LAWS

MAIL, PHONE, CARD, ACCOUNT, SECURITY, BIRTH = KINDS


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("Write to some.body+list@mail.example.org, please.", MAIL),
        ("Call +44 20 7946 0958 after five.", PHONE),
        ("Call 0049 30 1234567.", PHONE),
        ("Call (555) 123-4567.", PHONE),
        ("Call 555-123-4567.", PHONE),
        ("Call 030 12345678.", PHONE),
        ("Pay with 4111 1111 1111 1111.", CARD),
        ("Pay with 378282246310005.", CARD),
        ("Pay to GB82 WEST 1234 5698 7654 32 TODAY.", ACCOUNT),
        ("Pay to DE89370400440532013000.", ACCOUNT),
        ("It is 078-05-1120.", SECURITY),
        ("She was born on 3 May 1980.", BIRTH),
        ("Date of birth: 1980-05-03", BIRTH),
    ],
)
def test_what_has_the_form_of_personal_data_is_found(text, kind):
    assert kind in personal_kinds([text])


@pytest.mark.parametrize(
    "text",
    [
        "Where is order 1234567890123456?",
        "Where is parcel 00123456789012345678?",
        "Ticket 4111 1111 1111 1112 is open.",
        "From 01-02-2024 to 2024-12-01, at 17:18:19.",
        "The broker is at 10.0.0.1:9092, the user at user@localhost.",
        "550e8400-e29b-41d4-a716-446655440000",
        "978-3-16-148410-0 is a book.",
        "0x4111111111111111 is a number.",
        "DE12 3456 is a part, DE88370400440532013000 is none.",
        "What is 1,000,000 / 3.14159?",
        "He was born to run 1500 metres.",
        "Sum 100 200 300 and 1990 2000 2010.",
        "",
    ],
)
def test_what_only_looks_like_it_is_not(text):
    assert personal_kinds([text]) == ()


def test_kinds_of_several_texts_come_once_and_in_their_order():
    assert personal_kinds(["DOB: 1980-05-03", "a.b@example.org", "c.d@example.org"]) == (MAIL, BIRTH)


@LAWS
@given(before=st.text(max_size=40), after=st.text(max_size=40))
def test_any_text_can_be_read_and_a_found_kind_stays_found_beside_other_texts(before, after):
    alone = personal_kinds([before])
    assert set(alone) <= set(personal_kinds([before, after]))
    assert MAIL in personal_kinds([f"{before} a.b@example.org {after}"])
