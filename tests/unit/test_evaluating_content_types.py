"""``penstock evaluate --content-types``: what it measures, and what it must not let slip in."""

from __future__ import annotations

import json
import os
from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow.parquet
import pytest

from agents.deciding.content_weights import Utterances
from analytics.evaluating.content_types import Encoding, NotMeasurable, by_keywords, measure, read_utterances
from tests.cli_world import World

ROOT = Path(__file__).resolve().parents[2]
MODELS = Path(os.environ.get("PENSTOCK_VAR", ROOT / "var")) / "models"
TYPES = ("transactional", "informational", "support", "general")
EXAMPLES = {"transactional": ("do it",), "informational": ("what",), "support": ("broken",), "general": ("hello",)}


class Subjects:
    """Encodes a text as its last word, each word in a direction of its own: the subject and nothing else."""

    def __init__(self):
        self.places: dict[str, int] = {}

    def encode(self, texts):
        rows = np.zeros((len(texts), 64), dtype=np.float32)
        for row, text in enumerate(texts):
            rows[row, self.places.setdefault(text.split()[-1], len(self.places))] = 1
        return rows


def by_subject(types, each=6):
    """Intents that are told apart by their subject only, so that an intent's type can be known from itself alone."""
    rows = [
        (f"{'ab'[n % 2]} subject{intent}", f"intent{intent}", name)
        for intent, name in enumerate(types)
        for n in range(each)
    ]
    texts, intents, names = zip(*rows, strict=True)
    return Utterances(texts=texts, intents=intents, types=names)


def test_an_intent_under_test_has_taught_nothing():
    utterances = by_subject([TYPES[n % 2] for n in range(20)])
    found = measure(utterances, EXAMPLES, [Encoding("subjects", Subjects().encode)], seeds=3)
    assert found.accuracy <= 0.6


def test_an_intent_under_test_is_left_out_of_another_file_too():
    utterances = by_subject([TYPES[n % 2] for n in range(20)])
    more = by_subject([TYPES[n % 2] for n in range(24)])
    found = measure(utterances, EXAMPLES, [Encoding("subjects", Subjects().encode)], train=more, seeds=1)
    assert found.accuracy <= 0.6
    assert found.learned_from == "another file"


def test_what_other_intents_teach_is_used():
    rows = [
        (f"{word} subject{n}", f"intent{n}", name)
        for n in range(20)
        for word, name in [(("what", "informational"), ("send", "transactional"))[n % 2]]
    ]
    texts, intents, names = zip(*rows, strict=True)
    plain = {"transactional": ("blue heron",), "informational": ("red heron",)}
    found = measure(
        Utterances(texts=texts, intents=intents, types=names), plain, [Encoding("subjects", Subjects().encode)], seeds=2
    )
    assert found.accuracy == 1.0
    assert found.encoders["subjects"].examples_only.accuracy < 1.0


def test_the_largest_type_and_the_shares_by_type_are_counted():
    utterances = by_subject([*["general"] * 10, *["support"] * 5])
    found = measure(utterances, EXAMPLES, [Encoding("subjects", Subjects().encode)], seeds=1)
    assert found.majority.by_type == {"general": 1.0, "support": 0.0}
    assert found.majority.balanced_accuracy == 0.5
    assert found.majority.accuracy == pytest.approx(2 / 3, abs=1e-4)
    assert found.types == Counter(utterances.types)
    assert len(found.encoders["subjects"].folds) == 5


def test_the_same_file_gives_the_same_report():
    utterances = by_subject(list(TYPES) * 3)
    one, other = (measure(utterances, EXAMPLES, [Encoding("s", Subjects().encode)], seeds=2) for _ in range(2))
    assert one == other


@pytest.mark.parametrize(
    ("text", "content_type"),
    [
        ("I want to RETURN my shoes", "transactional"),
        ("there is a problem with my order", "support"),
        ("it is not working", "support"),
        ("explain entropy", "informational"),
        ("hello", "general"),
    ],
)
def test_keyword_rules_look_for_plain_words(text, content_type):
    assert by_keywords(text) == content_type


def written(path, rows):
    columns = dict(zip(("text", "intent", "content_type"), zip(*rows, strict=True), strict=True))
    pyarrow.parquet.write_table(pyarrow.table({name: list(column) for name, column in columns.items()}), path)
    return path


ROWS = [(f"{word} {n}", f"intent{n}", name) for n, name in enumerate(TYPES * 2) for word in ("what is", "send me")]


def test_a_file_is_read_in_an_order_that_does_not_depend_on_how_it_was_written(tmp_path):
    one = read_utterances(written(tmp_path / "one.parquet", ROWS))
    assert one == read_utterances(written(tmp_path / "other.parquet", ROWS[::-1]))
    assert len(one.texts) == len(ROWS)


def test_a_file_may_be_csv_or_json_lines(tmp_path):
    (tmp_path / "a.csv").write_text("text,intent,content_type\nhello,greeting,general\n")
    (tmp_path / "a.jsonl").write_text('{"text": "hello", "intent": "greeting", "content_type": "general"}\n')
    assert read_utterances(tmp_path / "a.csv") == read_utterances(tmp_path / "a.jsonl")


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("a.txt", b"x", "no known kind"),
        ("a.parquet", b"no parquet", "cannot be read"),
        ("a.csv", b"text,intent\na,b\n", "no column content_type"),
        ("a.csv", b"text,intent,content_type\n,b,c\n", "empty text"),
    ],
)
def test_a_file_that_is_not_what_it_should_be_is_refused_in_words(tmp_path, name, content, told):
    (tmp_path / name).write_bytes(content)
    result = World(tmp_path).penstock("evaluate", "--content-types", str(tmp_path / name))
    assert result.exit_code == 2
    assert told in result.stderr


@pytest.mark.parametrize(
    ("rows", "told"),
    [(ROWS[:4], "intents"), ([*ROWS, ("a", "b", "legal")], "legal")],
)
def test_too_few_intents_and_unknown_types_are_refused(tmp_path, rows, told):
    with pytest.raises(NotMeasurable, match=told):
        measure(read_utterances(written(tmp_path / "a.parquet", rows)), EXAMPLES, [Encoding("s", Subjects().encode)])


def test_a_file_that_is_not_there_and_no_file_are_calls_that_are_wrong(tmp_path):
    world = World(tmp_path)
    assert world.penstock("evaluate", "--content-types", str(tmp_path / "none.parquet")).exit_code == 2
    assert world.penstock("evaluate").exit_code == 2


def test_the_command_writes_the_whole_report_and_weights_that_serve(tmp_path):
    file, report, weights = written(tmp_path / "a.parquet", ROWS), tmp_path / "r.json", tmp_path / "w.json"
    world = World(tmp_path, settings={"models": MODELS})
    result = world.penstock(
        "evaluate", "--content-types", str(file), "--seeds", "1", "--json", str(report), "--write-weights", str(weights)
    )
    assert result.exit_code == 0, result.output
    told = json.loads(report.read_text())
    assert 0 <= told["accuracy"] <= 1
    assert told["accuracy"] == told["encoders"][told["encoder"]]["unseen_intents"]["accuracy"]
    assert set(told["encoders"]) == {each["encoder"] for each in json.loads(weights.read_text())}
    assert "keyword rules" in result.stdout
