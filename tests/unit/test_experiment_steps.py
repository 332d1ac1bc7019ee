"""Who gets which version, and the way of an experiment from a first share to all, or back."""

from hypothesis import given
from hypothesis import strategies as st

from agents.deciding.experiment import gets_new, place
from analytics.experimenting.comparing import Finding
from analytics.experimenting.steps import LEAST_EACH, canary, next_standing, split

NAMES = [f"talk-{number}" for number in range(20_000)]


def found(step="running", *, harmless=False):
    return Finding(step, "because", 400, (), harmless)


def test_a_share_of_the_conversations_gets_the_new_version():
    for share in (0.05, 0.25, 0.5):
        got = sum(gets_new("tone", "acme", name, share) for name in NAMES) / len(NAMES)
        assert abs(got - share) < 0.01


@given(st.text(), st.text(), st.floats(0, 1), st.floats(0, 1))
def test_who_has_the_new_version_keeps_it_while_the_share_grows(tenant, conversation, one, other):
    low, high = sorted((one, other))
    assert gets_new("tone", tenant, conversation, low) <= gets_new("tone", tenant, conversation, high)
    assert gets_new("tone", tenant, conversation, 1.0)
    assert not gets_new("tone", tenant, conversation, 0.0)


def test_another_experiment_divides_the_conversations_anew():
    both = sum(gets_new("tone", "acme", n, 0.5) and gets_new("price", "acme", n, 0.5) for n in NAMES)
    assert abs(both / len(NAMES) - 0.25) < 0.02
    assert place("tone", "acme", "talk-1") == 0.5982564217995946


def test_a_canary_grows_without_harm_and_reaches_all_only_when_nothing_is_worse_for_sure():
    start = canary()
    assert start.share == 0.05
    assert next_standing(start, found(), LEAST_EACH - 1) == start
    second = next_standing(start, found(), LEAST_EACH)
    assert (second.share, second.state) == (0.25, "running")
    assert next_standing(second, found(), 10 * LEAST_EACH) == second
    won = next_standing(second, found(harmless=True), 10 * LEAST_EACH)
    assert (won.share, won.state) == (1.0, "won")


def test_a_split_stays_until_it_is_decided():
    start = split(0.5)
    assert next_standing(start, found(harmless=True), 1_000) == start
    assert next_standing(start, found("winner"), 1_000).share == 1.0
    for step, state in (("stop", "stopped"), ("rollback", "rolled_back")):
        after = next_standing(start, found(step), 1_000)
        assert (after.share, after.state, after.reason) == (0.0, state, "because")


def test_harm_takes_a_canary_back_at_every_step_and_what_has_ended_stays():
    second = next_standing(canary(), found(), LEAST_EACH)
    back = next_standing(second, found("rollback", harmless=True), 1_000)
    assert (back.share, back.state) == (0.0, "rolled_back")
    assert next_standing(back, found("winner", harmless=True), 10_000) == back
