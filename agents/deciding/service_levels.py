"""Service levels: what is promised of requests, and what is left of the promise.

Comes in: counts of requests, those that count (``valid``) and those that kept the promise (``good``), over the budget's window
and over shorter ones. Goes out: the share, the error budget left, how fast it burns, and whether somebody should be told. Keeps
nothing. Fails with nothing; an objective that cannot be is refused when the settings are read. Pure.

With o the objective, the budget is the share 1 - o of the valid that may be bad. Over the budget's window B,
bad / (valid (1 - o)) of it is spent. Over a window w, it burns bad_w / (valid_w (1 - o)) times as fast as it may. Who is told when
(the multiwindow rule of Google's SRE workbook, chapter 5): where w and w / 12 both burn at the rate that spends 2 % of the budget
in w up to 1 h, 5 % up to 6 h, 10 % beyond: at 30 days 14.4 times for 1 h, 6 for 6 h, 3 for 1 d, 1 for 3 d. The long window shows
that it matters, the short one that it goes on.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, StrictInt

from agents.deciding.mistakes import Stated, refused

LATENCY_BOUNDS_MS = (200, 500, 1_000, 2_000, 3_000, 5_000, 10_000, 20_000, 30_000)
"""Latencies that an objective may name: counted window by window, and bounds of Prometheus' histogram too."""
QUALITY_BOUNDS = (0.5, 0.6, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95)
"""Rewards that an objective may name."""
SHORT = 12
"""A long window is so many times the short one beside it."""
HOUR_S, DAY_S = 3_600, 86_400

_ROUNDING = 1e-9

Level = Literal["answered", "latency", "floor"]
State = Literal["kept", "burning", "burning_fast", "gone"]

SHARE = "a share between 0 and 1, such as 0.99"
Share = Annotated[float, Field(strict=True, gt=0, lt=1)]


def _one_of(bounds: tuple[float, ...]) -> BeforeValidator:
    expected = f"one of {', '.join(f'{each:g}' for each in bounds)}"

    def check(content: Any) -> Any:
        if isinstance(content, bool) or content not in bounds:
            raise refused(expected)
        return content

    return BeforeValidator(check)


class Answered(Stated):
    """Requests that may be answered are: what the caller did wrong does not count."""

    objective: Share = Field(default=0.999, description=SHARE)


class Latency(Stated):
    """Requests that were planned end in time."""

    objective: Share = Field(default=0.95, description=SHARE)
    threshold_ms: Annotated[int, _one_of(LATENCY_BOUNDS_MS)] = Field(
        default=5_000, description=f"one of {', '.join(str(each) for each in LATENCY_BOUNDS_MS)}"
    )


class QualityFloor(Stated):
    """Answers reach a reward."""

    objective: Share = Field(default=0.80, description=SHARE)
    quality: Annotated[float, _one_of(QUALITY_BOUNDS)] = Field(
        default=0.80, description=f"one of {', '.join(f'{each:g}' for each in QUALITY_BOUNDS)}"
    )


class ServiceLevels(Stated):
    """The promises, and over how many days their budgets run."""

    budget_window_d: Annotated[StrictInt, Field(ge=1, le=90)] = Field(default=30, description="whole days from 1 to 90")
    answered: Answered = Field(default_factory=Answered, description="{objective: a share}")
    latency: Latency = Field(default_factory=Latency, description="{objective: a share, threshold_ms: a latency}")
    floor: QualityFloor = Field(default_factory=QualityFloor, description="{objective: a share, quality: a reward}")

    def objective(self, level: Level) -> float:
        """The share that is promised."""
        stated: Answered | Latency | QualityFloor = getattr(self, level)
        return stated.objective

    def threshold(self, level: Level) -> float | None:
        """Where a level's threshold lies: milliseconds, or a reward; None for one without."""
        return {"answered": None, "latency": self.latency.threshold_ms, "floor": self.floor.quality}[level]


@dataclass(frozen=True)
class Count:
    """Of the cases that count, those that kept the promise."""

    valid: int = 0
    good: int = 0

    @property
    def bad(self) -> int:
        """Those that broke it."""
        return self.valid - self.good


@dataclass(frozen=True)
class Burn:
    """How fast a budget burns: over a window and the short one in it, as multiples of what it may; None where there was no case."""

    window_s: float
    rate: float | None
    short_rate: float | None
    limit: float
    severity: Literal["page", "ticket"]

    @property
    def firing(self) -> bool:
        """Whether both windows burn at the limit or faster."""
        return self.rate is not None and self.short_rate is not None and min(self.rate, self.short_rate) >= self.limit


@dataclass(frozen=True)
class Standing:
    """How a promise stands. ``budget_left`` is a share of the budget, negative where it is overspent; None without a case."""

    level: Level
    objective: float
    threshold: float | None
    whole: Count
    share: float | None
    budget_left: float | None
    burns: tuple[Burn, ...]

    @property
    def state(self) -> State:
        """``gone``: the budget is spent; ``burning_fast``: somebody should look now; ``burning``: within days."""
        if self.budget_left is not None and self.budget_left <= _ROUNDING:
            return "gone"
        firing = {burn.severity for burn in self.burns if burn.firing}
        return "burning_fast" if "page" in firing else "burning" if firing else "kept"


def burn_limit(window_s: float, budget_s: float) -> float:
    """The burn rate at which a window tells: at least 1, which is what spends the budget in just its time."""
    share = 0.02 if window_s <= HOUR_S else 0.05 if window_s <= 6 * HOUR_S else 0.10
    return max(1.0, share * budget_s / window_s)


def standing(
    level: Level, levels: ServiceLevels, whole: Count, windows: Mapping[float, tuple[Count, Count]]
) -> Standing:
    """How a promise stands; ``windows``: for each window in s, the counts over it and over its twelfth."""
    objective = levels.objective(level)
    budget_s = levels.budget_window_d * DAY_S

    def rate(count: Count) -> float | None:
        return count.bad / (count.valid * (1 - objective)) if count.valid else None

    spent = rate(whole)
    return Standing(
        level=level,
        objective=objective,
        threshold=levels.threshold(level),
        whole=whole,
        share=whole.good / whole.valid if whole.valid else None,
        budget_left=None if spent is None else 1 - spent,
        burns=tuple(
            Burn(
                window_s=window_s,
                rate=rate(long),
                short_rate=rate(short),
                limit=burn_limit(window_s, budget_s),
                severity="page" if window_s <= 6 * HOUR_S else "ticket",
            )
            for window_s, (long, short) in sorted(windows.items())
        ),
    )
