"""What a log says of every strategy, by heads that have not seen the outcome; and what a scope learns of its outcomes."""

from typing import Any

import numpy as np
import pytest

from agents.deciding.features import COMPLEXITY, EMBEDDED, PLAIN
from agents.deciding.governance import Floor
from agents.deciding.learned import read, written
from analytics.fitting.change import LEAST_KNOWN, Shift, shifts_of, strange_since
from analytics.fitting.experience import Experience
from analytics.fitting.rows import Rows, Start
from analytics.fitting.scope import COUNTS_BEFORE_CHANGE, ScopeExperience, faded
from analytics.fitting.starting import likeness, start_of
from analytics.fitting.trading import BEST, ENOUGH, Asked, judged
from tests.deciding_parts import DEFAULT, heads

START = Start.plain(("a", "b", "c"), (0.5, 0.6, 0.7), (0.001, 0.002, 0.01))


def made_up(count, seed=0, strategies=3):
    chance = np.random.default_rng(seed)
    features = chance.normal(0.0, 0.3, (count, PLAIN + EMBEDDED))
    return Rows.plain(features, chance.integers(0, strategies, count), chance.random(count), np.full(count, 0.001))


def seen(rows, start=START):
    experience = Experience(start)
    experience.take(rows)
    return experience


def test_a_belief_without_its_own_outcome_is_what_heads_would_believe_that_never_saw_it():
    rows = made_up(40)
    found = judged(seen(rows).fitted(), rows, np.full(40, 0.5)).beliefs
    for left_out in (0, 17, 39):
        others = seen(rows.part(np.arange(40) != left_out)).heads()
        assert found.quality[left_out] == pytest.approx(others.beliefs(rows.features[left_out]).quality, abs=1e-9)


def test_so_it_is_where_every_strategy_answered_the_same_request():
    one = made_up(12)
    rows = Rows.plain(
        np.repeat(one.features, 3, axis=0),
        np.tile(np.arange(3), 12),
        np.random.default_rng(1).random(36),
        np.full(36, 0.001),
    )
    request = np.repeat(np.arange(12), 3)
    found = judged(seen(rows).fitted(), rows, np.ones(36), request)
    others = seen(rows.part(request != 5)).heads()
    assert found.beliefs.quality[5] == pytest.approx(others.beliefs(one.features[5]).quality, abs=1e-9)
    assert found.quality[5] == pytest.approx(rows.reward[request == 5])


def test_one_request_and_many_are_believed_alike():
    rows = made_up(400)
    known = seen(rows).heads()
    many = known.beliefs_of(rows.features[:5])
    strange = known.lens.strangeness(rows.features[:5])
    for place in range(5):
        one, strangeness = known.look(rows.features[place])
        for each in ("quality", "sd", "cost_usd", "latency_ms"):
            assert getattr(one, each) == pytest.approx(getattr(many, each)[place])
        assert strangeness == pytest.approx(strange[place])


def test_rows_that_were_revised_are_learned_as_if_they_had_always_been_so():
    rows = made_up(700)
    revised = Rows.plain(rows.features, rows.strategy, rows.reward.copy(), rows.cost_usd)
    revised.reward[3] = 1.0
    experience = Experience(START)
    heads_now = experience.heads()
    for state in (rows.part(slice(0, 500)), rows, revised):
        experience.follow(state)
        heads_now = experience.heads()
    assert heads_now.weights.tobytes() == seen(revised).heads().weights.tobytes()


def test_an_outcome_that_counts_little_moves_little():
    rows = made_up(1)
    rows.reward[0] = 1.0
    light = Rows(rows.features, rows.strategy, rows.reward, rows.cost_usd, rows.latency_ms, np.full(1, 0.25))
    start = seen(made_up(0)).heads().beliefs(rows.features[0]).quality
    moved = [float((seen(each).heads().beliefs(rows.features[0]).quality - start).max()) for each in (light, rows)]
    assert 0.0 < moved[0] < moved[1]


def test_a_combination_that_was_never_tried_starts_from_what_its_parts_have_shown():
    ids = DEFAULT.ids
    tried = [place for place, name in enumerate(ids) if DEFAULT.strategy(name).retrieval == "semantic"]
    chance = np.random.default_rng(0)
    chosen = chance.choice(tried, 300)
    premium = np.array([DEFAULT.strategy(ids[place]).tier == "premium" for place in chosen])
    rows = Rows.plain(
        chance.normal(0.0, 0.1, (300, PLAIN + EMBEDDED)),
        chosen,
        np.where(premium, 0.3, 0.9),  # against all that was believed before
        np.full(300, 1e-6),
    )
    believed = dict(zip(ids, seen(rows, start_of(DEFAULT)).heads().beliefs(rows.features[0]).quality, strict=True))
    assert believed["simple-hierarchical"] > believed["premium-hierarchical"] + 0.1


def test_the_start_says_that_a_better_tier_answers_better_the_more_so_the_harder_the_request():
    start = start_of(DEFAULT)
    easy, hard = np.zeros(PLAIN + EMBEDDED), np.zeros(PLAIN + EMBEDDED)
    hard[COMPLEXITY] = 1.0
    before = seen(made_up(0), start).heads()
    gap = []
    for each in (easy, hard):
        quality = dict(zip(DEFAULT.ids, before.beliefs(each).quality, strict=True))
        gap.append(quality["premium-semantic"] - quality["simple-semantic"])
    assert 0.0 < gap[0] < gap[1]


def test_strategies_are_as_alike_as_the_parts_that_they_share():
    alike = likeness(DEFAULT.strategies)
    place = {name: number for number, name in enumerate(DEFAULT.ids)}
    assert np.diag(alike) == pytest.approx(1.0)
    assert np.linalg.eigvalsh(alike).min() > 0.0
    same_tier = alike[place["simple-semantic"], place["simple-hierarchical"]]
    assert same_tier > alike[place["simple-semantic"], place["premium-hierarchical"]]


