"""The learner on a real database in memory: when it publishes, what stands in a profile, rollbacks and resumption."""

from __future__ import annotations

import json
import random
import uuid
from collections.abc import Iterator, Sequence
from typing import Any

import duckdb
import pytest

from agents.deciding.governance import GovernanceFile
from agents.deciding.prior import BANDS
from analytics.learner import LEAST_SECONDS, MOST_SECONDS, NEW_REWARDS, RATING_SHARE, ProfileLearner
from analytics.migrating import migrate
from analytics.profile_store import insert_profiles
from analytics.sums import recount
from schemas import LearningResumed, ProfileUpdated, Record, RollbackOrdered
from streams.codec import Codec
from tests.deciding_parts import DEFAULT, NOW_US, workflow

CODEC = Codec()
S = 1_000_000
KIB = 1024
TYPES = ("transactional", "informational", "support", "general")


class Bench:
    """A learner, the tables of the private file, and a clock."""

    def __init__(self, **workflow_settings: Any) -> None:
        self.connection = duckdb.connect(":memory:")
        migrate(self.connection)
        self.now_us = NOW_US
        self.rows = 0
        self.learner = self.new_learner(**workflow_settings)

    def new_learner(self, **workflow_settings: Any) -> ProfileLearner:
        workflows = [workflow(name, settings=workflow_settings) for name in ("help", "other")]
        workflows.append(workflow("fixed", settings={"learning_enabled": False}))
        return ProfileLearner(
            catalogue=DEFAULT,
            governance=GovernanceFile(),
            environment="production",
            workflows={each.name: each for each in workflows},
            codec=CODEC,
        )

    def outcome(self, reward: float | None = 0.9, **fields: Any) -> None:
        self.rows += 1
        given = {
            "slice": 0,
            "request_key": uuid.UUID(int=self.rows),
            "tenant": "acme",
            "conversation_id": f"c{self.rows}",
            "request_id": "r",
            "scope": "help",
            "content_type": "general",
            "band": "low",
            "strategy": "simple-semantic",
            "calls": 1,
            "call_cost_usd": 2e-6,
            "cost_usd": 2e-6,
            "latency_ms": 60.0,
            "answered": True,
            "reward": reward,
            "rated": True,
            "rewarded_at_us": NOW_US + self.rows,
            "window_start_us": 0,
            **fields,
        }
        marks = ", ".join("?" * len(given))
        self.connection.execute(
            f"INSERT INTO outcome ({', '.join(given)}) VALUES ({marks})",  # noqa: S608 - names of this test
            list(given.values()),
        )

    def outcomes(self, count: int, reward: float = 0.9, **fields: Any) -> None:
        for _ in range(count):
            self.outcome(reward, **fields)

    def step(
        self, *controls: Record, watermark: dict[str, int] | None = None, learner: ProfileLearner | None = None
    ) -> list[ProfileUpdated]:
        """One step as the consumer takes it: orders hold or release first, profiles are inserted in the transaction."""
        self.count()
        return self.step_without_news(*controls, watermark=watermark, learner=learner)

    def count(self) -> None:
        """Count the evidence anew, as the storage keeps it with every batch."""
        recount(self.connection)

    def step_without_news(
        self, *controls: Record, watermark: dict[str, int] | None = None, learner: ProfileLearner | None = None
    ) -> list[ProfileUpdated]:
        """A step before which no batch came."""
        self.connection.begin()
        for order in controls:
            scope = order.scope  # type: ignore[attr-defined]
            self.connection.execute("DELETE FROM held_scope WHERE scope = ?", [scope])
            if isinstance(order, RollbackOrdered):
                self.connection.execute("INSERT INTO held_scope VALUES (?, ?, ?)", [scope, order.to_version, NOW_US])
        found = (learner or self.learner).step(self.connection, watermark or {"rewards/0": 1}, controls, self.now_us)
        insert_profiles(self.connection, found, CODEC)
        self.connection.commit()
        return found

    def learned(self, versions: int = 1) -> list[ProfileUpdated]:
        """So many versions of the scope ``help``, one after the other."""
        found = []
        for _ in range(versions):
            self.outcomes(NEW_REWARDS)
            self.now_us += 60 * S
            found.extend(self.step())
        return found


@pytest.fixture
def bench() -> Iterator[Bench]:
    made = Bench()
    yield made
    made.connection.close()


def rollback(to_version: int, scope: str = "help", reason: str = "") -> RollbackOrdered:
    return RollbackOrdered(
        event_id="b" * 32,
        occurred_at_us=NOW_US + 7,
        subject=f"learning:{scope}",
        scope=scope,
        to_version=to_version,
        reason=reason,
    )


def resumed(scope: str = "help") -> LearningResumed:
    return LearningResumed(event_id="c" * 32, occurred_at_us=NOW_US + 8, subject=f"learning:{scope}", scope=scope)


