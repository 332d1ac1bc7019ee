"""What the demo measures: quality, cost and latency of each quarter and each way to answer, and paired comparisons.

In: one ``Answered`` for each request. Out: plain numbers and mappings for ``var/demo.json``. Keeps nothing. Pure; the
bootstrap is seeded.
"""

import random
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import fmean, quantiles
from typing import Any

from examples.demo.questions import PREMIUM_ONLY, PRIOR_ONLY, WORKFLOW

RESAMPLES = 2_000
SEED = 20_261_121
LEAST_FOR_QUANTILES = 2


@dataclass(frozen=True)
class Answered:
    """One request of the demo and its end. ``quality`` in [0, 1]; 0 and ``failed`` for a ResponseFailed."""

    workflow: str
    quarter: int
    question_id: str
    content_type: str
    strategy: str
    quality: float
    cost_usd: float
    latency_ms: float
    failed: str | None = None


def summary(rows: Sequence[Answered]) -> dict[str, float]:
    """Mean quality, mean cost and the 95th percentile of latency."""
    return {
        "quality": fmean(row.quality for row in rows),
        "cost_usd_per_request": fmean(row.cost_usd for row in rows),
        "p95_ms": percentile([row.latency_ms for row in rows], 95),
    }


def percentile(values: Sequence[float], percent: float) -> float:
    """The percentile of the values, interpolated; ``percent`` from 0.5 to 99.5, in halves."""
    if len(values) < LEAST_FOR_QUANTILES:
        return values[0]
    return quantiles(values, n=200, method="inclusive")[round(2 * percent) - 1]


def shares(rows: Iterable[Answered]) -> dict[str, float]:
    """The share of requests that each strategy answered, the most used first."""
    counted = Counter(row.strategy for row in rows if row.failed is None)
    return {name: count / counted.total() for name, count in counted.most_common()}


def paired(rows: Sequence[Answered], one: str, other: str) -> dict[str, Any]:
    """Compare two workflows on the same questions: mean difference of quality and ratio of cost, with 95 % bootstrap intervals.

    Questions are resampled, not requests, because answers to one question are alike.
    """
    pairs = _pairs(rows, one, other)
    chance = random.Random(SEED)
    differences, ratios = [], []
    for _ in range(RESAMPLES):
        drawn = chance.choices(pairs, k=len(pairs))
        differences.append(fmean(a.quality - b.quality for a, b in drawn))
        ratios.append(sum(a.cost_usd for a, _ in drawn) / max(sum(b.cost_usd for _, b in drawn), 1e-15))
    return {
        "questions": len(pairs),
        "quality_difference": fmean(a.quality - b.quality for a, b in pairs),
        "quality_difference_95": [percentile(differences, 2.5), percentile(differences, 97.5)],
        "cost_ratio": sum(a.cost_usd for a, _ in pairs) / max(sum(b.cost_usd for _, b in pairs), 1e-15),
        "cost_ratio_95": [percentile(ratios, 2.5), percentile(ratios, 97.5)],
    }


def _pairs(rows: Sequence[Answered], one: str, other: str) -> list[tuple[Answered, Answered]]:
    found: dict[str, dict[str, Answered]] = {}
    for row in rows:
        found.setdefault(row.question_id, {})[row.workflow] = row
    return [(by[one], by[other]) for _, by in sorted(found.items()) if one in by and other in by]


def report(rows: Sequence[Answered], late: frozenset[str]) -> dict[str, Any]:
    """Everything about quality, cost and latency that ``var/demo.json`` holds; ``late`` are the ids of the late questions."""
    learning = [row for row in rows if row.workflow == WORKFLOW]
    last = [row for row in rows if row.quarter == 4]  # noqa: PLR2004 - the last of four
    of = {name: [row for row in last if row.workflow == name] for name in (WORKFLOW, PREMIUM_ONLY, PRIOR_ONLY)}
    unseen = {name: [row for row in part if row.question_id in late] for name, part in of.items()}
    return {
        "first_quarter": summary([row for row in learning if row.quarter == 1]),
        "last_quarter": summary(of[WORKFLOW]),
        "premium_only": summary(of[PREMIUM_ONLY]),
        "prior_only": summary(of[PRIOR_ONLY]),
        "late_questions_only": {
            "last_quarter": summary(unseen[WORKFLOW]),
            "premium_only": summary(unseen[PREMIUM_ONLY]),
            "prior_only": summary(unseen[PRIOR_ONLY]),
        },
        "against_premium_only": paired(last, WORKFLOW, PREMIUM_ONLY),
        "against_prior_only": paired(last, WORKFLOW, PRIOR_ONLY),
        "strategy_share": {
            f"quarter_{quarter}": shares(row for row in learning if row.quarter == quarter) for quarter in (1, 2, 3, 4)
        },
    }
