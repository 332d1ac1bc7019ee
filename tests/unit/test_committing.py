"""Which offsets may be committed."""

from hypothesis import given
from hypothesis import strategies as st

from streams.committing import committable


def test_nothing_acknowledged_commits_nothing():
    assert committable([], []) == ([], None)
    assert committable([], [10]) == ([], None)


def test_what_is_all_done_is_committed_to_its_end():
    assert committable([12, 10, 11], []) == ([10, 11, 12], 13)


def test_an_event_under_way_is_never_committed_over():
    assert committable([11, 12], [10]) == ([], None)
    assert committable([3, 4], [0]) == ([], None)
    assert committable([10, 12], [11]) == ([10], 11)


def test_offsets_that_were_never_delivered_hold_nothing_up():
    assert committable([10, 14], []) == ([10, 14], 15)


@given(st.lists(st.integers(0, 60), unique=True, min_size=1), st.data())
def test_whatever_the_order_everything_is_committed_once_and_never_past_what_is_under_way(offsets, data):
    finishing = data.draw(st.permutations(offsets))
    under_way, acknowledged, committed = set(offsets), [], 0
    for offset in finishing:
        under_way.discard(offset)
        acknowledged.append(offset)
        if data.draw(st.booleans()):
            done, reached = committable(acknowledged, under_way)
            acknowledged = [each for each in acknowledged if each not in done]
            if reached is not None:
                assert all(each >= reached for each in under_way)
                assert reached > committed
                committed = reached
    done, reached = committable(acknowledged, under_way)
    assert max(committed, reached or 0) == max(offsets) + 1
