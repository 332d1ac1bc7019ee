"""The storage: every event counts once, whatever the order, the repeats and the crashes."""

from __future__ import annotations

import itertools
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from analytics.intake import read_batch
from analytics.outcomes import EVIDENCE
from analytics.private_file import NAME as PRIVATE
from analytics.storage import Storage
from analytics.sums import ALL
from streams.errors import Code, Unconfigured
from tests.analytics_events import (
    CODEC,
    HOUR_US,
    REMOTE,
    T0_US,
    Log,
    answered,
    failed,
    generated,
    generation_failed,
    request,
    rewarded,
    routed,
    story,
)


class CrashedError(Exception):
    """What a test raises where a process would die."""


@pytest.fixture
def storage(tmp_path: Path):
    opened = Storage(tmp_path / "analytics", "cluster")
    yield opened
    opened.close()


def asked(storage: Storage, sql: str) -> list[tuple[Any, ...]]:
    return storage.connection.execute(sql).fetchall()


OUTCOME = """
    SELECT * EXCLUDE (request_key, slice) FROM outcome ORDER BY tenant, conversation_id, request_id
"""
COUNTS = "SELECT scope, sum(requests), sum(rated) FROM evidence_sums GROUP BY scope ORDER BY scope"
COUNTED_ANEW = f"""
    SELECT scope, count(*), count(*) FILTER (WHERE rated) FROM outcome WHERE {EVIDENCE} GROUP BY scope ORDER BY scope
"""  # noqa: S608 - the condition of analytics


def sums(storage: Storage) -> list[list[tuple[Any, ...]]]:
    """Every table of sums as it follows the batches."""
    return [
        asked(
            storage,
            f"SELECT {', '.join([*s.keys, 'requests', *s.sums, *(s.maximum or ())[:1]])} FROM {s.table} ORDER BY ALL",  # noqa: S608 - names of analytics
        )
        for s in ALL
    ]


def sums_anew(storage: Storage) -> list[list[tuple[Any, ...]]]:
    """The same from scratch."""
    return [asked(storage, f"FROM ({s.of('outcome')}) ORDER BY ALL") for s in ALL]


def test_an_outcome_joins_plan_calls_response_and_reward(storage: Storage):
    storage.take(Log().batch(*story("one", reward=0.75)), T0_US)
    assert asked(
        storage,
        """SELECT tenant, workflow, scope, content_type, complexity, band, strategy, chosen_strategy, propensity,
        probabilities, step, calls, cost_usd, latency_ms, answered, response_code, reward, reward_revision, rated,
        profile_version, features, requested_at_us, rewarded_at_us FROM outcome JOIN outcome_plan USING (request_key)""",
    ) == [
        (
            "acme",
            "customer_support",
            "customer_support",
            "transactional",
            5,
            "middle",
            "balanced-semantic",
            "balanced-semantic",
            0.75,
            [
                {"strategy": "balanced-semantic", "probability": 0.75},
                {"strategy": "premium-semantic", "probability": 0.25},
            ],
            0,
            1,
            0.002,
            20.0,
            True,
            None,
            0.75,
            0,
            False,
            1,
            [0.25, 0.5],
            T0_US,
            T0_US + 60_001_000,
        )
    ]


def test_every_order_of_events_over_batches_gives_the_same_outcome_and_sums(tmp_path: Path):
    events = story("one")
    results = set()
    for number, order in enumerate(itertools.permutations(events)):
        if number % 10:  # 12 of the 120 orders
            continue
        opened = Storage(tmp_path / str(number), "cluster")
        log = Log()
        for event in order:
            opened.take(log.batch(event), T0_US)
        assert sums(opened) == sums_anew(opened)
        results.add(repr((asked(opened, OUTCOME), sums(opened))))
        opened.close()
    assert len(results) == 1


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_repeats_and_cuts_into_batches_change_nothing(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject):
    events = [event for name in ("a", "b") for event in story(name)]
    events += story("c", profile_scope="other")
    events.append(rewarded(routed(request("b")), revision=1, reward=1.0, rated=True))
    repeated = data.draw(st.lists(st.sampled_from(events), max_size=10))
    order = data.draw(st.permutations([*events, *repeated]))
    size = data.draw(st.integers(1, 25))
    opened = Storage(tmp_path_factory.mktemp("s") / "analytics", "cluster")
    plain = Storage(tmp_path_factory.mktemp("p") / "analytics", "cluster")
    try:
        log = Log()
        messages = log.messages(order)
        taken = [
            opened.take(read_batch(messages[start : start + size], CODEC), T0_US)
            for start in range(0, len(messages), size)
        ]
        plain.take(Log().batch(*events), T0_US)
        assert sum(t.ingested for t in taken) == len(events)
        assert sum(t.repeats for t in taken) == len(repeated)
        assert asked(opened, OUTCOME) == asked(plain, OUTCOME)
        assert sums(opened) == sums(plain) == sums_anew(plain)
        assert asked(opened, COUNTS) == [("customer_support", 2, 1), ("other", 1, 0)]
    finally:
        opened.close()
        plain.close()


