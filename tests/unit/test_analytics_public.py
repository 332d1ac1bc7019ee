"""The public file, upkeep of the segments, migrations, profiles and orders."""

from __future__ import annotations

import multiprocessing
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import pytest

from analytics.migrating import FOLDER, migrate, migrations
from analytics.private_file import NAME as PRIVATE
from analytics.private_file import open_private, transaction
from analytics.profile_store import (
    forget_orders,
    insert_profiles,
    mark_published,
    pending_orders,
    unpublished_profiles,
)
from analytics.public import NAME, publish
from analytics.query import QueryFailed, open_public, rows
from analytics.storage import Storage
from analytics.upkeep import GRACE_US, compact, delete_dropped, forget_text, maintain
from schemas import Evidence, LearningResumed, ProfileUpdated, RollbackOrdered
from streams.deployment import Deployment
from streams.errors import Unconfigured
from tests.analytics_events import (
    CODEC,
    T0_US,
    Log,
    answered,
    ask_file,
    ask_public,
    failed,
    generation_failed,
    request,
    routed,
    story,
)

DAY_US = 24 * 3_600_000_000
HEAD_BYTES = 3 * 4_096
"""The head of a DuckDB file: its own, and those of its two newest states."""


@pytest.fixture
def storage(tmp_path: Path) -> Iterator[Storage]:
    opened = Storage(tmp_path / "analytics", "cluster")
    yield opened
    opened.close()


def read_until_stopped(path: str, stop: Any, answers: Any) -> None:
    """A reader process: opens, asks, closes, again and again; what it saw goes to ``answers``."""
    counts: list[int] = []
    while not stop.is_set() or not counts:
        try:
            with duckdb.connect(path, read_only=True) as connection:
                counts.append(connection.execute("SELECT count(*) FROM outcomes").fetchall()[0][0])
        except duckdb.Error as error:
            answers.put(f"{error}")
            return
    answers.put(counts)


def test_many_processes_read_while_the_writer_replaces_the_file(storage: Storage):
    context = multiprocessing.get_context("spawn")
    log, stop, answers = Log(), context.Event(), context.Queue()
    path = publish(storage, T0_US)
    readers = [context.Process(target=read_until_stopped, args=(str(path), stop, answers)) for _ in range(3)]
    for reader in readers:
        reader.start()
    for number in range(20):
        storage.take(log.batch(*story(f"r{number}")), T0_US)
        publish(storage, T0_US)
    stop.set()
    seen = [answers.get(timeout=60) for _ in readers]
    for reader in readers:
        reader.join(30)
    assert [kind for kind in seen if isinstance(kind, str)] == []
    assert all(counts == sorted(counts) for counts in seen)


def test_who_opens_the_file_while_it_is_replaced_sees_a_whole_state(storage: Storage, tmp_path: Path):
    log, mixed, old = Log(), tmp_path / "mixed" / NAME, b""
    mixed.parent.mkdir()
    for number in range(12):
        storage.take(log.batch(*story(f"r{number}")), T0_US)
        if number % 5 == 4:
            compact(storage, T0_US, most=2)  # fewer files: the views, and with them the file, get smaller
        new = publish(storage, T0_US).read_bytes()
        if old:  # DuckDB reads the head, closes the file, and opens it again: as if it had been replaced in between
            mixed.write_bytes(old[:HEAD_BYTES] + new[HEAD_BYTES:])
            assert ask_file(mixed, "SELECT count(*) FROM outcomes") == [(number,)]
        old = new


def test_a_public_file_that_a_power_failure_tore_is_made_anew(storage: Storage):
    storage.take(Log().batch(*story("r1")), T0_US)
    path = publish(storage, T0_US)
    path.write_bytes(path.read_bytes()[:20_000])
    publish(storage, T0_US)
    assert ask_file(path, "SELECT count(*) FROM outcomes") == [(1,)]


def test_who_has_the_old_file_open_keeps_what_it_saw_and_who_opens_it_anew_sees_the_new(storage: Storage):
    log = Log()
    storage.take(log.batch(*story("one")), T0_US)
    with duckdb.connect(str(publish(storage, T0_US)), read_only=True) as old:
        storage.take(log.batch(*story("two")), T0_US)
        path = publish(storage, T0_US)
        assert old.execute("SELECT count(*) FROM outcomes").fetchall() == [(1,)]
    with duckdb.connect(str(path), read_only=True) as new:
        assert new.execute("SELECT count(*) FROM outcomes").fetchall() == [(2,)]


