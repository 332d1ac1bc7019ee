"""Word pieces: what the tokenizer says, whoever says it."""

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer

from agents.encoding.artefacts import read_manifest
from agents.encoding.samples import SAMPLE_SENTENCES
from agents.encoding.word_pieces import WordPieces

ROOT = Path(__file__).resolve().parents[2]
MODELS = Path(os.environ.get("PENSTOCK_VAR", ROOT / "var")) / "models"
PARTS = (
    *"abZ09'\"_-[]#~^`|\t\n\x0b\x1f\x7f\u200b\u2019é漢ß",
    "word",
    "unbelievably",
    "zzqx",
    "##ing",
    "[CLS]",
    " ",
    "x" * 101,
)


@pytest.fixture(scope="module")
def path() -> Path:
    return MODELS / read_manifest(MODELS).static.tokenizer


@pytest.fixture(scope="module")
def pieces(path: Path) -> WordPieces:
    return WordPieces(path)


@pytest.fixture(scope="module")
def tokenizer(path: Path) -> Tokenizer:
    tokenizer = Tokenizer.from_file(str(path))
    tokenizer.no_padding()
    tokenizer.no_truncation()
    return tokenizer


def told(tokenizer: Tokenizer, text: str) -> list[int]:
    found: list[int] = tokenizer.encode(text, add_special_tokens=False).ids
    return found


@pytest.mark.parametrize("text", [*SAMPLE_SENTENCES, "", " \n", "a" * 100, "a" * 101, "don't", "state-of-the-art"])
def test_sentences_have_the_pieces_that_the_tokenizer_gives(text, pieces, tokenizer):
    assert pieces.read(text) == told(tokenizer, text)


@given(text=st.text() | st.lists(st.sampled_from(PARTS), max_size=40).map("".join))
def test_any_text_has_the_pieces_that_the_tokenizer_gives(text, pieces, tokenizer):
    assert pieces.read(text) == told(tokenizer, text)


def test_a_word_that_the_vocabulary_lacks_is_divided(pieces):
    assert len(pieces.read("unbelievably")) > 1
    assert pieces.unknown not in pieces.read("unbelievably")


def test_a_piece_that_the_vocabulary_lacks_is_named(pieces):
    with pytest.raises(LookupError, match="zzqx"):
        pieces.number_of("zzqx")
