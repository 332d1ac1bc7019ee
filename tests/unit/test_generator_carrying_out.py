"""Carrying out a plan: tries, pauses, alternatives, the deadline, the ceiling."""

import asyncio
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.answering.carrying_out import LEAST_S, carry_out
from agents.answering.pieces import Pieces
from agents.answering.provider import CallFailed
from agents.answering.remembered import Outcome, Spending
from schemas import ChunkGenerated, GenerationCompleted, GenerationFailed, RequestRouted, ResponseFailed, ResponseReady
from streams.errors import RESPONSE_CODES
from tests.generator_parts import BEGIN_US, Models, Time, answer, means, routed

BUSY = CallFailed("busy", "HTTP 503: later")
REFUSED = CallFailed("unreachable", "No connection")
REJECTED = CallFailed("rejected", "HTTP 401: no")
HANGS = 0.0


def carried_out(
    plan: RequestRouted, models: Models, *, spent_usd: float = 0.0, pieces: Pieces | None = None
) -> Outcome:
    async def run() -> Outcome:
        with Spending(lambda _: spent_usd).allowance(("acme", "c1")) as allowance:
            return await carry_out(plan, means(models), allowance, pieces)

    return asyncio.run(run())


def test_every_call_of_a_request_but_its_first_waits_for_its_turn() -> None:
    turns: list[int] = []
    models = Models(Time(), simple=[BUSY, REFUSED, REJECTED], premium=[answer()])

    async def turn() -> None:
        turns.append(len(models.calls))

    async def run() -> Outcome:
        with Spending(lambda _: 0.0).allowance(("acme", "c1")) as allowance:
            return await carry_out(routed("simple", "premium"), means(models, turn=turn), allowance, None)

    ready(asyncio.run(run()))
    assert turns == [1, 2, 3]


def ready(outcome: Outcome) -> ResponseReady:
    assert isinstance(outcome.response, ResponseReady), outcome.response
    return outcome.response


def failed(outcome: Outcome) -> ResponseFailed:
    assert isinstance(outcome.response, ResponseFailed), outcome.response
    return outcome.response


def test_an_answer_carries_its_cost_its_passages_and_the_plans_reasoning() -> None:
    time = Time()
    outcome = carried_out(routed("simple"), Models(time, simple=[answer(cost_usd=0.002)]))
    response = ready(outcome)
    assert (response.text, response.cost_usd, response.step) == ("Here.", 0.002, 0)
    assert response.sources == ("d#1",)
    assert response.reasoning == "It is the cheapest."
    assert response.latency_ms == pytest.approx((time.now_us - BEGIN_US) / 1_000)
    (generation,) = outcome.generations
    assert isinstance(generation, GenerationCompleted)
    assert generation.event_id == response.generation_id
    assert generation.question == "Help with: Where is it?"
    assert (generation.tries, generation.retrieval_ms) == (1, 1.5)


def test_a_variable_called_message_does_not_replace_the_message() -> None:
    models = Models(Time(), simple=[answer()])
    carried_out(routed("simple", request={"variables": {"message": "another"}}), models)
    assert models.messages[0][-1]["content"] == "Help with: Where is it?"


def test_a_variable_without_a_value_ends_the_request_before_anything_is_paid() -> None:
    models = Models(Time(), simple=[answer()])
    assert failed(carried_out(routed("simple", prompt="{{order}} {{message}}"), models)).code == "invalid_request"
    assert models.calls == []


def test_a_busy_provider_is_tried_three_times_with_doubling_pauses() -> None:
    time = Time()
    models = Models(time, simple=[BUSY])
    outcome = carried_out(routed("simple"), models)
    assert failed(outcome).code == "provider_unavailable"
    assert time.pauses_s == [0.25, 0.5]
    (generation,) = outcome.generations
    assert isinstance(generation, GenerationFailed)
    assert (generation.tries, generation.code) == (3, "provider_unavailable")


def test_a_provider_that_recovers_answers_after_its_retries() -> None:
    outcome = carried_out(routed("simple"), Models(Time(), simple=[BUSY, BUSY, answer()]))
    assert ready(outcome).step == 0
    (generation,) = outcome.generations
    assert isinstance(generation, GenerationCompleted)
    assert generation.tries == 3


def test_the_pause_that_a_provider_asks_for_is_kept() -> None:
    time = Time()
    busy = CallFailed("busy", "HTTP 429: slowly", retry_after_s=7.0)
    assert ready(carried_out(routed("simple"), Models(time, simple=[busy, answer()]))).step == 0
    assert time.pauses_s == [7.0]


