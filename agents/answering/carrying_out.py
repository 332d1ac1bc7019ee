"""Carries out a plan: step after step, try after try, until there is an answer or none can come.

In: a routed request and the means (provider, library, clock, pause, chance). Out: an ``Outcome``: one generation event
for each step that called a provider, and the terminal response. Keeps nothing; publishes nothing but pieces. Fails with
nothing that a provider or a search does: whatever that is, there is exactly one terminal response.

1. The next open step that the conversation's ceiling still allows is taken; without ``plan.fallback`` there is only the first.
2. It gets the time to the deadline, or 60 % of it where another step could follow; retrieval, then at most three tries, with
   pauses that double from 0.25 s to 4 s or as long as the provider asks. Where the pause does not fit, the step is over.
3. A step that was rejected, or had its tries, is closed; so is one that an error of ours ended (internal_error): an
   exception here would have what was paid already paid again. One whose provider could not be reached stays open: after the last
   step the round begins again, until the deadline. But for the first, no call begins with less than ``LEAST_S`` left.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Protocol

from agents.answering.ending import asked_at_us, response_failed, response_id
from agents.answering.library import Found
from agents.answering.pieces import Pieces
from agents.answering.prompt import Message, UnknownVariable, build_messages, fill
from agents.answering.provider import Answer, CallFailed, OnPiece
from agents.answering.remembered import Allowance, Outcome
from agents.answering.spans import answered, asked
from schemas import (
    GenerationCompleted,
    GenerationFailed,
    RequestReceived,
    RequestRouted,
    ResponseReady,
    Step,
    UsedPassage,
)
from streams import tracing
from streams.errors import Code
from streams.identity import event_id
from streams.logs import described, logger, trail

TRIES = 3
FIRST_PAUSE_S = 0.25
LONGEST_PAUSE_S = 4.0
SHARE_WITH_ALTERNATIVE = 0.6
"""The share of the remaining time that a step may take while another could still follow."""
LEAST_S = 0.2
"""With less time left no second call is begun: it would be paid for and not be waited for."""
ESTIMATED = "The provider reported no usage; its price is an estimate."

LOOK_INTO_THE_LOG = "The generator's log has the cause: look for `step_failed` with the request's id."

_CODES = {
    "timed_out": Code.DEADLINE_EXCEEDED,
    "rejected": Code.PROVIDER_REJECTED,
    "internal": Code.INTERNAL_ERROR,
}


class Call(Protocol):
    """One try at a model; ``CallFailed`` where there is no answer."""

    def __call__(
        self,
        provider: str,
        model_name: str,
        messages: Sequence[Message],
        *,
        timeout_s: float,
        on_piece: OnPiece | None = None,
    ) -> Awaitable[Answer]:
        """As ``Provider.call``."""


@dataclass(frozen=True)
class Means:
    """What carrying out needs of the world."""

    call: Call
    search: Callable[[RequestReceived, str, Step], Awaitable[Found]]
    clock: Callable[[], int]
    """Microseconds since 1970-01-01 UTC."""
    pause: Callable[[float], Awaitable[None]]
    turn: Callable[[], Awaitable[None]]
    """Awaited before a request begins, and before each of its calls but the first: hundreds do not begin together."""
    chance: Callable[[], float]
    """A number in [0, 1), to spread retries."""
    count: Callable[[str], None]
    """Counts a metric of the closed catalogue."""


async def carry_out(routed: RequestRouted, means: Means, allowance: Allowance, pieces: Pieces | None) -> Outcome:
    """Carry out a plan to its end; ``pieces`` takes the answer's pieces where the request is streamed."""
    return await _Run(routed, means, allowance, pieces).to_the_end()


@dataclass
class _Course:
    """How a step of the plan is going."""

    index: int
    step: Step
    expected_usd: float
    tries: int = 0
    cost_usd: float = 0.0
    begun_us: int = 0
    ended_us: int = 0
    closed: bool = False
    unaffordable: bool = False
    failure: CallFailed | None = None
    found: Found | None = None

    @property
    def why_not(self) -> str:
        """Why it did not answer, as a fragment."""
        if self.failure is not None and self.failure.kind == "internal":
            return f"failed ({self.failure.error})"
        if self.failure is not None:
            return f"gave no answer ({self.failure.error.rstrip('.')})"
        return "would have passed the cost ceiling" if self.unaffordable else "was not tried"


