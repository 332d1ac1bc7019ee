"""Asks the demo's questions and gives the users' feedback, at a steady pace, and counts what comes back.

In: the schedule, an open ``Client``. Out: one ``Answered`` for each request. Keeps what is under way. A request without a
terminal response in time counts as failed with the code ``no_response``. Duplicates are terminal responses that a plain reader
saw again.
"""

import asyncio
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from examples.demo.measuring import Answered
from examples.demo.questions import Asking
from examples.demo.users import RATES_ONE_IN, quality, rating
from schemas import ResponseFailed, ResponseReady, Turn
from streams.client import Client

ANSWER_WITHIN_S = 45.0


@dataclass
class Session:
    """One run of the demo."""

    client: Client
    seed: int
    in_flight: int
    """How many requests are under way at once."""
    on_progress: Callable[[int], None]
    answered: list[Answered] = field(default_factory=list)
    unrated: int = 0

    async def ask_all(self, part: Sequence[Asking]) -> None:
        """Ask one quarter's questions; returns when all have ended and their feedback is given."""
        waiting = asyncio.Semaphore(self.in_flight)
        async with asyncio.TaskGroup() as tasks:
            for number, asking in enumerate(part):
                await waiting.acquire()
                task = tasks.create_task(self._ask(asking, number))
                task.add_done_callback(lambda _: waiting.release())

    async def _ask(self, asking: Asking, number: int) -> None:
        question = asking.question
        try:
            response = await self.client.ask(
                asking.workflow,
                question.message,
                tenant="demo",
                conversation_id=f"{asking.workflow}-{asking.quarter}-{asking.round}-{question.id}",
                request_id=f"{question.id}-{asking.round}",
                history=[Turn(role=said.role, text=said.text) for said in question.history],
                within_s=ANSWER_WITHIN_S,
            )
        except TimeoutError:
            self._note(asking, None, 0.0)
            return
        good = quality(question, response.text) if isinstance(response, ResponseReady) else 0.0
        if isinstance(response, ResponseReady):
            if random.Random(f"{self.seed}-{asking.quarter}-{number}").randrange(RATES_ONE_IN):
                await self.client.give_feedback(response, "rating", rating(good))
            else:
                self.unrated += 1
        self._note(asking, response, good)

    def _note(self, asking: Asking, response: ResponseReady | ResponseFailed | None, good: float) -> None:
        ready = isinstance(response, ResponseReady)
        self.answered.append(
            Answered(
                workflow=asking.workflow,
                quarter=asking.quarter,
                question_id=asking.question.id,
                content_type=asking.question.content_type,
                strategy=response.strategy if isinstance(response, ResponseReady) else "",
                quality=good,
                cost_usd=response.cost_usd if response is not None else 0.0,
                latency_ms=response.latency_ms if response is not None else ANSWER_WITHIN_S * 1_000,
                failed=None if ready else (response.code if isinstance(response, ResponseFailed) else "no_response"),
            )
        )
        self.on_progress(len(self.answered))