def test_a_pause_that_does_not_fit_before_the_deadline_goes_to_the_alternative_at_once() -> None:
    time = Time()
    busy = CallFailed("busy", "HTTP 429: slowly", retry_after_s=60.0)
    models = Models(time, premium=[busy], simple=[answer()])
    assert ready(carried_out(routed("premium", "simple"), models)).step == 1
    assert time.pauses_s == []
    assert [tier for tier, _ in models.calls] == ["premium", "simple"]


def test_a_rejection_is_not_retried_and_the_alternative_says_why_it_answered() -> None:
    models = Models(Time(), premium=[REJECTED], simple=[answer()])
    outcome = carried_out(routed("premium", "simple"), models)
    assert [tier for tier, _ in models.calls] == ["premium", "simple"]
    assert ready(outcome).reasoning == (
        "It is the cheapest. simple-semantic answered instead: premium-semantic gave no answer (HTTP 401: no)."
    )
    assert [type(event) for event in outcome.generations] == [GenerationFailed, GenerationCompleted]
    assert len({event.event_id for event in outcome.generations}) == 2


def test_without_fallback_the_alternatives_are_not_tried() -> None:
    models = Models(Time(), premium=[REJECTED], simple=[answer()])
    assert failed(carried_out(routed("premium", "simple", fallback=False), models)).code == "provider_rejected"
    assert [tier for tier, _ in models.calls] == ["premium"]


def test_a_passed_deadline_pays_nothing() -> None:
    models = Models(Time(), simple=[answer()])
    outcome = carried_out(routed("simple", deadline_at_us=BEGIN_US), models)
    assert failed(outcome).code == "deadline_exceeded"
    assert (models.calls, outcome.generations, outcome.cost_usd) == ([], (), 0.0)


def test_a_provider_that_hangs_leaves_time_for_the_alternative() -> None:
    models = Models(Time(), premium=[HANGS], simple=[answer()])
    assert ready(carried_out(routed("premium", "simple"), models)).step == 1
    assert [tier for tier, _ in models.calls] == ["premium", "simple"]
    assert [timeout_s for _, timeout_s in models.calls] == pytest.approx([18.0, 12.0])


def test_when_all_hang_the_deadline_ends_the_request() -> None:
    time = Time()
    outcome = carried_out(routed("premium", "simple"), Models(time, premium=[HANGS], simple=[HANGS]))
    assert failed(outcome).code == "deadline_exceeded"
    assert time.now_us == BEGIN_US + 30_000_000


def test_only_the_first_call_begins_just_before_the_deadline() -> None:
    models = Models(Time(), simple=[CallFailed("unreachable", "No one.")], premium=[answer()])
    close = BEGIN_US + round(LEAST_S * 1e6)
    outcome = carried_out(routed("simple", "premium", deadline_at_us=close), models)
    assert failed(outcome).code == "provider_unavailable"
    assert [tier for tier, _ in models.calls] == ["simple"]
    models = Models(Time(), simple=[CallFailed("unreachable", "No one.")], premium=[answer()])
    carried_out(routed("simple", "premium", deadline_at_us=close + 500_000), models)
    assert [tier for tier, _ in models.calls][-1] == "premium"


def test_when_nobody_can_be_reached_it_is_tried_until_the_deadline() -> None:
    time = Time()
    models = Models(time, premium=[REFUSED], simple=[REFUSED])
    outcome = carried_out(routed("premium", "simple"), models)
    assert failed(outcome).code == "provider_unavailable"
    assert time.now_us == pytest.approx(BEGIN_US + 30_000_000, abs=100_000)
    assert max(time.pauses_s) <= 4.0
    assert len(outcome.generations) == 2, "one event for each step, however many rounds"
    assert sum(event.tries for event in outcome.generations) == len(models.calls) > 10


def test_a_provider_that_comes_back_before_the_deadline_answers() -> None:
    outcome = carried_out(routed("simple"), Models(Time(), simple=[*[REFUSED] * 6, answer()]))
    (generation,) = outcome.generations
    assert isinstance(generation, GenerationCompleted)
    assert generation.tries == 7


