"""The story of one request: its events found, put in order, and told.

In: messages of the topics keyed by conversation and of the dead letters. Out: a ``Story``, and lines. Keeps nothing. A repeat of an
event is left out; of several plans the first in the partition holds, of several rewards the highest revision.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from schemas import (
    DeadLettered,
    FeedbackGiven,
    GenerationCompleted,
    GenerationFailed,
    Record,
    RequestReceived,
    RequestRouted,
    ResponseFailed,
    ResponseReady,
    RewardComputed,
)
from streams.cli.printing import shortened, usd, when
from streams.client import Identity
from streams.codec import Codec
from streams.errors import Undecodable
from streams.following import Log, Message, so_far
from streams.topics import STAGES

TOPICS_READ = (
    "requests",
    "routing",
    "generation",
    "responses",
    "feedback",
    "rewards",
    *(f"{role}-dlq" for role in STAGES),
)

BUILT_IN_RULES = "built-in-rules"
_QUESTION = 200
_LABEL = 12
_REASONS_SHOWN = 40


@dataclass
class Story:
    """All that is known of one request, each list in the order of the partition."""

    identity: Identity
    requests: list[RequestReceived] = field(default_factory=list)
    plans: list[RequestRouted] = field(default_factory=list)
    calls: list[GenerationCompleted | GenerationFailed] = field(default_factory=list)
    responses: list[ResponseReady | ResponseFailed] = field(default_factory=list)
    feedback: list[FeedbackGiven] = field(default_factory=list)
    rewards: list[RewardComputed] = field(default_factory=list)
    letters: list[DeadLettered] = field(default_factory=list)

    @property
    def reward(self) -> RewardComputed | None:
        """The reward so far: the highest revision."""
        return max(self.rewards, key=lambda each: each.revision, default=None)

    @property
    def events(self) -> list[Record]:
        """Every event, in the order in which a request meets them."""
        groups = (self.requests, self.plans, self.calls, self.responses, self.feedback, self.rewards, self.letters)
        return [event for group in groups for event in group]

    def take(self, event: Record) -> None:
        """Put an event where it belongs, unless it is a repeat."""
        groups: tuple[tuple[Any, list[Any]], ...] = (
            (RequestReceived, self.requests),
            (RequestRouted, self.plans),
            (GenerationCompleted | GenerationFailed, self.calls),
            (ResponseReady | ResponseFailed, self.responses),
            (FeedbackGiven, self.feedback),
            (RewardComputed, self.rewards),
            (DeadLettered, self.letters),
        )
        for kinds, group in groups:
            if isinstance(event, kinds) and all(event.event_id != other.event_id for other in group):
                group.append(event)


def stories(
    log: Log, codec: Codec, request_id: str, *, conversation: str | None, tenant: str | None, within_s: float
) -> list[Story]:
    """Find every request of that id: in the conversation's partition, or where none is named in its own, else in all.

    ``TimeoutError`` after ``within_s`` s.
    """
    own = conversation if conversation is not None else request_id
    key = own.encode("utf-8", "surrogatepass")
    mine = (m for m in so_far(log, TOPICS_READ, key=own, within_s=within_s) if m.key == key)
    found = _gathered(mine, codec, request_id, tenant)
    if not found and conversation is None:
        name = request_id.encode("utf-8", "surrogatepass")
        # Searching the bytes spares decoding all that is of other requests.
        candidates = (m for m in so_far(log, TOPICS_READ, within_s=within_s) if m.value is not None and name in m.value)
        found = _gathered(candidates, codec, request_id, tenant)
    return found


def identity(event: Record, codec: Codec) -> Identity | None:
    """Give the identity of the request that an event is about, of a dead letter that of the event in it; None without one."""
    if isinstance(event, RequestRouted):
        event = event.request
    elif isinstance(event, DeadLettered):
        try:
            inner = codec.decode(event.value)
        except Undecodable:
            return None
        return None if isinstance(inner, DeadLettered) else identity(inner, codec)
    names = ("tenant", "conversation_id", "request_id")
    if not all(hasattr(event, name) for name in names):
        return None
    tenant, conversation_id, request_id = (str(getattr(event, name)) for name in names)
    return tenant, conversation_id, request_id


def told(story: Story) -> Iterator[str]:
    """Tell a story in lines."""
    tenant, conversation_id, request_id = story.identity
    yield f"request {request_id}, conversation {conversation_id}, tenant {tenant}"
    for request in story.requests[:1] or [plan.request for plan in story.plans[:1]]:
        yield _line(
            "asked", f"{when(request.occurred_at_us)} of {request.workflow}: {shortened(request.message, _QUESTION)}"
        )
    if story.plans:
        yield from _told_plan(story.plans[0])
    else:
        yield _line("plan", "none")
    yield from _told_calls(story)
    yield from _told_end(story)
    yield from _told_reward(story)
    for letter in story.letters:
        origin = f"{letter.topic} {letter.partition}:{letter.offset}"
        yield _line(
            "dead letter", f"of the {letter.stage}, from {origin}, {letter.code}: {shortened(letter.error, _QUESTION)}"
        )


def _told_plan(routed: RequestRouted) -> Iterator[str]:
    plan = routed.plan
    yield ""
    yield _line("why", plan.reasoning)
    yield _line(
        "kind",
        f"{plan.content_type} (confidence {plan.content_type_confidence:.2f}), complexity {plan.complexity} of 10",
    )
    yield _line("yours", ", ".join(plan.pinned) or "nothing was pinned")
    yield _line("decided", ", ".join(plan.decided) or "nothing")
    if plan.overrides:
        yield _line("overrides", ", ".join(plan.overrides))
    chosen = plan.steps[0].strategy if plan.steps else "none"
    yield _line("chosen", f"{chosen} with propensity {plan.propensity:.4f}, draw {plan.draw:.6f}")
    then = ", ".join(step.strategy for step in plan.steps[1:])
    yield _line("then", then or "no alternative" if plan.fallback else "no alternative may be tried")
    yield _line(
        "policy",
        f"{plan.policy}, profile {plan.profile_scope} version {plan.profile_version}, configuration {plan.config_hash}",
    )
    if plan.policy.startswith(BUILT_IN_RULES):
        met = "which the built-in rules do not look at"
    else:
        met = "met" if plan.floor_met else "met by none, so the best one answers"
    yield _line("floor", f"{plan.quality_floor:.3f}, {met}; ceiling {usd(plan.cost_ceiling_usd)} a conversation")
    yield _line("candidates", "probability  quality (at least)  cost        ms    requests  strategy")
    for each in sorted(plan.candidates, key=lambda c: (-c.probability, c.strategy)):
        quality = f"{each.quality:.3f} ({each.quality_lower:.3f})"
        numbers = f"{each.probability:<11.4f}  {quality:<18}  {usd(each.cost_usd):<10}  {each.latency_ms:<5.0f} {each.requests:<8}"
        yield _line("", f"{numbers}  {each.strategy}")
    for exclusion in plan.exclusions[:_REASONS_SHOWN]:
        yield _line("excluded", f"{exclusion.strategy}: {exclusion.reason}")


def _told_calls(story: Story) -> Iterator[str]:
    yield ""
    for call in story.calls:
        said = f"step {call.step} {call.strategy}, {call.model} at {call.provider}, {call.tries} tried, {usd(call.cost_usd)}"
        if isinstance(call, GenerationFailed):
            yield _line("call", f"{said}, failed after {call.latency_ms:.0f} ms: {call.code}: {call.error}")
            continue
        tokens = f"{call.input_tokens}+{call.output_tokens} tokens"
        found = f"{len(call.passages)} passages in {call.retrieval_ms:.0f} ms"
        yield _line("call", f"{said}, {call.latency_ms:.0f} ms, {tokens}, {found}")
    if not story.calls:
        yield _line("calls", "none")


def _told_end(story: Story) -> Iterator[str]:
    if not story.responses:
        yield _line("response", "none yet")
        return
    response = story.responses[0]
    cost = f"{usd(response.cost_usd)}, {response.latency_ms:.0f} ms"
    if isinstance(response, ResponseFailed):
        yield _line("failed", f"{response.code}: {response.error} ({cost})")
        yield _line("remedy", response.remedy)
        return
    yield _line("answered", f"by {response.strategy} ({response.model}), {cost}: {shortened(response.text, _QUESTION)}")
    yield _line("sources", ", ".join(response.sources) or "none")


def _told_reward(story: Story) -> Iterator[str]:
    for given in story.feedback:
        said = f": {given.comment}" if given.comment else ""
        yield _line("feedback", f"{when(given.occurred_at_us)} {given.source} {given.kind} {given.value:g}{said}")
    reward = story.reward
    if reward is None:
        yield _line("reward", "none yet")
        return
    kind = "rated by the user" if reward.rated else "scored automatically"
    yield _line("reward", f"{reward.reward:.3f}, {kind}, revision {reward.revision}, {reward.evaluator}")
    for part in reward.parts:
        yield _line("", f"{part.share:.2f} of it is {part.name} {part.value:.3f}")


def _line(label: str, text: str) -> str:
    return f"{label:<{_LABEL}} {text}"


def _gathered(messages: Iterable[Message], codec: Codec, request_id: str, tenant: str | None) -> list[Story]:
    found: dict[Identity, Story] = {}
    # Topics arrive interleaved; within one, a partition's order is kept, and that is what counts.
    for message in messages:
        try:
            event = codec.decode(message.value)
        except Undecodable:
            continue  # `penstock tail` shows it; it is not known to be about this request
        who = identity(event, codec)
        if who is None or who[2] != request_id or tenant not in (None, who[0]):
            continue
        found.setdefault(who, Story(who)).take(event)
    return [found[who] for who in sorted(found)]
