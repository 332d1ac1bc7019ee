"""A canary of a strategy that users dislike takes itself back, with its evidence, and nobody gets it any more."""

from __future__ import annotations

from schemas import ExperimentStepped, RequestRouted, ResponseReady
from tests.loop import Loop
from tests.waiting import eventually

WORKFLOW, TRIED = "tried", "premium-semantic"
ROUND = 32
MOST_ROUNDS = 6


def round_of_requests(loop: Loop) -> list[RequestRouted]:
    """Ask, each request its own conversation; who gets the new version rates it badly, the others are content."""
    asked = [loop.request(workflow=WORKFLOW) for _ in range(ROUND)]
    answers = [each for each in loop.ask(*asked) if isinstance(each, ResponseReady)]
    plans = {each.request_id: loop.plan_of(each) for each in answers}
    loop.rate((each, 1 if plans[each.request_id].plan.branch == "new" else 5) for each in answers)
    return list(plans.values())


def last_step(loop: Loop, stored: int) -> ExperimentStepped:
    """The newest step, once the experiment has ended or so many conversations have been looked at."""

    def found() -> list[ExperimentStepped]:
        step = loop.events("controls", ExperimentStepped)[-1]
        (shown,) = loop.penstock_json("experiment", "status", "dear")
        looked = (shown["now"] or {}).get("conversations", 0)
        return [step] if step.state != "running" or looked >= stored else []

    return eventually(found, describe="a look at what was rated")[0]


def test_a_canary_of_a_bad_strategy_is_rolled_back_by_itself_with_its_evidence(loop: Loop) -> None:
    loop.penstock("rollout", "dear", "--workflow", WORKFLOW, "--strategy", TRIED, "--shares", "50,100")
    eventually(
        lambda: loop.ask(probe := loop.request(workflow=WORKFLOW)) and loop.plan_of(probe).plan.experiment == "dear",
        describe="a router that heeds the experiment",
    )
    plans: list[RequestRouted] = []
    for number in range(1, MOST_ROUNDS + 1):
        plans += round_of_requests(loop)
        if last_step(loop, number * ROUND).state != "running":
            break
    step = loop.first("controls", ExperimentStepped, where=lambda each: each.state == "rolled_back")

    assert {each.plan.branch for each in plans if each.plan.experiment} == {"new", "old"}
    assert all(
        (each.plan.steps[0].strategy == TRIED) is (each.plan.branch == "new") for each in plans if each.plan.branch
    )
    assert "below the floor" in step.reason
    quality = next(each for each in step.evidence if each.name == "quality")
    assert quality.upper is not None
    assert quality.new < quality.old
    assert quality.upper < 0
    assert 0 < step.given < step.conversations <= len(plans) + 1

    def left_out() -> bool:
        probe = loop.request(workflow=WORKFLOW)
        loop.ask(probe)
        plan = loop.plan_of(probe).plan
        return not plan.experiment and TRIED not in {each.strategy for each in plan.candidates}

    eventually(left_out, describe="a router without the strategy")
    eventually(
        lambda: (
            loop.penstock_json("sql", "select state, reason from experiments where newest")["state"] == "rolled_back"
        ),
        describe="the step in the view",
    )
