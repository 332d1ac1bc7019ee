"""Heads in the profile: what they are learned from, that a replay gives the same bytes, and what they put in office."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from typing import Any

import duckdb
import numpy as np
import pytest

from agents.deciding.features import EMBEDDED, PLAIN
from agents.deciding.governance import GovernanceFile
from agents.deciding.learned import read
from analytics import evidence
from analytics.learner import LEARNER, ProfileLearner
from analytics.migrating import migrate
from analytics.profile_store import insert_profiles
from analytics.sums import recount
from schemas import ProfileUpdated, RollbackOrdered
from streams.codec import Codec
from tests.deciding_parts import DEFAULT, NOW_US, workflow

CODEC = Codec()
MINUTE_US = 60_000_000
ENCODER = "words@1"


class Log:
    """The outcomes of a deployment as storage keeps them, and a clock."""

    def __init__(self) -> None:
        self.connection = duckdb.connect(":memory:")
        migrate(self.connection)
        self.now_us = NOW_US
        self.rows = 0

    @staticmethod
    def learner() -> ProfileLearner:
        return ProfileLearner(
            catalogue=DEFAULT,
            governance=GovernanceFile(),
            environment="production",
            workflows={"help": workflow("help")},
            codec=CODEC,
        )

    def outcome(self, number: int, *, of_plan: dict[str, Any] | None = None, **fields: Any) -> None:
        """Request ``number`` as a function of its number alone: simple-semantic answers best."""
        chance = np.random.default_rng(number)
        strategy = str(fields.pop("strategy", DEFAULT.ids[number % len(DEFAULT.ids)]))
        key = uuid.UUID(int=number + 1)
        given = {
            "slice": 0,
            "request_key": key,
            "tenant": "acme",
            "conversation_id": f"c{number}",
            "request_id": "r",
            "scope": "help",
            "content_type": "general",
            "band": "low",
            "strategy": strategy,
            "calls": 1,
            "call_cost_usd": 2e-6,
            "cost_usd": 2e-6 if strategy.startswith("simple") else 9e-6,
            "latency_ms": 60.0,
            "answered": True,
            "reward": 0.95 if strategy == "simple-semantic" else 0.6,
            "rated": True,
            "routed_at_us": NOW_US + number,
            "rewarded_at_us": NOW_US + number,
            "window_start_us": 0,
            **fields,
        }
        plan = {
            "slice": 0,
            "request_key": key,
            "probabilities": [{"strategy": name, "probability": 1 / len(DEFAULT.ids)} for name in DEFAULT.ids],
            "features": chance.normal(0.0, 0.3, PLAIN + EMBEDDED).tolist(),
            "encoder": ENCODER,
            "feature_set": "2",
            **(of_plan or {}),
        }
        for table, row in (("outcome", given), ("outcome_plan", plan)):
            marks = ", ".join("?" * len(row))
            self.connection.execute(
                f"INSERT INTO {table} ({', '.join(row)}) VALUES ({marks})",  # noqa: S608 - names of this test
                list(row.values()),
            )

    def step(self, learner: ProfileLearner, *orders: RollbackOrdered) -> ProfileUpdated:
        recount(self.connection)
        self.now_us += MINUTE_US
        self.connection.begin()
        (profile,) = learner.step(self.connection, {"rewards/0": 1}, orders, self.now_us)
        insert_profiles(self.connection, [profile], CODEC)
        self.connection.commit()
        return profile


@pytest.fixture
def log() -> Iterator[Log]:
    made = Log()
    yield made
    made.connection.close()


def heads_bytes(profile: ProfileUpdated) -> bytes:
    assert profile.heads is not None
    return b"".join(
        (profile.heads.weights, profile.heads.variance, profile.heads.lens_coarse, repr(profile.heads.trades).encode())
    )


def test_what_is_learned_of_a_request_stands_in_the_profile(log):
    for number in range(200):
        log.outcome(number)
    profile = log.step(log.learner())
    assert profile.learner == LEARNER
    assert profile.heads is not None
    assert profile.heads.strategies == DEFAULT.ids
    assert sum(profile.heads.requests) == 200
    learned = read(profile.heads)
    assert learned is not None
    quality = learned.heads.beliefs(np.zeros(PLAIN + EMBEDDED)).quality
    assert DEFAULT.ids[int(quality.argmax())] == "simple-semantic"


def test_a_replay_in_another_order_and_with_steps_between_gives_the_same_heads_to_the_bit(log):
    learner = log.learner()
    for number in reversed(range(0, 180, 3)):
        log.outcome(number)
    log.step(learner)
    for number in range(1, 180, 3):
        log.outcome(number, reward=0.1)
    log.step(learner)
    log.connection.execute("UPDATE outcome SET reward = 0.9 WHERE reward = 0.1")
    for number in range(2, 180, 3):
        log.outcome(number)
    at_last = log.step(learner)
    replayed = Log()
    for number in range(180):
        fields: dict[str, Any] = {"reward": 0.9} if number % 3 == 1 else {}
        replayed.outcome(number, **fields)
    assert heads_bytes(at_last) == heads_bytes(replayed.step(replayed.learner()))
    replayed.connection.close()


def test_only_the_newest_are_learned_from_and_the_oldest_leave_many_at_a_time(log, monkeypatch):
    monkeypatch.setattr(evidence, "MOST_ROWS", 60)
    monkeypatch.setattr(evidence, "LEAVING", 20)
    for number in range(75):
        log.outcome(number)
    seen = evidence.EvidenceReader(DEFAULT.ids).read(log.connection, "help", 75)
    assert seen is not None
    assert len(seen.rows) == 55
    assert seen.rows.strategy[-1] == 74 % len(DEFAULT.ids)
    log.outcome(75)
    again = evidence.EvidenceReader(DEFAULT.ids).read(log.connection, "help", 76)
    assert again is not None
    assert again.rows.same_as(seen.rows) == 55


def same_to_the_bit(one: evidence.Seen | None, other: evidence.Seen | None) -> bool:
    assert one is not None
    assert other is not None
    arrays = zip(one.rows._arrays(), other.rows._arrays(), strict=True)
    return (
        all(np.array_equal(mine, theirs) for mine, theirs in arrays)
        and np.array_equal(one.propensity, other.propensity)
        and np.array_equal(one.routed_at_us, other.routed_at_us)
        and (one.kinds, one.encoder) == (other.kinds, other.encoder)
    )


def test_who_follows_along_reads_the_same_as_who_begins_now(log, monkeypatch):
    monkeypatch.setattr(evidence, "MOST_ROWS", 60)
    monkeypatch.setattr(evidence, "LEAVING", 20)
    following = evidence.EvidenceReader(DEFAULT.ids)
    changes: dict[int, str] = {
        40: "UPDATE outcome SET reward = 0.25 WHERE request_id = 'r' AND conversation_id = 'c7'",
        50: "UPDATE outcome SET strategy = 'simple-semantic' WHERE conversation_id = 'c30'",
        90: "UPDATE outcome SET rated = false WHERE conversation_id = 'c81'",
    }
    order = [number for number in range(120) if number % 10 != 3] + list(range(113, 0, -10))
    for place, number in enumerate(order):
        log.outcome(number, of_plan={"feature_set": "1"} if number % 7 == 0 else None)
        log.connection.execute(changes.get(place, "SELECT 1"))
        if place % 6 == 5:
            beginning = evidence.EvidenceReader(DEFAULT.ids)
            read = [reader.read(log.connection, "help", place + 1) for reader in (following, beginning)]
            assert same_to_the_bit(*read), place


def test_what_a_plan_said_is_read_once(log):
    reader = evidence.EvidenceReader(DEFAULT.ids)
    for number in range(40):
        log.outcome(number)
    before = reader.read(log.connection, "help", 40)
    log.connection.execute("DELETE FROM outcome_plan")
    log.outcome(40)
    after = reader.read(log.connection, "help", 41)
    assert before is not None
    assert after is not None
    assert after.rows.same_as(before.rows) == 40
    assert len(after.rows) == 41


@pytest.mark.parametrize(
    "of_plan",
    [
        {"feature_set": "1"},
        {"features": [0.0] * 36},
        {"encoder": "words@0"},
        {"features": [float("nan")] * (PLAIN + EMBEDDED)},
        {"features": [1e300] * (PLAIN + EMBEDDED)},
    ],
    ids=["another feature set", "another length", "another encoder", "no numbers", "too large numbers"],
)
def test_vectors_that_mean_something_else_are_left_out(log, of_plan):
    for number in range(40):
        log.outcome(number, of_plan=of_plan if number < 15 else None)
    log.outcome(50, strategy="gone-semantic")
    profile = log.step(log.learner())
    assert profile.heads is not None
    assert sum(profile.heads.requests) == 25
    assert profile.evidence.requests == 41


def test_without_feature_vectors_a_profile_has_no_heads(log):
    for number in range(30):
        log.outcome(number, of_plan={"feature_set": "1"})
    assert log.step(log.learner()).heads is None


def test_who_answers_most_of_a_kind_takes_office_and_the_profile_says_so(log):
    for number in range(270):
        log.outcome(number)
    learner = log.learner()
    profile = log.step(learner)
    held = {(each.content_type, each.band): each.strategy for each in profile.incumbents}
    assert held["general", "low"] == "simple-semantic"
    for number in range(270, 810):
        best = DEFAULT.ids[number % len(DEFAULT.ids)] == "balanced-semantic"
        log.outcome(number, reward=0.95 if best else 0.3)
    (change,) = [each for each in log.step(learner).optimizations if each.kind == "strategy_took_over"]
    assert (change.before, change.after) == ("simple-semantic", "balanced-semantic")
    assert "balanced-semantic answers general requests of low complexity" in change.sentence


def test_a_rollback_brings_back_the_heads_of_the_version(log):
    learner = log.learner()
    for number in range(40):
        log.outcome(number)
    first = log.step(learner)
    for number in range(40, 90):
        log.outcome(number)
    second = log.step(learner)
    assert second.heads != first.heads
    order = RollbackOrdered(
        event_id="b" * 32, occurred_at_us=NOW_US, subject="learning:help", scope="help", to_version=1, reason=""
    )
    assert log.step(learner, order).heads == first.heads


def test_heads_survive_the_way_through_kafka(log):
    for number in range(100):
        log.outcome(number)
    profile = log.step(log.learner())
    assert CODEC.decode(CODEC.encode(profile)) == profile


def test_a_strategy_that_falls_is_opened_again_and_the_profile_says_so_once(log):
    pair = ["simple-semantic", "premium-semantic"]
    for number in range(300):
        good = np.random.default_rng(number).random() < (0.9 if number < 200 or number % 2 else 0.2)
        log.outcome(number, strategy=pair[number % 2], reward=float(good))
    learner = log.learner()
    profile = log.step(learner)
    (change,) = [each for each in profile.optimizations if each.kind == "strategy_reopened"]
    assert change.before == "simple-semantic"
    assert "simple-semantic answers worse than believed since" in change.sentence
    assert profile.heads is not None
    (reopened,) = profile.heads.reopened
    assert NOW_US + 180 <= reopened.since_us <= NOW_US + 220
    learned = read(profile.heads)
    assert learned is not None
    found = learned.heads.beliefs(np.zeros(PLAIN + EMBEDDED))
    quality = dict(zip(DEFAULT.ids, found.quality, strict=True))
    assert quality["simple-semantic"] < 0.45
    log.outcome(300, strategy="premium-semantic")
    assert [each.kind for each in log.step(learner).optimizations].count("strategy_reopened") == 0


def test_steady_strategies_are_not_opened_again(log):
    for number in range(300):
        log.outcome(number, reward=float(np.random.default_rng(number).random() < 0.7))
    profile = log.step(log.learner())
    assert profile.heads is not None
    assert profile.heads.reopened == ()
