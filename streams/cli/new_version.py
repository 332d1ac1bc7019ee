"""What an experiment tries: read, checked against what there is, and held against the log before its first user.

In: what the caller stated (a strategy, a prompt version, a workflow, a profile, or a policy file), the deployment's files, the
history of profiles, the public views. Out: an ``Experiment``, and what the log said of it. Keeps nothing. Fails with ``Failure``:
status 2 for what there is not, 1 where the log does not support it and nobody said why it goes out all the same.
"""

import os
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

from streams.cli.moments import moment_us
from streams.cli.printing import USAGE, Failure, nearest, note
from streams.cli.surroundings import Surroundings, reading

if TYPE_CHECKING:
    from agents.deciding.catalogue import Catalogue
    from agents.deciding.governance import GovernanceFile
    from agents.deciding.workflow import Workflow
    from schemas import Experiment
    from schemas.experiment_ordered import ExperimentKind

CANARY = "5,25,100"
MUCH = 0.1
"""A share of the traffic that is worth a warning."""
_PERCENT = 100


@dataclass(frozen=True)
class New:
    """What is new: at most one of the first five is stated by the caller."""

    strategy: str | None
    prompt: str | None
    workflow: str | None
    profile: int | None
    policy: Path | None

    @property
    def stated(self) -> int:
        """How many were stated."""
        return sum(each is not None for each in (self.strategy, self.prompt, self.workflow, self.profile, self.policy))


@dataclass(frozen=True)
class Terms:
    """How it is tried and judged."""

    shares: tuple[float, ...]
    floor: float | None
    alpha: float
    most: int
    since: str
    untried: str
    reason: str
    wait_s: float
    as_json: bool


def checked_shares(stated: str, option: str) -> tuple[float, ...]:
    """Read shares in per cent, rising. ``Failure`` (status 2) where they are none."""
    try:
        shares = tuple(float(each.strip().removesuffix("%")) / _PERCENT for each in stated.split(","))
    except ValueError:
        shares = ()
    rising = all(one < two for one, two in pairwise(shares))
    if not shares or not rising or not 0 < shares[0] < 1 or shares[-1] > 1:
        raise Failure(
            f"{option} is {stated!r}; it should be per cent that rise, such as {CANARY}, the first between 0 and 100.",
            status=USAGE,
        )
    return shares


def checked(around: Surroundings, name: str, workflow: str, new: New, terms: Terms) -> "tuple[Experiment, str]":
    """The experiment, and what the log says of it."""
    from agents.loading.reading import load_catalogue, load_settings, load_workflows

    deployment = around.deployment()
    if new.stated != 1:
        raise Failure(
            "State one new version: --strategy, --prompt, --to-workflow, --profile or --policy.", status=USAGE
        )
    catalogue = load_catalogue(deployment.catalogue, os.environ)
    governance = load_settings(deployment.settings)
    workflows = load_workflows(deployment.workflows, catalogue, tuple(governance.sources))
    _known("workflow", workflow, workflows)
    resolved = _resolved(around, new, workflow, workflows, catalogue)
    tried = _tried(around, new, workflow, catalogue, terms)
    return _experiment(name, workflows[workflow], resolved, terms, governance, deployment.environment), tried


def _experiment(
    name: str,
    workflow: "Workflow",
    new: "tuple[ExperimentKind, str, bytes | None]",
    terms: Terms,
    governance: "GovernanceFile",
    environment: str,
) -> "Experiment":
    from agents.deciding.governance import Overrides
    from schemas import Experiment

    floor = governance.effective(environment, workflow.settings, Overrides()).settings.quality_floor
    kind, version, payload = new
    return Experiment(
        name=name,
        workflow=workflow.name,
        kind=kind,
        version=version,
        shares=terms.shares,
        floor=floor.value if terms.floor is None else terms.floor,
        floor_is_relative=terms.floor is None and floor.kind == "relative",
        alpha=terms.alpha,
        most=terms.most,
        profile=payload,
    )


