"""The library: sources and given documents, overrides, and files that change."""

import asyncio
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from agents.answering.documents import SourceUnreadable
from agents.answering.library import OWN_BYTES_KEPT, OWN_PASSAGES_KEPT, Found, Library, UnknownSource
from agents.deciding.governance import Overrides
from schemas import GivenDocument, RequestReceived, Step
from tests.generator_parts import Time, routed, step
from tests.waiting import eventually_async

GUIDE = "# Guide\n\nThe parcel is tracked on the tracking page.\n\nA refund takes ten days.\n"


class Letters:
    """An encoder by the letters of a text: enough to tell texts apart."""

    name, version, dimensions = "letters", "1", 26

    def encode(self, texts: Sequence[str]) -> npt.NDArray[np.float32]:
        counts = [[text.lower().count(chr(97 + n)) for n in range(26)] for text in texts]
        rows = np.array(counts, dtype=np.float32).reshape(len(texts), 26)
        return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-9)  # type: ignore[no-any-return]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "guide.md").write_text(GUIDE, encoding="utf-8")
    return tmp_path


def library(folder: Path, time: Time | None = None) -> Library:
    return Library({"docs": folder}, Letters(), clock=time or Time())


def asking(*documents: GivenDocument) -> RequestReceived:
    return routed("simple", request={"documents": documents}).request


def lexical(**fields: object) -> Step:
    return step("simple", **{"retrieval": "entity_based", "sources": ("docs",), **fields})


async def found(shelf: Library, asked: RequestReceived, how: Step, overrides: Overrides | None = None) -> Found:
    return await shelf.search(asked, "How long does a refund take?", how, overrides or Overrides())


def test_passages_of_a_source_carry_its_name(folder: Path) -> None:
    passages = asyncio.run(found(library(folder), asking(), lexical())).passages
    assert passages[0].text == "A refund takes ten days."
    assert passages[0].document_id == "docs/guide.md"


def test_a_step_without_sources_searches_the_requests_documents_only(folder: Path) -> None:
    own = GivenDocument(document_id="mine", text="My refund took a week.")
    passages = asyncio.run(found(library(folder), asking(own), lexical(sources=()))).passages
    assert {passage.document_id for passage in passages} == {"mine"}


def test_the_requests_documents_come_first_and_the_number_stays(folder: Path) -> None:
    own = GivenDocument(document_id="mine", text="My refund took a week.")
    passages = asyncio.run(found(library(folder), asking(own), lexical(top_k=2))).passages
    assert [passage.document_id for passage in passages] == ["mine", "docs/guide.md"]


def test_one_requests_documents_are_not_found_by_another(folder: Path) -> None:
    async def run() -> Found:
        shelf = library(folder)
        await found(shelf, asking(GivenDocument(document_id="theirs", text="A refund secret.")), lexical())
        return await found(shelf, asking(), lexical())

    assert {passage.document_id for passage in asyncio.run(run()).passages} == {"docs/guide.md"}


def test_nothing_to_search_gives_no_passages(folder: Path) -> None:
    assert asyncio.run(found(library(folder), asking(), lexical(sources=()))).passages == ()


def test_the_override_of_the_chunk_size_bounds_every_passage(folder: Path) -> None:
    passages = asyncio.run(found(library(folder), asking(), lexical(), Overrides(max_chunk_size=12))).passages
    assert passages
    assert max(len(passage.text) for passage in passages) <= 12


def test_the_override_of_graph_queries_leaves_out_what_is_linked(tmp_path: Path) -> None:
    text = "# A\n\nThe refund is done by `pay_back`.\n\n`pay_back` needs a key.\n"
    (tmp_path / "a.md").write_text(text, encoding="utf-8")
    linked = lexical(top_k=1, graph=True)
    with_graph = asyncio.run(found(library(tmp_path), asking(), linked)).passages
    without = asyncio.run(found(library(tmp_path), asking(), linked, Overrides(disable_graph_queries=True))).passages
    assert (len(with_graph), len(without)) == (2, 1)


def test_a_changed_file_is_read_again_after_a_while_without_anybody_waiting(folder: Path) -> None:
    async def run() -> None:
        time = Time()
        shelf = library(folder, time)
        await shelf.warm()
        (folder / "guide.md").write_text("# Guide\n\nA refund takes three weeks now.\n", encoding="utf-8")
        time.passes(29)
        assert "ten days" in (await found(shelf, asking(), lexical())).passages[0].text
        time.passes(2)

        async def changed() -> bool:
            passages = (await found(shelf, asking(), lexical())).passages
            return "three weeks" in passages[0].text

        await eventually_async(changed)  # type: ignore[arg-type]  # mypy cannot choose from its union

    asyncio.run(run())


