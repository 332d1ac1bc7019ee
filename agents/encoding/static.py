"""The static encoder: a text's vector is the mean of its tokens' vectors.

In: texts. Out: unit vectors, about 0.1 ms for a sentence. Kept: a memory-mapped
float16 table, so that processes on one machine share its pages, and a tokenizer. Fails: ArtefactsMissing,
ArtefactsBroken. Never imports torch, transformers or sentence_transformers.

Texts are read one at a time in the calling thread: the tokenizer's own thread pool would hide its CPU time from
`time.thread_time`, which is what the embedded models are priced by.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from agents.encoding.artefacts import ArtefactsBroken, read_manifest
from agents.encoding.word_pieces import WordPieces

_LEAST_LENGTH = np.float32(1e-12)
_FROM_THE_FIRST = np.array([0])
"""Sums by ``reduceat``, whose order of summation made the vectors that are in every log; ``reduce`` has another."""


class StaticEncoder:
    """Implements `Encoder` over a table of token vectors."""

    def __init__(self, models_dir: Path) -> None:
        """Open the table in `models_dir`; raises ArtefactsMissing or ArtefactsBroken."""
        artefact = read_manifest(models_dir).static
        vectors = models_dir / artefact.vectors
        try:
            mapped: npt.NDArray[np.float16] = np.load(vectors, mmap_mode="r", allow_pickle=False)
            self._table = np.asarray(mapped)  # the same pages, without what a memmap does at each access
            self._pieces = WordPieces(models_dir / artefact.tokenizer)
        except Exception as error:  # the tokenizer's Rust core raises bare Exception
            raise ArtefactsBroken(vectors, f"cannot be opened ({error})") from error
        self.name = artefact.name
        self.version = artefact.version
        self.dimensions = artefact.dimensions

    def encode(self, texts: Sequence[str]) -> npt.NDArray[np.float32]:
        """Return (len(texts), dimensions) float32, rows of length one; a text without known tokens gives zeros."""
        matrix = np.zeros((len(texts), self.dimensions), dtype=np.float32)
        unknown = self._pieces.unknown
        for row, text in zip(matrix, texts, strict=True):
            pieces = self._pieces.read(text)
            if unknown in pieces:
                pieces = [piece for piece in pieces if piece != unknown]
            if pieces:
                whole = np.add.reduceat(self._table[pieces].astype(np.float32), _FROM_THE_FIRST, axis=0)[0]
                row[:] = whole / max(np.sqrt(np.add.reduce(whole * whole)), _LEAST_LENGTH)
        return matrix
