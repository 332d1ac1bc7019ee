"""The documentation says what the code says: codes, topics, settings, variables, links. And the vocabulary holds.

Every checker here is shown a bad case too.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator
from dataclasses import fields
from pathlib import Path

import pytest

from agents.deciding.governance import DeadLetters, GovernanceFile, Operations, Overrides, Settings
from agents.deciding.service_levels import ServiceLevels
from streams.cli.verifying.checks import CHECKS
from streams.deployment import Deployment
from streams.errors import RESPONSE_CODES, Code
from streams.topics import MAX_EVENT_BYTES, MAX_MESSAGE_BYTES, TOPICS, Topic

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
PACKAGES = ("schemas", "streams", "agents", "analytics", "infra", "examples")
NOT_OURS = {".venv", "var", ".git", "node_modules"}


def read(name: str) -> str:
    return (DOCS / name).read_text(encoding="utf-8")


def section(document: str, heading: str) -> str:
    """What stands under a heading of the second level."""
    parts = re.split(r"^## (.+)$", document, flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))[heading]


def rows(text: str) -> list[list[str]]:
    """The rows of the first table in a text, without its head."""
    lines = [line for line in text.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


def names(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)


# Error codes


def documented_codes(document: str, heading: str) -> set[str]:
    return {name for row in rows(section(document, heading)) for name in names(row[0])}


def test_the_codes_of_responses_are_documented_all_and_no_others():
    document = read("errors.md")
    assert documented_codes(document, "Codes of responses") == {str(code) for code in RESPONSE_CODES}


@pytest.mark.parametrize("code", RESPONSE_CODES)
def test_each_code_of_a_response_has_a_passage_with_its_cause_and_remedy(code):
    passage = re.search(rf"^### {code}\n(.+?)(?=^##)", read("errors.md"), flags=re.MULTILINE | re.DOTALL)
    assert passage is not None
    assert "Cause:" in passage[1]
    assert "Remedy:" in passage[1]


def test_every_other_code_is_documented_and_nothing_is_that_is_no_code():
    document = read("errors.md")
    others = documented_codes(document, "Codes of dead letters") | documented_codes(
        document, "Codes of the command line and the workers"
    )
    assert others == {str(code) for code in Code} - {str(code) for code in RESPONSE_CODES}


def test_a_code_that_is_missing_in_a_table_is_noticed():
    document = read("errors.md").replace("| `empty_message` |", "| `no_message` |")
    found = documented_codes(document, "Codes of responses") ^ {str(code) for code in RESPONSE_CODES}
    assert found == {"empty_message", "no_message"}


def documented_checks(document: str) -> dict[str, str]:
    return {names(row[0])[0]: row[1] for row in rows(section(document, "penstock verify"))}


def test_every_breach_that_verify_knows_is_documented_in_its_own_words():
    breaches = {check.name: check.says for check in CHECKS if check.kind == "breach"}
    assert documented_checks(read("command-line.md")) == breaches
    text = section(read("command-line.md"), "penstock verify")
    assert [check.name for check in CHECKS if f"`{check.name}`" not in text] == []


# Topics


def people(cell: str) -> set[str]:
    """The roles of a cell; the documentation speaks of callers, and of the command line where an operator writes."""
    said = {"callers": "caller", "command line": "operator", "every router": "router"}
    found = {said.get(each.strip(), each.strip()) for each in cell.split(",")}
    stages = {"router", "generator", "evaluator", "analytics"}
    return {"every stage": stages, "everybody": {*stages, "caller", "operator"}}.get("".join(found), found)


def topics_that_differ(document: str, topics: Iterable[Topic]) -> set[str]:
    """The topics whose row in docs/topics.md is missing or says otherwise."""
    said = {names(row[0])[0]: row[1:] for row in rows(section(document, "The list"))}
    declared = {topic.name: topic for topic in topics}
    wrong = said.keys() ^ declared.keys()
    for name in said.keys() & declared.keys():
        key, events, writers, readers = said[name]
        topic = declared[name]
        if (
            key != topic.key
            or [each.strip() for each in events.split(",")] != [event.__name__ for event in topic.events]
            or people(writers) != set(topic.written_by)
            or people(readers) != set(topic.read_by)
        ):
            wrong.add(name)
    return wrong


def retention_in_words(topic: Topic) -> str:
    if topic.compacted:
        return "compacted: the newest of each key stays"
    return "for ever" if topic.retention is None else f"{topic.retention.days} days"


def documented_retention(document: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for row in rows(section(document, "Retention")):
        for name in names(row[0]):
            covered = [t for t in TOPICS if t.endswith("-dlq")] if name == "*-dlq" else [name]
            found |= dict.fromkeys(covered, row[1])
    return found


def test_every_topic_is_documented_with_its_key_and_events_its_writers_and_readers():
    assert topics_that_differ(read("topics.md"), TOPICS.values()) == set()


def test_every_topic_is_documented_with_the_right_retention():
    assert documented_retention(read("topics.md")) == {n: retention_in_words(topic) for n, topic in TOPICS.items()}


@pytest.mark.parametrize("name", TOPICS)
def test_every_topic_has_a_passage_of_its_own(name):
    heading = "The dead letters" if name.endswith("-dlq") else name
    assert f"\n### {heading}\n" in read("topics.md")


def test_a_topic_that_is_documented_wrongly_is_noticed():
    document = read("topics.md")
    before = topics_that_differ(document, TOPICS.values())
    wrong = document.replace("| `rewards` | conversation | RewardComputed |", "| `rewards` | scope | RewardComputed |")
    wrong = wrong.replace("| `metrics` | stage |", "| `metricks` | stage |")
    assert topics_that_differ(wrong, TOPICS.values()) - before == {"rewards", "metrics", "metricks"}
    assert documented_retention(document.replace("30 days", "31 days"))["rewards"] == "31 days"


def test_the_limits_of_events_and_messages_are_documented():
    assert f"at most {MAX_EVENT_BYTES / 1024**2:g} MiB" in read("topics.md")
    assert f"up to {MAX_MESSAGE_BYTES / 1024**2:g} MiB" in read("topics.md")


# Settings and variables


def documented(heading: str) -> dict[str, list[str]]:
    return {name: row[1:] for row in rows(section(read("configuration.md"), heading)) for name in names(row[0])}


def in_words(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def test_every_setting_of_requests_is_documented_with_its_default():
    said = documented("Settings of requests")
    assert set(said) == {field.name for field in fields(Settings)}
    for field in fields(Settings):
        default = field.default
        number = getattr(default, "value", default)
        stated = said[field.name][0]
        assert stated == in_words(number) or float(stated) == number, field.name


def test_every_override_is_documented():
    assert set(documented("Emergency overrides")) == {field.name for field in fields(Overrides)}


def test_every_setting_of_the_operation_is_documented_with_its_default():
    said = documented("Operation settings")
    assert {name: float(row[0]) for name, row in said.items()} == {
        name: field.default for name, field in Operations.model_fields.items() if name not in ("dead_letters", "slo")
    }


def test_the_limit_on_dead_letters_is_documented_with_its_defaults_on_both_pages():
    expected = {name: field.default for name, field in DeadLetters.model_fields.items()}
    for page in ("configuration.md", "pauses.md"):
        found = rows(section(read(page), "The limit on dead letters"))
        assert {name: float(row[1]) for row in found for name in names(row[0])} == expected


def test_every_service_level_is_documented_with_its_default():
    said = documented("Service levels")
    levels = ServiceLevels().model_dump()
    defaults = {"budget_window_d": levels.pop("budget_window_d")}
    defaults |= {f"{level}.{name}": value for level, stated in levels.items() for name, value in stated.items()}
    assert {name: float(row[0]) for name, row in said.items()} == defaults


def test_every_section_of_the_settings_file_is_mentioned():
    text = read("configuration.md")
    assert [key for key in GovernanceFile.model_fields if f"`{key}" not in text and f"\n{key}:" not in text] == []


def test_every_variable_of_the_deployment_is_documented():
    said = documented("Environment variables")
    assert {f"PENSTOCK_{name.upper()}" for name in Deployment.model_fields} - said.keys() == set()


def variables_in(source: str) -> set[str]:
    """The whole names of PENSTOCK_ variables that stand as strings in a module, its prose aside."""
    strings = (node.value for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Constant))
    return {each for each in strings if isinstance(each, str) and re.fullmatch(r"PENSTOCK_[A-Z_]*[A-Z]", each)}


def test_every_penstock_variable_that_a_module_reads_is_documented():
    text = read("configuration.md")
    ours = [path for path in modules() if path.relative_to(ROOT).parts[0] != "infra"]  # compose.yaml explains its own
    reads = {name: str(path.relative_to(ROOT)) for path in ours for name in variables_in(path.read_text("utf-8"))}
    assert {name: path for name, path in reads.items() if f"`{name}`" not in text} == {}


def test_a_variable_in_a_module_is_noticed_and_one_in_its_prose_is_not():
    source = '"""Set PENSTOCK_SPEED."""\nimport os\nos.environ.get("PENSTOCK_HASTE")\nPREFIX = "PENSTOCK_"\n'
    assert variables_in(source) == {"PENSTOCK_HASTE"}


# Links


def documents() -> list[Path]:
    found = (path for path in ROOT.rglob("*.md") if not NOT_OURS & set(path.relative_to(ROOT).parts))
    return sorted(path for path in found if not any(part.startswith(".") for part in path.relative_to(ROOT).parts))


def anchors(text: str) -> set[str]:
    """The anchors of a document's headings, as GitHub makes them."""
    outside = re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)
    headings = re.findall(r"^#+ (.+)$", outside, flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def broken_links(path: Path) -> list[str]:
    """The relative links of a document that lead nowhere."""
    text = re.sub(r"^```.*?^```|`[^`\n]*`", "", path.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    broken = []
    for target in re.findall(r"\]\(<?([^)\s>]+)>?(?:\s+\"[^\"]*\")?\)", text):
        if re.match(r"[a-z][a-z0-9+.-]*:", target):
            continue
        file, _, anchor = target.partition("#")
        there = (path.parent / file).resolve() if file else path
        if not there.exists() or (anchor and there.suffix == ".md" and anchor not in anchors(there.read_text("utf-8"))):
            broken.append(target)
    return broken


@pytest.mark.parametrize("path", documents(), ids=lambda path: str(path.relative_to(ROOT)))
def test_the_relative_links_of_a_document_lead_somewhere(path):
    assert broken_links(path) == []


def test_a_link_that_leads_nowhere_is_noticed(tmp_path):
    (tmp_path / "there.md").write_text("# A heading, with words\n")
    document = tmp_path / "document.md"
    document.write_text(
        "# Own\n[a](there.md) [b](there.md#a-heading-with-words) [c](#own) [d](https://example.org/x) [e](.)\n"
        "`[not a link](nowhere.md)`\n```\n[nor this](nowhere.md)\n```\n"
        '[f](gone.md) [g](there.md#gone) [h](#gone) ![i](gone.png "A picture")\n'
    )
    assert broken_links(document) == ["gone.md", "there.md#gone", "#gone", "gone.png"]


# One word for each thing

REJECTED_WORDS = {
    "inference": "request",
    "inferences": "request",
    "chain": "workflow",
    "chains": "workflow",
    "cohort": "content type",
    "cohorts": "content type",
    "arm": "strategy",
    "arms": "strategy",
    "variant": "strategy",
    "variants": "strategy",
    "pscore": "propensity",
    "bandit": "policy",
    "manager": "a word that says what it does",
    "managers": "a word that says what it does",
    "helper": "a word that says what it does",
    "helpers": "a word that says what it does",
    "util": "a word that says what it does",
    "utils": "a word that says what it does",
}
"""Words of an identifier that are not ours, and what we say. Left out is what also has an honest meaning here: query (an
analyst's), graph (of entities), segment (a file of analytics), state, model, action, weights, score, update, data, and
completion, which is the protocol's."""


def modules() -> list[Path]:
    return sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))