def test_a_late_reward_is_exported_again_with_its_hour(storage: Storage):
    log, events = Log(), story("one")
    storage.take(log.batch(*events[:-1]), T0_US)
    assert ask_public(storage, "SELECT reward FROM outcomes") == [(None,)]
    storage.take(log.batch(events[-1]), T0_US)
    assert ask_public(storage, "SELECT reward FROM outcomes") == [(0.5,)]


def test_small_segments_are_merged_and_the_old_files_stay_for_the_grace(storage: Storage):
    log = Log()
    for number in range(5):
        storage.take(log.batch(request(f"r{number}")), T0_US)
    old = [segment.path for segment in storage.segments()]
    assert compact(storage, T0_US, most=4)
    (merged,) = storage.segments()
    assert (merged.level, merged.event_count, merged.has_text) == (1, 5, True)
    assert all((storage.folder / path).exists() for path in old)
    assert ask_public(storage, "SELECT count(*), count(DISTINCT request_id) FROM requests") == [(5, 5)]
    delete_dropped(storage, T0_US + GRACE_US - 1)
    assert all((storage.folder / path).exists() for path in old)
    delete_dropped(storage, T0_US + GRACE_US)
    assert not any((storage.folder / path).exists() for path in old)
    assert ask_public(storage, "SELECT count(*) FROM requests") == [(5,)]


def test_segments_with_text_are_merged_within_a_day_and_across_days_once_it_is_forgotten(storage: Storage):
    log = Log()
    for day in (0, 1):
        for number in range(3):
            storage.take(log.batch(request(f"r{day}{number}", at_us=T0_US + day * DAY_US)), T0_US)
    assert compact(storage, T0_US, most=2)
    assert [segment.event_count for segment in storage.segments()] == [3, 3]
    assert forget_text(storage, T0_US + 9 * DAY_US)
    assert compact(storage, T0_US + 9 * DAY_US, most=1)
    assert [segment.event_count for segment in storage.segments()] == [6]


def test_few_segments_are_left_alone(storage: Storage):
    storage.take(Log().batch(*story("one")), T0_US)
    assert not maintain(storage, T0_US)


def test_files_within_their_grace_survive_a_restart_and_files_in_no_list_do_not(tmp_path: Path):
    opened, log = Storage(tmp_path, "cluster"), Log()
    for number in range(3):
        opened.take(log.batch(request(f"r{number}")), T0_US)
    compact(opened, T0_US, most=2)
    publish(opened, T0_US)
    kept = set(tmp_path.rglob("*.parquet"))
    opened.close()
    (tmp_path / "segments" / "request_received" / "merged.half.unfinished").write_bytes(b"half")
    again = Storage(tmp_path, "cluster")
    assert again.removed == ["segments/request_received/merged.half.unfinished"]
    assert set(tmp_path.rglob("*.parquet")) == kept
    again.close()


def test_text_is_forgotten_when_the_topics_forget_it_and_the_rest_stays(storage: Storage):
    storage.take(Log().batch(*story("one")), T0_US)
    assert not forget_text(storage, T0_US + 6 * DAY_US)
    assert forget_text(storage, T0_US + 8 * DAY_US)
    assert not forget_text(storage, T0_US + 8 * DAY_US)
    assert ask_public(
        storage,
        """SELECT message, history, documents, variables, workflow, (SELECT text FROM responses),
        (SELECT (question, passages, text, input_tokens) FROM generations) FROM requests""",
    ) == [(None, None, None, None, "customer_support", None, (None, None, None, 10))]
    assert ask_public(storage, "SELECT reward, features FROM outcomes") == [(0.5, [0.25, 0.5])]


def test_errors_reasoning_and_sources_are_forgotten_like_other_texts_and_keep_their_types(storage: Storage):
    plan, lost = routed(request("one")), request("two")
    storage.take(
        Log().batch(
            plan,
            generation_failed(plan),
            answered(plan, step=1, sources=("a caller's document",), reasoning="The provider said: it is Ada's."),
            failed(lost),
        ),
        T0_US,
    )
    fallback = """SELECT sources, reasoning, step, cost_usd FROM responses WHERE answered"""
    lost_response = "SELECT error, code, remedy FROM responses WHERE NOT answered"
    lost_call = "SELECT error, code, tries FROM generations WHERE NOT completed"
    types = "SELECT * FROM (DESCRIBE responses) UNION ALL FROM (DESCRIBE generations)"
    assert ask_public(storage, fallback) == [
        (["a caller's document"], "The provider said: it is Ada's.", 1, 0.002),
    ]
    assert ask_public(storage, lost_call) == [("no route", "provider_unavailable", 3)]
    described = ask_public(storage, types)
    assert maintain(storage, T0_US + 8 * DAY_US)
    assert ask_public(storage, fallback) == [(None, None, 1, 0.002)]
    assert ask_public(storage, lost_response) == [(None, "unknown_workflow", "Use another.")]
    assert ask_public(storage, lost_call) == [(None, "provider_unavailable", 3)]
    assert ask_public(storage, types) == described
    delete_dropped(storage, T0_US + 8 * DAY_US + GRACE_US)
    left = b"".join(path.read_bytes() for path in storage.folder.rglob("segments/**/*.parquet"))
    assert b"Ada" not in left
    assert b"caller" not in left


