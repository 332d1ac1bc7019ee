"""What the evaluator remembers of a request, and what waits: for its time, or for the answer that it is about.

In: facts about one request, in any order: its answer (or that there is none), the scores of its generations, feedback. Out: what
is remembered after each, how a feedback ends, the next reward. Kept: ``Remembered``, a value of numbers and ids only, and
``WaitingList``, an index in memory, rebuilt from what is stored. Fails with ``ValueError`` where a caller did not ask first. Pure.

The automatic reward is computed as soon as answer and scores are known; it is dated at the moment at which it is due, and waits.
Whether it was published needs no note: before it is due it cannot have been, and feedback that comes after that moment makes the
next revision. A reward from feedback is remembered before it is published, so a crash publishes the same one again, never another.
"""

import heapq
from collections.abc import Iterator
from typing import Final, Literal

import msgspec

from agents.judging.automatic import Scores
from agents.judging.reward import DONE, EVALUATOR, SAID, Signal, mapped, reward
from schemas import FeedbackGiven, ResponseFailed, ResponseReady, RewardComputed

Identity = tuple[str, str, str]
"""(tenant, conversation, request id)."""
Ending = Literal["unknown", "failed", "repeat", "late", "counts"]
"""How a feedback ends: its request is not known, or failed; it was seen before; came too late; or makes a revision."""

FEEDBACK_REMEMBERED: Final = 64
"""Ids of a request's newest feedback events, by which a repeat is known."""
SCORES_REMEMBERED: Final = 8
"""Generations of a request whose scores are kept until its answer says which one it came from."""
NO_REWARD: Final = -1


class Answer(msgspec.Struct, frozen=True):
    """What a reward needs of a terminal response; ``failed`` means that there is nothing to judge."""

    response_id: str
    at_us: int
    failed: bool = False
    workflow: str = ""
    strategy: str = ""
    routing_id: str = ""
    generation_id: str = ""


class Remembered(msgspec.Struct, frozen=True):
    """One request: ``revision`` of the newest reward from feedback, and that reward as long as it may be unpublished."""

    since_us: int
    answer: Answer | None = None
    scores: dict[str, Scores] = {}
    signals: tuple[Signal, ...] = ()
    feedback_ids: tuple[str, ...] = ()
    revision: int = NO_REWARD
    unpublished: RewardComputed | None = None

    @property
    def answer_scores(self) -> Scores | None:
        """The scores of the generation that the answer came from."""
        return self.scores.get(self.answer.generation_id) if self.answer is not None else None


class Waiting(msgspec.Struct, frozen=True):
    """Something stored that is acted upon at ``due_us``: an automatic reward, or a feedback's message as it came."""

    due_us: int
    partition: int
    identity: Identity
    automatic: RewardComputed | None = None
    offset: int = 0
    message_key: bytes | None = None
    message: bytes | None = None
    headers: tuple[tuple[str, bytes], ...] = ()
    """The trace that it belongs to, as its message carried it."""

    @property
    def key(self) -> bytes:
        """Its key where it is stored; the same message has the same key however often it is delivered."""
        if self.automatic is not None:
            return automatic_key(self.identity)
        return b"f%d/%d" % (self.partition, self.offset)


def identity_key(identity: Identity) -> bytes:
    """Give the key under which a request is remembered."""
    return msgspec.msgpack.encode(identity)


def automatic_key(identity: Identity) -> bytes:
    """Give the key under which a request's automatic reward waits."""
    return b"a" + identity_key(identity)


def answer_of(response: ResponseReady | ResponseFailed) -> Answer:
    """Give what is remembered of a terminal response."""
    if isinstance(response, ResponseFailed):
        return Answer(response_id=response.event_id, at_us=response.occurred_at_us, failed=True)
    return Answer(
        response_id=response.event_id,
        at_us=response.occurred_at_us,
        workflow=response.workflow,
        strategy=response.strategy,
        routing_id=response.routing_id,
        generation_id=response.generation_id,
    )


def with_scores(known: Remembered, generation_id: str, scores: Scores) -> Remembered:
    """Remember a generation's scores; once the answer is known, only those of its generation."""
    if known.answer is not None and known.answer.generation_id != generation_id:
        return known
    newest = dict([*known.scores.items(), (generation_id, scores)][-SCORES_REMEMBERED:])
    return msgspec.structs.replace(known, scores=newest)


def with_answer(known: Remembered, answer: Answer) -> Remembered:
    """Remember how a request ended; the first end holds."""
    if known.answer is not None:
        return known
    scores = {each: found for each, found in known.scores.items() if each == answer.generation_id}
    return msgspec.structs.replace(known, answer=answer, scores=scores)


def automatic_reward(
    known: Remembered, identity: Identity, *, event_id: str, wait_us: int, partition: int
) -> Waiting | None:
    """Give the automatic reward, waiting for its time; None where there is none (yet).

    It depends on the answer and its scores only, not on the clock, so a repeat gives the same event.
    """
    answer, scores = known.answer, known.answer_scores
    if answer is None or answer.failed or scores is None or known.revision != NO_REWARD:
        return None
    due_us = answer.at_us + wait_us
    event = _event(answer, identity, (), scores, 0, event_id=event_id, cause_id=answer.response_id, at_us=due_us)
    return Waiting(due_us=due_us, partition=partition, identity=identity, automatic=event)


