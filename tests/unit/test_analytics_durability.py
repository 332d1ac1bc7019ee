"""A full disk, torn files and a lost private file: nothing is lost, and it is said."""

from __future__ import annotations

import subprocess
import sys
import textwrap
import threading
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb
import pytest

from analytics.private_file import NAME as PRIVATE
from analytics.private_file import Damaged, is_damage
from analytics.public import publish
from analytics.rebuilding import SET_ASIDE, open_storage
from analytics.room import NoRoom, Room, is_full
from analytics.storage import Storage
from analytics.upkeep import Upkeep, compact, forget_text
from schemas import RollbackOrdered
from streams.identity import event_id
from tests.analytics_events import T0_US, Log, ask_public, request, rewarded, routed, story
from tests.waiting import eventually

ROOT = Path(__file__).resolve().parents[2]
NOW = datetime(2024, 10, 4, tzinfo=UTC)
DAY_US = 86_400_000_000
VIEWS = {
    "outcomes": "FROM outcomes ORDER BY request_id",
    "strategy_performance": "FROM strategy_performance ORDER BY ALL",
    "strategy_totals": "FROM strategy_totals ORDER BY ALL",
    "service_levels": "FROM service_levels ORDER BY ALL",
    "plans": "SELECT request_id, profile_version FROM plans ORDER BY ALL",
    "requests": "SELECT count(*), count(DISTINCT event_id) FROM requests",
}
HELD = "SELECT scope, to_version FROM held_scope"
EVIDENCE = "SELECT * FROM evidence_sums ORDER BY ALL"


class Said:
    """A log that remembers."""

    def __init__(self) -> None:
        self.lines: list[tuple[str, dict[str, Any]]] = []

    def __getattr__(self, level: str) -> Any:
        return lambda event, **fields: self.lines.append((event, fields))

    @property
    def events(self) -> list[str]:
        return [event for event, _ in self.lines]


def shown(storage: Storage) -> dict[str, list[tuple[Any, ...]]]:
    views = {view: ask_public(storage, sql) for view, sql in VIEWS.items()}
    return {**views, "learner": storage.connection.execute(EVIDENCE).fetchall()}


def filled(folder: Path) -> tuple[Storage, Log]:
    """A storage with a little of everything: merged segments, forgotten texts, a plan that does not hold, a held scope."""
    storage, log = Storage(folder, "cluster"), Log()
    for number in range(3):
        storage.take(log.batch(*story(f"r{number}", at_us=T0_US + number * 400_000_000)), T0_US)
    asked = request("r0")
    held = RollbackOrdered(
        event_id=event_id("RollbackOrdered", "1"), occurred_at_us=T0_US, subject="learning:s", scope="s", to_version=7
    )
    storage.take(log.batch(routed(asked, version=2), held), T0_US)
    storage.take(log.batch(rewarded(routed(asked), revision=1, reward=1.0, rated=True)), T0_US)
    compact(storage, T0_US, most=2)
    forget_text(storage, T0_US + 20 * DAY_US)
    storage.take(log.batch(*story("late", at_us=T0_US + DAY_US)), T0_US)
    return storage, log


def overwrite(path: Path, at: int, content: bytes) -> None:
    with path.open("r+b") as file:
        file.seek(at)
        file.write(content)


def test_a_lost_private_file_is_built_again_from_the_segments_and_gives_the_same_views(tmp_path: Path):
    storage, log = filled(tmp_path)
    before, after = shown(storage), storage.next_offsets()
    storage.close()
    (tmp_path / PRIVATE).unlink()
    with pytest.raises(Damaged, match="is missing"):
        Storage(tmp_path, "cluster")
    said = Said()
    again = open_storage(tmp_path, "cluster", said, NOW)
    assert said.events == ["storage_damaged", "storage_rebuilt"]
    assert shown(again) == before
    assert again.connection.execute(HELD).fetchall() == [("s", 7)]
    reached = again.next_offsets()
    assert all(offset <= after[place] for place, offset in reached.items())
    assert set(after) - set(reached) <= {("profile-history", 0)}
    # what is read again is recognised
    assert again.take(log.batch(*story("late", at_us=T0_US + DAY_US)), T0_US).ingested == 0
    again.close()


