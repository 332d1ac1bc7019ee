"""A policy as a person states it, to be tried on the log before any user meets it.

In: a mapping from a YAML file. Out: ``PolicyFile``. Keeps nothing. Fails with pydantic's error, which ``agents.loading`` turns into
lines and columns. Pure.

One of three: ``fixed`` (one strategy answers everything), ``shares`` (a table by content type, ``*`` for all others), or neither,
which is the learned policy: with the profile that decided each request, or ``profile``, a version of it; and with another
``quality_floor`` or ``priority`` where stated. ``exploration`` is mixed into all of them.
"""

import math
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, StrictInt, field_validator, model_validator

from agents.deciding.catalogue import Catalogue
from agents.deciding.governance import FLOOR_EXPECTED, Floor, read_floor
from agents.deciding.mistakes import Complaint, Path, Stated, nearest_names, refused

ALL_OTHERS = "*"
SHARES_EXPECTED = "strategies with their shares, which sum to 1"
_ROUNDING = 1e-6

Priority = Literal["balanced", "quality_over_speed", "speed_over_quality", "cost_over_quality"]
Share = Annotated[float, Field(ge=0, le=1)]


class PolicyFile(Stated):
    """What a policy file may state."""

    name: Annotated[str, Field(min_length=1, max_length=100)] | None = Field(
        default=None, description="a name for the report"
    )
    fixed: str | None = Field(default=None, description="a strategy's id")
    shares: dict[str, dict[str, Share]] | None = Field(
        default=None, description="for content types (* for all others) strategies with their shares"
    )
    profile: Annotated[StrictInt, Field(ge=0)] | None = Field(
        default=None, description="a version of the profile, 0 for the built-in rules"
    )
    quality_floor: Annotated[Floor | None, BeforeValidator(read_floor)] = Field(
        default=None, description=FLOOR_EXPECTED
    )
    priority: Priority | None = Field(
        default=None, description="balanced, quality_over_speed, speed_over_quality or cost_over_quality"
    )
    exploration: Annotated[float, Field(strict=True, ge=0, le=1)] | None = Field(
        default=None, description="a number from 0 to 1"
    )

    @field_validator("shares")
    @classmethod
    def _shares_sum_to_one(cls, shares: Any) -> Any:
        for kind, table in (shares or {}).items():
            if abs(math.fsum(table.values()) - 1) > _ROUNDING:
                raise refused(SHARES_EXPECTED, reason=f"the shares for {kind} sum to {math.fsum(table.values()):g}")
        return shares

    @model_validator(mode="after")
    def _one_of_three(self) -> Self:
        if self.fixed is not None and self.shares is not None:
            raise refused("fixed or shares", reason="fixed and shares exclude each other: state one of them")
        learned = [key for key in ("profile", "priority") if getattr(self, key) is not None]
        if learned and not self.learned:
            stated = "fixed" if self.fixed is not None else "shares"
            raise refused(
                "a learned policy", reason=f"{' and '.join(learned)} say nothing beside {stated}: take one out"
            )
        return self

    @property
    def learned(self) -> bool:
        """Whether the probabilities come from a profile."""
        return self.fixed is None and self.shares is None


def check_policy_file(stated: PolicyFile, catalogue: Catalogue) -> list[Complaint]:
    """What only the catalogue can tell: names that no strategy has."""
    named: list[tuple[Path, str]] = [] if stated.fixed is None else [(("fixed",), stated.fixed)]
    named += [(("shares", kind, name), name) for kind, table in (stated.shares or {}).items() for name in table]
    return [
        Complaint(
            path,
            name,
            "a strategy of the catalogue",
            nearest_names(name, catalogue.ids, limit=3) or catalogue.ids,
            about_key=path[0] == "shares",
        )
        for path, name in named
        if name not in catalogue.ids
    ]
