"""``penstock whatif``: what a policy would have done to yesterday's requests, before any user meets it.

In: a policy file, the public views, the deployment's catalogue, settings and workflows. Out: the change impact report as text, and
where asked as JSON and as a page. Keeps nothing. Status 1 where the gate does not pass (what is running stays, or the log cannot
support a promise), 2 where the file has a mistake or the log has no request with an outcome.
"""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from streams.cli.moments import moment_us
from streams.cli.printing import FAILED, ON_THE_SCREEN, USAGE, Failure, as_json, say, show_table, write
from streams.cli.surroundings import Surroundings, surroundings

if TYPE_CHECKING:
    from agents.deciding.catalogue import Catalogue
    from agents.deciding.policy_file import PolicyFile
    from analytics.offpolicy.impact import Impact
    from analytics.offpolicy.logged import Floats
    from analytics.offpolicy.past import Past
    from analytics.offpolicy.redeciding import InForce
    from analytics.offpolicy.words import About
    from streams.deployment import Deployment

COST_WEIGHT = 0.1
_MOST = 50_000
_US_PER_DAY = 86_400_000_000
_LEAST_SPAN_US = 3_600_000_000


def add_to(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(whatif)


def whatif(
    ctx: typer.Context,
    policy: Annotated[Path, typer.Option(help="The policy to try, a YAML file (docs/whatif.md).")],
    since: Annotated[str, typer.Option(help="From when on the log is decided again.")] = "7d",
    workflow: Annotated[str | None, typer.Option(help="Only this workflow's requests.")] = None,
    cost_weight: Annotated[
        float, typer.Option(min=0, help="What the price of the best strategy is worth in quality, for the value.")
    ] = COST_WEIGHT,
    latency_weight: Annotated[
        float, typer.Option(min=0, help="What a second is worth in quality, for the value.")
    ] = 0.0,
    limit: Annotated[int, typer.Option(min=4, help="At most so many requests, the newest.")] = _MOST,
    json: Annotated[
        Path | None, typer.Option("--json", metavar="OUT", help="Write the report as JSON; - prints it.")
    ] = None,
    page: Annotated[Path | None, typer.Option(help="Write the report as a page of HTML with plots.")] = None,
) -> None:
    """Decide the log again by another policy, and say what it would have changed and what may be promised of it.

    Example: penstock whatif --policy cheaper.yaml --since 7d --page impact.html
    """
    from agents.loading.reading import load_catalogue, load_policy
    from analytics.offpolicy.words import About, as_values

    around = surroundings(ctx)
    deployment, now_us = around.deployment(), around.clock_us()
    catalogue = load_catalogue(deployment.catalogue, os.environ)
    stated = load_policy(policy, catalogue)
    found, past = impact_of(
        around,
        stated,
        catalogue,
        since=since,
        workflow=workflow,
        cost_weight=cost_weight,
        latency_weight=latency_weight,
        most=limit,
    )
    span_us = max(now_us - past.oldest_us, _LEAST_SPAN_US)
    about = About(stated.name or policy.stem, since, workflow, past.unrewarded, found.requests * _US_PER_DAY / span_us)
    if page is not None:
        from analytics.offpolicy.page import page as drawn

        write(page, drawn(found, about))
    if json is not None:
        write(json, as_json(as_values(found, about)))
    if json != ON_THE_SCREEN:
        _show(found, about)
    if found.verdict.answer != "promote":
        raise typer.Exit(FAILED)


def impact_of(
    around: Surroundings,
    stated: "PolicyFile",
    catalogue: "Catalogue",
    *,
    since: str,
    workflow: str | None,
    cost_weight: float = COST_WEIGHT,
    latency_weight: float = 0.0,
    most: int = _MOST,
) -> "tuple[Impact, Past]":
    """What a policy would have done to the log since then, and that log. ``Failure`` where nothing is logged."""
    from analytics.offpolicy.impact import impact, worth_of

    since_us = moment_us(since, "--since", around.clock_us())
    past, probabilities = _again(
        around.deployment(), stated, catalogue, since_us=since_us, workflow=workflow, most=most
    )
    floors = past.floors
    if stated.quality_floor is not None and stated.quality_floor.kind == "absolute":
        floors = floors * 0 + stated.quality_floor.value
    return impact(past.log, probabilities, floors, worth_of(past.log, cost_weight, latency_weight)), past


def _again(
    deployment: "Deployment",
    stated: "PolicyFile",
    catalogue: "Catalogue",
    *,
    since_us: int,
    workflow: str | None,
    most: int,
) -> "tuple[Past, Floats]":
    """The log, and for each of its requests the probabilities of the new policy."""
    from analytics.offpolicy.past import as_matrix, read_past, read_profiles
    from analytics.offpolicy.redeciding import NoSuchProfile, Redecider, judged_log
    from analytics.query import open_public

    with open_public(deployment) as connection:
        past = read_past(connection, since_us=since_us, workflow=workflow, most=most)
        if past is None:
            of = "" if workflow is None else f" of {workflow}"
            raise Failure(
                f"There is no request{of} with an outcome since then.",
                remedy='Ask for a longer time (--since 30d), or `penstock sql "FROM outcomes"` to see what is stored.',
                status=USAGE,
            )
        profiles = read_profiles(connection, sorted({each.scope for each in past.decided}))
    redecider = Redecider(
        stated,
        catalogue,
        _in_force(deployment, catalogue, past),
        profiles,
        lambda learned: judged_log(learned, past.decided, past.log),
    )
    try:
        decided = [redecider.decide(each) for each in past.decided]
    except NoSuchProfile as error:
        known = sorted(version for scope, version in profiles if scope == error.scope)
        raise Failure(
            f"{str(error).capitalize()}; stored: {', '.join(map(str, known[-10:])) or 'none'}.",
            remedy="`penstock profiles list` shows the scopes; --workflow limits the log to one.",
            status=USAGE,
        ) from error
    return past, as_matrix(decided, past.log.strategies)


def _in_force(deployment: "Deployment", catalogue: "Catalogue", past: "Past") -> "dict[str, InForce]":
    """The settings of every workflow in the log; of one that is no longer loaded, the environment's."""
    from agents.deciding.governance import Overrides, StatedSettings
    from agents.loading.reading import load_settings, load_workflows
    from analytics.offpolicy.redeciding import InForce

    governance = load_settings(deployment.settings)
    workflows = load_workflows(deployment.workflows, catalogue, set(governance.sources))
    found = {}
    for name in {each.workflow for each in past.decided}:
        loaded = workflows.get(name)
        own = StatedSettings() if loaded is None else loaded.settings
        settings = governance.effective(deployment.environment, own, Overrides()).settings
        priority = "balanced" if loaded is None else loaded.node.preferences.priority
        found[name] = InForce(settings.quality_floor, settings.exploration, priority)
    return found


def _show(found: "Impact", about: "About") -> None:
    from analytics.offpolicy.gate import LEAST_EFFECTIVE
    from analytics.offpolicy.words import estimate_rows, headline, kind_rows, share_rows, waiting_rows

    estimate = found.estimate
    say(f"{about.policy}: {headline(found)}")
    for condition in found.verdict.conditions:
        mark = {True: "yes", False: "no", None: "open"}[condition.held]
        say(f"  {mark:4s} {condition.sentence}")
    left_out = f"; {about.unrewarded:,} without a reward yet are left out" if about.unrewarded else ""
    say(f"{found.requests:,} requests since {about.since}{left_out}; largest weight {estimate.largest_weight:,.1f}")
    if estimate.effective < LEAST_EFFECTIVE:
        say("what follows rests on too few requests like the new policy's: its intervals are not to be relied on")
    worth = found.worth
    say(
        f"value = quality - {worth.cost_weight:g} for {worth.unit_usd:.2e} USD - {worth.quality_per_second:g} a second; "
        f"95 % intervals"
    )
    say("")
    show_table(("", "running", "new, doubly robust", "difference", "SNIPS", "IPS"), estimate_rows(estimate))
    say("")
    show_table(("content type", "requests", "effective", "", "value", "quality", "cost, USD"), kind_rows(found))
    say("")
    show_table(("strategy", "running", "new"), share_rows(found))
    say("")
    say(f"how long to log until it can tell ({about.requests_a_day:,.0f} rewarded requests a day):")
    show_table(("exploration", "requests", "time"), waiting_rows(found, about))