def test_the_first_profile_comes_with_the_twentieth_reward(bench):
    bench.outcomes(NEW_REWARDS - 1)
    bench.now_us += 3_600 * S
    assert bench.step() == []
    bench.outcome()
    (first,) = bench.step()
    assert (first.scope, first.version, first.parent, first.kind) == ("help", 1, 0, "learned")
    assert (first.evidence.requests, first.evidence.rated) == (20, 20)


def test_versions_go_up_by_one_and_name_their_parents(bench):
    assert [(each.version, each.parent) for each in bench.learned(3)] == [(1, 0), (2, 1), (3, 2)]


def test_between_two_profiles_lie_twenty_rewards_and_a_second(bench):
    bench.learned()
    bench.outcomes(NEW_REWARDS, rated=False)
    bench.now_us += int((LEAST_SECONDS - 0.1) * S)
    assert bench.step() == []
    bench.now_us += int(0.2 * S)
    assert [each.version for each in bench.step()] == [2]
    bench.now_us += int((LEAST_SECONDS + 1) * S)
    bench.outcomes(NEW_REWARDS - 1, rated=False)
    assert bench.step() == []


def test_a_users_rating_makes_a_profile_after_a_second_and_so_does_another_rating_of_the_same_answer(bench):
    bench.learned()
    bench.outcome()
    bench.now_us += int((LEAST_SECONDS - 0.1) * S)
    assert bench.step() == []
    bench.now_us += int(0.2 * S)
    assert [each.version for each in bench.step()] == [2]
    bench.connection.execute(
        """UPDATE outcome SET reward = 0.1, rewarded_at_us = rewarded_at_us + 60_000_000
        WHERE rewarded_at_us = (SELECT max(rewarded_at_us) FROM outcome)"""
    )
    bench.now_us += int((LEAST_SECONDS + 1) * S)
    assert [each.version for each in bench.step()] == [3]
    bench.now_us += 3_600 * S
    assert bench.step() == []


def test_where_there_is_much_evidence_one_rating_is_not_worth_a_profile(bench):
    bench.outcome(rated=False)
    several = f"SELECT * REPLACE (uuid() AS request_key) FROM outcome, range({2 * RATING_SHARE})"  # noqa: S608 - a number
    bench.connection.execute(f"INSERT INTO outcome BY NAME SELECT * EXCLUDE (range) FROM ({several})")  # noqa: S608 - the line above
    bench.step()
    for rated, versions in ((2, []), (3, [2])):
        for _ in range(rated - (rated == 3) * 2):
            bench.outcome()
        bench.now_us += 2 * S
        assert [each.version for each in bench.step()] == versions


def test_after_half_a_minute_a_few_rewards_are_enough_and_none_are_not(bench):
    bench.learned()
    bench.now_us += int((MOST_SECONDS + 1) * S)
    assert bench.step() == []
    bench.outcome(rated=False)
    assert [each.version for each in bench.step()] == [2]


def test_a_step_without_new_evidence_reads_neither_outcomes_nor_profiles(bench):
    bench.learned()
    for table in ("outcome", "profile"):
        bench.connection.execute(f"ALTER TABLE {table} RENAME TO {table}_out_of_reach")
    bench.now_us += 3_600 * S
    assert bench.step_without_news() == []


def test_evidence_that_was_too_early_is_learned_in_time_though_nothing_more_comes(bench):
    bench.learned()
    bench.outcome(rated=False)
    bench.now_us += int((MOST_SECONDS - 1) * S)
    assert bench.step() == []
    bench.now_us += 2 * S
    assert [each.version for each in bench.step_without_news()] == [2]


def test_a_rollback_is_no_new_evidence(bench):
    bench.learned(2)
    bench.step(rollback(1))
    bench.now_us += 3_600 * S
    assert bench.step(resumed()) == []
    assert bench.step(learner=bench.new_learner()) == []


def test_a_rating_that_follows_an_automatic_score_is_new_evidence(bench):
    bench.outcomes(NEW_REWARDS, rated=False)
    bench.step()
    bench.connection.execute("UPDATE outcome SET rated = true")
    bench.now_us += 3 * S
    (second,) = bench.step()
    assert (second.evidence.requests, second.evidence.rated) == (20, 20)


@pytest.mark.parametrize(
    "fields",
    [{"reward": None}, {"answered": False}, {"answered": None}, {"scope": None}, {"scope": "fixed"}, {"scope": "gone"}],
)
def test_what_is_no_rewarded_answer_of_a_workflow_that_learns_is_no_evidence(bench, fields):
    for _ in range(30):
        bench.outcome(**fields)
    assert bench.step() == []


