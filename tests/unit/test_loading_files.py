"""What people get to read when a file of theirs is wrong."""

from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from agents.deciding.catalogue_file import CatalogueFile
from agents.deciding.governance import GovernanceFile
from agents.deciding.workflow import Workflow
from agents.loading.positions import MAX_BYTES, MAX_DEPTH, read_document
from agents.loading.problems import InvalidFile, Problem
from agents.loading.reading import (
    load_catalogue,
    load_settings,
    load_workflow,
    load_workflows,
    validated,
)

ROOT = Path(__file__).resolve().parents[2]
CATALOGUE = ROOT / "infra" / "strategies.yaml"
SETTINGS = ROOT / "infra" / "penstock.yaml"
EXAMPLES = ROOT / "examples" / "workflows"

SEVEN_MISTAKES = """\
name: customer_support
version: 1.0
settings:
  quality_flor: 0.8
workflow:
  nodes:
    - id: help
      agent: reasoning
      model: premuim
      context:
        sources: [penstock_doc]
        top_k: 500
      prompt: "Help with: {{message"
"""


def problems_of(content: str, tmp_path: Path, **known: object) -> tuple[Problem, ...]:
    path = tmp_path / "workflow.yaml"
    path.write_text(content)
    with pytest.raises(InvalidFile) as caught:
        load_workflow(path, **known)  # type: ignore[arg-type]
    return caught.value.problems


def test_seven_different_mistakes_are_all_reported_at_their_lines(tmp_path: Path) -> None:
    problems = problems_of(SEVEN_MISTAKES, tmp_path, sources={"penstock_docs"})
    assert [(each.line, each.column, each.path, each.nearest) for each in problems] == [
        (2, 10, "version", ""),
        (4, 3, "settings.quality_flor", "quality_floor"),
        (8, 14, "workflow.nodes[0].agent", ""),
        (9, 14, "workflow.nodes[0].model", "premium"),
        (11, 19, "workflow.nodes[0].context.sources[0]", "penstock_docs"),
        (12, 16, "workflow.nodes[0].context.top_k", ""),
        (13, 15, "workflow.nodes[0].prompt", ""),
    ]


def test_a_problem_reads_as_one_sentence(tmp_path: Path) -> None:
    model = problems_of(SEVEN_MISTAKES, tmp_path)[3]
    assert str(model) == (
        f"{tmp_path}/workflow.yaml:9:14: workflow.nodes[0].model: found 'premuim', "
        "expected auto, simple, balanced or premium; did you mean premium?"
    )


def test_a_second_node_does_not_hide_what_is_wrong_in_the_first(tmp_path: Path) -> None:
    content = SEVEN_MISTAKES + "    - id: second\n"
    problems = problems_of(content, tmp_path, sources={"penstock_docs"})
    assert len(problems) == 8
    assert "exactly one node" in str(problems[2])
    assert problems[2].line == 7


def test_a_list_that_is_too_short_is_reported_once(tmp_path: Path) -> None:
    content = (EXAMPLES / "customer_support.yaml").read_text()
    (problem,) = problems_of(content + "content_types:\n  orders: [one, two]\n", tmp_path)
    assert (problem.line, problem.path) == (12, "content_types.orders")


def test_auto_is_among_the_names_that_a_misspelt_one_may_have_meant(tmp_path: Path) -> None:
    content = (EXAMPLES / "docs_help_premium.yaml").read_text()
    (problem,) = problems_of(content.replace("model: premium", "model: autoo"), tmp_path)
    assert problem.nearest == "auto"


def test_anchors_cannot_multiply_a_document_without_bound(tmp_path: Path) -> None:
    lines = ["a: &a [x, x, x, x, x, x, x, x]"]
    for before, name in pairwise("abcdefgh"):
        lines.append(f"{name}: &{name} [{', '.join([f'*{before}'] * 8)}]")
    (problem,) = problems_of("\n".join(lines), tmp_path)
    assert problem.found == "more values, anchors expanded"


def test_a_missing_key_is_reported_where_it_should_have_been(tmp_path: Path) -> None:
    content = "version: 1.0.0\nworkflow:\n  nodes:\n    - agent: auto\n"
    found = [(each.line, each.path, each.found) for each in problems_of(content, tmp_path)]
    assert found == [(1, "name", "nothing"), (4, "workflow.nodes[0].id", "nothing")]


def test_a_key_written_twice_is_reported_with_the_line_of_the_first(tmp_path: Path) -> None:
    content = (EXAMPLES / "customer_support.yaml").read_text() + "name: again\n"
    (problem,) = problems_of(content, tmp_path)
    assert (problem.line, problem.path) == (11, "name")
    assert "line 1" in problem.expected


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("description: !!python/name:os.system x", "tag"),
        ("description: !secret x", "tag"),
        ("<<: {description: x}", "merge key"),
        ("? [a]\n: b", "as a key"),
        ('description: "\\ud800"', "half a character"),
    ],
)
def test_what_yaml_can_but_a_workflow_cannot_is_refused(line: str, said: str, tmp_path: Path) -> None:
    content = f"{line}\n" + (EXAMPLES / "customer_support.yaml").read_text()
    problems = problems_of(content, tmp_path)
    assert [each.line for each in problems] == [1]
    assert said in str(problems[0])


def test_a_broken_yaml_is_reported_where_it_breaks(tmp_path: Path) -> None:
    (problem,) = problems_of("name: x\nversion: [1\nworkflow: {}\n", tmp_path)
    assert problem.line == 3