def test_the_first_plan_of_a_request_holds(storage: Storage):
    log, asks = Log(), request("one")
    storage.take(log.batch(asks, routed(asks, version=1)), T0_US)
    storage.take(log.batch(routed(asks, version=2, strategy=REMOTE)), T0_US)
    assert asked(storage, "SELECT profile_version, chosen_strategy FROM outcome") == [(1, "balanced-semantic")]


def test_the_highest_reward_revision_holds_though_it_comes_first(storage: Storage):
    log, plan = Log(), routed(request("one"))
    storage.take(log.batch(rewarded(plan, revision=2, reward=0.9, rated=True)), T0_US)
    storage.take(log.batch(plan, rewarded(plan, revision=1, reward=0.1)), T0_US)
    assert asked(storage, "SELECT reward, reward_revision, rated FROM outcome") == [(0.9, 2, True)]


def test_a_late_reward_changes_the_sums_of_the_hour_of_the_request_only(storage: Storage):
    log = Log()
    storage.take(log.batch(*story("one")[:-1], *story("two", at_us=T0_US + 5 * HOUR_US)), T0_US)
    late = rewarded(routed(request("one")), reward=1.0)
    storage.take(log.batch(late), T0_US)
    assert asked(
        storage,
        "SELECT window_start_us, requests, rewarded, reward_units FROM strategy_sums ORDER BY ALL",
    ) == [(T0_US, 1, 1, 1_000_000), (T0_US + 5 * HOUR_US, 1, 1, 500_000)]


def test_a_fallback_and_a_failure_are_counted_with_the_price_of_all_their_calls(storage: Storage):
    plan, lost = routed(request("one")), request("two")
    storage.take(
        Log().batch(
            plan,
            generation_failed(plan, step=0, cost_usd=0.001),
            generated(plan, step=1, cost_usd=0.004),
            answered(plan, step=1, strategy=REMOTE, cost_usd=0.005),
            failed(lost),
        ),
        T0_US,
    )
    assert asked(
        storage,
        "SELECT strategy, requests, answered, failed, fallbacks, cost_units FROM strategy_sums ORDER BY ALL",
    ) == [("", 1, 0, 1, 0, 0), ("premium-semantic", 1, 1, 0, 1, 5_000_000_000)]


def test_the_evidence_of_a_scope_is_counted_batch_by_batch(storage: Storage):
    log, plan, lost = Log(), routed(request("one")), request("two")
    counted = []
    for batch in (
        [answered(plan)],  # of a scope, and not rewarded
        [rewarded(plan)],
        [plan],  # names the scope that holds
        [rewarded(plan, revision=1, rated=True)],
        [failed(lost), rewarded(routed(lost))],  # no answer
        [rewarded(plan, revision=2, rated=False)],
    ):
        storage.take(log.batch(*batch), T0_US)
        counted.append(asked(storage, COUNTS))
        assert counted[-1] == asked(storage, COUNTED_ANEW)
    assert [[count[1:] for count in counts] for counts in counted] == [
        [],
        [(1, 0)],
        [(1, 0)],
        [(1, 1)],
        [(1, 1)],
        [(1, 0)],
    ]


def test_evidence_moves_to_the_scope_of_a_plan_that_comes_after_the_answer(storage: Storage):
    log, plan = Log(), routed(request("one"))
    storage.take(log.batch(answered(plan, profile_scope="said"), rewarded(plan)), T0_US)
    assert asked(storage, COUNTS) == [("said", 1, 0)]
    storage.take(log.batch(plan), T0_US)
    assert asked(storage, COUNTS) == asked(storage, COUNTED_ANEW) == [("customer_support", 1, 0)]


def test_offsets_advance_with_the_events_and_belong_to_a_cluster(tmp_path: Path):
    opened = Storage(tmp_path, "first")
    opened.take(Log().batch(*story("one")), T0_US)
    assert opened.watermark() == {
        "generation/0": 1,
        "requests/0": 1,
        "responses/0": 1,
        "rewards/0": 1,
        "routing/0": 1,
    }
    opened.close()
    other = Storage(tmp_path, "second")
    assert other.next_offsets() == {}
    other.close()


