"""Why quality fell: nothing is said where nothing fell, the parts sum to the fall, and what was broken is named."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from analytics.diagnosing.accounting import MOST_GROUPS, OTHERS, account
from analytics.diagnosing.diagnosis import Logged, diagnose
from analytics.diagnosing.falling import FEWEST, find_fall
from tests.analytics_events import LOCAL, REMOTE, answered, request, rewarded, routed, story
from tests.cli_world import NOW_US
from tests.deciding_parts import LAWS
from tests.unit.test_cli_whatif import stored


def rewards(rng, *means, each=400):
    return np.concatenate([rng.binomial(4, mean, size=each) / 4 for mean in means])


def test_where_nothing_fell_something_is_said_in_at_most_two_of_a_hundred_logs():
    said = 0
    for seed in range(150):
        said += find_fall(rewards(np.random.default_rng([7, seed]), 0.8, each=600)) is not None
    assert said / 150 <= 0.03


def test_a_rise_and_too_few_requests_are_no_fall():
    rng = np.random.default_rng(8)
    assert find_fall(rewards(rng, 0.5, 0.9)) is None
    assert find_fall(np.concatenate([np.ones(FEWEST // 2), np.zeros(FEWEST // 2 - 1)])) is None


def test_a_fall_is_found_with_its_place_its_size_and_bounds_around_the_place():
    found, inside = 0, 0
    for seed in range(40):
        fall = find_fall(rewards(np.random.default_rng([9, seed]), 0.85, 0.85, 0.7))
        assert fall is not None
        found += abs(fall.at - 800) <= 100
        inside += fall.earliest <= 800 <= fall.latest + 1
        assert fall.size == pytest.approx(0.15, abs=0.06)
        assert fall.earliest <= fall.at <= fall.latest
    assert found >= 36
    assert inside >= 34


def test_the_same_log_gives_the_same_answer():
    values = rewards(np.random.default_rng(10), 0.9, 0.6)
    assert find_fall(values) == find_fall(values.copy())


GROUPS = st.lists(
    st.tuples(st.sampled_from("abcdefghijklmnopq"), st.floats(0, 1), st.booleans()), min_size=2, max_size=60
)


@LAWS
@given(GROUPS)
def test_the_parts_of_every_dimension_sum_to_the_fall(rows):
    names = [name for name, _, _ in rows]
    values = np.array([value for _, value, _ in rows])
    after = np.array([late for _, _, late in rows])
    after[0], after[-1] = False, True
    parts = account("strategy", names, values, after)

    assert sum(part.total for part in parts) == pytest.approx(values[~after].mean() - values[after].mean(), abs=1e-9)
    assert sum(part.shares[0] for part in parts) == pytest.approx(1)
    assert sum(part.shares[1] for part in parts) == pytest.approx(1)
    assert len(parts) <= MOST_GROUPS
    assert (OTHERS in {part.group for part in parts}) is (len(set(names)) > MOST_GROUPS)


def test_what_got_worse_is_within_and_what_there_is_more_of_is_mix():
    rng = np.random.default_rng(11)
    names = np.where(rng.random(4_000) < 0.5, "easy", "hard")
    after = np.arange(4_000) >= 2_000
    worse = np.where(names == "easy", np.where(after, 0.5, 0.9), 0.6) + rng.normal(0, 0.05, 4_000)
    first, *others = account("content type", list(names), worse, after)
    assert (first.group, first.is_sure) == ("easy", True)
    assert first.within == pytest.approx(0.2, abs=0.02)
    assert first.mix == pytest.approx(0.0, abs=0.02)
    assert not any(each.is_sure for each in others)

    more_hard = np.where(rng.random(4_000) < np.where(after, 0.8, 0.2), "hard", "easy")
    values = np.where(more_hard == "easy", 0.9, 0.5) + rng.normal(0, 0.05, 4_000)
    parts = account("content type", list(more_hard), values, after)
    assert sum(each.mix for each in parts) == pytest.approx(0.24, abs=0.02)
    assert sum(abs(each.within) for each in parts) < 0.01


def test_a_group_that_came_with_the_fall_is_new_and_its_part_is_mix():
    after = np.arange(400) >= 200
    names = ["one" if not late else "two" for late in after]
    values = np.where(after, 0.4, 0.9)
    parts = {each.group: each for each in account("configuration", names, values, after)}
    assert parts["two"].is_new
    assert parts["two"].within == 0.0
    assert parts["two"].mix == pytest.approx(0.25)
    assert parts["one"].mix == pytest.approx(0.25)


@pytest.mark.parametrize("seed", range(3))
def test_the_interval_of_a_part_holds_the_truth(seed):
    rng = np.random.default_rng([12, seed])
    after = np.arange(600) >= 300
    held = 0
    for _ in range(100):
        names = np.where(rng.random(600) < np.where(after, 0.7, 0.5), "a", "b")
        values = (rng.random(600) < np.where(names == "a", np.where(after, 0.5, 0.8), 0.8)).astype(float)
        part = next(each for each in account("d", list(names), values, after) if each.group == "a")
        truth = (0.5 + 0.7) / 2 * 0.3 + (0.5 - 0.7) * (0.65 - (0.8 + (0.7 * 0.5 + 0.3 * 0.8)) / 2)
        held += abs(part.total - truth) <= part.error
    assert held >= 92


# ------------------------------------------------------------------------------------------------------ a whole diagnosis

HOUR_US = 3_600_000_000
T0_US = 480_000 * HOUR_US
BROKEN = "premium-semantic"


def logged(rng, *, n=1_200, fall_at=800, values=None, **groups):
    """Two strategies, two content types, one of everything else; where ``values`` is None all rewards are alike."""
    names = {
        "content type": rng.choice(["support", "general"], n),
        "strategy": rng.choice(["simple-semantic", BROKEN], n),
        "model": np.full(n, "m"),
        "prompt version": np.full(n, "1"),
        "profile version": np.where(np.arange(n) < fall_at, "4", "5"),
        "configuration": np.full(n, "c0ffee"),
        "sources": np.full(n, "docs"),
        **groups,
    }
    late = np.arange(n) >= fall_at
    means = np.full(n, 0.8) if values is None else values(names, late)
    rewards = rng.binomial(4, means) / 4
    of = {name: tuple(map(str, column)) for name, column in names.items()}
    return Logged("help", "help", "quality", tuple(T0_US + i * 1_000_000 for i in range(n)), rewards, of)


def advised(found):
    assert found is not None
    return [(each.kind, each.sentence) for each in found.advice]


def test_a_strategy_that_broke_is_named_with_its_moment_and_a_command():
    log = logged(
        np.random.default_rng(21), values=lambda g, late: np.where((g["strategy"] == BROKEN) & late, 0.4, 0.85)
    )
    found = diagnose(log)
    assert found is not None
    assert abs(found.since_us - log.asked_us[800]) <= 60 * 1_000_000
    assert found.earliest_us <= log.asked_us[800] <= found.latest_us + 1_000_000
    ((kind, sentence),) = advised(found)
    assert (kind, "the strategy premium-semantic got worse" in sentence) == ("pull_back", True)
    assert f"--strategy {BROKEN}" in found.advice[0].command
    assert found.sentence.startswith("quality of help fell from 0.8")
    of_strategies = [each for each in found.parts if each.dimension == "strategy"]
    assert sum(each.within + each.mix for each in of_strategies) == pytest.approx(found.before - found.after)
    assert of_strategies[0].group == BROKEN
    assert diagnose(log) == found


def test_a_configuration_that_began_with_the_fall_is_the_first_suspect():
    n, at = 1_200, 800
    configuration = np.where(np.arange(n) < at, "old", "new")
    log = logged(
        np.random.default_rng(22), configuration=configuration, values=lambda _, late: np.where(late, 0.6, 0.85)
    )
    first, *_ = advised(diagnose(log))
    assert (first[0], "configuration new" in first[1]) == ("rollback", True)


def test_a_content_type_that_got_worse_whoever_answers_asks_for_a_prompt():
    log = logged(
        np.random.default_rng(23), values=lambda g, late: np.where((g["content type"] == "support") & late, 0.4, 0.85)
    )
    assert [kind for kind, _ in advised(diagnose(log))] == ["prompt"]


def test_traffic_that_went_to_a_worse_strategy_is_rolled_back():
    rng, n, at = np.random.default_rng(24), 1_200, 800
    moved = np.where(rng.random(n) < np.where(np.arange(n) < at, 0.1, 0.9), BROKEN, "simple-semantic")
    log = logged(rng, strategy=moved, values=lambda g, _: np.where(g["strategy"] == BROKEN, 0.5, 0.9))
    found = diagnose(log)
    assert [kind for kind, _ in advised(found)] == ["rollback"]
    assert found is not None
    assert found.advice[0].command == "penstock profiles rollback help --to 4"


def test_where_everything_got_worse_alike_nothing_is_blamed():
    log = logged(np.random.default_rng(25), values=lambda _, late: np.where(late, 0.6, 0.85))
    found = diagnose(log)
    assert [kind for kind, _ in advised(found)] == ["look"]


def test_a_quiet_log_has_no_diagnosis():
    assert diagnose(logged(np.random.default_rng(26))) is None


# -------------------------------------------------------------------------------------------------------- the command


@pytest.fixture(scope="module")
def fallen(tmp_path_factory):
    rng, events = np.random.default_rng(27), []
    for number in range(400):
        remote = bool(rng.random() < 0.5)
        mean = 0.3 if remote and number >= 250 else 0.85
        asked = request(f"r{number}", at_us=NOW_US - HOUR_US + number * 1_000_000)
        plan = routed(asked, strategy=REMOTE if remote else LOCAL)
        events += [asked, plan, answered(plan), rewarded(plan, reward=float(rng.binomial(4, mean)) / 4, rated=True)]
    return stored(tmp_path_factory.mktemp("fallen"), *events)


@pytest.mark.parametrize("measure", ["quality", "satisfaction"])
def test_the_command_tells_the_fall_its_cause_and_what_to_do_and_exits_with_1(fallen, measure):
    result = fallen.penstock("diagnose", "--workflow", "customer_support", "--of", measure)
    assert result.exit_code == 1
    assert f"{measure} of customer_support fell from" in result.stdout
    assert "the strategy premium-semantic got worse" in result.stdout
    assert "of the fall" in result.stdout


def test_the_command_gives_json_and_publishes_the_same_as_an_event(fallen):
    result = fallen.penstock("diagnose", "--json", "--publish")
    (told,) = json.loads(result.stdout)
    (event,) = fallen.events("metrics")
    assert (told["event"], told["event_id"]) == ("QualityFell", event.event_id)
    assert told["advice"][0]["kind"] == "pull_back"


def test_the_command_says_that_nothing_fell_and_refuses_what_there_is_not(tmp_path, fallen):
    quiet = stored(
        tmp_path, *(each for n in range(120) for each in story(f"q{n}", at_us=NOW_US - HOUR_US + n * 1_000_000))
    )
    result = quiet.penstock("diagnose")
    assert (result.exit_code, result.stdout) == (0, "nothing fell beyond chance in 120 requests of 1 workflow\n")
    assert fallen.penstock("diagnose", "--of", "speed").exit_code == 2
    assert fallen.penstock("diagnose", "--workflow", "none").exit_code == 2