def _resolved(
    around: Surroundings, new: New, workflow: str, workflows: "dict[str, Workflow]", catalogue: "Catalogue"
) -> "tuple[ExperimentKind, str, bytes | None]":
    """Kind, version and, for a profile, its bytes. ``Failure`` (status 2) for what there is not."""
    if new.policy is not None:
        new = _of_policy(new.policy, catalogue)
    if new.strategy is not None:
        _known("strategy", new.strategy, catalogue.ids)
        return "strategy", new.strategy, None
    if new.prompt is not None:
        _known("prompt version", new.prompt, {each.prompt_version for each in catalogue.strategies})
        return "prompt", new.prompt, None
    if new.workflow is not None:
        _known("workflow", new.workflow, [each for each in workflows if each != workflow])
        return "workflow", new.workflow, None
    return "profile", str(new.profile), _payload(around, workflow, new.profile or 0)


def _of_policy(path: Path, catalogue: "Catalogue") -> New:
    from agents.loading.reading import load_policy

    stated = load_policy(path, catalogue)
    if stated.fixed is None and stated.profile is None:
        raise Failure(
            f"{path} states neither fixed nor profile: routers cannot serve it beside what is running.",
            remedy="State one of the two, or change the workflow's settings; `penstock whatif` tries any policy.",
            status=USAGE,
        )
    return New(stated.fixed, None, None, stated.profile or None, None)


def _known(what: str, name: str, known: Iterable[str]) -> None:
    listed = sorted(known)
    if name not in listed:
        raise Failure(
            f"There is no {what} {name!r}.{nearest(name, listed)}",
            remedy=f"There are {', '.join(listed) or 'none'}.",
            status=USAGE,
        )


def _payload(around: Surroundings, workflow: str, version: int) -> bytes:
    from agents.deciding.planning import scope_of
    from schemas import ProfileUpdated
    from streams.following import seen, so_far

    codec, versions = around.codec(), []
    with reading(around) as log:
        for message in so_far(log, ["profile-history"]):
            event = seen(message, codec).event
            if isinstance(event, ProfileUpdated) and event.scope == scope_of(workflow):
                versions.append(event.version)
                if event.version == version:
                    return message.value or b""
    shown = f"It has {min(versions)} to {max(versions)}." if versions else "Nothing was learned for it yet."
    raise Failure(f"{scope_of(workflow)} has no profile version {version}.", remedy=shown, status=USAGE)


def _tried(around: Surroundings, new: New, workflow: str, catalogue: "Catalogue", terms: Terms) -> str:
    """What the log says of a policy or a profile. ``Failure`` where it does not support it and nobody said why it goes out."""
    from agents.deciding.policy_file import PolicyFile
    from agents.loading.reading import load_policy
    from analytics.offpolicy.words import headline
    from streams.cli.whatif import impact_of

    if terms.untried:
        return f"not held against the log: {terms.untried}"
    if new.policy is None and new.profile is None:
        _warn_of_use(around, new, workflow, terms)
        return "nothing was logged that could tell of it"
    stated = PolicyFile(profile=new.profile) if new.policy is None else load_policy(new.policy, catalogue)
    found, _ = impact_of(around, stated, catalogue, since=terms.since, workflow=workflow)
    if found.verdict.answer != "promote":
        open_ = "; ".join(each.sentence for each in found.verdict.conditions if not each.held)
        raise Failure(
            f"The log does not support it: {headline(found)} ({open_}).",
            remedy='`penstock whatif` shows the whole report; --untried "REASON" lets it go out all the same.',
        )
    return f"{headline(found)}, by {found.requests:,} logged requests"


def _warn_of_use(around: Surroundings, new: New, workflow: str, terms: Terms) -> None:
    """Tell where a strategy that is about to be left out of the old version answers much of the traffic now."""
    from analytics.query import rows
    from streams.errors import Unconfigured

    since_us = moment_us(terms.since, "--since", around.clock_us())
    asked = "SELECT avg((chosen_strategy = ?)::DOUBLE) FROM outcomes WHERE workflow = ? AND requested_at >= make_timestamp(?)"
    try:
        ((share,),) = rows(around.deployment(), asked, [new.strategy or "", workflow, since_us]).rows
    except Unconfigured:  # nothing is stored yet
        return
    if share is not None and share > MUCH:
        note(
            f"penstock: {new.strategy} answers {share:.0%} of {workflow} now; while the experiment runs, the old version does "
            "without it"
        )