@pytest.mark.parametrize("missing", ["content_type", "strategy", "latency_ms", "band"])
def test_an_outcome_whose_plan_is_not_known_counts_nowhere_and_makes_nothing_due(bench, missing):
    bench.learned()
    for _ in range(30):
        bench.outcome(**{missing: None})
    bench.now_us += 3_600 * S
    assert bench.step() == []
    bench.outcomes(NEW_REWARDS)
    (second,) = bench.step()
    assert second.evidence.requests == 40


def test_scopes_are_learned_apart(bench):
    bench.outcomes(20)
    bench.outcomes(25, 0.1, scope="other")
    both = {each.scope: each for each in bench.step()}
    assert {name: each.evidence.requests for name, each in both.items()} == {"help": 20, "other": 25}
    qualities = {
        name: next(b.quality for b in each.beliefs if b.requests and b.strategy == "simple-semantic")
        for name, each in both.items()
    }
    assert qualities["help"] > 0.7
    assert qualities["other"] < 0.3


def test_a_profile_holds_every_strategy_of_every_kind_in_order(bench):
    bench.outcomes(20)
    bench.outcomes(5, content_type="warranty")
    bench.outcomes(5, content_type="billing")
    (first,) = bench.step()
    types = (*TYPES, "billing", "warranty")
    assert [(b.content_type, b.band, b.strategy) for b in first.beliefs] == [
        (t, band, each.id) for t in types for band in BANDS for each in DEFAULT.strategies
    ]
    assert [(i.content_type, i.band) for i in first.incumbents] == [(t, band) for t in types for band in BANDS]


def test_the_watermark_is_recorded_in_order_and_the_time_is_the_last_rewards(bench):
    bench.outcomes(20)
    (first,) = bench.step(watermark={"rewards/1": 5, "generation/0": 9, "rewards/0": 7})
    assert list(first.evidence.watermark.items()) == [("generation/0", 9), ("rewards/0", 7), ("rewards/1", 5)]
    assert first.occurred_at_us == NOW_US + 20


def test_the_sentence_says_what_changed_and_on_what_it_rests(bench):
    bench.outcomes(15)
    bench.outcomes(5, rated=False)
    (first,) = bench.step()
    rests = "20 rewarded requests, 15 of them rated by users"
    if first.optimizations:
        assert first.sentence.endswith(f"(in all {rests})")
    else:
        assert first.sentence == f"beliefs follow {rests}; nothing else changed"


def test_a_better_strategy_takes_over_and_the_sentence_says_so(bench):
    bench.outcomes(150, 0.2)
    bench.outcomes(150, 0.98, strategy="balanced-semantic", cost_usd=1e-6)
    (first,) = bench.step()
    taken = next(each for each in first.optimizations if each.band == "low" and each.content_type == "general")
    assert (taken.kind, taken.before, taken.after) == ("strategy_took_over", "simple-semantic", "balanced-semantic")
    assert taken.requests == 150
    held = {(i.content_type, i.band): i for i in first.incumbents}["general", "low"]
    assert (held.strategy, held.since_version) == ("balanced-semantic", 1)
    assert first.sentence.startswith(first.optimizations[0].sentence)
    bench.now_us += 60 * S
    bench.outcomes(NEW_REWARDS, 0.98, strategy="balanced-semantic", cost_usd=1e-6)
    (second,) = bench.step()
    again = {(i.content_type, i.band): i for i in second.incumbents}["general", "low"]
    assert (again.strategy, again.since_version) == ("balanced-semantic", 1)
    assert taken.sentence not in [each.sentence for each in second.optimizations]


@pytest.mark.parametrize("own_types", [(), ("warranty", "billing", "returns", "jobs", "press", "events")])
def test_a_profile_stays_well_under_256_kib(bench, own_types):
    for content_type in (*TYPES, *own_types):
        for band in BANDS:
            for each in DEFAULT.strategies:
                bench.outcome(content_type=content_type, band=band, strategy=each.id)
    (first,) = bench.step(watermark={f"{topic}/{n}": 2**40 for topic in ("rewards", "routing") for n in range(64)})
    assert len(first.beliefs) == (4 + len(own_types)) * 3 * 18
    assert len(CODEC.encode(first)) < 128 * KIB


def test_a_profile_that_would_be_too_large_leaves_out_the_own_types_of_least_evidence(bench):
    own_types = [f"type_{number:02}_{'x' * 40}" for number in range(40)]
    for number, content_type in enumerate(own_types):
        for _ in range(1 + number):
            bench.outcome(content_type=content_type, band="low", strategy=DEFAULT.ids[0])
    (first,) = bench.step()
    kept = {belief.content_type for belief in first.beliefs}
    assert len(CODEC.encode(first)) <= 256 * KIB
    assert set(TYPES) <= kept
    assert {incumbent.content_type for incumbent in first.incumbents} == kept
    dropped = [t for t in own_types if t not in kept]
    assert dropped
    assert dropped == own_types[: len(dropped)]


