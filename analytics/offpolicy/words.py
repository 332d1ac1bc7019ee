"""The change impact report in words and as plain values.

In: ``Impact`` and what it is about. Out: lines of text, a mapping for JSON. Keeps nothing, cannot fail. Pure.
"""

import math
from dataclasses import asdict, dataclass
from typing import Any

from analytics.offpolicy.estimating import Interval, PolicyEstimate
from analytics.offpolicy.gate import VALUE, Waiting
from analytics.offpolicy.impact import OUTCOMES, Change, Impact
from analytics.offpolicy.logged import COST, LATENCY, QUALITY

NAMES = {VALUE: "value", QUALITY: "quality", COST: "cost, USD", LATENCY: "latency, ms"}
DIGITS = {VALUE: "{:+.4f}", QUALITY: "{:+.4f}", COST: "{:+.2e}", LATENCY: "{:+,.1f}"}
HEADLINES = {
    "promote": "promote: the log supports it",
    "keep": "keep what is running",
    "log_more": "no promise: the log cannot support one",
}
CHANGES: dict[Change, str] = {
    "wins": "wins",
    "loses": "loses",
    "no_difference_shown": "no difference shown",
    "cannot_tell": "cannot tell",
}
TINY_SHARE = 0.0005


@dataclass(frozen=True)
class About:
    """What a report is about: the policy's name, since when, and how many requests with a reward come in a day."""

    policy: str
    since: str
    workflow: str | None
    unrewarded: int
    requests_a_day: float


def shown(name: str, amount: float, *, signed: bool = False) -> str:
    """A number of an outcome in its own precision; ``-`` where there is none."""
    if not math.isfinite(amount):
        return "-"
    text = DIGITS[name].format(amount)
    return text if signed else text.lstrip("+")


def between(name: str, interval: Interval, expected: float | None = None, *, signed: bool = False) -> str:
    """An estimate with its interval: ``0.8123 (0.8011 to 0.8235)``; ``expected`` in place of the interval's middle."""
    ends = (interval.mean if expected is None else expected, interval.lower, interval.upper)
    mean, lower, upper = (shown(name, each, signed=signed) for each in ends)
    return f"{mean} ({lower} to {upper})"


def estimate_rows(estimate: PolicyEstimate) -> list[tuple[str, str, str, str, str, str]]:
    """A row an outcome: running, doubly robust, difference, SNIPS, IPS."""
    return [
        (
            NAMES[name],
            shown(name, each.running.mean),
            between(name, each.doubly_robust, each.expected),
            between(name, each.difference, signed=True),
            between(name, each.snips),
            between(name, each.ips),
        )
        for name, each in estimate.outcomes.items()
    ]


def kind_rows(impact: Impact) -> list[tuple[str, ...]]:
    """A row a content type."""
    return [
        (
            each.content_type,
            f"{each.requests:,}",
            f"{each.estimate.effective:,.0f}",
            CHANGES[each.change],
            *(between(name, each.estimate.outcomes[name].difference, signed=True) for name in (VALUE, QUALITY, COST)),
        )
        for each in impact.kinds
    ]


def share_rows(impact: Impact) -> list[tuple[str, str, str]]:
    """A row a strategy, the ones with the largest change first; those that hardly get anything either way are left out."""
    changed = sorted(impact.shares.items(), key=lambda each: (-abs(each[1][1] - each[1][0]), each[0]))
    return [(name, f"{was:.1%}", f"{will:.1%}") for name, (was, will) in changed if max(was, will) >= TINY_SHARE]


def days(requests: int, about: About) -> float:
    """How many days so many requests take."""
    return requests / about.requests_a_day if about.requests_a_day > 0 else math.inf


def waiting_rows(impact: Impact, about: About) -> list[tuple[str, str, str]]:
    """A row a share of exploration: requests and time until the log can tell."""
    return [(f"{each.exploration:.0%}", f"{each.requests:,}", _time(each, about)) for each in impact.waiting]


def _time(waiting: Waiting, about: About) -> str:
    found = days(waiting.requests, about)
    if not math.isfinite(found):
        return "-"
    return f"{found * 24:,.1f} h" if found < 1 else f"{found:,.1f} d"


def headline(impact: Impact) -> str:
    """The verdict in a few words."""
    return HEADLINES[impact.verdict.answer]


def as_values(impact: Impact, about: About) -> dict[str, Any]:
    """The whole report as mappings, lists, numbers and texts; what is no number is null."""
    return {
        "policy": about.policy,
        "since": about.since,
        "workflow": about.workflow,
        "requests": impact.requests,
        "unrewarded": about.unrewarded,
        "requests_a_day": about.requests_a_day,
        "worth": asdict(impact.worth),
        "verdict": impact.verdict.answer,
        "conditions": [asdict(each) for each in impact.verdict.conditions],
        "floor": impact.floor,
        "floor_margin": _interval(impact.floor_margin),
        "estimate": _estimate(impact.estimate),
        "content_types": [
            {
                "content_type": each.content_type,
                "requests": each.requests,
                "change": each.change,
                **_estimate(each.estimate),
            }
            for each in impact.kinds
        ],
        "shares": {name: {"running": was, "new": will} for name, (was, will) in impact.shares.items()},
        "log_longer": [
            {
                "exploration": each.exploration,
                "requests": each.requests,
                "requests_for_sample_size": each.requests_for_size,
                "requests_for_precision": each.requests_for_precision,
                "days": _number(days(each.requests, about)),
            }
            for each in impact.waiting
        ],
    }


def _estimate(estimate: PolicyEstimate) -> dict[str, Any]:
    return {
        "effective_sample_size": estimate.effective,
        "largest_weight": estimate.largest_weight,
        "unsupported": estimate.unsupported,
        "outcomes": {
            name: {"expected": _number(estimate.outcomes[name].expected)}
            | {
                method: _interval(getattr(estimate.outcomes[name], method))
                for method in ("running", "doubly_robust", "difference", "snips", "ips")
            }
            for name in OUTCOMES
        },
    }


def _interval(interval: Interval) -> dict[str, float | None]:
    ends = {"mean": interval.mean, "lower": interval.lower, "upper": interval.upper}
    return {name: _number(each) for name, each in ends.items()}


def _number(amount: float) -> float | None:
    return amount if math.isfinite(amount) else None
