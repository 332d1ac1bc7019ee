"""The service levels: what is promised, of how many, and how fast a budget may burn before somebody is called.

In: nothing. Out: ``LEVELS`` and ``BURNS``, which the alert rules (infra/prometheus/rules.yaml) and whoever computes error budgets
state alike. Keeps nothing. Cannot fail. The budget of a level is 1 - objective, over ``WINDOW_DAYS``; a burn of 1 uses it up in
that time. An alert needs two windows (Google's SRE workbook, chapter 5): the long one shows that it matters, the short one that it
goes on.
"""

from dataclasses import dataclass
from typing import Final, Literal

WINDOW_DAYS: Final = 30


@dataclass(frozen=True)
class ServiceLevel:
    """A promise: in ``objective`` of all cases. ``bad_ratio`` is the recorded series of the share that broke it, by window."""

    objective: float
    means: str
    bad_ratio: str

    @property
    def budget(self) -> float:
        """The share that may break the promise."""
        return 1.0 - self.objective


@dataclass(frozen=True)
class Burn:
    """An alert where both windows burn ``factor`` times as fast as the budget allows."""

    factor: float
    long: str
    short: str
    severity: Literal["page", "ticket"]


LATENCY_S: Final = 5.0
"""How long a request may take; a bound of ``penstock_response_seconds``."""

LEVELS: Final[dict[str, ServiceLevel]] = {
    "answered": ServiceLevel(
        0.999,
        "requests that may be answered get an answer; what the caller did wrong does not count",
        "penstock:unanswered:ratio",
    ),
    "latency": ServiceLevel(0.95, "requests with a plan end within 5 s", "penstock:slow:ratio"),
    "floor": ServiceLevel(0.80, "rewards reach the quality floor of the settings", "penstock:below_floor:ratio"),
}
"""Name to promise."""

BURNS: Final = (
    Burn(14.4, "1h", "5m", "page"),
    Burn(6.0, "6h", "30m", "page"),
    Burn(3.0, "1d", "2h", "ticket"),
    Burn(1.0, "3d", "6h", "ticket"),
)
