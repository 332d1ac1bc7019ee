"""The demo's questions: enough of each type, each with facts that its documents state and the question does not give away."""

from collections import Counter
from functools import cache
from pathlib import Path

import pytest

from agents.deciding.content_types import BUILT_IN_TYPES
from agents.deciding.workflow import Workflow
from agents.loading.reading import load_workflows
from examples.demo.questions import FOLDER, PREMIUM_ONLY, PRIOR_ONLY, WORKFLOW, Question, load
from examples.demo.users import normalised

ROOT = Path(__file__).resolve().parents[2]
FILES = {"questions.jsonl": 300, "questions_late.jsonl": 100}


@cache
def of_file(name: str) -> tuple[Question, ...]:
    return tuple(load(FOLDER / name))


@cache
def text_of(document: str) -> str:
    return normalised((ROOT / document).read_text(encoding="utf-8"))


def wrong_with(question: Question) -> list[str]:
    """What is wrong with a question, in words; nothing for a good one."""
    asked = [question.message, *(said.text for said in question.history)]
    found = [] if question.facts and all(question.facts) else ["has no facts"]
    if not question.message.strip():
        found.append("asks nothing")
    for fact in question.facts:
        for alternative in fact:
            plain = normalised(alternative)
            if not plain:
                found.append("has an empty fact")
            elif not any(plain in text_of(document) for document in question.documents):
                found.append(f"{alternative!r} is in none of {', '.join(question.documents)}")
            elif any(plain in normalised(text) for text in asked):
                found.append(f"{alternative!r} stands in the question")
    return found


@pytest.mark.parametrize(("name", "least"), list(FILES.items()))
def test_there_are_enough_questions_of_all_four_types(name, least):
    questions = of_file(name)
    assert len(questions) >= least
    counted = Counter(question.content_type for question in questions)
    assert set(counted) == set(BUILT_IN_TYPES)
    assert min(counted.values()) >= least // 8


def test_ids_and_questions_are_unique_over_both_files():
    every = [question for name in FILES for question in of_file(name)]
    assert len({question.id for question in every}) == len(every)
    asked = {(normalised(q.message), tuple(normalised(said.text) for said in q.history)) for q in every}
    assert len(asked) == len(every)


@pytest.mark.parametrize("name", FILES)
def test_every_fact_is_in_the_named_documents_and_none_in_the_question(name):
    assert {question.id: wrong for question in of_file(name) if (wrong := wrong_with(question))} == {}


@pytest.mark.parametrize(
    ("message", "fact", "said"),
    [
        ("Which command?", "penstock nonsense", "is in none of docs/getting-started.md"),
        ("Is it penstock doctor?", "penstock doctor", "stands in the question"),
        ("Which command?", " ` ", "has an empty fact"),
        (" ", "penstock doctor", "asks nothing"),
    ],
)
def test_the_check_finds_what_is_wrong(message, fact, said):
    bad = Question(
        id="bad", content_type="general", message=message, facts=((fact,),), documents=("docs/getting-started.md",)
    )
    assert any(said in each for each in wrong_with(bad))


def test_the_three_workflows_differ_in_nothing_but_what_they_compare():
    def rest(workflow: Workflow) -> dict[str, object]:
        content = workflow.model_dump(mode="json", exclude={"name", "description", "version"})
        content["settings"].pop("learning_enabled")
        content["workflow"]["nodes"][0].pop("model")
        return content

    workflows = load_workflows(ROOT / "examples" / "workflows")
    learning, premium, rules = (workflows[name] for name in (WORKFLOW, PREMIUM_ONLY, PRIOR_ONLY))
    assert rest(learning) == rest(premium) == rest(rules)
    assert (learning.pins.tier, premium.pins.tier, rules.pins.tier) == (None, "premium", None)
    off = [each.settings.learning_enabled for each in (learning, premium, rules)]
    assert off == [None, False, False]
