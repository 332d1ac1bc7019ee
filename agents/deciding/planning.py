"""From a request to its plan: the router's whole decision, as one pure function of what is known.

Comes in: a request, its embedding, what is held of profiles and overrides, the time. Goes out: ``RequestRouted``. Keeps what it
was built with (workflows, catalogue, settings, content types), and what follows from it (``InForce``). Fails with ``Rejected``,
which becomes ResponseFailed. Pure.

The phases: check the request; find what kind it is; lay the settings' levels over each other; find the eligible; let the policy
(or, with learning off, the built-in rules) give each its probability; draw; order the alternatives; say why.
"""

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from difflib import get_close_matches

import msgspec
import numpy as np
import numpy.typing as npt

from agents.deciding import policy
from agents.deciding.asked import asked_at_us
from agents.deciding.catalogue import TIERS, Catalogue, Strategy
from agents.deciding.complexity import Complexity, complexity_of
from agents.deciding.content_types import ContentTypes, TypeGuess
from agents.deciding.eligibility import Limits, eligible
from agents.deciding.experiment import Trial
from agents.deciding.governance import GovernanceFile
from agents.deciding.held import Held
from agents.deciding.in_force import InForce
from agents.deciding.personal import personal_kinds
from agents.deciding.prior import Band, Estimate, band_of, rule_pick
from agents.deciding.reasoning import Circumstances, reasoning
from agents.deciding.workflow import Workflow, prompt_variables
from schemas import Candidate, Exclusion, Plan, RequestReceived, RequestRouted
from streams.errors import Code, Rejected
from streams.identity import draw, event_id

MAX_MESSAGE_CHARACTERS = 65_536
MAX_DOCUMENTS_BYTES = 1024 * 1024
MAX_REQUEST_BYTES = 5 * 256 * 1024
"""A request with all its text; the plan that goes beside it in one event has the rest of MAX_EVENT_BYTES: 256 KiB."""
MAX_DEADLINE_MS = 3_600_000
"""An hour, as in the settings: for so long a request may hold a place in a generator."""
MAX_ID_CHARACTERS = 256
MAX_NAME_CHARACTERS = 100
"""Of a name that nobody knows: what is quoted of it and compared with the known ones."""
FEATURE_SET = "1"
PROJECTED_DIMENSIONS = 32
"""The static encoder's dimensions are principal components in falling order, so the first ones are its projection."""

Vector = npt.NDArray[np.float32]


def scope_of(workflow: str) -> str:
    """The scope that a workflow learns in: one for all tenants in this version."""
    return workflow


@dataclass(frozen=True)
class Kind:
    """What kind of request it is."""

    guess: TypeGuess
    complexity: Complexity

    @property
    def band(self) -> Band:
        """The complexity's band."""
        return band_of(self.complexity.level)