def ending(known: Remembered | None, feedback: FeedbackGiven, window_us: int) -> Ending:
    """Say how a feedback in range ends; what counts for its lateness is when it was given."""
    if known is None or known.answer is None:
        return "unknown"
    if known.answer.failed:
        return "failed"
    if feedback.event_id in known.feedback_ids:
        return "repeat"
    return "late" if feedback.occurred_at_us - known.answer.at_us > window_us else "counts"


def with_feedback(
    known: Remembered, feedback: FeedbackGiven, *, event_id: str, now_us: int, wait_us: int
) -> Remembered:
    """Remember a feedback that counts, with the reward that it leads to, not yet published.

    ``ValueError`` where the answer is not known: ask ``ending`` first.
    """
    answer = known.answer
    if answer is None:
        raise ValueError("There is no answer that this feedback could be about.")
    signals = _folded(known.signals, Signal(feedback.kind, feedback.value, feedback.occurred_at_us))
    revision = max(known.revision, 0 if automatic_was_due(known, now_us, wait_us) else NO_REWARD) + 1
    identity = (feedback.tenant, feedback.conversation_id, feedback.request_id)
    event = _event(
        answer, identity, signals, None, revision, event_id=event_id, cause_id=feedback.event_id, at_us=now_us
    )
    return msgspec.structs.replace(
        known,
        signals=signals,
        feedback_ids=(*known.feedback_ids, feedback.event_id)[-FEEDBACK_REMEMBERED:],
        revision=revision,
        unpublished=event,
    )


def automatic_was_due(known: Remembered, now_us: int, wait_us: int) -> bool:
    """Say whether the automatic reward is or was the first one: its time came before any feedback."""
    due = known.answer is not None and now_us >= known.answer.at_us + wait_us
    return due and known.revision == NO_REWARD and known.answer_scores is not None


def published(known: Remembered) -> Remembered:
    """Remember that the newest reward is on its topic."""
    return msgspec.structs.replace(known, unpublished=None)


def _folded(signals: tuple[Signal, ...], new: Signal) -> tuple[Signal, ...]:
    """Keep what can still decide: the newest judgement that was stated, and the lowest that was shown."""
    kept = []
    given = (*signals, new)
    if said := [each for each in given if each.kind in SAID]:
        kept.append(max(said, key=lambda each: (each.at_us, -mapped(each))))
    if done := [each for each in given if each.kind in DONE]:
        kept.append(min(done, key=lambda each: (mapped(each), each.kind)))
    return tuple(kept)


def _event(
    answer: Answer,
    identity: Identity,
    signals: tuple[Signal, ...],
    scores: Scores | None,
    revision: int,
    *,
    event_id: str,
    cause_id: str,
    at_us: int,
) -> RewardComputed:
    value, parts, rated = reward(signals, scores)
    tenant, conversation_id, request_id = identity
    return RewardComputed(
        event_id=event_id,
        occurred_at_us=at_us,
        tenant=tenant,
        conversation_id=conversation_id,
        request_id=request_id,
        workflow=answer.workflow,
        strategy=answer.strategy,
        routing_id=answer.routing_id,
        revision=revision,
        reward=value,
        rated=rated,
        parts=parts,
        evaluator=EVALUATOR,
        cause_id=cause_id,
    )


class WaitingList:
    """What waits in this process's partitions: by time, and feedback by its request. Holds keys, not texts."""

    def __init__(self) -> None:
        self._heap: list[tuple[int, bytes]] = []
        self._listed: dict[bytes, tuple[int, Identity]] = {}
        self._held: dict[Identity, dict[bytes, None]] = {}

    def __len__(self) -> int:
        return len(self._listed)

    def add(self, waiting: Waiting) -> None:
        """List something; listing it again changes its time."""
        key = waiting.key
        self._listed[key] = (waiting.due_us, waiting.identity)
        heapq.heappush(self._heap, (waiting.due_us, key))
        if waiting.automatic is None:
            self._held.setdefault(waiting.identity, {})[key] = None

    def remove(self, key: bytes) -> None:
        """Take something off the list, if it is there."""
        if (listed := self._listed.pop(key, None)) is not None:
            held = self._held.get(listed[1], {})
            held.pop(key, None)
            if not held:
                self._held.pop(listed[1], None)

    def held_for(self, identity: Identity) -> tuple[bytes, ...]:
        """Give the keys of the feedback that waits for this request, in the order in which it came."""
        return tuple(self._held.get(identity, ()))

    def due(self, now_us: int) -> Iterator[tuple[bytes, Identity]]:
        """Give what is due, oldest first; each stays listed, and is given again only after ``again``."""
        while self._heap and self._heap[0][0] <= now_us:
            due_us, key = heapq.heappop(self._heap)
            listed = self._listed.get(key)
            if listed is not None and listed[0] == due_us:
                yield key, listed[1]

    def again(self, key: bytes, at_us: int) -> None:
        """Give something again at this time, because acting upon it failed."""
        if (listed := self._listed.get(key)) is not None:
            self._listed[key] = (at_us, listed[1])
            heapq.heappush(self._heap, (at_us, key))