def test_a_floor_is_asked_for_as_a_reward_or_as_a_share_and_a_part_of_what_it_gives_away_can_be_kept():
    best = np.array([0.8, 1.0])
    assert Asked(0.5).wanted(best) == pytest.approx([0.4, 0.5])
    assert Asked(0.5, of_best=False).wanted(best) == pytest.approx([0.5, 0.5])
    assert Asked(0.5, kept=1.0).wanted(best) == pytest.approx(best)
    assert Asked(0.5, of_best=False, kept=0.5).wanted(best).mean() == pytest.approx(0.7)


def test_what_travels_is_what_was_learned_to_the_precision_of_float32():
    travelled = read(heads())
    assert travelled is not None
    assert written(travelled) == heads()
    assert set(travelled.trades) == {"balanced", "quality_over_speed", "speed_over_quality", "cost_over_quality"}
    assert travelled.trades["speed_over_quality"].exchange == 0.0


def test_the_same_rows_give_the_same_bytes_whatever_was_learned_before():
    rows = made_up(300, strategies=len(DEFAULT.ids))
    propensity = np.full(300, 1 / len(DEFAULT.ids))
    times = np.arange(300)
    asked: dict[str, Any] = {"encoder": "words@1", "floor": Floor("absolute", 0.5), "exploration": 0.05}
    once, again = ScopeExperience(start_of(DEFAULT)), ScopeExperience(start_of(DEFAULT))
    for count in (20, 61, 150):
        again.learn(rows.part(slice(0, count)), propensity[:count], times[:count], **asked)
    assert written(once.learn(rows, propensity, times, **asked)) == written(
        again.learn(rows, propensity, times, **asked)
    )


def outcomes(count, likely, seed=0):
    """Two strategies in turn; the first is as likely to be right as stated, outcome by outcome; the other always 0.8."""
    chance = np.random.default_rng(seed)
    strategy = np.arange(count) % 2
    share = np.where(strategy == 0, likely, 0.8)
    return strategy, np.full(count, 0.8), (chance.random(count) < share).astype(float), np.full(count, 0.4)


@pytest.mark.parametrize(("before", "after"), [(0.8, 0.3), (0.5, 1.0)])
def test_since_when_a_strategy_changed_is_found_whichever_way_it_went(before, after):
    likely = np.where(np.arange(2_000) < 1_200, before, after)
    strategy, believed, reward, sd = outcomes(2_000, likely)
    believed[strategy == 0] = before
    (found,) = shifts_of(strategy, believed, reward, sd)
    assert found.strategy == 0
    assert abs(found.since - 1_200) < 100
    assert found.reward == pytest.approx(after, abs=0.1)


def test_nothing_changed_where_rewards_are_what_was_believed():
    assert not any(shifts_of(*outcomes(10_000, 0.8, seed)) for seed in range(10))


def test_a_change_that_passed_is_no_change_any_more():
    likely = np.full(4_000, 0.8)
    likely[1_000:1_200] = 0.2
    assert len(shifts_of(*(each[:1_200] for each in outcomes(4_000, likely)))) == 1
    assert not shifts_of(*outcomes(4_000, likely))


def test_what_a_strategy_did_before_it_changed_counts_little_and_nothing_else_does():
    rows = made_up(30)
    shift = Shift(strategy=1, since=5, believed=0.8, reward=0.2, outcomes=9)
    weight = faded(rows, [shift], np.arange(0, 30, 3)).weight
    before = (rows.strategy == 1) & (np.arange(30) < 15)
    assert weight[before] == pytest.approx(COUNTS_BEFORE_CHANGE)
    assert weight[~before] == pytest.approx(1.0)


def domain(count, seed, *, elsewhere):
    """Texts of one domain or of another; the dearest strategy is hardly better than the cheapest in both."""
    chance = np.random.default_rng(seed)
    features = chance.normal(0.0, 0.3, (count, PLAIN + EMBEDDED))
    features[:, PLAIN:] += 6.0 * elsewhere
    strategy = chance.integers(0, 3, count)
    reward = (chance.random(count) < np.array([0.78, 0.79, 0.8])[strategy]).astype(float)
    return Rows.plain(features, strategy, reward, np.array(START.cost_usd)[strategy])


def traded(rows):
    count = len(rows)
    learned = ScopeExperience(START).learn(
        rows, np.full(count, 1 / 3), np.arange(count), encoder="words@1", floor=Floor("relative", 0.9), exploration=0.05
    )
    return learned.trades["cost_over_quality"]


def test_nothing_is_traded_in_a_domain_that_was_never_seen_until_enough_is_known_of_it():
    usual, count = domain(1_000, 1, elsewhere=False), ENOUGH
    assert traded(usual) != BEST
    assert traded(usual.then(domain(count // 2, 2, elsewhere=True))) == BEST
    assert traded(usual.then(domain(count // 2, 2, elsewhere=False))) != BEST
    assert traded(usual.then(domain(count, 3, elsewhere=True))) != BEST


def test_since_when_a_stream_is_strange_is_found_and_it_is_not_where_hardly_anything_is_known():
    chance = np.random.default_rng(4)
    usual, strange = chance.random(2_000), 1.0 + chance.random(40)
    assert strange_since(usual, 1_000) == -1
    assert abs(strange_since(np.concatenate((usual, strange)), 1_000) - 2_000) < 10
    assert strange_since(np.concatenate((usual, strange, chance.random(200))), 1_000) == -1
    assert strange_since(np.concatenate((usual[: LEAST_KNOWN - 1], strange)), LEAST_KNOWN - 1) == -1
