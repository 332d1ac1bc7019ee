"""Evidence that stays valid however often one looks, and the steps that follow from it."""

import numpy as np
import pytest

from analytics.experimenting.comparing import Observed, Rules, judge, looks
from analytics.experimenting.confidence import (
    LEAST_EACH,
    _costs,
    asymptotic,
    bounded,
    bounded_level,
    bounds_of,
    evidence_of_difference,
    terms,
)

RUNS, LONG, AT_ONCE = 2_000, 400, 100


def conversations(
    rng: np.random.Generator,
    runs: int,
    n: int,
    *,
    share: float = 0.5,
    better: float = 0.0,
    cheaper: float = 1.0,
    failing: float = 0.0,
) -> Observed:
    """Ratings in steps of a quarter, skewed costs and latencies; the new version ``better`` in chance, ``cheaper`` in price."""
    given = rng.random((runs, n)) < share
    quality = rng.binomial(4, np.where(given, 0.7 + better, 0.7)) / 4
    return Observed(
        given=given,
        shares=np.full(n, share),
        quality=quality,
        cost_usd=rng.gamma(1.5, 0.001, size=(runs, n)) * np.where(given, cheaper, 1.0),
        latency_ms=rng.lognormal(6.5, 0.6, size=(runs, n)),
        failed=(rng.random((runs, n)) < np.where(given, 0.01 + failing, 0.01)).astype(float),
    )


