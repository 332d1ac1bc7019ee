"""Experiments: which version of two a conversation is given, and what that means for a request.

Comes in: steps of experiments and operator's words that one ends, in any order and repeatedly; a request. Goes out: a ``Trial``.
Keeps the newest step of each experiment. Cannot fail; an experiment that cannot be carried out here (a workflow that is not
loaded, a profile that cannot be read) is left out. Pure.

How a conversation is assigned. It has a place in [0, 1) by a hash of the experiment's name and itself, and gets the new version
where its place is below the share. So it is the same on every worker and for all of its requests without any memory, a larger
share keeps whoever had the new version already, another experiment divides the conversations anew, and the place tells nothing
about the draw that chooses a strategy: the probabilities within a branch stay exact.

A request counts only where both versions could have answered it, and nobody demanded a strategy for it. What the versions are:

=========  ========================================  ===========================  =============================================
kind       new                                       old                          when it has ended
=========  ========================================  ===========================  =============================================
strategy   it answers                                it is left out               won: open to the policy; else left out
prompt     only strategies with this prompt version  these are left out           won: only these; else left out
workflow   another workflow's pins and prompt        the workflow that was asked  won: the other one; else nothing
profile    that version of the profile               the newest                   nothing (a profile that won is brought back)
=========  ========================================  ===========================  =============================================
"""

from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from agents.deciding.catalogue import Strategy
from schemas import Experiment, ExperimentOrdered, ExperimentStepped, RequestReceived
from schemas.experiment_stepped import ExperimentState
from streams.identity import draw

if TYPE_CHECKING:
    from agents.deciding.held import Profile

STATE_KEPT: dict[str, ExperimentState] = {"old": "stopped", "new": "won", "neither": "cleared"}
"""How an experiment stands after an operator ended it and kept that version."""
Excluded = tuple[tuple[Strategy, str], ...]


def place(experiment: str, tenant: str, conversation_id: str) -> float:
    """The conversation's place in [0, 1)."""
    return draw(tenant, conversation_id, "", purpose=f"experiment:{experiment}")


def gets_new(experiment: str, tenant: str, conversation_id: str, share: float) -> bool:
    """Whether the conversation gets the new version while this share of the conversations does."""
    return place(experiment, tenant, conversation_id) < share


@dataclass(frozen=True)
class _Rule:
    """Strategies that an experiment is about: ``only`` they, or all but they."""

    experiment: Experiment
    only: bool

    def admits(self, strategy: Strategy) -> bool:
        about = strategy.id if self.experiment.kind == "strategy" else strategy.prompt_version
        return (about == self.experiment.version) is self.only

    @property
    def reason(self) -> str:
        what = f"{self.experiment.kind} {self.experiment.version}"
        return f"the experiment {self.experiment.name} " + (
            f"asks for {what} alone" if self.only else f"leaves {what} out"
        )


@dataclass(frozen=True)
class Trial:
    """What experiments mean for one request. ``name`` "": it is in none that runs.

    ``workflow``: the one whose pins and prompt hold; ``profile``: the one that decides, where it is not the newest.
    """

    workflow: str
    name: str = ""
    new: bool = False
    share: float = 0.0
    profile: "Profile | None" = None
    running: _Rule | None = None
    lasting: tuple[_Rule, ...] = ()
    other: "Trial | None" = None
    """The same request with the other version, where the versions are whole workflows or profiles."""

    @property
    def branch(self) -> str:
        """``new``, ``old``, or nothing where it is in no experiment."""
        return ("new" if self.new else "old") if self.name else ""

    def without(self) -> "Trial":
        """The same as if no experiment were running."""
        old = self.other if self.other is not None and self.new else self
        return replace(old, name="", new=False, share=0.0, running=None, other=None, profile=None)

    def admit(self, able: tuple[Strategy, ...], excluded: Excluded) -> "tuple[Trial, Admitted]":
        """Who of the eligible may be chosen; and the trial itself, which does not count where a version could not answer."""
        for rule in self.lasting:
            able, excluded = _parted(rule, able, excluded)
        if self.running is None:
            return self, Admitted(able, excluded, able)
        kept, left_out = _parted(self.running, able, excluded)
        if len(kept) in (0, len(able)):
            return self.without(), Admitted(able, excluded, able)
        return self, Admitted(kept, left_out, able if self.new else kept)