def test_a_source_that_becomes_unreadable_goes_on_answering_from_what_was_read(folder: Path) -> None:
    async def run() -> Found:
        time = Time()
        shelf = library(folder, time)
        await shelf.warm()
        (folder / "guide.md").write_bytes(b"\xff\xfe\xfa")
        time.passes(31)
        await found(shelf, asking(), lexical())
        await asyncio.gather(*(task for task in asyncio.all_tasks() if task is not asyncio.current_task()))
        return await found(shelf, asking(), lexical())

    assert "ten days" in asyncio.run(run()).passages[0].text


def test_a_source_that_was_never_readable_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(SourceUnreadable):
        asyncio.run(library(tmp_path / "missing").warm())


def test_an_unknown_source_is_an_error(folder: Path) -> None:
    with pytest.raises(UnknownSource):
        asyncio.run(found(library(folder), asking(), lexical(sources=("nowhere",))))


def test_a_file_that_cannot_be_read_is_logged_and_the_others_answer(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "latin.md").write_bytes(b"secret \xff\xfe")

    async def run() -> Found:
        shelf = library(folder)
        await shelf.warm()
        return await found(shelf, asking(), lexical())

    passages = asyncio.run(run()).passages
    logged = "".join(capsys.readouterr())
    assert passages[0].text == "A refund takes ten days."
    assert ("file_unreadable" in logged, "latin.md" in logged, "is not UTF-8" in logged) == (True, True, True)
    assert "secret" not in logged


def test_a_file_that_becomes_unreadable_stays_as_it_was_read_while_others_change(folder: Path) -> None:
    (folder / "other.md").write_text("# Other\n\nA refund by post is slow.\n", encoding="utf-8")

    async def run() -> Found:
        time = Time()
        shelf = library(folder, time)
        await found(shelf, asking(), lexical())
        (folder / "guide.md").write_bytes(b"\xff\xfe\xfa")
        (folder / "other.md").write_text("# Other\n\nA refund by post is quick.\n", encoding="utf-8")
        time.passes(31)
        await found(shelf, asking(), lexical())
        await asyncio.gather(*(task for task in asyncio.all_tasks() if task is not asyncio.current_task()))
        return await found(shelf, asking(), lexical(top_k=5))

    texts = {passage.text for passage in asyncio.run(run()).passages}
    assert texts >= {"A refund takes ten days.", "A refund by post is quick."}


def own_of(size: int, name: str = "mine") -> GivenDocument:
    return GivenDocument(document_id=name, text=f"A refund of {name}.\n\n" + "abcdefghi " * (size // 10))


def kept_after(folder: Path, *each: GivenDocument, **fields: object) -> tuple[int, int, int]:
    async def run() -> tuple[int, int, int]:
        shelf = library(folder)
        for own in each:
            await found(shelf, asking(own), lexical(sources=(), **fields))
        return shelf.own_kept

    return asyncio.run(run())


def test_indexes_of_requests_documents_are_kept_by_their_bytes_and_the_newest_stays(folder: Path) -> None:
    kept, size_bytes, _ = kept_after(folder, *(own_of(1_000_000, f"n{n}") for n in range(6)))
    assert (kept, size_bytes <= OWN_BYTES_KEPT) == (4, True)


def test_the_older_index_goes_where_both_do_not_fit(folder: Path) -> None:
    kept, size_bytes, _ = kept_after(folder, own_of(3_000_000, "older"), own_of(2_000_000, "newer"))
    assert (kept, size_bytes // 1_000_000) == (1, 2)


def test_many_small_documents_of_requests_are_all_kept(folder: Path) -> None:
    assert kept_after(folder, *(own_of(100, f"n{n}") for n in range(40)))[0] == 40


def test_the_same_documents_are_indexed_once(folder: Path) -> None:
    assert kept_after(folder, own_of(100), own_of(100))[0] == 1


def test_documents_larger_than_the_bound_answer_and_are_let_go(folder: Path) -> None:
    async def run() -> tuple[Found, tuple[int, int, int]]:
        shelf = library(folder)
        answer = await found(shelf, asking(own_of(OWN_BYTES_KEPT)), lexical(sources=()))
        return answer, shelf.own_kept

    answer, kept = asyncio.run(run())
    assert answer.passages
    assert kept == (0, 0, 0)


def test_documents_of_too_many_passages_answer_and_are_let_go(folder: Path) -> None:
    many = GivenDocument(document_id="many", text="refund\n\n" * (OWN_PASSAGES_KEPT + 1))
    assert kept_after(folder, many) == (0, 0, 0)