@pytest.mark.parametrize("share", [0.5, 0.05])
def test_in_2000_runs_of_equal_versions_looking_after_every_conversation_errs_in_at_most_5_percent(share):
    rng = np.random.default_rng([20, round(100 * share)])
    wrong = 0
    for _ in range(RUNS // AT_ONCE):
        seen = looks(conversations(rng, AT_ONCE, LONG, share=share), Rules(floor=0.5))
        fired = np.any([each.any(axis=-1) for each in seen.rules.values()], axis=0)
        missed = [
            ~((each.lower <= 0) & (each.upper >= 0)).all(axis=-1)
            for name, each in seen.sequences.items()
            if name != "level"
        ]
        wrong += int((fired | np.any(missed, axis=0)).sum())

    assert wrong / RUNS <= 0.05


def test_a_better_a_cheaper_and_a_failing_version_are_found_out():
    rng = np.random.default_rng(21)

    def steps(**change: float) -> list[str]:
        many = conversations(rng, 20, 4_000, **change)
        return [
            judge(
                Observed(
                    many.given[i], many.shares, many.quality[i], many.cost_usd[i], many.latency_ms[i], many.failed[i]
                ),
                Rules(floor=0.5, quality_margin=0.06, cost_margin=0.2, latency_margin=0.3),
            ).step
            for i in range(20)
        ]

    assert steps(better=0.1).count("winner") >= 19
    assert steps(cheaper=0.5).count("winner") >= 19
    assert steps(better=-0.1).count("stop") >= 19
    assert steps(failing=0.15).count("rollback") >= 19


def test_quality_below_the_floor_is_rolled_back_and_a_long_run_without_a_difference_stops():
    rng = np.random.default_rng(22)
    bad = conversations(rng, 1, 3_000, better=-0.3)
    one = Observed(bad.given[0], bad.shares, bad.quality[0], bad.cost_usd[0], bad.latency_ms[0], bad.failed[0])
    found = judge(one, Rules(floor=0.6))

    assert (found.step, found.reason) == ("rollback", "quality is below the floor")
    assert {each.name for each in found.evidence} == {"quality", "cost_usd", "latency_ms", "failed", "level"}
    equal = conversations(rng, 1, 300)
    one = Observed(
        equal.given[0], equal.shares, equal.quality[0], equal.cost_usd[0], equal.latency_ms[0], equal.failed[0]
    )
    assert judge(one, Rules(floor=0.5, most=301)).step == "running"
    assert judge(one, Rules(floor=0.5, most=300)).step == "stop"
    nothing = np.empty(0)
    none = Observed(np.empty(0, dtype=bool), nothing, nothing, nothing, nothing, nothing)
    assert judge(none, Rules(floor=0.5)).step == "running"


def test_the_interval_excludes_zero_exactly_where_the_evidence_is_strong_enough():
    rng = np.random.default_rng(23)
    seen = conversations(rng, 10, 800, better=0.1)
    interval = bounded(seen.given, seen.shares, seen.quality, 0.05)
    evidence = evidence_of_difference(seen.given, seen.shares, seen.quality)
    strong = evidence >= np.log(2 / 0.05)
    near = np.abs(evidence - np.log(2 / 0.05)) < 1e-6

    assert strong.any()
    assert not strong.all()
    assert (((interval.lower > 0) | (interval.upper < 0)) == strong)[~near].all()


@pytest.mark.parametrize("share", [0.05, 0.5, 0.9])
@pytest.mark.parametrize("mean", [0.02, 0.1, 0.5, 0.98])
@pytest.mark.parametrize("center", [0.0, 0.5, 0.9, 1.0])
def test_the_evidence_against_equal_means_does_not_grow_on_average_whatever_came_before(share, mean, center):
    """One more term, by enumeration: the mean of exp(l z - psi z^2) is at most 1, for z and for -z."""
    chances = np.array([share * mean, share * (1 - mean), (1 - share) * mean, (1 - share) * (1 - mean)])
    z = np.array([1 / share, 1 / share, -1 / (1 - share), -1 / (1 - share)]) * (np.array([1, 0, 1, 0]) - center)
    rates, costs = _costs(z[:, None], bounds_of(np.array([share])), bound=0.0, last=False)

    for sign in (1, -1):
        grown = chances @ np.exp(sign * rates * z[:, None] - costs[:, 0])
        assert (grown <= 1 + 1e-12).all()


def test_terms_are_unbiased_and_the_truth_stays_inside_when_a_canary_grows():
    rng = np.random.default_rng(24)
    shares = np.repeat([0.05, 0.25, 0.9], 400)
    given = rng.random((400, 1_200)) < shares
    quality = (rng.random(given.shape) < np.where(given, 0.6, 0.5)).astype(float)

    assert terms(given, shares, quality).mean() == pytest.approx(0.1, abs=0.01)
    difference = bounded(given, shares, quality, 0.05)
    level = bounded_level(given, shares, quality, 0.05)
    assert ((difference.lower <= 0.1) & (difference.upper >= 0.1)).all(axis=-1).mean() >= 0.95
    assert ((level.lower <= 0.6) & (level.upper >= 0.6)).all(axis=-1).mean() >= 0.95


def test_costs_say_nothing_before_there_are_enough_of_either_version():
    given = np.arange(400) % 8 == 0
    sequence = asymptotic(given, np.full(400, 0.125), np.random.default_rng(25).gamma(2.0, size=400), 0.05)
    enough = int(np.searchsorted(given.cumsum(), LEAST_EACH))

    assert np.isinf(sequence.radius[:enough]).all()
    assert np.isfinite(sequence.radius[enough:]).all()


def test_the_last_look_alone_sees_what_the_last_of_all_looks_sees_and_a_bound_that_is_stated_holds_from_the_first_on():
    rng = np.random.default_rng(26)
    many = conversations(rng, 3, 500, better=-0.2)
    for rules in (Rules(floor=0.6), Rules(floor=0.9, floor_is_relative=True, bound=20.0)):
        all_, last = looks(many, rules), looks(many, rules, last=True)
        for name, each in all_.sequences.items():
            assert each.lower[:, -1:] == pytest.approx(last.sequences[name].lower), name
            assert each.upper[:, -1:] == pytest.approx(last.sequences[name].upper), name
        for rule, fired in all_.rules.items():
            assert (fired[:, -1:] == last.rules[rule]).all(), rule
    few = Observed(
        *(getattr(many, f)[..., :100] for f in ("given", "shares", "quality", "cost_usd", "latency_ms", "failed"))
    )
    bounded_for_all = looks(many, Rules(floor=0.6, bound=20.0)).sequences["quality"]
    assert looks(few, Rules(floor=0.6, bound=20.0)).sequences["quality"].radius == pytest.approx(
        bounded_for_all.radius[:, :100]
    )


def test_a_relative_floor_is_a_share_of_what_the_old_version_reaches():
    bad = conversations(np.random.default_rng(27), 1, 3_000, better=-0.3)
    one = Observed(bad.given[0], bad.shares, bad.quality[0], bad.cost_usd[0], bad.latency_ms[0], bad.failed[0])

    assert judge(one, Rules(floor=0.95, floor_is_relative=True)).reason == "quality is below the floor"
    assert judge(one, Rules(floor=0.5, floor_is_relative=True)).reason == "quality is worse"
