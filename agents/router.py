"""The router: requests in, plans out.

In: ``RequestReceived`` from ``requests``; every profile and every control (overrides, experiments) from their compacted topics,
read whole by each worker. Out: ``RequestRouted`` to ``routing``; a request that cannot be answered ends in ``ResponseFailed`` on
``responses``. Keeps only its copy of the profiles, overrides and experiments. A repeated request is planned again under the same
event id; the generator knows it by that.
"""

from collections.abc import Callable, Mapping
from pathlib import Path

from agents.answering.ending import failed_response
from agents.deciding.asked import asked_at_us
from agents.deciding.content_types import ContentTypes, parse_examples, with_own_types
from agents.deciding.content_weights import parse_weights
from agents.deciding.governance import GovernanceFile
from agents.deciding.held import Held, Profile
from agents.deciding.learned import Unusable
from agents.deciding.planning import Planner, Vector
from agents.deciding.workflow import Workflow
from agents.encoding.encoder import Encoder
from agents.loading.reading import load_catalogue, load_settings, load_workflows
from schemas import (
    ExperimentOrdered,
    ExperimentStepped,
    LearningResumed,
    OverrideSet,
    ProfileUpdated,
    Record,
    RequestReceived,
    ResponseFailed,
    RollbackOrdered,
)
from streams import tracing
from streams.delivery import current_origin
from streams.deployment import Deployment
from streams.errors import Code, Rejected, Undecodable, Undeliverable
from streams.outbox import Outbox
from streams.spans import Attributes
from streams.stage import Stage

CONCURRENCY = 16
"""Requests whose publication is awaited at the same time; deciding itself is one after the other."""
US_PER_S = 1_000_000
EXAMPLES = Path(__file__).parent / "deciding" / "content_type_examples.yaml"
WEIGHTS = EXAMPLES.with_name("content_type_weights.json")


def response_failed(request: RequestReceived, error: Rejected, now_us: int) -> ResponseFailed:
    """The terminal response of a request that cannot be answered."""
    asked_us = asked_at_us(request.occurred_at_us, _taken_in_us(), now_us)
    return failed_response(request, error.code, error.what, remedy=error.remedy, now_us=now_us, asked_us=asked_us)


class Router:
    """Handles one request: decides and publishes."""

    def __init__(
        self,
        planner: Planner,
        held: Held,
        encode: Callable[[str], Vector],
        outbox: Outbox,
        clock: Callable[[], int],
        waiting: Callable[[], int] = lambda: 0,
    ) -> None:
        self._waiting = waiting
        self._planner = planner
        self._held = held
        self._encode = encode
        self._outbox = outbox
        self._clock = clock

    async def handle(self, event: Record) -> None:
        """Plan a request, or end it."""
        if not isinstance(event, RequestReceived):
            raise Undeliverable(f"The router has no use for {type(event).__name__}.", code=Code.UNEXPECTED_EVENT)
        try:
            self._planner.check(event)  # before anything is computed from a text that may be too long
            with tracing.span("plan", attributes={"penstock.workflow": event.workflow}):
                vector = self._encode(event.message)
                routed = self._planner.plan(event, vector, self._held, self._clock(), _taken_in_us(), self._waiting())
                chosen: Attributes = {
                    "penstock.strategy": routed.plan.steps[0].strategy,
                    "penstock.profile_version": routed.plan.profile_version,
                }
                tracing.note(chosen)
        except Rejected as error:
            await self._outbox.publish("responses", response_failed(event, error, self._clock()))
        else:
            await self._outbox.publish("routing", routed)

    async def give_up(self, event: Record) -> None:
        """End a request whose planning failed for a reason that nobody foresaw; it is in the dead letters too."""
        if isinstance(event, RequestReceived):
            error = Rejected("The request could not be planned.", code=Code.INTERNAL_ERROR)
            await self._outbox.publish("responses", response_failed(event, error, self._clock()))


def _taken_in_us() -> int | None:
    """When the broker took the request, by its own clock; nobody knows how far a caller's is from ours."""
    origin = current_origin.get(None)
    return None if origin is None else origin.logged_at_us


