"""Mistakes in what people wrote, as values, before anybody knows in which line they stand.

Comes in: what was found and what would have been right. Goes out: a ``Complaint`` at a path inside
a document, or the same as an error that pydantic collects together with its own. Keeps nothing.
``agents.loading`` adds file, line and column. Pure.
"""

import difflib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict, model_validator
from pydantic_core import PydanticCustomError

AUTO = "auto"
REFUSED = "penstock_refused"
MIN_SIMILARITY = 0.5

Path = tuple[str | int, ...]


@dataclass(frozen=True)
class Complaint:
    """One mistake at ``path`` inside a document.

    ``found`` is the value as it stands there, ``expected`` a phrase, ``valid`` the names that would
    have been right (empty where it is not about a name), ``reason`` a whole sentence that replaces
    the usual "found, expected" where more has to be said (else empty); with ``about_key`` the key
    at the path is wrong, not its value.
    """

    path: Path
    found: object
    expected: str
    valid: tuple[str, ...] = ()
    reason: str = ""
    about_key: bool = False


def refused(expected: str, *, valid: Iterable[str] = (), reason: str = "") -> PydanticCustomError:
    """The error to raise in a field's validator; pydantic adds the path and what was found."""
    return PydanticCustomError(
        REFUSED,
        "expected {expected}",
        {"expected": expected, "valid": tuple(valid), "reason": reason},
    )


def nearest_names(found: str, valid: Iterable[str], limit: int = 1) -> tuple[str, ...]:
    """At most ``limit`` of the valid names, the most similar first; empty if none is similar.

    Similarity is difflib's ratio (twice the matching characters by the length of both), without
    regard to case, at least 0.5; ties go to the name that comes first in the alphabet.
    """
    folded = found.casefold()
    rated = []
    for name in sorted(set(valid)):
        ratio = difflib.SequenceMatcher(None, name.casefold(), folded, autojunk=False).ratio()
        if ratio >= MIN_SIMILARITY:
            rated.append((-ratio, name))
    return tuple(name for _, name in sorted(rated)[:limit])


class Stated(BaseModel):
    """What a person stated: unknown keys are mistakes; ``auto`` and nothing are a missing key."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    literal_keys: ClassVar[frozenset[str]] = frozenset()
    """Keys where the word ``auto`` means itself."""

    @model_validator(mode="before")
    @classmethod
    def auto_is_missing(cls, content: Any) -> Any:
        """Drop the keys whose value is ``auto`` or empty, so that all three read alike."""
        if not isinstance(content, dict):
            return content
        return {key: value for key, value in content.items() if not cls._is_auto(key, value)}

    @classmethod
    def _is_auto(cls, key: object, value: object) -> bool:
        if key not in cls.model_fields or key in cls.literal_keys:
            return False
        return value is None or (isinstance(value, str) and value == AUTO)