def test_a_file_of_the_first_migration_gets_its_counts_and_forgets_what_it_kept_too_long(tmp_path: Path):
    older, folder = tmp_path / "older", tmp_path / "analytics"
    older.mkdir()
    shutil.copy(FOLDER / "001_storage.sql", older)
    opened = Storage(tmp_path / "now", "cluster")
    plan = routed(request("one"))
    opened.take(Log().batch(*story("one"), generation_failed(plan, step=1)), T0_US)
    forget_text(opened, T0_US + 8 * DAY_US)
    counts = "SELECT scope, sum(requests), sum(rated) FROM evidence_sums GROUP BY scope"
    counted = opened.connection.execute(counts).fetchall()
    shown = {view: ask_public(opened, f"FROM {view}") for view in ("strategy_totals", "outcomes")}
    open_private(folder, older).close()
    opened.connection.execute(f"ATTACH '{folder / PRIVATE}' AS old")
    opened.connection.execute("INSERT INTO old.segment BY NAME SELECT * FROM segment")
    opened.connection.execute("""
        INSERT INTO old.outcome BY NAME
        SELECT * EXCLUDE (slice)
        FROM outcome JOIN (SELECT * EXCLUDE (slice, qualities, costs_usd) FROM outcome_plan) USING (request_key)
    """)
    opened.close()
    shutil.copytree(tmp_path / "now" / "segments", folder / "segments")
    migrated = Storage(folder, "cluster")
    assert counted == [("customer_support", 1, 0)]
    assert migrated.connection.execute(counts).fetchall() == counted
    with_text = "SELECT event FROM segment WHERE has_text ORDER BY event"
    assert migrated.connection.execute(with_text).fetchall() == [("GenerationFailed",), ("ResponseReady",)]
    assert {view: ask_public(migrated, f"FROM {view}") for view in shown} == shown
    migrated.close()


def test_a_query_before_anything_was_written_says_what_to_do(tmp_path: Path):
    with pytest.raises(Unconfigured, match="penstock worker analytics"):
        rows(Deployment(var=tmp_path), "SELECT 1")


def test_a_query_gives_columns_and_rows_and_a_wrong_one_gives_the_message_of_the_database(storage: Storage):
    publish(storage, T0_US)
    deployment = Deployment(var=storage.folder.parent)
    answer = rows(deployment, "SELECT 1 AS one, ? AS two", ["2"])
    assert (answer.columns, answer.rows) == (("one", "two"), [(1, "2")])
    with pytest.raises(QueryFailed, match="requets"):
        rows(deployment, "SELECT * FROM requets")
    with pytest.raises(QueryFailed, match="read-only"):
        rows(deployment, "CREATE TABLE t (a INTEGER)")
    with open_public(deployment) as connection:
        assert connection.execute("SELECT count(*) FROM outcomes").fetchall() == [(0,)]


def test_a_public_file_that_is_not_duckdb_says_what_to_do(tmp_path: Path):
    (tmp_path / "analytics").mkdir()
    (tmp_path / "analytics" / NAME).write_bytes(b"garbage" * 1000)
    with pytest.raises(Unconfigured, match="writes the file anew"):
        open_public(Deployment(var=tmp_path))


def test_migrations_are_applied_once_and_only_forward(tmp_path: Path):
    folder = tmp_path / "migrations"
    shutil.copytree(FOLDER, folder)
    (folder / f"{len(migrations()) + 1:03d}_next.sql").write_text("CREATE TABLE t (a INTEGER);")
    with duckdb.connect(str(tmp_path / "file.duckdb")) as connection:
        assert migrate(connection) == [m.number for m in migrations()]
        assert migrate(connection) == []
        assert migrate(connection, folder) == [len(migrations()) + 1]
        with pytest.raises(Unconfigured, match="which this Penstock does not know"):
            migrate(connection)


def test_a_migration_that_was_changed_after_it_was_applied_is_refused(tmp_path: Path):
    folder = tmp_path / "migrations"
    shutil.copytree(FOLDER, folder)
    with duckdb.connect(str(tmp_path / "file.duckdb")) as connection:
        migrate(connection, folder)
        first = min(folder.glob("*.sql"))
        first.write_text(first.read_text() + "-- changed\n")
        with pytest.raises(Unconfigured, match="was changed after it had been applied"):
            migrate(connection, folder)