@pytest.mark.parametrize("spoilt", ["garbage", "cut", "torn in the middle"])
def test_a_torn_private_file_is_set_aside_and_built_again(tmp_path: Path, spoilt: str):
    storage, _ = filled(tmp_path)
    before = shown(storage)
    storage.connection.execute("FORCE CHECKPOINT")
    storage.close()
    path = tmp_path / PRIVATE
    size = path.stat().st_size
    if spoilt == "garbage":
        path.write_bytes(b"garbage" * 10_000)
    elif spoilt == "cut":
        with path.open("r+b") as file:
            file.truncate(size // 2)
    else:
        for at in range(12_288 + 4_096, size, 65_536):
            overwrite(path, at, b"\xff" * 2_048)
    said = Said()
    again = open_storage(tmp_path, "cluster", said, NOW)
    assert said.events == ["storage_damaged", "storage_rebuilt"]
    assert shown(again) == before
    (aside,) = (tmp_path / SET_ASIDE).iterdir()
    assert (aside / PRIVATE).exists()
    assert str(tmp_path) in (aside / "why.txt").read_text()
    again.close()


def test_the_tail_of_a_torn_wal_is_a_transaction_that_did_not_happen(tmp_path: Path):
    child = textwrap.dedent(f"""
        import os, signal
        from pathlib import Path
        from analytics.storage import Storage
        from tests.analytics_events import Log, T0_US, story
        storage, log = Storage(Path({str(tmp_path)!r}), "cluster"), Log()
        for number in range(3):
            storage.take(log.batch(*story(f"r{{number}}")), T0_US)
        os.kill(os.getpid(), signal.SIGKILL)
    """)
    assert subprocess.run([sys.executable, "-c", child], cwd=ROOT, check=False).returncode == -9
    wal = tmp_path / f"{PRIVATE}.wal"
    with wal.open("r+b") as file:
        file.truncate(wal.stat().st_size - 100)
    storage = open_storage(tmp_path, "cluster", Said(), NOW)
    assert storage.next_offsets()["requests", 0] == 2
    log = Log()
    messages = [log.batch(*story(f"r{number}")) for number in range(3)]
    assert storage.take(messages[2], T0_US).ingested == 5
    assert ask_public(storage, "SELECT count(*), sum(calls)::BIGINT FROM outcomes") == [(3, 3)]
    storage.close()


def test_a_torn_segment_is_named_and_what_the_log_has_of_it_is_taken_in_again(tmp_path: Path):
    storage, log = Storage(tmp_path, "cluster"), Log()
    first, second = log.batch(*story("one")), log.batch(*story("two"))
    storage.take(first, T0_US)
    storage.take(second, T0_US)
    before = shown(storage)
    (torn, _) = [s.path for s in storage.segments() if s.event == "GenerationCompleted"]
    storage.close()
    with (tmp_path / torn).open("r+b") as file:
        file.truncate(100)
    with pytest.raises(Damaged, match="generation_completed"):
        Storage(tmp_path, "cluster")
    said = Said()
    again = open_storage(tmp_path, "cluster", said, NOW)
    assert said.lines[-1][1]["lost_segments"] == [torn]
    assert ("generation", 0) not in again.next_offsets()
    assert again.take(first, T0_US).ingested == 1
    assert shown(again) == before
    again.close()


def test_a_merge_that_cannot_read_a_segment_names_it(tmp_path: Path):
    storage, log = Storage(tmp_path, "cluster"), Log()
    for number in range(40):
        storage.take(log.batch(request(f"r{number}")), T0_US)
    spoilt = storage.segments()[3]
    size = (storage.folder / spoilt.path).stat().st_size
    overwrite(storage.folder / spoilt.path, 4, b"\xff" * (size // 2))
    upkeep = Upkeep(storage)
    upkeep.maintain(T0_US)
    with pytest.raises(Damaged, match="request_received"):
        eventually(lambda: upkeep.maintain(T0_US), 30)
    upkeep.close()
    storage.disown()
    again = open_storage(tmp_path, "cluster", Said(), NOW)
    assert ask_public(again, "SELECT count(*) FROM requests") == [(39,)]
    again.close()


def test_a_rebuilding_that_was_broken_off_begins_anew(tmp_path: Path):
    storage, _ = filled(tmp_path)
    before = shown(storage)
    storage.connection.execute("INSERT INTO unfinished_migration VALUES ('rebuild')")
    storage.connection.execute("DELETE FROM outcome")
    storage.close()
    again = open_storage(tmp_path, "cluster", Said(), NOW)
    assert shown(again) == before
    again.close()


def test_a_torn_export_is_written_again(tmp_path: Path):
    storage, _ = filled(tmp_path)
    before = shown(storage)
    storage.close()
    for path in (tmp_path / "exports").iterdir():
        path.write_bytes(b"PAR1")
    again = Storage(tmp_path, "cluster")
    assert shown(again) == before
    again.close()


def test_a_newer_file_a_locked_one_and_a_full_disk_are_no_damage():
    for said in (
        "Trying to read a database file with version number 99, but we can only read versions between 64 and 68.",
        "Could not set lock on file",
        'Could not write file "private.duckdb.wal": No space left on device',
    ):
        assert not is_damage(duckdb.IOException(said))
    assert is_damage(duckdb.IOException("Corrupt database file: computed checksum 1 does not match stored checksum 2"))


def test_what_finds_no_room_is_tried_until_there_is_some_and_counts_once(tmp_path: Path):
    """The room is a limit on the size of files, in a process of its own: what a quota or a full disk does to a write."""
    child = textwrap.dedent(f"""
        import resource, sys, threading
        from pathlib import Path
        from analytics.public import publish
        from analytics.room import Room
        from analytics.storage import Storage
        from tests.analytics_events import Log, T0_US, ask_public, story
        from tests.unit.test_analytics_durability import Said
        storage, log, said = Storage(Path({str(tmp_path)!r}), "cluster"), Log(), Said()
        class Clears:
            "An operator who makes room at the second pause."
            pauses = 0
            def wait(self, _seconds):
                Clears.pauses += 1
                if Clears.pauses == 2:
                    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
                return False
        room = Room(storage.folder, said, storage.recover)
        storage.take(log.batch(*story("first")), T0_US)
        batch = log.batch(*(event for n in range(50) for event in story(f"r{{n}}")))
        resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[1]), resource.RLIM_INFINITY))
        taken = room.insist(lambda: storage.take(batch, T0_US), Clears())
        resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[1]), resource.RLIM_INFINITY))
        assert not room.attempt(lambda: publish(storage, T0_US)) and "no room" in room.wanting
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        assert room.attempt(lambda: publish(storage, T0_US)) and room.wanting == ""
        print(taken.ingested, Clears.pauses, ",".join(said.events))
        print(ask_public(storage, "SELECT count(*), sum(calls)::BIGINT FROM outcomes"))
        print(sorted(p.suffix for p in storage.folder.rglob("*.unfinished")))
        storage.close()
        storage = Storage(storage.folder, "cluster")
        print(storage.next_offsets()["requests", 0])
    """)  # noqa: S608 - a program, not a query
    for bytes_a_file in (
        "1000",
        "8000",
        "30000",
    ):  # segments do not fit; exports do not; the private file does not grow
        folder = tmp_path / bytes_a_file
        script = child.replace(str(tmp_path), str(folder))
        done = subprocess.run(
            [sys.executable, "-c", script, bytes_a_file], cwd=ROOT, check=False, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        first, *others = done.stdout.splitlines()
        ingested, pauses, events = first.split()
        assert (ingested, others) == ("250", ["[(51, 51)]", "[]", "51"])
        assert events.startswith("disk_full") == (pauses != "0")
        assert events.endswith("disk_full,disk_has_room")


def test_a_stop_ends_the_wait_for_room_and_other_errors_end_it_at_once(tmp_path: Path):
    stop = threading.Event()
    stop.set()
    room = Room(tmp_path, Said(), lambda: None)

    def full() -> None:
        raise OSError(28, "No space left on device")

    def broken() -> None:
        raise duckdb.IOException("Could not read")

    with pytest.raises(NoRoom):
        room.insist(full, stop)
    assert "no room" in room.wanting
    with pytest.raises(duckdb.IOException):
        room.attempt(broken)
    assert is_full(duckdb.TransactionException("Could not write file: No space left on device"))


def test_the_public_file_stays_as_it_was_where_a_new_one_finds_no_room(tmp_path: Path):
    storage, log = Storage(tmp_path, "cluster"), Log()
    storage.take(log.batch(*story("one")), T0_US)
    path = publish(storage, T0_US)
    before = path.read_bytes()
    (tmp_path / "building" / "penstock.duckdb").mkdir(parents=True)
    storage.take(log.batch(*story("two")), T0_US)
    with pytest.raises((OSError, duckdb.Error)):
        publish(storage, T0_US)
    assert path.read_bytes() == before
    storage.close()
