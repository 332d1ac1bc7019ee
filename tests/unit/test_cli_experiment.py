"""``penstock experiment`` and ``penstock rollout``, with a log in memory: what they order, refuse and show."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from analytics.experimenting.comparing import Observed
from analytics.experimenting.kept import Conversations
from analytics.experimenting.monitor import answer
from schemas import ExperimentOrdered, ExperimentStepped
from tests.analytics_events import LOCAL, REMOTE, answered, request, rewarded, routed
from tests.cli_world import CODEC, NOW_US, World
from tests.deciding_parts import profile
from tests.unit.test_cli_whatif import history, stored

WORKFLOW = "name: {name}\nversion: 1.0.0\nworkflow:\n  nodes:\n    - id: answer\n"
NOTHING = Conversations(Observed(np.empty(0, dtype=bool), *(np.empty(0),) * 5), (), ())


def prepared(world: World, *names: str) -> World:
    """Workflows, and an analytics process that answers orders."""
    folder = world.var / "workflows"
    folder.mkdir(exist_ok=True)
    for name in names or ("help", "help_next"):
        (folder / f"{name}.yaml").write_text(WORKFLOW.format(name=name), encoding="utf-8")
    world.settings["workflows"] = folder
    publish = world.log.append

    def append_and_answer(topic: str, key: Any, value: Any, **more: Any) -> Any:
        message = publish(topic, key, value, **more)
        order = CODEC.decode(value) if topic == "controls" else None
        if isinstance(order, ExperimentOrdered):
            step = answer(order, {each.experiment.name: each for each in steps(world)}, NOTHING)
            if step is not None:
                publish("controls", step.subject.encode(), CODEC.encode(step))
        return message

    world.log.append = append_and_answer  # type: ignore[method-assign]
    return world


def steps(world: World) -> list[ExperimentStepped]:
    return [each for each in world.events("controls") if isinstance(each, ExperimentStepped)]


def orders(world: World) -> list[ExperimentOrdered]:
    """By name: the topic in memory has several partitions."""
    found = [each for each in world.events("controls") if isinstance(each, ExperimentOrdered)]
    return sorted(found, key=lambda each: each.name)


@pytest.fixture
def world(tmp_path: Path) -> World:
    return prepared(World(tmp_path))


def test_an_experiment_starts_with_its_terms_and_the_answer_is_printed(world):
    result = world.penstock(
        *("experiment", "start", "try", "--workflow", "help", "--strategy", REMOTE, "--share", "20", "--reason", "see")
    )
    assert (result.exit_code, result.stderr) == (0, "")
    assert "try runs: 20% of the conversations of help get strategy premium-semantic" in result.stdout
    (order,) = orders(world)
    assert order.experiment is not None
    assert (order.subject, order.ordered_by, order.reason) == ("experiment-order:try", "mika", "see")
    told = order.experiment
    assert (told.kind, told.version, told.shares, told.floor, told.floor_is_relative) == (
        "strategy",
        REMOTE,
        (0.2,),
        0.8,
        False,
    )


def test_a_rollout_goes_5_25_100_unless_told_otherwise(world):
    assert world.penstock("rollout", "one", "--workflow", "help", "--to-workflow", "help_next").exit_code == 0
    assert (
        world.penstock("rollout", "two", "--workflow", "help_next", "--prompt", "1", "--shares", "10%,50").exit_code
        == 0
    )
    one, two = orders(world)
    assert one.experiment is not None
    assert two.experiment is not None
    assert (one.experiment.kind, one.experiment.shares) == ("workflow", (0.05, 0.25, 1.0))
    assert (two.experiment.kind, two.experiment.shares) == ("prompt", (0.1, 0.5))


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--workflow", "hlep", "--strategy", REMOTE], "Did you mean help"),
        (["--workflow", "help"], "State one new version"),
        (["--workflow", "help", "--strategy", REMOTE, "--prompt", "1"], "State one new version"),
        (["--workflow", "help", "--strategy", "premium-semantics"], "Did you mean premium-semantic"),
        (["--workflow", "help", "--prompt", "7"], "no prompt version '7'"),
        (["--workflow", "help", "--to-workflow", "help"], "no workflow 'help'"),
        (["--workflow", "help", "--profile", "3"], "no profile version 3"),
        (["--workflow", "help", "--strategy", REMOTE, "--share", "5,25"], "one share below 100"),
        (["--workflow", "help", "--strategy", REMOTE, "--share", "0"], "per cent that rise"),
        (["--workflow", "help", "--strategy", REMOTE, "--share", "half"], "per cent that rise"),
    ],
)
def test_what_there_is_not_is_refused_with_status_2_and_nothing_is_ordered(world, arguments, said):
    result = world.penstock("experiment", "start", "try", *arguments)
    assert result.exit_code == 2
    assert said in result.stderr
    assert orders(world) == []


def test_a_name_is_used_once_and_a_workflow_has_one_that_runs(world):
    begun = ["experiment", "start", "try", "--workflow", "help", "--strategy", REMOTE]
    assert world.penstock(*begun).exit_code == 0
    again = world.penstock(*begun)
    assert (again.exit_code, "try was used already (running)" in again.stderr) == (2, True)
    second = world.penstock("rollout", "second", "--workflow", "help", "--strategy", LOCAL)
    assert (second.exit_code, "The experiment try runs on help" in second.stderr) == (1, True)
    wrong = world.penstock("experiment", "start", "No Name", "--workflow", "help", "--strategy", LOCAL)
    assert (wrong.exit_code, "is no name" in wrong.stderr) == (2, True)


@pytest.mark.parametrize(("keep", "state"), [("old", "stopped"), ("new", "won"), ("neither", "cleared")])
def test_stop_ends_it_with_what_is_to_stay(world, keep, state):
    world.penstock("experiment", "start", "try", "--workflow", "help", "--strategy", REMOTE)
    result = world.penstock("experiment", "stop", "try", "--keep", keep, "--json")
    assert (result.exit_code, json.loads(result.stdout)["step"]["state"]) == (0, state)
    assert world.penstock("experiment", "stop", "tri").exit_code == 2
    assert world.penstock("experiment", "stop", "try", "--keep", "both").exit_code == 2


def test_without_analytics_the_order_stands_and_the_command_says_so(tmp_path):
    world = prepared(World(tmp_path))
    world.log.append = type(world.log).append.__get__(world.log)  # type: ignore[method-assign]
    result = world.penstock("experiment", "start", "try", "--workflow", "help", "--strategy", REMOTE, "--wait", "0")
    assert (result.exit_code, "The order stands" in result.stderr) == (3, True)
    assert len(orders(world)) == 1


def test_status_shows_the_newest_step_and_what_a_running_one_shows_at_the_moment(tmp_path):
    events = []
    for number in range(40):
        new = number % 2 == 0
        plan = routed(
            request(f"r{number}", at_us=NOW_US), experiment="try", branch="new" if new else "old", branch_share=0.5
        )
        events += [plan, answered(plan), rewarded(plan, reward=0.9 if new else 0.5)]
    world = prepared(stored(tmp_path, *events))
    assert world.penstock("experiment", "status").stdout == "there is no experiment\n"
    world.penstock("experiment", "start", "try", "--workflow", "help", "--strategy", REMOTE)
    (found,) = json.loads(world.penstock("experiment", "status", "--json").stdout)
    assert (found["state"], found["now"]["conversations"], found["now"]["given"]) == ("running", 40, 20)
    quality = found["now"]["evidence"][0]
    assert (quality["name"], quality["new"], quality["old"]) == ("quality", pytest.approx(0.9), pytest.approx(0.5))
    shown = world.penstock("experiment", "status", "try").stdout
    assert "strategy premium-semantic" in shown
    assert "new version's quality" in shown
    assert world.penstock("experiment", "status", "tri").exit_code == 2


@pytest.fixture(scope="module")
def explored(tmp_path_factory: pytest.TempPathFactory) -> World:
    return prepared(
        stored(tmp_path_factory.mktemp("gate"), *history(0.6, np.random.default_rng(31))), "customer_support"
    )


def policy(world: World, content: str) -> str:
    path = world.var / "policy.yaml"
    path.write_text(content, encoding="utf-8")
    return str(path)


def test_a_policy_that_the_log_does_not_support_goes_out_with_a_reason_only(explored):
    asked = ["rollout", "cheap", "--workflow", "customer_support", "--policy", policy(explored, f"fixed: {LOCAL}")]
    refused = explored.penstock(*asked)
    assert refused.exit_code == 1
    assert "The log does not support it" in refused.stderr
    assert "cheap" not in {each.name for each in orders(explored)}
    assert explored.penstock(*asked, "--untried", "the log is of another season").exit_code == 0
    (order,) = [each for each in orders(explored) if each.name == "cheap"]
    assert order.tried == "not held against the log: the log is of another season"
    assert explored.penstock("experiment", "stop", "cheap", "--keep", "neither").exit_code == 0


def test_a_policy_that_passes_the_gate_goes_out_with_what_the_log_said(explored):
    asked = ["rollout", "good", "--workflow", "customer_support", "--policy", policy(explored, f"fixed: {REMOTE}")]
    result = explored.penstock(*asked)
    assert (result.exit_code, result.stderr) == (0, "")
    (order,) = [each for each in orders(explored) if each.name == "good"]
    assert "1,200 logged requests" in order.tried
    explored.penstock("experiment", "stop", "good", "--keep", "neither")


def test_a_policy_that_routers_cannot_serve_is_refused(explored):
    asked = ["rollout", "mixed", "--workflow", "customer_support", "--policy", policy(explored, "exploration: 0.1")]
    result = explored.penstock(*asked)
    assert (result.exit_code, "neither fixed nor profile" in result.stderr) == (2, True)


def test_a_profile_goes_out_with_its_bytes(world):
    kept = profile(version=3)
    world.log.put("profile-history", profile(version=2), kept)
    result = world.penstock("rollout", "back", "--workflow", "help", "--profile", "3", "--untried", "it served us well")
    assert (result.exit_code, result.stderr) == (0, "")
    (order,) = orders(world)
    assert order.experiment is not None
    assert order.experiment.profile is not None
    assert CODEC.decode(order.experiment.profile) == kept


def test_who_is_about_to_leave_a_strategy_out_that_answers_much_is_warned(explored):
    result = explored.penstock("experiment", "start", "much", "--workflow", "customer_support", "--strategy", REMOTE)
    assert result.exit_code == 0
    assert "premium-semantic answers " in result.stderr
    explored.penstock("experiment", "stop", "much", "--keep", "neither")
