"""Arrays that are worked out from texts once: the next run of a command finds them in the var folder.

In: the texts, what reads them by name and version, how to read them. Out: an array with one row a text. Keeps a file for each set
of texts and reader, written whole or not at all; one that cannot be read is made again. The folder may be deleted at any time.
"""

import hashlib
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from streams.cli.printing import note

if TYPE_CHECKING:
    from streams.deployment import Deployment


def kept(deployment: "Deployment", read_by: Sequence[str], texts: Sequence[str], read: Callable[[], Any]) -> Any:
    """The array of the texts: what the file holds, else what ``read`` gives, which is kept."""
    import numpy as np

    state = hashlib.sha256()
    for part in (*read_by, *texts):
        state.update(len(part).to_bytes(8, "big") + part.encode("utf-8", "surrogatepass"))
    place = deployment.var / "cache" / "evaluate" / f"{read_by[0]}-{state.hexdigest()[:32]}.npy"
    try:
        found = np.load(place, allow_pickle=False)
        if len(found) == len(texts):
            return found
    except (OSError, ValueError, EOFError):
        pass  # none yet, or one that something else has spoilt
    note(f"{read_by[0]} reads {len(texts):,} texts (once; kept in {place.parent}) ...")
    found = read()
    place.parent.mkdir(parents=True, exist_ok=True)
    unfinished = place.with_suffix(".part.npy")
    np.save(unfinished, found)
    unfinished.replace(place)
    return found
