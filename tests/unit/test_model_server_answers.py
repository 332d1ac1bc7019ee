"""The embedded models: extractive, honest, within the stated length, the same every time."""

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agents.answering import Passage
from agents.model_server.models import NO_ANSWER, EmbeddedModel, answer
from agents.model_server.server import open_models
from agents.model_server.units import read_units

ROOT = Path(__file__).resolve().parents[2]
MODELS = Path(os.environ.get("PENSTOCK_VAR", ROOT / "var")) / "models"
NAMES = ["penstock-lexical", "penstock-static", "penstock-minilm"]


def passage(text: str, heading: str = "", number: int = 1) -> Passage:
    return Passage(passage_id=f"d.md#{number}", document_id="d.md", title="Dam", heading=heading, text=text)


PASSAGES = [
    passage(
        "The gate is made of steel. It weighs nine tonnes.\n\n| part | limit |\n| --- | --- |\n"
        "| pump | 40 bar |\n| gate | 12 bar |\n\nOpen it with this command:\n\n```bash\n"
        "dam open --slowly\n```",
        "Gate",
    ),
    passage("- The night shift has two operators.\n- Cake is served on Fridays.", "Staff", 2),
]


@pytest.fixture(scope="module")
def models() -> dict[str, EmbeddedModel]:
    return {model.name: model for model in open_models(MODELS)}


def test_sentences_items_rows_and_code_are_units_with_their_context():
    units = {unit.text: unit for unit in read_units(PASSAGES)}
    assert list(units) == [
        "The gate is made of steel.",
        "It weighs nine tonnes.",
        "pump: limit 40 bar",
        "gate: limit 12 bar",
        "Open it with this command:",
        "`dam open --slowly`",
        "The night shift has two operators.",
        "Cake is served on Fridays.",
    ]
    assert units["It weighs nine tonnes."].context == "The gate is made of steel."
    assert units["`dam open --slowly`"].context == "Open it with this command:"
    assert units["`dam open --slowly`"].heading == "Gate"


def test_a_unit_that_repeats_in_another_passage_is_said_once():
    assert len(read_units([passage("Same text."), passage("Same text.", number=2)])) == 1


@pytest.mark.parametrize("name", NAMES)
def test_a_question_is_answered_from_the_passages(models, name):
    found = answer(models[name], "How many operators has the night shift?", PASSAGES, [], 60)
    assert "The night shift has two operators." in found


@pytest.mark.parametrize("name", NAMES[1:])
def test_other_words_for_the_same_are_understood(models, name):
    found = answer(models[name], "How heavy is the gate?", PASSAGES, [], 120)
    assert "It weighs nine tonnes." in found


def test_the_premium_model_names_its_sources(models):
    found = answer(models["penstock-minilm"], "What is the gate made of?", PASSAGES, [], 300)
    assert found.endswith("(Sources: Dam.)")


@pytest.mark.parametrize("name", NAMES)
def test_without_passages_it_says_that_it_cannot_answer(models, name):
    assert answer(models[name], "What is the gate made of?", [], [], 300) == NO_ANSWER


@pytest.mark.parametrize("name", NAMES)
def test_passages_about_something_else_support_no_answer(models, name):
    assert answer(models[name], "zzqq blorp xylo?", PASSAGES, [], 300) == NO_ANSWER


@pytest.mark.parametrize("name", NAMES)
def test_it_says_what_it_is(models, name):
    found = answer(models[name], "Who are you?", PASSAGES, [], None)
    assert found.startswith(f"I am {name}.")
    assert "not a language model" in found


@pytest.mark.parametrize("name", NAMES)
def test_a_short_question_is_read_with_the_one_before(models, name):
    history = [{"role": "user", "content": "What limit has the pump?"}]
    assert "40 bar" in answer(models[name], "In bar?", PASSAGES, history, 200)


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(question=st.text(max_size=80), text=st.text(max_size=200), limit=st.integers(1, 300))
def test_any_text_gets_an_answer_within_the_length_and_the_same_again(models, name, question, text, limit):
    passages = [passage(text), *PASSAGES]
    found = answer(models[name], question, passages, [], limit)
    assert 0 < len(found) <= limit
    assert found == answer(models[name], question, passages, [], limit)