def test_a_migration_that_fails_leaves_nothing_behind(tmp_path: Path):
    (tmp_path / "001_bad.sql").write_text("CREATE TABLE t (a INTEGER); SELECT nonsense;")
    with duckdb.connect(str(tmp_path / "file.duckdb")) as connection:
        with pytest.raises(duckdb.Error):
            migrate(connection, tmp_path)
        assert connection.execute("SELECT count(*) FROM migration").fetchall() == [(0,)]
        assert connection.execute("SHOW TABLES").fetchall() == [("migration",)]


def profile(version: int, *, scope: str = "s") -> ProfileUpdated:
    return ProfileUpdated(
        event_id=f"{version:032x}",
        occurred_at_us=T0_US,
        scope=scope,
        version=version,
        parent=version - 1,
        learner="gaussian@1",
        beliefs=(),
        incumbents=(),
        evidence=Evidence(requests=0, rated=0, watermark={}),
        sentence="New.",
    )


def test_a_profile_that_was_inserted_and_not_marked_is_published_again_with_the_same_bytes(tmp_path: Path):
    opened = Storage(tmp_path, "cluster")
    with transaction(opened.connection):
        insert_profiles(opened.connection, [profile(1), profile(2)], CODEC)
    first, second = unpublished_profiles(opened.connection)
    mark_published(opened.connection, first)
    opened.close()
    again = Storage(tmp_path, "cluster")
    assert unpublished_profiles(again.connection) == [second]
    assert CODEC.decode(second.payload) == profile(2)
    again.close()


def test_the_history_fills_the_profiles_of_a_lost_private_file_and_changes_none(storage: Storage):
    with transaction(storage.connection):
        insert_profiles(storage.connection, [profile(2)], CODEC)
    storage.take(Log().batch(profile(1), profile(2)), T0_US)
    found = storage.connection.execute("SELECT version, published FROM profile ORDER BY 1").fetchall()
    assert found == [(1, True), (2, False)]


def test_orders_wait_for_the_learner_in_log_order_and_hold_their_scope_until_learning_resumes(tmp_path: Path):
    rollback = RollbackOrdered(event_id="1" * 32, occurred_at_us=T0_US, subject="learning:s", scope="s", to_version=4)
    resumed = LearningResumed(event_id="2" * 32, occurred_at_us=T0_US, subject="learning:s", scope="s")
    opened, log = Storage(tmp_path, "cluster"), Log()
    opened.take(log.batch(rollback, rollback), T0_US)
    opened.take(log.batch(rollback), T0_US)
    opened.close()
    again = Storage(tmp_path, "cluster")
    held = "SELECT scope, to_version FROM held_scope"
    assert again.connection.execute(held).fetchall() == [("s", 4)]
    again.take(log.batch(resumed), T0_US)
    assert pending_orders(again.connection, CODEC) == [rollback, resumed]
    assert again.connection.execute(held).fetchall() == []
    forget_orders(again.connection)
    assert pending_orders(again.connection, CODEC) == []
    again.close()


def test_a_plan_that_does_not_hold_is_left_out_whichever_file_it_stands_in(storage: Storage):
    log, first = Log(), request("r1")
    storage.take(log.batch(first, routed(first), routed(request("r0"), version=7)), T0_US)
    storage.take(log.batch(routed(first, version=2), routed(request("r2", at_us=T0_US + DAY_US), version=1)), T0_US)
    storage.take(log.batch(routed(request("r3", at_us=T0_US + 2 * DAY_US))), T0_US)
    held = [("r0", 7), ("r1", 1), ("r2", 1), ("r3", 1)]
    question = "SELECT request_id, profile_version FROM plans ORDER BY 1"
    assert ask_public(storage, question) == held
    storage.connection.execute("UPDATE superseded_plan SET logged_at_us = NULL")  # as an older Penstock left it
    assert ask_public(storage, question) == held
    assert compact(storage, T0_US, most=1)
    assert ask_public(storage, question) == held


def test_percentiles_of_latencies_are_those_of_the_answers(storage: Storage):
    log = Log()
    assert ask_public(storage, "SELECT p50_latency_ms FROM strategy_totals") == []
    for number in range(1, 101):
        plan = routed(request(f"r{number}"))
        storage.take(log.batch(plan, answered(plan, latency_ms=float(number * 10))), T0_US)
    ((median, high),) = ask_public(storage, "SELECT p50_latency_ms, p95_latency_ms FROM strategy_totals")
    assert (median, high) == (pytest.approx(500, rel=0.0051), pytest.approx(950, rel=0.0051))