def words(identifier: str) -> list[str]:
    return [word.lower() for word in re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+", identifier)]


def named_by_us(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """The identifiers that a module gives: what it defines, takes, assigns and renames; not what it calls of others."""
    for node in ast.walk(tree):
        match node:
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
                yield node.lineno, node.name
            case ast.arg():
                yield node.lineno, node.arg
            case ast.Name(ctx=ast.Store()):
                yield node.lineno, node.id
            case ast.Attribute(ctx=ast.Store()):
                yield node.lineno, node.attr
            case ast.alias(asname=str()):
                yield getattr(node, "lineno", 0), str(node.asname)
            case ast.MatchAs(name=str()) | ast.MatchStar(name=str()) | ast.ExceptHandler(name=str()):
                yield node.lineno, str(node.name)
            case ast.MatchMapping(rest=str()):
                yield node.lineno, str(node.rest)


def rejected_in(source: str) -> list[str]:
    return [
        f"{line}: {identifier} (we say {REJECTED_WORDS[word]})"
        for line, identifier in named_by_us(ast.parse(source))
        for word in words(identifier)
        if word in REJECTED_WORDS
    ]


@pytest.mark.parametrize("package", PACKAGES)
def test_no_identifier_of_ours_has_a_rejected_word(package):
    found = {
        str(path.relative_to(ROOT)): rejected
        for path in modules()
        if path.relative_to(ROOT).parts[0] == package and (rejected := rejected_in(path.read_text(encoding="utf-8")))
    }
    assert found == {}


def test_no_module_or_folder_of_ours_has_a_rejected_word():
    parts = {part for path in modules() for part in path.relative_to(ROOT).with_suffix("").parts}
    assert {part for part in parts if REJECTED_WORDS.keys() & set(words(part))} == set()


BAD = """
import chain_of_others as chain
from others import run_inference
ARMS = 3
def choose_arm(pscore, *, inferenceId=None):
    swarm, alarm, charm, remarks = 1, 2, 3, 4
    self.bandit_policy = run_inference(arm=1)
    for variant in (): pass
    with x as helper: pass
    try: pass
    except E as manager: pass
    match y:
        case [*arms]: pass
        case {**utils}: pass
        case Cohort() as cohort: pass
    return lambda arm: (inference := arm)
class BanditArm: pass
def toolchain(): return "arm", x.variant
"""


def test_the_search_for_rejected_words_finds_them_wherever_a_name_is_given_and_only_there():
    found = sorted((int(line), name) for line, name in (f.split(" (")[0].split(": ") for f in rejected_in(BAD)))
    assert found == [
        (2, "chain"),
        (4, "ARMS"),
        (5, "choose_arm"),
        (5, "inferenceId"),
        (5, "pscore"),
        (7, "bandit_policy"),
        (8, "variant"),
        (9, "helper"),
        (11, "manager"),
        (13, "arms"),
        (14, "utils"),
        (15, "cohort"),
        (16, "arm"),
        (16, "inference"),
        (17, "BanditArm"),
        (17, "BanditArm"),
    ]
