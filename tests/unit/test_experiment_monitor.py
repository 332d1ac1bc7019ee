"""The monitor on a real storage: orders become steps, evidence the next step, and nothing depends on how the log was cut."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from agents.deciding.experiment import gets_new
from analytics.experimenting.kept import PATIENCE_US, mark_published, unpublished_steps
from analytics.experimenting.monitor import Monitor, brought_back, fault_of, next_look
from analytics.private_file import NAME, transaction
from analytics.rebuilding import open_storage
from analytics.storage import Storage
from schemas import Experiment, ExperimentOrdered, ExperimentStepped, Record, RequestRouted, RewardComputed
from tests.analytics_events import CODEC, T0_US, Log, answered, failed, request, rewarded, routed

S = 1_000_000


def ordered(name: str = "try", **fields: Any) -> ExperimentOrdered:
    given: dict[str, Any] = {
        "workflow": "customer_support",
        "kind": "strategy",
        "version": "premium-semantic",
        "shares": (0.5,),
        "floor": 0.8,
    }
    return ExperimentOrdered(
        event_id=f"start-{name}",
        occurred_at_us=T0_US,
        subject=f"experiment-order:{name}",
        name=name,
        experiment=Experiment(name=name, **{**given, **fields}),
        ordered_by="ada",
    )


def ended(name: str = "try", keep: str = "old") -> ExperimentOrdered:
    return ExperimentOrdered(
        event_id=f"end-{name}-{keep}",
        occurred_at_us=T0_US + S,
        subject=f"experiment-order:{name}",
        name=name,
        keep=keep,
        ordered_by="ada",
    )


def conversation(
    number: int,
    *,
    share: float = 0.5,
    quality: tuple[float, float] = (0.9, 0.9),
    fails: bool = False,
    name: str = "try",
) -> list[Record]:
    """All of one conversation: what it was given follows from its name, as in the router. ``quality``: of old and new."""
    asked = request(f"{number}", at_us=T0_US + number * S)
    new = gets_new(name, asked.tenant, asked.conversation_id, share)
    plan = routed(asked, experiment=name, branch="new" if new else "old", branch_share=share)
    if fails and new:
        return [plan, failed(asked, routing_id=plan.event_id)]
    noise = np.random.default_rng(number).uniform(-0.1, 0.1)
    return [plan, answered(plan), rewarded(plan, reward=float(np.clip(quality[new] + noise, 0, 1)))]


class World:
    """A storage and a monitor, and what the monitor has said so far."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.log = Log()
        self.storage = Storage(folder, "cluster")
        self.monitor = Monitor(CODEC)
        self.said: list[ExperimentStepped] = []

    def take(self, events: Iterable[Record]) -> None:
        self.storage.take(self.log.batch(*events), T0_US)

    def step(self) -> list[ExperimentStepped]:
        with transaction(self.storage.connection):
            taken = self.monitor.step(self.storage.connection)
        self.said += taken
        return taken

    def settle(self) -> None:
        """Let the monitor look until it has nothing to say."""
        for _ in range(12):
            self.step()

    def restart(self) -> None:
        self.storage.close()
        self.storage, self.monitor = Storage(self.folder, "cluster"), Monitor(CODEC)

    def rebuild(self) -> None:
        self.storage.close()
        (self.folder / NAME).unlink()
        self.storage = open_storage(self.folder, "cluster", Silent(), datetime.now(UTC))
        self.monitor = Monitor(CODEC)

    def publish(self) -> None:
        """Publish what is new, and read it back."""
        for each in unpublished_steps(self.storage.connection):
            self.take([CODEC.decode(each.payload)])
            mark_published(self.storage.connection, each)

    @property
    def states(self) -> list[tuple[int, str, float]]:
        return [(each.number, each.state, each.share) for each in self.said]


class Silent:
    def __getattr__(self, _: str) -> Any:
        return lambda *_args, **_fields: None


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path / "analytics")
    yield made
    made.storage.close()


def flat(stories: Iterable[Sequence[Record]]) -> list[Record]:
    return list(itertools.chain.from_iterable(stories))


def test_an_order_is_answered_by_the_first_step_and_a_name_is_used_once(world):
    world.take([ordered(), ordered()])
    (first,) = world.step()
    assert (first.number, first.state, first.share, first.stepped_by) == (1, "running", 0.5, "ada")
    assert (first.cause_id, first.occurred_at_us, first.subject) == ("start-try", T0_US, "experiment:try")
    world.take([ordered("try", version="simple-semantic"), ended("nobody")])
    assert world.step() == []


