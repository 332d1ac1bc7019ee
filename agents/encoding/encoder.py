"""What an encoder is.

In: texts. Out: one row of float32 for each, of length one (or zero for a text without a known token).
Kept: nothing here. Fails: nothing here.
"""

from collections.abc import Sequence
from typing import Protocol

import numpy as np
import numpy.typing as npt


class Encoder(Protocol):
    """Turns texts into vectors; the same text gives the same bytes, whatever else is encoded with it."""

    @property
    def name(self) -> str:
        """Which encoder, for example `minilm-static`."""
        ...

    @property
    def version(self) -> str:
        """Changes whenever the vectors may: belongs into every event that carries a vector."""
        ...

    @property
    def dimensions(self) -> int:
        """Columns of the matrix that `encode` returns."""
        ...

    def encode(self, texts: Sequence[str]) -> npt.NDArray[np.float32]:
        """Return an array of shape (len(texts), dimensions), rows L2-normalised; an empty text's row is zero."""
        ...