def build_planner(
    deployment: Deployment, encoder: Encoder, environ: Mapping[str, str]
) -> tuple[Planner, GovernanceFile]:
    """Read the operator's and the users' files and build the planner; ``InvalidFile`` with all mistakes of a file."""
    governance = load_settings(deployment.settings)
    catalogue = load_catalogue(deployment.catalogue, environ)
    workflows = load_workflows(deployment.workflows, catalogue, tuple(governance.sources))
    governance.environment(deployment.environment)  # an unknown name is told at the start, not at the first request
    built_in = parse_examples(EXAMPLES.read_text(encoding="utf-8"))
    weights = parse_weights(WEIGHTS.read_text(encoding="utf-8")).get(encoder.name)
    common = ContentTypes.build(built_in, encoder.encode, weights)

    def types_of(workflow: Workflow) -> ContentTypes:
        if not workflow.content_types:
            return common
        return ContentTypes.build(with_own_types(built_in, workflow.content_types), encoder.encode, weights)

    planner = Planner(
        workflows=workflows,
        catalogue=catalogue,
        governance=governance,
        environment=deployment.environment,
        content_types=types_of,
        encoder=f"{encoder.name}@{encoder.version}",
    )
    return planner, governance


def _profile_in(event: ExperimentStepped, stage: Stage) -> Profile | None:
    """The profile that an experiment tries; None where it has none, or one that cannot be read: then nobody gets it."""
    if event.experiment.profile is None:
        return None
    try:
        profile = stage.codec.decode(event.experiment.profile)
        return Profile.of(profile) if isinstance(profile, ProfileUpdated) else None
    except (Undecodable, Unusable) as error:
        why = error.what if isinstance(error, Undecodable) else str(error)
        stage.log.warning("experiment_unreadable", experiment=event.experiment.name, error=why)
        return None


def _taken(held: Held, event: ProfileUpdated) -> bool:
    """Whether the profile is held now; one by which nothing can be decided is no event of ours."""
    try:
        return held.take_profile(event)
    except Unusable as error:
        raise Undecodable(f"ProfileUpdated: {error}.", code=Code.INVALID_EVENT) from error


def build_router(deployment: Deployment, encoder: Encoder, environ: Mapping[str, str]) -> Stage:
    """Put the router together: its stage, with the agent and the two compacted topics attached."""
    planner, governance = build_planner(deployment, encoder, environ)
    held = Held()
    operations = governance.operations
    stage = Stage("router", deployment, partitions=operations.partitions, limit=operations.dead_letters.limit)
    router = Router(
        planner,
        held,
        lambda text: encoder.encode([text])[0],
        stage.outbox,
        stage.clock,
        lambda: sum(stage.lag().values()),
    )

    def take(event: Record) -> None:
        if isinstance(event, ProfileUpdated):
            if _taken(held, event):
                stage.log.info("profile_held", scope=event.scope, version=event.version)
                stage.note("profile_published_timestamp_s", event.occurred_at_us / US_PER_S)
            stage.note("profile_version_max", held.newest_version)
            stage.note("profile_stale_total", held.stale_total)
        elif isinstance(event, OverrideSet):
            known = held.set_override(event)
            stage.log.warning("override_set" if known else "override_unreadable", name=event.name, state=event.value)
        elif isinstance(event, ExperimentStepped):
            if held.experiments.take(event, _profile_in(event, stage)):
                name, state = event.experiment.name, event.state
                stage.log.info("experiment_stepped", experiment=name, state=state, share=event.share)
        elif isinstance(event, ExperimentOrdered):
            held.experiments.end(event)
        elif not isinstance(event, RollbackOrdered | LearningResumed):
            stage.log.error("unexpected_event", event_type=type(event).__name__)

    for topic in ("profile-updates", "controls"):
        stage.follow(topic, take)
    stage.consume("requests", router.handle, concurrency=CONCURRENCY, give_up=router.give_up)
    return stage