def rows_of_a_day() -> list[dict[str, Any]]:
    chance = random.Random(20_261_121)
    return [
        {
            "reward": chance.random(),
            "content_type": chance.choice([*TYPES, "warranty"]),
            "band": chance.choice(BANDS),
            "strategy": chance.choice(DEFAULT.ids),
            "rated": chance.random() < 0.8,
            "cost_usd": chance.random() * 1e-5,
            "latency_ms": chance.random() * 200,
            "rewarded_at_us": NOW_US + index,
        }
        for index in range(300)
    ]


def profile_of(rows: Sequence[dict[str, Any]]) -> bytes:
    bench = Bench()
    for row in rows:
        bench.outcome(**row)
    (first,) = bench.step()
    bench.connection.close()
    return CODEC.encode(first)


def test_replaying_the_same_rows_in_any_order_gives_the_same_bytes():
    rows = rows_of_a_day()
    shuffled = random.Random(1).sample(rows, len(rows))
    assert profile_of(rows) == profile_of(shuffled) == profile_of(rows[::-1])


def test_a_restarted_learner_goes_on_with_the_next_version(bench):
    bench.learned(2)
    bench.outcomes(NEW_REWARDS)
    (third,) = bench.step(learner=bench.new_learner())
    assert (third.version, third.parent) == (3, 2)


def test_a_rollback_publishes_an_earlier_content_as_a_new_version(bench):
    first, second = bench.learned(2)
    (back,) = bench.step(rollback(1, reason="answers got worse"), watermark={"controls/0": 3})
    assert (back.version, back.parent, back.kind, back.restored_version) == (3, 2, "rolled_back", 1)
    assert (back.beliefs, back.incumbents, back.graph_off) == (first.beliefs, first.incumbents, first.graph_off)
    assert (back.evidence.requests, back.evidence.watermark) == (second.evidence.requests, {"controls/0": 3})
    assert back.sentence == "rolled back from version 2 to version 1: answers got worse"
    (change,) = back.optimizations
    assert (change.kind, change.before, change.after) == ("rolled_back", "version 2", "version 1")
    assert back.occurred_at_us == NOW_US + 7


def test_a_rollback_to_zero_returns_to_the_built_in_rules(bench):
    bench.learned()
    (back,) = bench.step(rollback(0))
    assert (back.version, back.restored_version) == (2, 0)
    assert (back.beliefs, back.incumbents, back.graph_off) == ((), (), ())
    assert back.sentence == "rolled back from version 1 to the built-in rules"


@pytest.mark.parametrize("order", [rollback(7), rollback(-1), rollback(1, "other"), rollback(0, "nobody")])
def test_an_impossible_rollback_is_logged_and_publishes_nothing(bench, capsys, order):
    bench.learned()
    capsys.readouterr()
    assert bench.step(order) == []
    assert "rollback_impossible" in "".join(capsys.readouterr())


def test_two_rollbacks_in_one_step_are_two_versions(bench):
    bench.learned(2)
    back = bench.step(rollback(1), rollback(0), rollback(3))
    assert [(each.version, each.parent, each.restored_version) for each in back] == [(3, 2, 1), (4, 3, 0), (5, 4, 3)]
    assert back[2].beliefs == back[0].beliefs


def test_a_held_scope_is_silent_and_the_others_are_not(bench):
    bench.learned()
    bench.step(rollback(0))
    bench.outcomes(100)
    bench.outcomes(100, scope="other")
    bench.now_us += 3_600 * S
    assert [each.scope for each in bench.step()] == ["other"]


def test_after_the_resumption_learning_goes_on_from_the_rollback(bench):
    bench.learned(2)
    bench.step(rollback(1))
    bench.outcomes(NEW_REWARDS)
    bench.now_us += 60 * S
    (fourth,) = bench.step(resumed())
    assert (fourth.version, fourth.parent, fourth.kind) == (4, 3, "learned")
    assert fourth.evidence.requests == 60


def test_a_rollback_and_a_resumption_in_one_step_publish_the_rollback_and_learn_later(bench):
    bench.learned(2)
    bench.outcomes(NEW_REWARDS)
    bench.now_us += 60 * S
    assert [each.kind for each in bench.step(rollback(1), resumed())] == ["rolled_back"]
    assert [each.kind for each in bench.step()] == ["learned"]


def test_the_profile_survives_the_way_through_kafka(bench):
    for row in rows_of_a_day():
        bench.outcome(**row)
    (first,) = bench.step()
    assert CODEC.decode(CODEC.encode(first)) == first
    assert json.dumps(first.evidence.watermark) == '{"rewards/0": 1}'