def test_an_order_that_names_two_experiments_changes_neither(world):
    world.take(
        [ordered(), msgspec.structs.replace(ordered("other", workflow="other"), experiment=ordered().experiment)]
    )
    assert [each.experiment.name for each in world.step()] == ["try"]


def test_a_second_one_on_a_workflow_and_one_that_makes_no_sense_are_refused_with_words(world):
    world.take([ordered(), ordered("second"), ordered("third", workflow="other", shares=(0.5, 0.2))])
    world.step()
    assert [(each.state, each.share) for each in world.said] == [("running", 0.5), ("cleared", 0.0), ("cleared", 0.0)]
    assert [each.reason for each in world.said[1:]] == [
        "refused: the experiment try runs on this workflow",
        "refused: the shares must rise, and begin between 0 and 1",
    ]


@pytest.mark.parametrize(
    "wrong",
    [
        {"shares": ()},
        {"shares": (0.0,)},
        {"shares": (1.0,)},
        {"shares": (0.5, 1.5)},
        {"alpha": 0.0},
        {"kind": "unknown"},
        {"shares": (float("nan"),)},
        {"floor": float("nan")},
        {"kind": "profile", "version": "12"},
        {"kind": "profile", "version": "newest", "profile": b"p"},
    ],
)
def test_what_cannot_be_carried_out_is_told(wrong):
    made = ordered(**wrong).experiment
    assert made is not None
    assert fault_of(made)
    good = ordered().experiment
    assert good is not None
    assert fault_of(good) == ""


def test_a_bad_version_is_rolled_back_by_itself_with_its_evidence(world):
    world.take([ordered(), *flat(conversation(n, quality=(0.9, 0.1)) for n in range(150))])
    world.settle()
    assert world.states == [(1, "running", 0.5), (2, "rolled_back", 0.0)]
    last = world.said[-1]
    assert last.reason == "quality is worse, and looks below the floor"
    assert 0 < last.given < last.conversations < 150
    found = {each.name: each for each in last.evidence}
    assert found["quality"].upper is not None
    assert found["quality"].upper < 0
    assert (found["quality"].new, found["quality"].old) == (pytest.approx(0.1, abs=0.05), pytest.approx(0.9, abs=0.05))
    assert found["level"].estimate < 0.8
    assert world.storage.connection.execute("SELECT count(*) FROM experiment_outcome").fetchall() == [(0,)]


def test_failures_that_rise_take_a_canary_back(world):
    world.take([ordered(shares=(0.5, 1.0)), *flat(conversation(n, fails=True) for n in range(200))])
    world.settle()
    assert world.states[-1] == (2, "rolled_back", 0.0)
    assert world.said[-1].reason == "failures rose"


def test_a_canary_grows_without_harm_and_only_forward(world):
    world.take([ordered(shares=(0.4, 0.5, 1.0), quality_margin=0.1, cost_margin=5.0, latency_margin=5.0)])
    world.take(flat(conversation(n, share=0.4) for n in range(150)))
    world.settle()
    assert world.states == [(1, "running", 0.4), (2, "running", 0.5)]
    world.take(flat(conversation(n, share=0.5) for n in range(150, 2_500)))
    world.settle()
    assert world.states[-1] == (3, "won", 1.0)
    assert [each.share for each in world.said] == sorted(each.share for each in world.said)


def test_a_profile_that_has_won_is_brought_back_by_the_rollback_that_there_is(world):
    world.take([ordered(kind="profile", version="12", workflow="help", profile=b"p"), ended(keep="new")])
    world.settle()
    first, last = world.said
    assert brought_back(first) is None
    order = brought_back(last)
    assert order is not None
    assert (order.scope, order.to_version, order.subject) == ("help", 12, "learning:help")
    assert order == brought_back(last)


@pytest.mark.parametrize(
    ("keep", "state", "share"), [("old", "stopped", 0.0), ("new", "won", 1.0), ("neither", "cleared", 0.0)]
)
def test_an_operator_ends_it_with_what_is_to_stay(world, keep, state, share):
    world.take([ordered(), *flat(conversation(n) for n in range(30)), ended(keep=keep)])
    world.step()
    assert (world.said[-1].state, world.said[-1].share) == (state, share)
    assert world.said[-1].conversations == 30
    assert world.said[-1].evidence
    world.take([ended(keep=keep)])
    assert world.step() == []