@pytest.mark.parametrize(
    "content",
    [
        b"a" * (MAX_BYTES + 1),
        b"[" * 5_000,
        b"{a: " * (MAX_DEPTH + 1) + b"}" * (MAX_DEPTH + 1),
        b"&a [*a, *a]",
        b"\xff\xfe\xfa",
        b"name: \x07",
        b'"\\UFFFFFFFF"',
        b"%YAML 1." + b"9" * 5_000 + b"\n---\na",
        b"--- a\n--- b",
        b"",
        b"[]",
        b"1",
    ],
    ids=range(12),
)
def test_a_hostile_file_ends_as_an_invalid_file(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "hostile.yaml"
    path.write_bytes(content)
    with pytest.raises(InvalidFile) as caught:
        load_workflow(path)
    assert caught.value.problems


LINES = st.sampled_from(
    [*SEVEN_MISTAKES.splitlines(), *CATALOGUE.read_text().splitlines(), "- a: &a", "? *a", "x: .inf"]
)
YAML_TEXTS = st.one_of(st.text(), st.lists(st.one_of(LINES, st.text())).map("\n".join))


@given(YAML_TEXTS)
@example("settings: {cost_ceiling_usd: " + "9" * 400 + "}")
@example("settings: {cost_ceiling_usd: " + "9" * 4_999 + ", deadline_ms: " + "9" * 4_999 + "}")
@example("settings: {quality_floor: .nan, exploration: {a: b}}\ncontent_types: {1: [], [2]: 3}")
@example("workflow: {nodes: {a: 1}}")
@example("workflow: {nodes: [[], 1, {id: 5}]}")
@example("content_types: {Bad-Name: [a, b]}")
def test_no_text_raises_anything_but_an_invalid_file(text: str) -> None:
    problems: tuple[Problem, ...] | None = None
    try:
        document = read_document("any.yaml", text.encode(errors="surrogatepass"))
        for shape in (Workflow, GovernanceFile, CatalogueFile):
            content, found = validated(document, shape)
            assert content is not None or found
    except InvalidFile as invalid:
        problems = invalid.problems
    assert problems is None or all(str(each) for each in problems)


def test_a_file_that_is_not_there_is_a_problem_too(tmp_path: Path) -> None:
    with pytest.raises(InvalidFile, match="cannot be read"):
        load_workflow(tmp_path / "none.yaml")
    with pytest.raises(InvalidFile, match="cannot be read"):
        load_workflows(tmp_path / "none")


def test_two_files_with_one_name_are_a_problem_that_names_both(tmp_path: Path) -> None:
    content = (EXAMPLES / "docs_help.yaml").read_text()
    for name in ("first.yaml", "second.yml"):
        (tmp_path / name).write_text(content)
    with pytest.raises(InvalidFile) as caught:
        load_workflows(tmp_path)
    (problem,) = caught.value.problems
    assert str(tmp_path / "first.yaml") in str(problem)
    assert str(tmp_path / "second.yml") in str(problem)


def test_the_mistakes_of_all_files_of_a_folder_are_reported(tmp_path: Path) -> None:
    for name in ("a.yaml", "b.yaml"):
        (tmp_path / name).write_text("nam: x")
    with pytest.raises(InvalidFile) as caught:
        load_workflows(tmp_path)
    assert len({each.file for each in caught.value.problems}) == 2


def test_the_projects_own_files_are_valid_together() -> None:
    catalogue = load_catalogue(CATALOGUE, {})
    settings = load_settings(SETTINGS)
    workflows = load_workflows(EXAMPLES, catalogue, settings.sources)
    assert {"customer_support", "docs_help", "docs_help_premium", "docs_help_rules"} <= set(workflows)
    assert workflows["docs_help_premium"].pins.tier == "premium"
    assert workflows["docs_help_rules"].pins == workflows["docs_help"].pins


@pytest.mark.parametrize("name", ["enviroment", "environment"])
def test_an_unknown_key_of_the_settings_names_the_nearest(name: str, tmp_path: Path) -> None:
    path = tmp_path / "penstock.yaml"
    path.write_text(f"{name}s:\n  conservativ: {{}}\n" if name == "environment" else f"{name}: 1\n")
    with pytest.raises(InvalidFile) as caught:
        load_settings(path)
    (problem,) = caught.value.problems
    assert problem.nearest == {"enviroment": "environments", "environment": "conservative"}[name]


def test_a_mistake_in_the_catalogue_is_reported_at_its_line(tmp_path: Path) -> None:
    path = tmp_path / "strategies.yaml"
    text = CATALOGUE.read_text()
    path.write_text(text.replace("use: auto", "use: embeded").replace("runs: local", "runs: locl", 1))
    with pytest.raises(InvalidFile) as caught:
        load_catalogue(path, {})
    assert [each.nearest for each in caught.value.problems] == ["embedded", "local"]


def test_a_hosted_model_without_a_price_is_a_problem_at_the_model() -> None:
    with pytest.raises(InvalidFile) as caught:
        load_catalogue(CATALOGUE, {"OPENAI_API_KEY": "invented"})
    lines = CATALOGUE.read_text().splitlines()
    named = [lines[each.line - 1] for each in caught.value.problems]
    assert named == [f"        name: gpt-4.1{size}" for size in ("-nano", "-mini", "")]
    assert all("needs one price" in str(each) for each in caught.value.problems)
