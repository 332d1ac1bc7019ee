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

import numpy as np
import numpy.typing as npt

from agents.deciding import policy
from agents.deciding.asked import asked_at_us
from agents.deciding.catalogue import Catalogue, Strategy
from agents.deciding.checking import MAX_MESSAGE_CHARACTERS, MAX_NAME_CHARACTERS, check_fields
from agents.deciding.choosing import Believed, Choice, believed_of, by_heads
from agents.deciding.complexity import Complexity, complexity_of
from agents.deciding.content_types import ContentTypes, TypeGuess
from agents.deciding.eligibility import Limits, eligible
from agents.deciding.experiment import Trial
from agents.deciding.features import FEATURE_SET, Load, feature_vector
from agents.deciding.governance import GovernanceFile
from agents.deciding.held import Held
from agents.deciding.in_force import InForce
from agents.deciding.personal import personal_kinds
from agents.deciding.planned import alternatives, candidates_of
from agents.deciding.prior import Band, Estimate, band_of, rule_pick
from agents.deciding.reasoning import Circumstances, reasoning
from agents.deciding.workflow import Workflow
from schemas import Exclusion, Plan, RequestReceived, RequestRouted
from streams.errors import Code, Rejected
from streams.identity import draw, event_id

US_PER_HOUR = 3_600_000_000
HOURS = 24

