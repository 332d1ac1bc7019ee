"""The limit on dead letters: by number and share, of one source, within a window; and what waits while it is reached."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas import StagePaused, StageResumed
from streams.limit import SLOTS, Counts, Limit, Window
from streams.pausing import Gate, Pause, Resumption, SourcePaused, event_of

WINDOW_S = 60.0
SLOT_US = int(WINDOW_S * 1e6 / SLOTS)
BEGIN_US = 1_800_000_000_000_000


@pytest.mark.parametrize(
    ("letters", "handled", "allowed"),
    [
        (3, 0, True),  # few, whatever their share
        (4, 0, False),  # many, and nothing else
        (4, 4, True),  # many, and no more than half
        (4, 3, False),
        (1_000_000, 1_000_000, True),
    ],
)
def test_letters_are_too_many_where_they_exceed_the_number_and_the_share(letters, handled, allowed):
    assert Limit(most=3, share=0.5).allows(letters=letters, handled=handled) is allowed


def test_a_limit_of_none_lets_no_letter_through_and_a_share_of_one_any():
    assert not Limit(most=0, share=0.0).allows(letters=1, handled=10**9)
    assert Limit(most=0, share=1.0).allows(letters=10**9, handled=0)


Steps = st.lists(
    st.tuples(st.integers(-SLOT_US, 5 * SLOT_US), st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=60
)


@given(Steps)
def test_an_event_counts_for_at_least_the_window_and_at_most_a_slot_longer(steps):
    window, now_us, latest_us = Window(WINDOW_S), BEGIN_US, BEGIN_US
    ended: list[tuple[int, int, int]] = []
    for passed_us, letters, handled in steps:
        now_us += passed_us
        latest_us = max(latest_us, now_us)  # a clock that goes back stands still
        window.add(now_us, letters=letters, handled=handled)
        ended.append((latest_us, letters, handled))
        counts = window.counts(now_us)
        window_us = int(WINDOW_S * 1e6)
        surely = [each for each in ended if each[0] > latest_us - window_us]
        perhaps = [each for each in ended if each[0] > latest_us - window_us - 2 * SLOT_US]
        assert sum(n for _, n, _ in surely) <= counts.letters <= sum(n for _, n, _ in perhaps)
        assert sum(n for _, _, n in surely) <= counts.handled <= sum(n for _, _, n in perhaps)


def test_a_window_keeps_no_more_than_its_slots_however_many_events_come():
    window = Window(WINDOW_S)
    for number in range(10_000):
        window.add(BEGIN_US + number * SLOT_US // 3, handled=1)
    assert len(window._slots) <= SLOTS + 1


def test_what_is_older_than_the_window_is_forgotten():
    window = Window(WINDOW_S)
    window.add(BEGIN_US, letters=5, handled=7)
    assert window.counts(BEGIN_US + int(WINDOW_S * 1e6)) == Counts(5, 7)
    assert window.counts(BEGIN_US + int((WINDOW_S + 3) * 1e6)) == Counts()


class World:
    def __init__(self, most: int = 2, share: float = 0.5) -> None:
        self.now_us = BEGIN_US
        self.gate = Gate(Limit(most=most, share=share, window_s=WINDOW_S), lambda: self.now_us)

    def letter(self, source: str = "requests", offset: int = 0) -> bool:
        try:
            self.gate.let_letter_through(source, code="handler_failed", partition=1, offset=offset)
        except SourcePaused:
            return False
        return True


def test_the_letter_that_would_break_the_limit_pauses_its_source_and_names_the_evidence():
    world = World()
    world.gate.count_handled("requests")
    assert [world.letter(offset=n) for n in range(5)] == [True, True, False, False, False]
    (pause,) = world.gate.paused.values()
    assert pause == Pause("requests", 2, 1, "handler_failed", 1, 2, BEGIN_US)
    assert list(world.gate.news) == [pause]


def test_another_source_goes_on():
    world = World()
    while world.letter():
        pass
    with pytest.raises(SourcePaused, match="requests is paused"):
        world.gate.let_letter_through("requests", code="not_avro", partition=0, offset=0)
    assert world.letter("feedback")
    assert list(world.gate.paused) == ["requests"]


@given(st.lists(st.booleans(), max_size=200), st.integers(0, 5), st.floats(0, 1))
def test_whatever_comes_no_more_letters_go_than_the_limit_allows(outcomes, most, share):
    world = World(most, share)
    letters = handled = 0
    for fails in outcomes:
        if not fails:
            world.gate.count_handled("requests")
            handled += 1
        elif world.letter():
            letters += 1
            assert letters <= most or letters <= share * (letters + handled)
        else:
            assert letters + 1 > most
            assert letters + 1 > share * (letters + 1 + handled)
            return


def test_an_order_resumes_what_it_names_and_the_counts_begin_anew():
    world = World()
    for source in ("requests", "feedback"):
        while world.letter(source):
            pass
    world.now_us += 4_000_000
    assert world.gate.resume("requests", ordered_by="operator") == ["requests"]
    assert world.gate.news[-1] == Resumption("requests", 4.0, "operator", world.now_us)
    assert [world.letter() for _ in range(3)] == [True, True, False]
    assert sorted(world.gate.resume()) == ["feedback", "requests"]
    assert world.gate.resume() == []
    assert world.gate.paused == {}


def test_whatever_waits_for_a_source_goes_on_when_it_is_resumed_and_not_before():
    world = World(most=0, share=0.0)
    gone: list[str] = []

    async def wait(source: str) -> None:
        await world.gate.opened(source)
        gone.append(source)

    async def run() -> None:
        world.letter()
        waiting = [asyncio.create_task(wait(source)) for source in ("requests", "requests", "feedback")]
        for _ in range(3):
            await asyncio.sleep(0)
        assert gone == ["feedback"]
        world.gate.resume("requests")
        await asyncio.gather(*waiting)

    asyncio.run(run())
    assert gone == ["feedback", "requests", "requests"]


def test_a_pause_and_its_end_are_told_as_events_of_their_own():
    world = World()
    while world.letter(offset=7):
        pass
    world.now_us += 1_500_000
    world.gate.resume(ordered_by="operator")
    paused, resumed = (event_of(each, role="router", worker="0:1", limit=world.gate.limit) for each in world.gate.news)
    assert isinstance(paused, StagePaused)
    assert (paused.source, paused.letters, paused.handled, paused.code) == ("requests", 2, 0, "handler_failed")
    assert (paused.most, paused.share, paused.window_s, paused.held_partition, paused.held_offset) == (
        2,
        0.5,
        60.0,
        1,
        7,
    )
    assert isinstance(resumed, StageResumed)
    assert (resumed.source, resumed.paused_s, resumed.ordered_by) == ("requests", 1.5, "operator")
    assert paused.event_id != resumed.event_id