@pytest.mark.parametrize("moment", ["segments_written", "before_commit"])
def test_after_a_crash_at_any_moment_nothing_counts_twice_or_never(tmp_path: Path, moment: str):
    reached: list[str] = []

    def crash(at: str) -> None:
        reached.append(at)
        if at == moment and len(reached) > 2:
            raise CrashedError(at)

    log = Log()
    first, second = log.batch(*story("one")), log.batch(*story("two"))
    opened = Storage(tmp_path, "cluster", reached=crash)
    opened.take(first, T0_US)
    with pytest.raises(CrashedError):
        opened.take(second, T0_US)
    assert opened.next_offsets()["requests", 0] == 1
    opened.close()
    again = Storage(tmp_path, "cluster")
    again.take(second, T0_US)
    assert asked(again, "SELECT count(*), sum(calls) FROM outcome") == [(2, 2)]
    assert asked(again, "SELECT sum(requests), sum(rewarded) FROM strategy_sums") == [(2, 2)]
    assert asked(again, COUNTS) == [("customer_support", 2, 0)]
    listed = {s.path for s in again.segments()}
    assert listed == {p.relative_to(tmp_path).as_posix() for p in tmp_path.rglob("*.parquet")}
    again.close()


def test_a_process_that_dies_between_parquet_and_commit_leaves_orphans_that_the_next_start_removes(
    tmp_path: Path,
):
    child = textwrap.dedent(f"""
        import os, signal
        from pathlib import Path
        from analytics.storage import Storage
        from tests.analytics_events import Log, T0_US, story
        def die(moment):
            if moment == "before_commit":
                os.kill(os.getpid(), signal.SIGKILL)
        Storage(Path({str(tmp_path)!r}), "cluster", reached=die).take(Log().batch(*story("one")), T0_US)
    """)
    root = Path(__file__).resolve().parents[2]
    assert subprocess.run([sys.executable, "-c", child], cwd=root, check=False).returncode == -9
    assert len(list(tmp_path.rglob("*.parquet"))) == 5
    opened = Storage(tmp_path, "cluster")
    assert len(opened.removed) == 5
    assert opened.next_offsets() == {}
    opened.take(Log().batch(*story("one")), T0_US)
    assert asked(opened, "SELECT count(*), sum(calls) FROM outcome") == [(1, 1)]
    opened.close()


def test_an_event_keyed_by_any_string_is_recognised_when_it_comes_again(storage: Storage):
    log, odd = Log(), request("one", event_id="not hexadecimal \x00 é")
    assert storage.take(log.batch(odd), T0_US).ingested == 1
    assert storage.take(log.batch(odd), T0_US).repeats == 1


def test_identities_that_join_to_the_same_letters_are_different_requests(storage: Storage):
    storage.take(
        Log().batch(
            request("a", tenant="x", conversation_id="yz"),
            request("a", tenant="xy", conversation_id="z", event_id="1" * 32),
        ),
        T0_US,
    )
    assert asked(storage, "SELECT count(*) FROM outcome") == [(2,)]


def test_a_clock_gone_wild_breaks_nothing(storage: Storage):
    storage.take(Log().batch(request("one", at_us=2**63 - 1), request("two", at_us=-(2**63))), T0_US)
    assert asked(storage, "SELECT requested_at_us FROM outcome ORDER BY 1") == [
        (0,),
        (4_102_444_800_000_000,),
    ]


def test_what_is_no_event_or_not_of_its_topic_is_refused_and_the_rest_is_taken_in(storage: Storage):
    log = Log()
    strange = log.message("rewards", CODEC.encode(request("one")))
    batch = read_batch(
        [log.message("requests", b"no event"), *log.messages([request("two")]), strange, log.message("requests", None)],
        CODEC,
    )
    assert [(r.message.offset, r.code) for r in batch.refused] == [
        (0, Code.NOT_AVRO),
        (0, Code.UNEXPECTED_EVENT),
        (2, Code.NOT_AVRO),
    ]
    assert storage.take(batch, T0_US).ingested == 1
    assert storage.next_offsets() == {("requests", 0): 3, ("rewards", 0): 1}


def test_a_second_process_is_told_which_process_has_the_file(storage: Storage):
    child = (
        f"from pathlib import Path; from analytics.storage import Storage; Storage(Path({str(storage.folder)!r}), 'c')"
    )
    root = Path(__file__).resolve().parents[2]
    done = subprocess.run([sys.executable, "-c", child], cwd=root, check=False, capture_output=True, text=True)
    assert "is open in process" in done.stderr
    assert "Only one analytics process" in done.stderr


def test_a_file_that_is_not_duckdb_gives_a_remedy(tmp_path: Path):
    (tmp_path / PRIVATE).write_bytes(b"garbage" * 1000)
    with pytest.raises(Unconfigured, match="sets the file aside and builds it again"):
        Storage(tmp_path, "cluster")
