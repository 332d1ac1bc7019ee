"""Makes a storage of ten million events, once, through the storage's own taking in: ``python -m tests.benchmarks.made_store``.

In: nothing. Out: ``var/bench/analytics-HASH``, kept for the next run of the same code; the hash is of everything that a storage is
made by. Keeps nothing else; stores of other code are removed. Fails as the storage does; what was begun is then made anew.
"""

import shutil
import sys
import time
from hashlib import blake2b
from pathlib import Path

from analytics.public import publish
from analytics.storage import Storage
from analytics.upkeep import maintain
from streams.deployment import ROOT
from tests.benchmarks.made_log import MadeLog

REQUESTS = 1_880_000
"""So many have ten million events."""
DAYS = 6
AT_ONCE = 20_000
DAY_US = 86_400_000_000
FIRST_US = 1_760_000_000_000_000
LAST_US = FIRST_US + DAYS * DAY_US
_LAYOUT = ("columns", "known", "outcomes", "parquet_files", "public", "storage", "sums", "upkeep")
_FOLDER = ROOT / "var" / "bench"


def made_log() -> MadeLog:
    """The log that the storage is made from; it goes on after that."""
    return MadeLog(FIRST_US, DAYS * DAY_US // REQUESTS)


def made_store() -> Path:
    """Give the folder of the storage, which is made where it is not there yet."""
    folder = _FOLDER / f"analytics-{_fingerprint()}"
    if folder.exists():
        return folder
    for other in _FOLDER.glob("analytics-*"):
        shutil.rmtree(other)
    unfinished = _FOLDER / "analytics-unfinished"
    _fill(unfinished)
    unfinished.replace(folder)
    storage = Storage(folder, "bench")  # the views name their files by absolute path
    publish(storage, LAST_US)
    storage.close()
    return folder


def _fill(folder: Path) -> None:
    storage, log = Storage(folder, "bench"), made_log()
    for first in range(0, REQUESTS, AT_ONCE):
        batch = log.batch(first, min(AT_ONCE, REQUESTS - first))
        storage.take(batch, batch.last_logged_at_us)
    while maintain(storage, LAST_US):
        pass
    storage.connection.execute("CHECKPOINT")
    storage.close()


def _fingerprint() -> str:
    told = blake2b(digest_size=6)
    sources = [*(ROOT / "analytics").rglob("*.sql"), *(ROOT / "schemas").glob("*.py")]
    sources += [ROOT / "analytics" / f"{name}.py" for name in _LAYOUT]
    for path in sorted([*sources, Path(__file__), Path(__file__).with_name("made_log.py")]):
        told.update(path.read_bytes())
    return told.hexdigest()


if __name__ == "__main__":
    begun = time.monotonic()
    sys.stdout.write(f"{made_store()} in {time.monotonic() - begun:.0f} s\n")
