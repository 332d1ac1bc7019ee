"""One line about an event, for people who read along.

In: an event. Out: the few words that tell it from its neighbours. Keeps nothing. Pure.
"""

from functools import singledispatch

from schemas import (
    ChunkGenerated,
    DeadLettered,
    ExperimentOrdered,
    ExperimentStepped,
    FeedbackGiven,
    GenerationCompleted,
    GenerationFailed,
    LearningResumed,
    OverrideSet,
    ProfileUpdated,
    QualityFell,
    Record,
    RequestReceived,
    RequestRouted,
    ResponseFailed,
    ResponseReady,
    ResumeOrdered,
    RewardComputed,
    RollbackOrdered,
    StageMeasured,
    StagePaused,
    StageRestarted,
    StageResumed,
)
from streams.cli.printing import shortened, usd

_TEXT = 90


@singledispatch
def gist(event: Record) -> str:
    """Say what happened, in one line."""
    return event.event_id


@gist.register
def _(event: RequestReceived) -> str:
    return f"{event.request_id} {event.workflow}: {shortened(event.message, _TEXT)}"


@gist.register
def _(event: RequestRouted) -> str:
    plan = event.plan
    kind = f"{plan.content_type} {plan.complexity}"
    strategy = plan.steps[0].strategy if plan.steps else "none"
    return f"{event.request.request_id} {kind}: {strategy} (p {plan.propensity:.3f}, profile {plan.profile_version})"


@gist.register
def _(event: GenerationCompleted) -> str:
    return f"{event.request_id} {event.strategy} {event.model} {usd(event.cost_usd)} {event.latency_ms:.0f} ms"


@gist.register
def _(event: GenerationFailed) -> str:
    return f"{event.request_id} {event.strategy} {event.model} {event.code}: {shortened(event.error, _TEXT)}"


@gist.register
def _(event: ResponseReady) -> str:
    return f"{event.request_id} {event.strategy} {usd(event.cost_usd)} {event.latency_ms:.0f} ms: {shortened(event.text, _TEXT)}"


@gist.register
def _(event: ResponseFailed) -> str:
    return f"{event.request_id} {event.code}: {shortened(event.error, _TEXT)}"


@gist.register
def _(event: ChunkGenerated) -> str:
    return f"{event.request_id} {event.step}.{event.index} {shortened(event.text, _TEXT)}"


@gist.register
def _(event: FeedbackGiven) -> str:
    return f"{event.request_id} {event.source} {event.kind} {event.value:g}"


@gist.register
def _(event: RewardComputed) -> str:
    parts = ", ".join(f"{part.name} {part.value:.2f} of {part.share:.2f}" for part in event.parts)
    return f"{event.request_id} {event.strategy} reward {event.reward:.3f} ({parts})"


@gist.register
def _(event: StageMeasured) -> str:
    listed = ", ".join(f"{measure.name} {measure.value:g}" for measure in event.measures if measure.value)
    return f"{event.stage} {event.worker}: {listed or 'nothing'}"


@gist.register
def _(event: StagePaused) -> str:
    counted = f"{event.letters} dead letters beside {event.handled} handled within {event.window_s:g} s"
    return f"{event.stage} {event.worker} holds {event.source} {event.held_partition}:{event.held_offset} ({event.code}): {counted}"


@gist.register
def _(event: StageResumed) -> str:
    who = event.ordered_by or "nobody named"
    return f"{event.stage} {event.worker} reads {event.source} again after {event.paused_s:.0f} s, by {who}"


@gist.register
def _(event: StageRestarted) -> str:
    return f"{event.stage} {event.worker} hung for {event.stalled_s:.0f} s before {event.lag_events} events: {event.reason}"


@gist.register
def _(event: ResumeOrdered) -> str:
    what = event.source or "everything"
    why = shortened(event.reason, _TEXT) or "no reason given"
    return f"{event.role} reads {what} again, by {event.ordered_by or 'nobody named'}: {why}"


@gist.register
def _(event: ProfileUpdated) -> str:
    return f"{event.scope} version {event.version} ({event.kind}): {shortened(event.sentence, _TEXT)}"


@gist.register
def _(event: QualityFell) -> str:
    return shortened(event.sentence, _TEXT)


@gist.register
def _(event: OverrideSet) -> str:
    said = "cleared" if event.value is None else f"= {event.value}"
    return f"{event.name} {said} by {event.set_by or 'nobody named'}: {shortened(event.reason, _TEXT) or 'no reason given'}"


@gist.register
def _(event: RollbackOrdered) -> str:
    return f"{event.scope} back to version {event.to_version} by {event.ordered_by or 'nobody named'}"


@gist.register
def _(event: LearningResumed) -> str:
    return f"{event.scope} learns again, by {event.ordered_by or 'nobody named'}"


@gist.register
def _(event: ExperimentOrdered) -> str:
    what = (
        f"ends, {event.keep} stays"
        if event.experiment is None
        else f"begins: {event.experiment.kind} {event.experiment.version}"
    )
    return f"{event.name} {what}, by {event.ordered_by or 'nobody named'}"


@gist.register
def _(event: ExperimentStepped) -> str:
    stands = f"{event.experiment.name} {event.state} at {event.share:.0%}"
    return f"{stands} after {event.conversations:,} conversations: {shortened(event.reason, _TEXT)}"


@gist.register
def _(event: DeadLettered) -> str:
    origin = f"{event.topic} {event.partition}:{event.offset}"
    return f"{event.stage} gave up on {origin} after {event.attempts}, {event.code}: {shortened(event.error, _TEXT)}"