@dataclass(frozen=True)
class Admitted:
    """Strategies that may be chosen, those that may not with the reason, and those that may step in where the chosen one fails."""

    able: tuple[Strategy, ...]
    excluded: Excluded
    behind: tuple[Strategy, ...]


def _parted(rule: _Rule, able: tuple[Strategy, ...], excluded: Excluded) -> tuple[tuple[Strategy, ...], Excluded]:
    """Without those that the rule does not admit; as they were where it would admit none."""
    kept = tuple(each for each in able if rule.admits(each))
    if not kept:
        return able, excluded
    return kept, (*excluded, *((each, rule.reason) for each in able if each not in kept))


@dataclass(frozen=True)
class _Held:
    step: ExperimentStepped
    profile: "Profile | None"


class Experiments:
    """What a router worker has heard of experiments."""

    def __init__(self) -> None:
        self._held: dict[str, _Held] = {}
        self._ended: dict[str, ExperimentState] = {}
        self._of: dict[str, list[_Held]] = {}

    def take(self, step: ExperimentStepped, profile: "Profile | None" = None) -> bool:
        """Hold a step unless this or a later one is held; whether it was taken. ``profile``: the one in it, made ready."""
        name = step.experiment.name
        if name in self._held and step.number <= self._held[name].step.number:
            return False
        self._held[name] = _Held(step, profile)
        self._sort()
        return True

    def end(self, order: ExperimentOrdered) -> bool:
        """Heed an operator's word at once, before analytics has answered it; whether it ends an experiment."""
        state = STATE_KEPT.get(order.keep)
        if order.experiment is not None or state is None:
            return False
        self._ended[order.name] = state
        return True

    def trial(self, request: RequestReceived, workflows: Collection[str]) -> Trial:
        """What experiments mean for a request; ``workflows``: the names of those that are loaded."""
        of = self._of.get(request.workflow)
        if of is None:
            return Trial(request.workflow)
        trial, running = Trial(request.workflow), None
        for held in of:
            state = self._ended.get(held.step.experiment.name, held.step.state)
            if state != "running":
                trial = _lasting(trial, held.step.experiment, state, workflows)
            elif running is None and _can_run(held, workflows):
                running = held
        if running is None or request.strategy is not None:
            return trial
        return _assigned(trial, running, request)

    def _sort(self) -> None:
        """By workflow, in the order of the names: two that run on one workflow are settled alike on every worker."""
        self._of = {}
        for name in sorted(self._held):
            held = self._held[name]
            self._of.setdefault(held.step.experiment.workflow, []).append(held)


def _lasting(trial: Trial, experiment: Experiment, state: ExperimentState, workflows: Collection[str]) -> Trial:
    """What an experiment that has ended leaves behind."""
    won = state == "won"
    if state == "cleared" or (won and experiment.kind == "strategy"):
        return trial
    if experiment.kind in ("strategy", "prompt"):
        return replace(trial, lasting=(*trial.lasting, _Rule(experiment, only=won)))
    if won and experiment.kind == "workflow" and experiment.version in workflows:
        return replace(trial, workflow=experiment.version)
    return trial


def _can_run(held: _Held, workflows: Collection[str]) -> bool:
    experiment = held.step.experiment
    match experiment.kind:
        case "workflow":
            return experiment.version in workflows
        case "profile":
            return held.profile is not None
        case "strategy" | "prompt":
            return True
        case _:
            return False


def _assigned(trial: Trial, held: _Held, request: RequestReceived) -> Trial:
    experiment, share = held.step.experiment, held.step.share
    new = gets_new(experiment.name, request.tenant, request.conversation_id, share)

    def version(*, new: bool) -> Trial:
        of = replace(trial, name=experiment.name, new=new, share=share)
        if experiment.kind in ("strategy", "prompt"):
            return replace(of, running=_Rule(experiment, only=new))
        if not new:
            return of
        return (
            replace(of, workflow=experiment.version)
            if experiment.kind == "workflow"
            else replace(of, profile=held.profile)
        )

    assigned = version(new=new)
    return assigned if assigned.running is not None else replace(assigned, other=version(new=not new))
