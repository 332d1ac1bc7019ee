"""Splitting: within the limit, nothing lost, code and tables whole where they fit."""

import itertools
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.answering import Document
from agents.answering.documents import SourceUnreadable, load_folder
from agents.answering.splitting import CHUNK_SIZES, read_blocks, read_heading, sentences, split

TEXT = """# Valves

A valve opens slowly. It closes at once, e.g. in an emergency.

## Opening

- first the pump
- then the gate

| step | seconds |
| --- | --- |
| pump | 3 |
| gate | 40 |

```python
def open_gate():

    return True
```

### Details

Only one operator may open it.
"""
DOCUMENT = Document(document_id="valves.md", title="Valves", text=TEXT)
LINES = st.sampled_from(
    [
        "# One", "## Two", "text and more text. Another sentence!", "- an item", "1. first", "", "", "```",
        "| a | b |", "| --- | --- |", "    indented", "averyveryverylongwordthatdoesnotfit" * 3, "~~~",
    ]
)  # fmt: skip


@pytest.mark.parametrize("strategy", CHUNK_SIZES)
def test_code_and_tables_stay_whole_where_they_fit(strategy):
    texts = [passage.text for passage in split(DOCUMENT, strategy, 200)]
    assert any("def open_gate():\n\n    return True" in text for text in texts)
    assert any("| pump | 3 |\n| gate | 40 |" in text for text in texts)


def test_the_strategies_split_in_ways_of_their_own():
    found = {strategy: tuple((p.heading, p.text) for p in split(DOCUMENT, strategy, 90)) for strategy in CHUNK_SIZES}
    assert len(set(found.values())) == len(CHUNK_SIZES)


def test_hierarchical_passages_carry_the_path_of_headings():
    headings = [passage.heading for passage in split(DOCUMENT, "hierarchical", 500)]
    assert headings == ["", "Opening", "Opening > Details"]


def test_entity_based_passages_are_single_blocks():
    texts = [passage.text for passage in split(DOCUMENT, "entity_based", 400)]
    assert "- first the pump" in texts
    assert "- then the gate" in texts


def test_conversation_turns_overlap_by_one_block():
    text = "\n\n".join(f"Paragraph number {number} is here." for number in range(6))
    passages = split(Document(document_id="d", title="t", text=text), "conversation_turn", 60)
    for before, after in itertools.pairwise(passages):
        assert before.text.split("\n\n")[-1] == after.text.split("\n\n")[0]


def test_a_table_that_does_not_fit_repeats_its_header():
    rows = "\n".join(f"| name{number} | {number} |" for number in range(30))
    document = Document(document_id="d", title="t", text=f"| name | number |\n| --- | --- |\n{rows}")
    passages = split(document, "hierarchical", 120)
    assert len(passages) > 1
    assert all(passage.text.startswith("| name | number |\n| --- | --- |") for passage in passages)


@given(st.lists(LINES, max_size=25), st.sampled_from(sorted(CHUNK_SIZES)), st.integers(20, 300))
def test_every_passage_fits_and_no_word_is_lost(lines, strategy, size):
    document = Document(document_id="d", title="no heading of it", text="\n".join(lines))
    passages = split(document, strategy, size)
    assert all(0 < len(passage.text) <= size for passage in passages)
    assert len({passage.passage_id for passage in passages}) == len(passages)
    kept = "".join("".join(f"{p.heading} {p.text}".split()) for p in passages)
    words = {word for line in lines for word in line.split() if len(word) < size and word.isalpha()}
    assert [word for word in words if word not in kept] == []


def test_abbreviations_do_not_end_a_sentence():
    assert sentences("It closes, e.g. When hot. Then it opens! Really?") == [
        "It closes, e.g. When hot.",
        "Then it opens!",
        "Really?",
    ]


def test_an_unclosed_code_block_reaches_to_the_end():
    assert [block.kind for block in read_blocks("```\na\n\n# b")] == ["code"]


@pytest.mark.parametrize(("strategy", "size"), [("fuzzy", 100), ("semantic", 0)])
def test_an_impossible_split_is_refused(strategy, size):
    with pytest.raises(ValueError, match=r"unknown retrieval strategy|at least 1"):
        split(DOCUMENT, strategy, size)


def test_a_folder_is_read_in_the_order_of_its_ids(tmp_path):
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "c.txt").write_text("plain")
    (tmp_path / "a.md").write_text("\ufeff# The title\n\ntext", encoding="utf-8")
    (tmp_path / "ignored.pdf").write_bytes(b"%PDF")
    loaded = load_folder(tmp_path).documents
    assert [(one.document_id, one.title) for one in loaded] == [("a.md", "The title"), ("b/c.txt", "c")]


def test_a_missing_folder_is_an_error(tmp_path):
    with pytest.raises(SourceUnreadable, match="is not a folder"):
        load_folder(tmp_path / "none")


def test_what_cannot_be_read_is_named_with_its_reason_and_the_rest_is_read(tmp_path):
    (tmp_path / "good.md").write_text("# Good")
    (tmp_path / "latin.txt").write_bytes(b"\xe4\xff")
    (tmp_path / "lost.md").symlink_to(tmp_path / "nowhere.md")
    os.mkfifo(tmp_path / "pipe.md")
    (tmp_path / os.fsdecode(b"\xff.md")).write_text("# Badly named")
    loaded = load_folder(tmp_path)
    assert [one.document_id for one in loaded.documents] == ["good.md"]
    assert [(one.document_id, one.reason.split(" (")[0]) for one in loaded.unread] == [
        ("\\xff.md", "has a name that is not UTF-8"),
        ("latin.txt", "is not UTF-8"),
        ("lost.md", "is not a file, or a link that leads nowhere"),
        ("pipe.md", "is not a file, or a link that leads nowhere"),
    ]


def test_a_line_too_long_for_a_heading_is_a_paragraph_and_loses_nothing():
    line = "# " + "word " * 100
    assert [(block.kind, block.text) for block in read_blocks(line)] == [("paragraph", line.rstrip())]


@pytest.mark.parametrize(
    ("line", "heading"),
    [("# x", (1, "x")), ("###### a b ##  ", (6, "a b")), ("#  x#", (1, "x")), ("# ", (1, "")),
     ("#x", None), ("####### x", None), (" # x", None)],
)  # fmt: skip
def test_a_heading_is_read_without_its_marks(line, heading):
    assert read_heading(line) == heading
