"""The demo's users: a rating is the share of the key facts in what they read of the answer."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from examples.demo.questions import Question
from examples.demo.users import READ_CHARACTERS, normalised, quality, rating
from tests.deciding_parts import LAWS


def question(*facts: tuple[str, ...]) -> Question:
    return Question(id="q", content_type="general", message="?", facts=facts, documents=("docs/faq.md",))


@pytest.mark.parametrize(
    ("text", "same"),
    [
        ("**Bold** and _thin_ `code`", "bold and thin code"),
        ("Two\n  spaces\tand more ", "two spaces and more"),
        ('\u201cQuoted\u201d "twice"', "quoted twice"),
        ("Case", "case"),
    ],
)
def test_marks_case_and_spaces_do_not_matter(text, same):
    assert normalised(text) == same


@LAWS
@given(st.text())
def test_normalising_twice_is_normalising_once(text):
    assert normalised(normalised(text)) == normalised(text)


@pytest.mark.parametrize(
    ("answer", "share"),
    [
        ("Run `penstock  UP`; it stops with **Ctrl-C**.", 1.0),
        ("Run penstock up.", 0.5),
        ("Interrupt it.", 0.5),
        ("It runs.", 0.0),
        ("", 0.0),
    ],
)
def test_the_quality_is_the_share_of_the_facts_of_which_one_alternative_is_stated(answer, share):
    assert quality(question(("penstock up",), ("Ctrl-C", "interrupt")), answer) == share


def test_only_the_first_four_hundred_characters_are_read():
    assert READ_CHARACTERS == 400
    asked = question(("here",))
    assert quality(asked, "x" * 396 + "here") == 1.0
    assert quality(asked, "x" * 397 + "here") == 0.0


def test_the_rating_goes_from_one_to_five():
    assert [rating(each) for each in (0.0, 0.5, 1.0)] == [1.0, 3.0, 5.0]
