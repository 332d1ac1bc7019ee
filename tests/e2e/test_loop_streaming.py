"""A streamed answer arrives in pieces, in order, and the pieces are the answer."""

from __future__ import annotations

import pytest

from schemas import ChunkGenerated, ResponseReady
from tests.loop import Loop
from tests.waiting import eventually


@pytest.mark.parametrize("tier", ["simple", "balanced", "premium"])
def test_the_pieces_in_their_order_are_the_whole_answer(loop: Loop, tier: str) -> None:
    asked = loop.request(stream=True, strategy=f"{tier}-semantic")
    (answer,) = loop.ask(asked)
    assert isinstance(answer, ResponseReady)

    def pieces() -> list[ChunkGenerated]:
        return loop.events("response-chunks", ChunkGenerated, asked.request_id)

    eventually(lambda: "".join(each.text for each in pieces()) == answer.text, describe="all pieces")
    assert [each.index for each in pieces()] == list(range(len(pieces())))
    assert {each.step for each in pieces()} == {answer.step}


def test_the_client_gives_the_pieces_as_they_come(loop: Loop) -> None:
    pieces: list[ChunkGenerated] = []
    answers = loop.ask(*(loop.request(stream=True) for _ in range(5)), on_chunk=pieces.append)
    assert pieces
    for answer in answers:
        assert isinstance(answer, ResponseReady)
        # The response may overtake the last pieces: it is on another topic, and the client stops listening then.
        assert answer.text.startswith("".join(each.text for each in pieces if each.request_id == answer.request_id))


def test_who_did_not_ask_for_pieces_gets_none(loop: Loop) -> None:
    (answer,) = loop.ask(loop.request())
    assert loop.events("response-chunks", ChunkGenerated, answer.request_id) == []