Vector = npt.NDArray[np.float32]
Floats = npt.NDArray[np.float64]


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
        self._checked: RequestReceived | None = None

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
        check_fields(request, workflow)
        self._checked = request
        return workflow

    def kind_of(self, request: RequestReceived, vector: Vector, workflow: str = "") -> Kind:
        """What kind of request it is, from its last turn (``vector``: that turn's embedding)."""
        guess = self._content_types[workflow or request.workflow].classify(request.message, vector)
        return Kind(guess, complexity_of(request.message, len(request.history)))

    def plan(
        self,
        request: RequestReceived,
        vector: Vector,
        held: Held,
        now_us: int,
        taken_in_us: int | None = None,
        waiting: int = 0,
    ) -> RequestRouted:
        """Decide. ``now_us`` is the time in microseconds since 1970-01-01 UTC, and ``taken_in_us`` when the broker took the
        request, by the same clock; ``waiting``: how many requests wait, as far as it is known.
        """
        trial = held.experiments.trial(request, self.workflows)
        if trial.other is not None:  # it counts only where both versions can answer
            try:
                self._plan(request, vector, held, trial.other, now_us, taken_in_us, waiting)
                return self._plan(request, vector, held, trial, now_us, taken_in_us, waiting)
            except Rejected:
                trial = trial.without()
        return self._plan(request, vector, held, trial, now_us, taken_in_us, waiting)

    def _plan(
        self,
        request: RequestReceived,
        vector: Vector,
        held: Held,
        trial: Trial,
        now_us: int,
        taken_in_us: int | None,
        waiting: int,
    ) -> RequestRouted:
        workflow = self.workflows[request.workflow] if self._checked is request else self.check(request)
        if trial.workflow != workflow.name:
            workflow = self.workflows[trial.workflow]
            check_fields(request, workflow)
        kind = self.kind_of(request, vector, workflow.name)
        in_force = self._in_force(workflow, held, request.workflow, trial)
        settings, profile = in_force.effective.settings, in_force.profile
        asked_us = asked_at_us(request.occurred_at_us, taken_in_us, now_us)
        deadline_at_us = asked_us + (request.deadline_ms or settings.deadline_ms) * 1_000
        known: Mapping[str, Estimate] = in_force.estimates(kind.guess.content_type, kind.band)
        features = features_of(request, kind, vector, Load(waiting, now_us / US_PER_HOUR % HOURS))
        learned = in_force.heads(self._encoder)
        believed = None
        if learned is not None:
            believed = believed_of(learned, features, known, settings.quality_floor)
            known = believed.estimates

        def estimate(strategy: Strategy) -> Estimate:
            return known[strategy.id]

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
        settled = in_force.settled(limits)
        able, excluded = eligible(self.catalogue, limits, estimate, settled)
        if not able:
            # Too late for all is the generator's to say: it knows whether this is a repeat of a request that has ended.
            able, excluded = eligible(self.catalogue, replace(limits, time_left_ms=math.inf), estimate, settled)
        if not able:
            reasons = "; ".join(dict.fromkeys(reason for _, reason in excluded))
            found = f" The text holds {' and '.join(personal)}." if personal else ""
            raise Rejected(f"No strategy may answer: {reasons}.{found}", code=Code.NO_ELIGIBLE_STRATEGY)
        trial, admitted = trial.admit(able, excluded)
        able, excluded = admitted.able, admitted.excluded
        estimates = {strategy.id: known[strategy.id] for strategy in able}
        incumbent = self._incumbent(in_force, able, kind)
        choice = self._choose(workflow, request, estimates, incumbent, in_force, believed)
        decision = choice.decision
        drawn = draw(request.tenant, request.conversation_id, request.request_id)
        chosen = self.catalogue.strategy(policy.choose(decision.probabilities, drawn))
        candidates = candidates_of(estimates, decision.probabilities, settings.quality_floor)
        pinned = (*in_force.pinned_parts, *(("strategy",) if request.strategy else ()))
        steps = (
            chosen,
            *alternatives(chosen, admitted.behind, decision.probabilities, simple=settings.fallback_to_simple),
        )
        plan = Plan(
            steps=tuple(in_force.step(strategy) for strategy in steps),
            propensity=decision.probabilities[chosen.id],
            draw=drawn,
            candidates=candidates,
            exclusions=tuple(Exclusion(strategy=s.id, reason=reason) for s, reason in excluded),
            policy=choice.policy,
            profile_scope=profile.scope,
            profile_version=profile.version,
            config_hash=in_force.config_hash,
            content_type=kind.guess.content_type,
            content_type_confidence=float(kind.guess.confidence),
            complexity=kind.complexity.level,
            features=tuple(features.tolist()),
            encoder=self._encoder,
            feature_set=FEATURE_SET,
            pinned=pinned,
            decided=in_force.decided_parts,
            overrides=in_force.overridden,
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
                    overrides=in_force.overridden,
                    personal=personal,
                    experiment=trial.name,
                    new_version=trial.new,
                    floor=decision.floor,
                    floor_met=decision.floor_met,
                    incumbent=incumbent,
                    by_heads=believed is not None,
                    strange=choice.strange,
                    waiting=waiting,
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

    def _choose(
        self,
        workflow: Workflow,
        request: RequestReceived,
        estimates: Mapping[str, Estimate],
        incumbent: str,
        in_force: InForce,
        believed: Believed | None,
    ) -> Choice:
        settings = in_force.effective.settings
        floor, exploration = settings.quality_floor, settings.exploration
        if not in_force.learning:
            return Choice(policy.certainly(incumbent, estimates, floor), policy.RULES)
        priority = request.priority or workflow.node.preferences.priority
        if believed is not None:
            return by_heads(believed, estimates, floor=floor, priority=priority, exploration=exploration)
        if not in_force.profile.learned:
            return Choice(policy.by_rule(incumbent, estimates, floor, exploration=exploration), policy.RULES)
        decided = policy.decide(estimates, incumbent=incumbent, floor=floor, priority=priority, exploration=exploration)
        return Choice(decided, policy.NAME)


def texts_of(request: RequestReceived) -> Iterator[str]:
    """All text of a request that may reach a model."""
    yield request.message
    yield from (turn.text for turn in request.history)
    yield from request.variables.values()
    for document in request.documents:
        yield document.title
        yield document.text


def features_of(request: RequestReceived, kind: Kind, vector: Vector, load: Load) -> Floats:
    """The request's feature vector (``features.NAMES``, then the leading dimensions of its last turn's embedding)."""
    return feature_vector(
        request.message,
        vector,
        complexity=kind.complexity.level,
        type_scores=kind.guess.scores,
        turns=len(request.history),
        documents=bool(request.documents),
        load=load,
    )