class Planner:
    """Decides for every workflow of a deployment."""

    def __init__(
        self,
        *,
        workflows: Mapping[str, Workflow],
        catalogue: Catalogue,
        governance: GovernanceFile,
        environment: str,
        content_types: Callable[[Workflow], ContentTypes],
        encoder: str,
    ) -> None:
        self.workflows = workflows
        self.catalogue = catalogue
        self._governance = governance
        self._environment = environment
        self._content_types = {name: content_types(workflow) for name, workflow in workflows.items()}
        self._encoder = encoder
        self._known: dict[tuple[str, str, bool], InForce] = {}

    def check(self, request: RequestReceived) -> Workflow:
        """The request's workflow; ``Rejected`` with a code and a sentence where the request cannot be answered."""
        workflow = self.workflows.get(request.workflow)
        if workflow is None:
            stated = request.workflow[:MAX_NAME_CHARACTERS]
            near = get_close_matches(stated, self.workflows, n=1)
            hint = f" Did you mean {near[0]}?" if near else f" Known: {', '.join(self.workflows) or 'none'}."
            raise Rejected(f"There is no workflow {stated!r}.{hint}", code=Code.UNKNOWN_WORKFLOW)
        if not request.message.strip():
            raise Rejected("The message is empty.", code=Code.EMPTY_MESSAGE)
        if len(request.message) > MAX_MESSAGE_CHARACTERS:
            raise Rejected(
                f"The message has {len(request.message):,} characters; at most {MAX_MESSAGE_CHARACTERS:,} are allowed.",
                code=Code.MESSAGE_TOO_LONG,
            )
        if request.strategy is not None and request.strategy not in self.catalogue.ids:
            stated = request.strategy[:MAX_NAME_CHARACTERS]
            near = get_close_matches(stated, self.catalogue.ids, n=1)
            hint = f" Did you mean {near[0]}?" if near else ""
            raise Rejected(f"There is no strategy {stated!r}.{hint}", code=Code.UNKNOWN_STRATEGY)
        self._check_fields(request, workflow)
        return workflow

    def _check_fields(self, request: RequestReceived, workflow: Workflow) -> None:
        wrong = None
        too_long = _first_too_long(request)
        if not request.request_id or not request.conversation_id:
            wrong = "request_id and conversation_id must not be empty"
        elif too_long:
            wrong = f"{too_long} has more than {MAX_ID_CHARACTERS} characters"
        elif request.priority is not None and request.priority not in policy.EXPONENTS:
            wrong = f"priority is {request.priority[:MAX_NAME_CHARACTERS]!r}; it must be one of {', '.join(policy.EXPONENTS)}"
        elif request.deadline_ms is not None and not 0 < request.deadline_ms <= MAX_DEADLINE_MS:
            wrong = f"deadline_ms is {request.deadline_ms}; it must be from 1 to {MAX_DEADLINE_MS}"
        elif any(turn.role not in ("user", "assistant") for turn in request.history):
            wrong = "history has a role that is neither user nor assistant"
        elif sum(len(document.text.encode()) for document in request.documents) > MAX_DOCUMENTS_BYTES:
            wrong = f"the documents have more than {MAX_DOCUMENTS_BYTES:,} bytes together"
        elif (size := len(msgspec.msgpack.encode(request))) > MAX_REQUEST_BYTES:
            wrong = f"it has {size:,} bytes in all; at most {MAX_REQUEST_BYTES:,} can be planned"
        else:
            needed = [name for name in prompt_variables(workflow.node.prompt) if name != "message"]
            missing = [name for name in needed if name not in request.variables]
            if missing:
                wrong = f"the workflow's prompt needs the variables {', '.join(missing)}"
        if wrong:
            raise Rejected(f"The request cannot be read: {wrong}.", code=Code.INVALID_REQUEST)

    def kind_of(self, request: RequestReceived, vector: Vector, workflow: str = "") -> Kind:
        """What kind of request it is, from its last turn (``vector``: that turn's embedding)."""
        guess = self._content_types[workflow or request.workflow].classify(request.message, vector)
        return Kind(guess, complexity_of(request.message, len(request.history)))

    def plan(
        self, request: RequestReceived, vector: Vector, held: Held, now_us: int, taken_in_us: int | None = None
    ) -> RequestRouted:
        """Decide. ``now_us`` is the time in microseconds since 1970-01-01 UTC, and ``taken_in_us`` when the broker took the
        request, by the same clock.
        """
        trial = held.experiments.trial(request, self.workflows)
        if trial.other is not None:  # it counts only where both versions can answer
            try:
                self._plan(request, vector, held, trial.other, now_us, taken_in_us)
                return self._plan(request, vector, held, trial, now_us, taken_in_us)
            except Rejected:
                trial = trial.without()
        return self._plan(request, vector, held, trial, now_us, taken_in_us)

    def _plan(
        self,
        request: RequestReceived,
        vector: Vector,
        held: Held,
        trial: Trial,
        now_us: int,
        taken_in_us: int | None,
    ) -> RequestRouted:
        workflow = self.check(request)
        if trial.workflow != workflow.name:
            workflow = self.workflows[trial.workflow]
            self._check_fields(request, workflow)
        kind = self.kind_of(request, vector, workflow.name)
        in_force = self._in_force(workflow, held, request.workflow, trial)
        settings, profile = in_force.effective.settings, in_force.profile
        asked_us = asked_at_us(request.occurred_at_us, taken_in_us, now_us)
        deadline_at_us = asked_us + (request.deadline_ms or settings.deadline_ms) * 1_000
        believed = in_force.estimates(kind.guess.content_type, kind.band)

        def estimate(strategy: Strategy) -> Estimate:
            return believed[strategy.id]

        personal = personal_kinds(texts_of(request)) if settings.detect_personal_data else ()
        limits = Limits(
            pins=in_force.pins,
            demanded=request.strategy,
            sensitivity="personal" if personal else request.sensitivity,
            overrides=held.overrides,
            graph_off_reason=profile.graph_off.get(kind.guess.content_type),
            cost_ceiling_usd=settings.cost_ceiling_usd,
            time_left_ms=(deadline_at_us - now_us) / 1_000,
        )
        able, excluded = eligible(self.catalogue, limits, estimate)
        if not able:
            # Too late for all is the generator's to say: it knows whether this is a repeat of a request that has ended.
            able, excluded = eligible(self.catalogue, replace(limits, time_left_ms=math.inf), estimate)
        if not able:
            reasons = "; ".join(dict.fromkeys(reason for _, reason in excluded))
            found = f" The text holds {' and '.join(personal)}." if personal else ""
            raise Rejected(f"No strategy may answer: {reasons}.{found}", code=Code.NO_ELIGIBLE_STRATEGY)
        trial, admitted = trial.admit(able, excluded)
        able, excluded = admitted.able, admitted.excluded
        estimates = {strategy.id: estimate(strategy) for strategy in able}
        incumbent = self._incumbent(in_force, able, kind)
        decision = self._decide(workflow, request, estimates, incumbent, in_force)
        drawn = draw(request.tenant, request.conversation_id, request.request_id)
        chosen = self.catalogue.strategy(policy.choose(decision.probabilities, drawn))
        candidates = tuple(
            Candidate(
                strategy=name,
                probability=decision.probabilities[name],
                quality=e.quality,
                quality_lower=policy.lower_bound(e, settings.quality_floor),
                cost_usd=e.cost_usd,
                latency_ms=e.latency_ms,
                requests=e.requests,
            )
            for name, e in estimates.items()
        )
        pinned = (*in_force.pinned_parts, *(("strategy",) if request.strategy else ()))
        steps = (
            chosen,
            *self._alternatives(chosen, admitted.behind, decision.probabilities, simple=settings.fallback_to_simple),
        )
        plan = Plan(
            steps=tuple(in_force.step(strategy) for strategy in steps),
            propensity=decision.probabilities[chosen.id],
            draw=drawn,
            candidates=candidates,
            exclusions=tuple(Exclusion(strategy=s.id, reason=reason) for s, reason in excluded),
            policy=policy.NAME if profile.learned else policy.RULES,
            profile_scope=profile.scope,
            profile_version=profile.version,
            config_hash=in_force.config_hash,
            content_type=kind.guess.content_type,
            content_type_confidence=float(kind.guess.confidence),
            complexity=kind.complexity.level,
            features=features(request, kind, vector),
            encoder=self._encoder,
            feature_set=FEATURE_SET,
            pinned=pinned,
            decided=in_force.decided_parts,
            overrides=held.overrides.active,
            experiment=trial.name,
            branch=trial.branch,
            branch_share=trial.share,
            quality_floor=decision.floor,
            floor_met=decision.floor_met,
            sensitivity_in_force=limits.sensitivity,
            personal=personal,
            cost_ceiling_usd=settings.cost_ceiling_usd,
            fallback=len(steps) > 1,
            asked_at_us=asked_us,
            deadline_at_us=deadline_at_us,
            prompt=workflow.node.prompt,
            max_answer_characters=workflow.node.preferences.max_answer_characters,
            reasoning=reasoning(
                next(c for c in candidates if c.strategy == chosen.id),
                candidates,
                Circumstances(
                    content_type=kind.guess.content_type,
                    complexity=kind.complexity.level,
                    complexity_reasons=kind.complexity.reasons,
                    learned=profile.learned,
                    learning_off=not in_force.learning,
                    pinned=pinned,
                    overrides=held.overrides.active,
                    personal=personal,
                    experiment=trial.name,
                    new_version=trial.new,
                    floor=decision.floor,
                    floor_met=decision.floor_met,
                    incumbent=incumbent,
                ),
            ),
        )
        return RequestRouted(
            event_id=event_id("RequestRouted", request.tenant, request.conversation_id, request.request_id),
            occurred_at_us=now_us,
            request=request,
            plan=plan,
        )

    def _in_force(self, workflow: Workflow, held: Held, asked: str, trial: Trial) -> InForce:
        profile = trial.profile or held.profile(scope_of(asked))
        key = (workflow.name, asked, trial.profile is not None)
        found = self._known.get(key)
        if found is None or found.held is not profile or found.overrides is not held.overrides:
            found = self._known[key] = InForce(
                workflow,
                self.catalogue,
                self._governance,
                self._environment,
                held=profile,
                overrides=held.overrides,
            )
        return found

    def _incumbent(self, in_force: InForce, able: tuple[Strategy, ...], kind: Kind) -> str:
        held = in_force.incumbent(kind.guess.content_type, kind.band)
        if any(strategy.id == held for strategy in able):
            return held
        return rule_pick(able, kind.guess.content_type, kind.band).id

    def _decide(
        self,
        workflow: Workflow,
        request: RequestReceived,
        estimates: Mapping[str, Estimate],
        incumbent: str,
        in_force: InForce,
    ) -> policy.Decision:
        settings = in_force.effective.settings
        if not in_force.learning:
            return policy.certainly(incumbent, estimates, settings.quality_floor)
        if not in_force.profile.learned:
            return policy.by_rule(incumbent, estimates, settings.quality_floor, exploration=settings.exploration)
        return policy.decide(
            estimates,
            incumbent=incumbent,
            floor=settings.quality_floor,
            priority=request.priority or workflow.node.preferences.priority,
            exploration=settings.exploration,
        )

    def _alternatives(
        self, chosen: Strategy, able: tuple[Strategy, ...], probabilities: Mapping[str, float], *, simple: bool
    ) -> tuple[Strategy, ...]:
        """The likeliest strategy of each other tier: downwards first (a cheaper one may still fit the ceiling), then upwards."""
        place = TIERS.index(chosen.tier)
        order = (*TIERS[:place][::-1], *TIERS[place + 1 :])
        found = []
        for tier in order:
            if tier == "simple" and not simple:
                continue
            of_tier = [strategy for strategy in able if strategy.tier == tier]
            if of_tier:
                found.append(
                    max(of_tier, key=lambda s: (probabilities.get(s.id, 0.0), s.retrieval == chosen.retrieval))
                )
        return tuple(found)


def _first_too_long(request: RequestReceived) -> str | None:
    ids = (("tenant", request.tenant), ("conversation_id", request.conversation_id), ("request_id", request.request_id))
    documents = (
        (part, text)
        for d in request.documents
        for part, text in (("a document_id", d.document_id), ("a title", d.title))
    )
    return next((part for part, text in (*ids, *documents) if len(text) > MAX_ID_CHARACTERS), None)


def texts_of(request: RequestReceived) -> Iterator[str]:
    """All text of a request that may reach a model."""
    yield request.message
    yield from (turn.text for turn in request.history)
    yield from request.variables.values()
    for document in request.documents:
        yield document.title
        yield document.text


def features(request: RequestReceived, kind: Kind, vector: Vector) -> tuple[float, ...]:
    """The feature vector, set 1: (log(1 + characters) / 10, complexity / 10, turns / 10 up to 1, documents given or not, then
    the first ``PROJECTED_DIMENSIONS`` dimensions of the last turn's embedding).
    """
    plain = (
        math.log1p(len(request.message)) / 10,
        kind.complexity.level / 10,
        min(len(request.history), 10) / 10,
        1.0 if request.documents else 0.0,
    )
    return (*plain, *vector[:PROJECTED_DIMENSIONS].tolist())