def test_a_step_over_the_ceiling_is_passed_over_for_a_cheaper_one() -> None:
    models = Models(Time(), premium=[answer()], simple=[answer(cost_usd=0.001)])
    plan = routed("premium", "simple", costs=[0.05, 0.001], cost_ceiling_usd=0.1)
    response = ready(carried_out(plan, models, spent_usd=0.08))
    assert response.strategy == "simple-semantic"
    assert "premium-semantic would have passed the cost ceiling" in response.reasoning


def test_a_conversation_at_its_ceiling_ends_without_a_call() -> None:
    models = Models(Time(), premium=[answer()], simple=[answer()])
    outcome = carried_out(routed("premium", "simple"), models, spent_usd=0.1)
    assert failed(outcome).code == "cost_ceiling_reached"
    assert models.calls == []


def test_what_failed_calls_cost_is_in_the_price_of_the_answer() -> None:
    paid = CallFailed("rejected", "no text", cost_usd=0.004)
    outcome = carried_out(routed("premium", "simple"), Models(Time(), premium=[paid], simple=[answer(cost_usd=0.001)]))
    assert ready(outcome).cost_usd == outcome.cost_usd == pytest.approx(0.005)


def test_an_estimated_price_is_called_one() -> None:
    outcome = carried_out(routed("simple"), Models(Time(), simple=[answer(estimated=True)]))
    assert "its price is an estimate" in ready(outcome).reasoning


def test_pieces_are_put_together_and_a_second_try_of_the_step_sends_none() -> None:
    time = Time()
    chunks: list[ChunkGenerated] = []

    async def publish(chunk: ChunkGenerated) -> None:
        chunks.append(chunk)

    plan = routed("simple", request={"stream": True})
    models = Models(time, simple=[CallFailed("broken", "lost"), answer()])
    models.pieces = ("He", "re", ".")
    assert ready(carried_out(plan, models, pieces=Pieces(plan, publish, time))).step == 0
    assert [chunk.text for chunk in chunks] == ["He"], (
        "the clock stood still, so the rest waited for an end that never came"
    )
    assert len(models.calls) == 2


def test_all_pieces_of_an_answer_arrive_in_order_under_their_own_ids() -> None:
    time = Time()
    chunks: list[ChunkGenerated] = []

    async def publish(chunk: ChunkGenerated) -> None:
        chunks.append(chunk)

    plan = routed("simple", request={"stream": True})
    models = Models(time, simple=[answer()])
    models.pieces = ("He", "re", ".")
    carried_out(plan, models, pieces=Pieces(plan, publish, time))
    assert "".join(chunk.text for chunk in chunks) == "Here."
    assert [chunk.index for chunk in chunks] == [0, 1]
    assert len({chunk.event_id for chunk in chunks}) == 2


BEHAVIOUR: Any = st.sampled_from(
    [
        HANGS,
        BUSY,
        REFUSED,
        REJECTED,
        CallFailed("broken", "no JSON"),
        CallFailed("busy", "HTTP 429", retry_after_s=3.0),
        CallFailed("busy", "HTTP 429", retry_after_s=1e9),
        CallFailed("rejected", "no text", cost_usd=0.01),
        answer(),
    ]
)


@given(
    behaviours=st.lists(st.lists(BEHAVIOUR, min_size=1, max_size=6), min_size=1, max_size=3),
    spent_usd=st.floats(0, 0.12),
    deadline_s=st.floats(-1, 60),
    fallback=st.booleans(),
)
def test_whatever_the_providers_do_there_is_exactly_one_end_in_time(
    behaviours: list[Any], spent_usd: float, deadline_s: float, fallback: bool
) -> None:
    time = Time()
    tiers = ("premium", "balanced", "simple")[: len(behaviours)]
    models = Models(time, **dict(zip(tiers, behaviours, strict=True)))
    deadline_at_us = BEGIN_US + round(deadline_s * 1e6)
    plan = routed(*tiers, deadline_at_us=deadline_at_us, fallback=fallback)
    outcome = carried_out(plan, models, spent_usd=spent_usd)
    assert isinstance(outcome.response, ResponseReady | ResponseFailed)
    if isinstance(outcome.response, ResponseFailed):
        assert outcome.response.code in RESPONSE_CODES
    assert len(outcome.generations) == len({tier for tier, _ in models.calls})
    assert sum(event.tries for event in outcome.generations) == len(models.calls)
    assert outcome.cost_usd == pytest.approx(sum(event.cost_usd for event in outcome.generations))
    assert time.now_us <= max(BEGIN_US, deadline_at_us) + 2_000 * (len(models.calls) + 1)
    assert all(timeout_s > 0 for _, timeout_s in models.calls)