@dataclass
class _Run:
    routed: RequestRouted
    means: Means
    allowance: Allowance
    pieces: Pieces | None
    courses: list[_Course] = field(default_factory=list)

    def __post_init__(self) -> None:
        plan = self.routed.plan
        expected = {candidate.strategy: candidate.cost_usd for candidate in plan.candidates}
        dearest = max(expected.values(), default=0.0)  # what is not known is taken for dear
        steps = plan.steps if plan.fallback else plan.steps[:1]
        self.courses = [_Course(i, step, expected.get(step.strategy, dearest)) for i, step in enumerate(steps)]

    async def to_the_end(self) -> Outcome:
        request, plan = self.routed.request, self.routed.plan
        try:
            question = fill(plan.prompt, {**request.variables, "message": request.message})
        except UnknownVariable as error:
            return self._failed(Code.INVALID_REQUEST, str(error))
        rounds = 0
        while self._has_time(self._remaining_s()):
            answered = await self._round(question, TRIES if rounds == 0 else 1)
            if answered is not None:
                return self._ready(*answered, question)
            if not any(course.failure and not course.closed for course in self.courses):
                break
            await self.means.pause(min(self._spread(rounds + 1), max(0.0, self._remaining_s())))
            rounds += 1
        return self._failed(*self._reason())

    async def _round(self, question: str, tries: int) -> tuple[_Course, Answer] | None:
        waiting = [course for course in self.courses if not course.closed]
        for place, course in enumerate(waiting):
            if not self._has_time(self._remaining_s()):
                return None
            course.unaffordable = not self.allowance.reserve(course.expected_usd, self.routed.plan.cost_ceiling_usd)
            if course.unaffordable:
                continue
            paid_before_usd = course.cost_usd
            try:
                answer = await self._step(course, question, tries, last=place == len(waiting) - 1)
            except Exception as error:  # noqa: BLE001 - see the module: nothing may be paid again for it
                answer = None
                self._broke(course, error)
            finally:
                self.allowance.settle(course.expected_usd, course.cost_usd - paid_before_usd)
            if answer is not None:
                return course, answer
        return None

    async def _step(self, course: _Course, question: str, tries: int, *, last: bool) -> Answer | None:
        remaining_s = self._remaining_s() * (1.0 if last else SHARE_WITH_ALTERNATIVE)
        until_us = self.means.clock() + round(remaining_s * 1e6)
        if course.found is None:
            with tracing.span("retrieval", attributes={"gen_ai.operation.name": "retrieval"}):
                course.found = await self.means.search(self.routed.request, question, course.step)
                tracing.note({"penstock.passages": len(course.found.passages)})
        plan, history = self.routed.plan, self.routed.request.history
        turns = [{"role": turn.role, "content": turn.text} for turn in history]
        messages = build_messages(question, course.found.passages, turns, plan.max_answer_characters)
        course.begun_us = course.begun_us or self.means.clock()
        for number in range(tries):
            if self._has_called():
                await self.means.turn()
            left_s = (until_us - self.means.clock()) / 1e6
            if not self._has_time(left_s):
                break
            try:
                return await self._try(course, messages, left_s)
            except CallFailed as failure:
                course.failure = failure
                course.cost_usd += failure.cost_usd
                if failure.kind == "rejected" or number == tries - 1:
                    break
                pause_s = self._spread(number) if failure.retry_after_s is None else failure.retry_after_s
                if not self._has_time((until_us - self.means.clock()) / 1e6 - pause_s):
                    break
                await self.means.pause(pause_s)
        course.ended_us = self.means.clock()
        course.closed = course.failure is not None and course.failure.kind != "unreachable"
        if course.failure is not None:
            self.means.count("call_failures_total")
        return None

    def _broke(self, course: _Course, error: Exception) -> None:
        course.failure = CallFailed("internal", described(error))
        course.ended_us = self.means.clock()
        course.closed = True
        if course.tries:
            self.means.count("call_failures_total")
        logger(part="carrying_out").error(
            "step_failed",
            request_id=self.routed.request.request_id,
            strategy=course.step.strategy,
            error=course.failure.error,
            raised_through=trail(error),
        )

    async def _try(self, course: _Course, messages: Sequence[Message], left_s: float) -> Answer:
        course.tries += 1
        self.means.count("calls_total")
        if course.tries > 1:
            self.means.count("call_retries_total")
        pieces = self.pieces
        streamed = pieces is not None and pieces.may_stream(course.index)
        on_piece = partial(pieces.take, course.index) if pieces is not None and streamed else None
        step = course.step
        with tracing.span("chat", step.model, kind="client", attributes=asked(course, self.routed, streamed=streamed)):
            try:
                answer = await self.means.call(step.provider, step.model, messages, timeout_s=left_s, on_piece=on_piece)
            except CallFailed as failure:
                tracing.failed(failure.kind)
                raise
            tracing.note(answered(answer))
        course.cost_usd += answer.cost_usd
        if pieces is not None and streamed:
            await pieces.flush()
        course.ended_us = self.means.clock()
        return answer

    def _remaining_s(self) -> float:
        return (self.routed.plan.deadline_at_us - self.means.clock()) / 1e6

    def _has_time(self, left_s: float) -> bool:
        """Whether a call may begin: the first one always, until the deadline."""
        return left_s > (LEAST_S if self._has_called() else 0.0)

    def _has_called(self) -> bool:
        return any(course.tries for course in self.courses)

    def _spread(self, number: int) -> float:
        """The pause after try ``number`` (from 0), in seconds: spread over its upper half, so that retries do not meet."""
        longest: float = min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2**number)
        return longest * (0.5 + 0.5 * self.means.chance())

    def _reason(self) -> tuple[Code, str]:
        tried = [course for course in self.courses if course.failure is not None]
        if not tried:
            if self._remaining_s() > 0 and any(course.unaffordable for course in self.courses):
                ceiling = self.routed.plan.cost_ceiling_usd
                return Code.COST_CEILING_REACHED, (
                    f"No step of the plan fits under the conversation's ceiling of {ceiling:g} USD."
                )
            return Code.DEADLINE_EXCEEDED, "The deadline passed before a model could be called."
        codes = [_code_of(course.failure) for course in tried if course.failure is not None]
        order = (Code.PROVIDER_UNAVAILABLE, Code.DEADLINE_EXCEEDED, Code.PROVIDER_REJECTED, Code.INTERNAL_ERROR)
        said = "; ".join(f"{course.step.strategy} {course.why_not}" for course in self.courses)
        return next(code for code in order if code in codes), f"{said}."

    def _ready(self, course: _Course, answer: Answer, question: str) -> Outcome:
        request, plan, step = self.routed.request, self.routed.plan, course.step
        now_us = self.means.clock()
        found = course.found or Found((), 0.0)
        generation = GenerationCompleted(
            event_id=self._generation_id(course),
            occurred_at_us=now_us,
            tenant=request.tenant,
            conversation_id=request.conversation_id,
            request_id=request.request_id,
            routing_id=self.routed.event_id,
            step=course.index,
            tries=course.tries,
            strategy=step.strategy,
            model=step.model,
            provider=step.provider,
            question=question,
            passages=tuple(UsedPassage(passage_id=p.passage_id, text=p.text) for p in found.passages),
            text=answer.text,
            finish_reason=answer.finish_reason,
            input_tokens=answer.input_tokens,
            output_tokens=answer.output_tokens,
            cpu_seconds=answer.cpu_seconds,
            cost_usd=course.cost_usd,
            usage_estimated=answer.estimated,
            retrieval_ms=found.retrieval_ms,
            latency_ms=_ms(course.begun_us, course.ended_us),
        )
        passed_over = [f"{c.step.strategy} {c.why_not}" for c in self.courses[: course.index]]
        sentences = [plan.reasoning]
        if passed_over:
            self.means.count("fallbacks_total")
            sentences.append(f"{step.strategy} answered instead: {'; '.join(passed_over)}.")
        if answer.estimated:
            sentences.append(ESTIMATED)
        failed = self._failures(but=course)
        cost_usd = sum(event.cost_usd for event in failed) + generation.cost_usd
        response = ResponseReady(
            event_id=response_id(request),
            occurred_at_us=now_us,
            tenant=request.tenant,
            conversation_id=request.conversation_id,
            request_id=request.request_id,
            workflow=request.workflow,
            text=answer.text,
            strategy=step.strategy,
            model=step.model,
            routing_id=self.routed.event_id,
            generation_id=generation.event_id,
            profile_scope=plan.profile_scope,
            profile_version=plan.profile_version,
            content_type=plan.content_type,
            complexity=plan.complexity,
            step=course.index,
            sources=tuple(p.passage_id for p in found.passages),
            cost_usd=cost_usd,
            latency_ms=_ms(asked_at_us(self.routed), now_us),
            reasoning=" ".join(sentences),
        )
        return Outcome((*failed, generation), response, cost_usd)

    def _failed(self, code: Code, error: str) -> Outcome:
        failed = self._failures()
        cost_usd = sum(event.cost_usd for event in failed)
        remedy = LOOK_INTO_THE_LOG if code is Code.INTERNAL_ERROR else ""
        now_us = self.means.clock()
        response = response_failed(self.routed, code, error, remedy=remedy, cost_usd=cost_usd, now_us=now_us)
        return Outcome(failed, response, cost_usd)

    def _failures(self, but: _Course | None = None) -> tuple[GenerationFailed, ...]:
        request = self.routed.request
        return tuple(
            GenerationFailed(
                event_id=self._generation_id(course),
                occurred_at_us=course.ended_us,
                tenant=request.tenant,
                conversation_id=request.conversation_id,
                request_id=request.request_id,
                routing_id=self.routed.event_id,
                step=course.index,
                tries=course.tries,
                strategy=course.step.strategy,
                model=course.step.model,
                provider=course.step.provider,
                code=str(_code_of(course.failure)),
                error=course.failure.error,
                cost_usd=course.cost_usd,
                latency_ms=_ms(course.begun_us, course.ended_us),
            )
            for course in self.courses
            if course is not but and course.failure is not None and course.tries
        )

    def _generation_id(self, course: _Course) -> str:
        return event_id("Generation", self.routed.event_id, str(course.index))


def _code_of(failure: CallFailed) -> Code:
    return _CODES.get(failure.kind, Code.PROVIDER_UNAVAILABLE)


def _ms(begun_us: int, ended_us: int) -> float:
    return max(0.0, (ended_us - begun_us) / 1_000)
