"""Moments and spans as people write them: ``2026-11-20``, ``2026-11-20T14:00``, ``-2h``, ``7d``, ``now``.

In: a word and the time. Out: microseconds since 1970-01-01 UTC, or seconds. Keeps nothing. Fails with ``Failure`` (status 2) that
names the forms. A moment without a zone is UTC, as everything that Penstock prints. Pure.
"""

import re
from datetime import UTC, datetime

from streams.cli.printing import USAGE, Failure

_UNITS_S = {"s": 1, "m": 60, "h": 3_600, "d": 86_400, "w": 604_800}
_SPAN = re.compile(r"-?(\d+(?:\.\d+)?)([smhdw])")
US_PER_S = 1_000_000


def span_s(stated: str, option: str) -> float:
    """Read a span such as ``90s``, ``30m``, ``6h`` or ``3d``; seconds."""
    found = _SPAN.fullmatch(stated.strip())
    if found is None or float(found[1]) <= 0:
        raise Failure(f"{option} is {stated!r}; it should be a span such as 90s, 30m, 6h or 3d.", status=USAGE)
    return float(found[1]) * _UNITS_S[found[2]]


def moment_us(stated: str, option: str, now_us: int) -> int:
    """Read a moment: a span back from now (with or without ``-``), ``now``, or ISO 8601; microseconds since 1970-01-01 UTC."""
    word = stated.strip()
    if word == "now":
        return now_us
    if _SPAN.fullmatch(word):
        return now_us - round(span_s(word, option) * US_PER_S)
    try:
        moment = datetime.fromisoformat(word)
    except ValueError:
        raise Failure(
            f"{option} is {stated!r}; it should be a time such as 2026-11-20T14:00 (UTC), or so long ago: -2h, 7d.",
            status=USAGE,
        ) from None
    return round((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * US_PER_S)


def words_of(seconds: float) -> str:
    """Show a span in the largest unit that divides it: ``6h``."""
    for unit, size in reversed(_UNITS_S.items()):
        if unit != "w" and seconds >= size and seconds % size == 0:
            return f"{seconds / size:g}{unit}"
    return f"{seconds:g}s"
