"""Hostile texts: whatever callers send, splitting, indexing, reading and choosing take time in proportion to its length.

Each input is hundreds of times larger than what work that grows with the square of it could finish in the time limit.
"""

from collections.abc import Sequence

import msgspec
import numpy as np
import numpy.typing as npt
import pytest

from agents.answering import Document, Passage
from agents.answering.documents import load_folder
from agents.answering.graph import EntityGraph, anchor, entities
from agents.answering.prompt import build_messages, fill, parse_messages
from agents.answering.ranking import terms
from agents.answering.retrieval import RETRIEVAL_STRATEGIES, KnowledgeBase
from agents.answering.splitting import read_blocks, sentences, split, split_table
from agents.model_server.models import LexicalModel, MiniLmModel, StaticModel, answer
from agents.model_server.protocol import ProtocolError, pieces, read_request
from agents.model_server.units import read_units

SIZE = 200_000
ONE_LINE = {
    "heading of spaces": "# x" + " " * SIZE + "y",
    "heading of marks": "# x" + " #" * (SIZE // 2) + "y",
    "spaces": " " * SIZE + "x",
    "tabs": "- " + "\t" * SIZE,
    "one word": "a" * SIZE,
    "capitals": "A" * SIZE + "a",
    "brackets": "[" * SIZE,
    "links without an end": "[](a" * (SIZE // 4),
    "brackets and words": "[a](" * (SIZE // 4) + " ",
    "backticks": "`" * SIZE,
    "code spans": "`a" * (SIZE // 2),
    "table of bars": "|" * SIZE + "x",
    "table of spaces": "|" + " " * SIZE + "x",
    "table of both": "| " * (SIZE // 2) + "x",
    "abbreviations": "A. " * (SIZE // 3),
    "quotes": "." + '"' * SIZE,
    "spaces after a stop": "." + " " * SIZE + '"' * SIZE,
    "stops": "." * SIZE,
    "names": "a_" * (SIZE // 2) + "é",
    "paths": "a-" * (SIZE // 2) + "é",
    "humps": "Aa" * (SIZE // 2) + "_",
    "titles": "Aa " * (SIZE // 3) + "é",
    "and": "and " * (SIZE // 4),
    "who": " and who is it" * (SIZE // 14),
    "question marks": "?" * SIZE,
    "tags": "<" + "\\" * SIZE,
    "placeholders": "{{" + " " * SIZE,
    "braces": "{" * SIZE,
    "passages without an end": '<passage id="" title="">\n' * (SIZE // 25),
    "passages without a title": '<passage id="' * (SIZE // 13),
}
MANY_LINES = {
    "headings": "# a\n" * (SIZE // 4),
    "a long heading above many": "# " + "a" * (SIZE // 2) + "\n" + "\n- b" * (SIZE // 8),
    "tiny paragraphs": "a\n\n" * (SIZE // 3),
    "fences": "```\na\n" * (SIZE // 6),
    "a fence never closed": "`" * (SIZE // 2) + "\n``" * (SIZE // 6),
    "a wide header above many rows": "|" + "a" * 197 + "|b|\n|-|-|\n" + "|c|d|\n" * (SIZE // 6),
    "a huge header above many rows": "|a|" + "b" * (SIZE // 2) + "|\n|-|-|\n" + "|c|d|\n" * (SIZE // 12),
    "a long lead above many items": "a" * (SIZE // 2) + "\n" + "\n".join(f"- {n}" for n in range(SIZE // 16)),
    "links to a long section": "# a\n\n" + "[](#a) [](#a)\n\n" * (SIZE // 14),
}
TEXTS = {**ONE_LINE, **MANY_LINES}
in_time = pytest.mark.timeout(20)
every_text = pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS.keys())


class Plain:
    """An encoder whose vectors are all alike."""

    name, version, dimensions = "plain", "1", 2

    def encode(self, texts: Sequence[str]) -> npt.NDArray[np.float32]:
        return np.tile(np.array([1, 0], dtype=np.float32), (len(texts), 1))


@in_time
@every_text
def test_every_pattern_finishes(text, tmp_path):
    read_blocks(text)
    sentences(text)
    split_table(text)
    entities(text)
    anchor(text)
    terms(text)
    EntityGraph([Passage(passage_id="p#1", document_id="p", title="t", heading=text, text=text)]).holders(text)
    fill(text, {})
    parse_messages([{"role": "system", "content": text}, {"role": "user", "content": text}])
    (tmp_path / "a.md").write_text(text, encoding="utf-8")
    assert len(load_folder(tmp_path).documents) == 1


@in_time
@every_text
@pytest.mark.parametrize("strategy", RETRIEVAL_STRATEGIES)
def test_a_document_is_indexed_and_searched(text, strategy):
    base = KnowledgeBase([Document(document_id="d", title="t", text=text)], Plain())
    assert len(base.search("a b", [], strategy, 5, graph=True)) <= 8


@in_time
@every_text
def test_a_question_is_searched(text):
    base = KnowledgeBase([Document(document_id="d", title="t", text="# a\n\nA gate `opens`.")], Plain())
    for strategy in RETRIEVAL_STRATEGIES:
        base.search(text, [{"role": "user", "content": text}], strategy, 5, graph=True)


@in_time
@pytest.mark.parametrize("size", [1, 50])
def test_a_long_word_is_cut_into_small_passages(size):
    document = Document(document_id="d", title="t", text="a" * SIZE)
    assert len(split(document, "entity_based", size)) == SIZE // size


@in_time
@every_text
@pytest.mark.parametrize("model", [LexicalModel(), StaticModel(Plain()), MiniLmModel(Plain())], ids=lambda m: m.name)
def test_a_model_answers(model, text):
    passage = Passage(passage_id="p#1", document_id="p", title=text, heading="", text=text)
    _, passages, history, _ = parse_messages(build_messages(text, [passage]))
    assert len(answer(model, text, passages, history, 10**6)) <= 10**6


@in_time
def test_many_parts_of_a_question_over_many_units_are_answered():
    text = "\n".join(f"- item {n} of it" for n in range(SIZE // 40))
    passage = Passage(passage_id="p#1", document_id="p", title="t", heading="", text=text)
    assert answer(MiniLmModel(Plain()), "who is item one of it? " * 2_000, [passage], [], None)


@in_time
def test_links_in_one_passage_are_followed_once():
    many = [
        Passage(passage_id=f"d#{n}", document_id="d", title="t", heading="a", text="[](#a)" * 200) for n in range(2_000)
    ]
    assert EntityGraph(many).expand([1_999])


@in_time
@every_text
def test_units_are_no_longer_than_their_text(text):
    units = read_units([Passage(passage_id="p#1", document_id="p", title=text, heading=text, text=text)])
    assert all(len(unit.heading) <= 600 and len(unit.context) <= 600 for unit in units)
    assert sum(len(unit.text) for unit in units) <= 100 * SIZE


@in_time
def test_an_answer_without_spaces_is_sent_in_pieces():
    assert "".join(pieces("a" * 20 * SIZE)) == "a" * 20 * SIZE


@in_time
def test_passages_that_never_end_are_looked_at_once():
    system = '<passage id="" title="">\n' * SIZE
    messages = [{"role": "system", "content": system}, {"role": "user", "content": "?"}]
    assert parse_messages(messages)[1] == []


@in_time
def test_an_impossible_role_of_marks_is_refused():
    body = msgspec.json.encode({"model": "m", "messages": [{"role": "`$" * SIZE, "content": ""}]})
    with pytest.raises(ProtocolError) as refused:
        read_request(body)
    assert refused.value.param == "messages[0].role"
