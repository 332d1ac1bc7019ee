"""MiniLM by onnxruntime: the sentence-transformers model without torch.

In: texts. Out: unit vectors of 384 dimensions, a few ms for a sentence. Kept: one session with one thread of its caller's, so
that `time.thread_time` sees all its work. Fails: ArtefactsMissing, ArtefactsBroken.

A text runs alone. Dynamic int8 quantization scales activations over the whole tensor, so a text's
vector would depend on its neighbours in a batch; and on one thread the best batch size saved no more
than a fifth of the time, larger ones lost by padding. `encode` runs a repeated text once.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnxruntime

from agents.encoding.artefacts import ArtefactsBroken, read_manifest
from agents.encoding.word_pieces import WordPieces

MAX_TOKENS = 256
SLOWER = "SkipLayerNormFusion"
"""What the runtime would do of itself to a model that it opens: one kernel for an addition and the normalisation after it, which
takes longer than both, a seventh of a sentence's whole time (measured with onnxruntime 1.31 on 8 to 15 tokens)."""
_AS_RUN = "apart"
"""Told in the version, because the last digits of a vector depend on it."""


class OnnxEncoder:
    """Implements `Encoder` over the exported transformer."""

    def __init__(self, models_dir: Path) -> None:
        """Open the model in `models_dir`; raises ArtefactsMissing or ArtefactsBroken."""
        artefact = read_manifest(models_dir).onnx
        model = models_dir / artefact.model
        try:
            self._session = open_session(model)
            self._pieces = WordPieces(models_dir / artefact.tokenizer)
        except Exception as error:  # both Rust and C++ raise classes of their own
            raise ArtefactsBroken(model, f"cannot be opened ({error})") from error
        self.name = artefact.name
        self.version = f"{artefact.version}-{_AS_RUN}"
        self.dimensions = artefact.dimensions

    def encode(self, texts: Sequence[str]) -> npt.NDArray[np.float32]:
        """Return (len(texts), dimensions) float32, rows of length one; tokens after the 256th are not read."""
        matrix = np.zeros((len(texts), self.dimensions), dtype=np.float32)
        seen: dict[str, int] = {}
        for row, text in enumerate(texts):
            if not text.strip():
                continue
            first = seen.setdefault(text, row)
            matrix[row] = matrix[first] if first != row else run_one(self._session, self._pieces, text)
        return matrix


def open_session(model: Path) -> onnxruntime.InferenceSession:
    """Open `model` for one thread: the caller's."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(
        str(model), options, providers=["CPUExecutionProvider"], disabled_optimizers=[SLOWER]
    )


def run_one(session: onnxruntime.InferenceSession, pieces: WordPieces, text: str) -> npt.NDArray[np.float32]:
    """Return the vector of one text, of shape (dimensions,), from its first 256 tokens, the marks at its ends included."""
    read = pieces.read(text)[: MAX_TOKENS - 2]
    ids = np.array([[pieces.number_of("[CLS]"), *read, pieces.number_of("[SEP]")]], dtype=np.int64)
    (vectors,) = session.run(None, {"input_ids": ids, "attention_mask": np.ones_like(ids)})
    vector: npt.NDArray[np.float32] = vectors[0]
    return vector
