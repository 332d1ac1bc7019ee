"""What the span of a model call says, by OpenTelemetry's conventions for generative AI: never a question, never an answer.

In: how a step is going, the plan, the answer. Out: attributes. Keeps nothing. Cannot fail.
"""

from typing import Protocol

from agents.answering.provider import Answer
from schemas import RequestRouted, Step
from streams.spans import Attributes


class Course(Protocol):
    """How a step of a plan is going: ``tries`` so far, with the one that begins."""

    index: int
    step: Step
    tries: int


def asked(course: Course, routed: RequestRouted, *, streamed: bool) -> Attributes:
    """What is known before the call."""
    return {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": course.step.provider,
        "gen_ai.request.model": course.step.model,
        "gen_ai.request.stream": streamed,
        "gen_ai.conversation.id": routed.request.conversation_id,
        "penstock.request_id": routed.request.request_id,
        "penstock.strategy": course.step.strategy,
        "penstock.step": course.index,
        "penstock.try": course.tries,
    }


def answered(answer: Answer) -> Attributes:
    """What is known after it."""
    return {
        "gen_ai.response.finish_reasons": (answer.finish_reason,),
        "gen_ai.usage.input_tokens": answer.input_tokens,
        "gen_ai.usage.output_tokens": answer.output_tokens,
        "penstock.cost_usd": answer.cost_usd,
    }
