"""Text to vectors: a static encoder for the hot path, MiniLM by ONNX where quality is worth its time.

In: texts. Out: float32 matrices with rows of length one. Kept: read-only tables under the models folder, made once by
`agents.encoding.prepare`. Fails: `ArtefactsMissing` where that folder was not prepared, `ArtefactsBroken` where it was damaged.
Importing this package loads neither onnxruntime nor torch.
"""

from agents.encoding.artefacts import ArtefactsBroken, ArtefactsMissing, EncodingError
from agents.encoding.encoder import Encoder

__all__ = ["ArtefactsBroken", "ArtefactsMissing", "Encoder", "EncodingError"]
