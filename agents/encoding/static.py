"""The static encoder: a text's vector is the mean of its tokens' vectors.

In: texts. Out: unit vectors, about 0.1 ms for a sentence. Kept: a memory-mapped
float16 table, so that processes on one machine share its pages, and a tokenizer. Fails: ArtefactsMissing,
ArtefactsBroken. Never imports torch, transformers or sentence_transformers.

Tokens are counted one text at a time in the calling thread: the tokenizer's own thread pool would hide its CPU time from
`time.thread_time`, which is what the embedded models are priced by.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from tokenizers import Tokenizer

from agents.encoding.artefacts import ArtefactsBroken, read_manifest

_TEXTS_PER_GATHER = 32


class StaticEncoder:
    """Implements `Encoder` over a table of token vectors."""

    def __init__(self, models_dir: Path) -> None:
        """Open the table in `models_dir`; raises ArtefactsMissing or ArtefactsBroken."""
        artefact = read_manifest(models_dir).static
        vectors = models_dir / artefact.vectors
        try:
            mapped: npt.NDArray[np.float16] = np.load(vectors, mmap_mode="r", allow_pickle=False)
            self._table = np.asarray(mapped)  # the same pages, without what a memmap does at each access
            self._tokenizer = Tokenizer.from_file(str(models_dir / artefact.tokenizer))
        except Exception as error:  # the tokenizer's Rust core raises bare Exception
            raise ArtefactsBroken(vectors, f"cannot be opened ({error})") from error
        self._tokenizer.no_padding()
        self._tokenizer.no_truncation()
        self._unknown_id = self._tokenizer.token_to_id("[UNK]")
        self.name = artefact.name
        self.version = artefact.version
        self.dimensions = artefact.dimensions

    def encode(self, texts: Sequence[str]) -> npt.NDArray[np.float32]:
        """Return (len(texts), dimensions) float32, rows of length one; a text without known tokens gives zeros."""
        matrix = np.zeros((len(texts), self.dimensions), dtype=np.float32)
        for start in range(0, len(texts), _TEXTS_PER_GATHER):
            self._encode_into(matrix[start : start + _TEXTS_PER_GATHER], texts[start : start + _TEXTS_PER_GATHER])
        return matrix

    def _encode_into(self, rows: npt.NDArray[np.float32], texts: Sequence[str]) -> None:
        ids: list[int] = []
        starts: list[int] = []
        filled: list[int] = []
        for row, text in enumerate(texts):
            found = [i for i in self._tokenizer.encode(text, add_special_tokens=False).ids if i != self._unknown_id]
            if found:
                starts.append(len(ids))
                filled.append(row)
                ids.extend(found)
        if not filled:
            return
        sums = np.add.reduceat(self._table[ids].astype(np.float32), starts, axis=0)
        lengths = np.sqrt(np.sum(sums * sums, axis=1, keepdims=True))
        rows[filled] = sums / np.maximum(lengths, np.float32(1e-12))