def test_what_has_ended_stays_so_whatever_comes_and_an_operator_may_still_clear_it(world):
    world.take([ordered(), ended()])
    world.settle()
    world.take(flat(conversation(n, quality=(0.1, 0.9)) for n in range(150)))
    world.settle()
    assert [each.state for each in world.said] == ["running", "stopped"]
    world.take([ended(keep="neither")])
    world.settle()
    assert world.said[-1].state == "cleared"


def test_a_conversation_counts_once_and_waits_for_those_before_it(world):
    world.take([ordered()])
    again = conversation(1)
    (plan, *_) = again
    assert isinstance(plan, RequestRouted)
    later = request("later", conversation_id=plan.request.conversation_id)
    second = routed(later, experiment="try", branch=plan.plan.branch, branch_share=0.5)
    world.take(again)
    world.take([second, answered(second), rewarded(second)])
    world.take([conversation(2)[0], *conversation(3)])
    world.take([ended()])
    world.step()
    assert world.said[-1].conversations == 1, "the second is open, and the third waits for it"


def test_one_that_never_ends_is_left_out_after_a_while(world):
    world.take([ordered(), conversation(1)[0], *conversation(2), *conversation(PATIENCE_US // S + 5)])
    world.take([ended()])
    world.step()
    assert world.said[-1].conversations == 2


def test_a_reward_that_comes_before_the_plan_counts(world):
    stories = [conversation(n, quality=(0.9, 0.1)) for n in range(150)]
    world.take([ordered()])
    world.take([each for story in stories for each in story if isinstance(each, RewardComputed)])
    world.take([each for story in stories for each in story if not isinstance(each, RewardComputed)])
    world.settle()
    assert world.said[-1].state == "rolled_back"


@pytest.mark.parametrize("cut", [37, 200])
def test_the_same_log_gives_the_same_steps_however_it_is_cut_and_whenever_somebody_looks(tmp_path, cut):
    events = [ordered(shares=(0.4, 0.5)), *flat(conversation(n, share=0.4, quality=(0.9, 0.1)) for n in range(150))]
    one = World(tmp_path / "one")
    one.take(events)
    one.settle()
    other = World(tmp_path / "other")
    for start in range(0, len(events), cut):
        other.take(events[start : start + cut])
        other.step()
    other.settle()
    assert other.said == one.said
    assert [each.state for each in one.said][-1] == "rolled_back"
    assert [CODEC.encode(each) for each in other.said] == [CODEC.encode(each) for each in one.said]
    one.storage.close()
    other.storage.close()


@pytest.mark.parametrize("how", ["restart", "rebuild"])
@pytest.mark.parametrize("at", [0, 20])
def test_a_kill_or_a_rebuilding_on_the_way_changes_no_step(tmp_path, how, at):
    stories = [conversation(n, quality=(0.9, 0.1)) for n in range(150)]
    undisturbed = World(tmp_path / "undisturbed")
    undisturbed.take([ordered(), *flat(stories)])
    undisturbed.settle()
    world = World(tmp_path / "disturbed")
    world.take([ordered()])
    if at:
        world.step()
        world.publish()
    world.take(flat(stories[:at]))
    world.step()
    getattr(world, how)()
    world.take(flat(stories[at:]))
    world.settle()
    world.publish()
    assert list({each.event_id: each for each in world.said}.values()) == undisturbed.said
    said = len(world.said)
    getattr(world, how)()
    world.settle()
    assert len(world.said) == said, "what the log has is not said again"
    assert unpublished_steps(world.storage.connection) == []
    for each in (world, undisturbed):
        each.storage.close()


def test_a_step_that_was_kept_and_not_published_is_published_after_a_restart_byte_for_byte(world):
    world.take([ordered()])
    world.step()
    (before,) = unpublished_steps(world.storage.connection)
    world.restart()
    assert unpublished_steps(world.storage.connection) == [before]
    assert CODEC.decode(before.payload) == world.said[0]
    world.publish()
    assert unpublished_steps(world.storage.connection) == []


def test_looks_grow_rarer_with_what_was_seen():
    seen = list(itertools.accumulate(range(2_000), lambda looked, _: next_look(looked), initial=0))
    assert seen[:100] == list(range(100))
    assert all(1 <= b - a <= max(1, a // 50) for a, b in itertools.pairwise(seen))
    assert len([each for each in seen if each <= 100_000]) < 500
