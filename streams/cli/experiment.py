"""``penstock experiment`` and ``penstock rollout``: a new version beside the old one, on a share of the conversations.

In: what is new, for which workflow, in which shares. Out: ExperimentOrdered on ``controls``, and the step by which analytics
answers it; how experiments stand. Keeps nothing. Status 1 where the log does not support the new version or analytics refused the
order, 2 for what there is not, 3 where the order was not answered in time (it stands).
"""

import asyncio
import re
import time
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from streams.cli.new_version import CANARY, New, Terms, checked, checked_shares
from streams.cli.printing import TIMED_OUT, USAGE, Failure, event_json, nearest, say, say_json, show_table, usd, when
from streams.cli.surroundings import AsJson, Surroundings, reading, surroundings

if TYPE_CHECKING:
    from schemas import ExperimentOrdered, ExperimentStepped
    from streams.deployment import Deployment

app = typer.Typer(no_args_is_help=True, help="Try a new version on a share of the conversations.")

KEPT = ("old", "new", "neither")
_NAME = re.compile(r"[a-z][a-z0-9_-]{0,63}")

Name = Annotated[str, typer.Argument(help="A name of its own: small letters, digits, _ and -. It is used once.")]
ForWorkflow = Annotated[str, typer.Option(help="The workflow whose requests take part.")]
Strategy = Annotated[str | None, typer.Option(help="New: this strategy answers. Old: it is left out.")]
Prompt = Annotated[
    str | None, typer.Option(help="New: only strategies with this prompt version. Old: they are left out.")
]
ToWorkflow = Annotated[str | None, typer.Option(help="New: the pins and the prompt of this workflow.")]
Profile = Annotated[int | None, typer.Option(min=1, help="New: this version of the profile decides.")]
Policy = Annotated[Path | None, typer.Option(help="New: what this file states: fixed (a strategy), or profile.")]
FloorOption = Annotated[
    float | None, typer.Option(min=0, max=1, help="The quality floor; by default the workflow's.", show_default=False)
]
Alpha = Annotated[float, typer.Option(min=0.0001, max=0.5, help="Chance of any wrong verdict.")]
Most = Annotated[int, typer.Option(min=10, help="Conversations after which it ends undecided.")]
Since = Annotated[str, typer.Option(help="From when on the log is asked about a profile or a policy.")]
Untried = Annotated[str, typer.Option(help="Why it goes out although the log does not support it, or was not asked.")]
Reason = Annotated[str, typer.Option(help="Why; it is stored with your login.")]
Wait = Annotated[float, typer.Option(min=0, help="How long to wait for the answer, in seconds.")]


@app.command()
def start(
    ctx: typer.Context,
    name: Name,
    workflow: ForWorkflow,
    strategy: Strategy = None,
    prompt: Prompt = None,
    to_workflow: ToWorkflow = None,
    profile: Profile = None,
    policy: Policy = None,
    share: Annotated[str, typer.Option(help="Per cent of the conversations that get the new version.")] = "50",
    floor: FloorOption = None,
    alpha: Alpha = 0.05,
    most: Most = 100_000,
    since: Since = "7d",
    untried: Untried = "",
    reason: Reason = "",
    wait: Wait = 5.0,
    as_json: AsJson = False,
) -> None:
    """Start an experiment with a fixed split. It ends by itself: with a winner, a stop, or a rollback.

    Example: penstock experiment start premium_for_help --workflow docs_help --strategy premium-semantic --share 20
    """
    shares = checked_shares(share, "--share")
    if len(shares) != 1 or shares[0] >= 1:
        raise Failure("--share is one share below 100; `penstock rollout` takes several.", status=USAGE)
    new = New(strategy, prompt, to_workflow, profile, policy)
    begin(
        surroundings(ctx), name, workflow, new, Terms(shares, floor, alpha, most, since, untried, reason, wait, as_json)
    )


def rollout(
    ctx: typer.Context,
    name: Name,
    workflow: ForWorkflow,
    strategy: Strategy = None,
    prompt: Prompt = None,
    to_workflow: ToWorkflow = None,
    profile: Profile = None,
    policy: Policy = None,
    shares: Annotated[str, typer.Option(help="Per cent of the conversations, step by step.")] = CANARY,
    floor: FloorOption = None,
    alpha: Alpha = 0.05,
    most: Most = 100_000,
    since: Since = "7d",
    untried: Untried = "",
    reason: Reason = "",
    wait: Wait = 5.0,
    as_json: AsJson = False,
) -> None:
    """Roll a new version out step by step. It grows while nothing is worse, and rolls itself back where the floor breaks.

    Example: penstock rollout premium_for_help --workflow docs_help --strategy premium-semantic --shares 5,25,100
    """
    new = New(strategy, prompt, to_workflow, profile, policy)
    terms = Terms(checked_shares(shares, "--shares"), floor, alpha, most, since, untried, reason, wait, as_json)
    begin(surroundings(ctx), name, workflow, new, terms)


@app.command()
def stop(
    ctx: typer.Context,
    name: Name,
    keep: Annotated[str, typer.Option(help="What all conversations get from then on: old, new, or neither.")] = "old",
    reason: Reason = "",
    wait: Wait = 5.0,
    as_json: AsJson = False,
) -> None:
    """End an experiment; routers heed it within a second. With --keep neither it has no effect any more.

    Example: penstock experiment stop premium_for_help --keep old --reason "not needed"
    """
    from schemas import ExperimentOrdered
    from streams.identity import event_id

    if keep not in KEPT:
        raise Failure(f"--keep is old, new or neither, not {keep!r}.{nearest(keep, KEPT)}", status=USAGE)
    around = surroundings(ctx)
    known = standing(around)
    if name not in known:
        raise _no_experiment(name, known)
    now_us = around.clock_us()
    order = ExperimentOrdered(
        event_id=event_id("ExperimentOrdered", name, keep, str(now_us)),
        occurred_at_us=now_us,
        subject=f"experiment-order:{name}",
        name=name,
        keep=keep,
        reason=reason,
        ordered_by=around.login(),
    )
    say_what_came(order, publish(around, order, wait), as_json=as_json)


@app.command()
def status(
    ctx: typer.Context,
    name: Annotated[str | None, typer.Argument(help="One experiment; by default all.")] = None,
    as_json: AsJson = False,
) -> None:
    """Show how experiments stand: the newest step with its evidence, and what running ones show at the moment.

    Example: penstock experiment status premium_for_help
    """
    around = surroundings(ctx)
    known = standing(around)
    if name is not None and name not in known:
        raise _no_experiment(name, known)
    shown = [known[each] for each in sorted(known) if name in (None, each)]
    now = {each.experiment.name: at_the_moment(around.deployment(), each) for each in shown if each.state == "running"}
    if as_json:
        say_json([{**event_json(each), "now": now.get(each.experiment.name)} for each in shown])
    elif not shown:
        say("there is no experiment")
    else:
        rows = [_row(each, now.get(each.experiment.name)) for each in shown]
        show_table(("experiment", "workflow", "new", "state", "share", "conversations", "since", "why"), rows)
        for each in shown:
            evidence = (now.get(each.experiment.name) or {}).get("evidence") or event_json(each)["evidence"]
            if evidence and name is not None:
                show_table(("", "old", "new", "difference", "holds at all times"), map(_evidence_row, evidence))


def begin(around: Surroundings, name: str, workflow: str, new: New, terms: Terms) -> None:
    """Order an experiment whose name is free on a workflow that has none running, and wait for the answer."""
    from schemas import ExperimentOrdered
    from streams.identity import event_id

    if not _NAME.fullmatch(name):
        raise Failure(f"{name!r} is no name: small letters, digits, _ and -, at most 64.", status=USAGE)
    known = standing(around)
    if name in known:
        raise Failure(f"{name} was used already ({known[name].state}).", remedy="Give it another name.", status=USAGE)
    running = [each.experiment for each in known.values() if each.state == "running"]
    busy = [each.name for each in running if each.workflow == workflow]
    if busy:
        raise Failure(
            f"The experiment {busy[0]} runs on {workflow}.",
            remedy=f"Wait for its end, or `penstock experiment stop {busy[0]}`.",
        )
    experiment, tried = checked(around, name, workflow, new, terms)
    now_us = around.clock_us()
    order = ExperimentOrdered(
        event_id=event_id("ExperimentOrdered", name, str(now_us)),
        occurred_at_us=now_us,
        subject=f"experiment-order:{name}",
        name=name,
        experiment=experiment,
        tried=tried,
        reason=terms.reason,
        ordered_by=around.login(),
    )
    say_what_came(order, publish(around, order, terms.wait_s), as_json=terms.as_json)


def standing(around: Surroundings) -> "dict[str, ExperimentStepped]":
    """The newest step of each experiment, by name."""
    from schemas import ExperimentStepped
    from streams.following import seen, so_far

    codec = around.codec()
    found: dict[str, ExperimentStepped] = {}
    with reading(around) as log:
        for message in so_far(log, ["controls"]):
            event = seen(message, codec).event
            if isinstance(event, ExperimentStepped):
                held = found.get(event.experiment.name)
                if held is None or event.number > held.number:
                    found[event.experiment.name] = event
    return found


def _no_experiment(name: str, known: Iterable[str]) -> Failure:
    listed = ", ".join(sorted(known)) or "none"
    return Failure(
        f"There is no experiment {name!r}.{nearest(name, known)}", remedy=f"There are {listed}.", status=USAGE
    )


def publish(around: Surroundings, order: "ExperimentOrdered", wait_s: float) -> "ExperimentStepped":
    """Publish the order and wait for the step that answers it. ``Failure`` (status 3) where none comes in time."""
    from schemas import ExperimentStepped
    from streams.following import ends, seen

    async def publish_it() -> None:
        async with around.open_client(around.deployment(), None) as client:
            await client.publish("controls", order)

    codec = around.codec()
    with reading(around) as log:
        before = ends(log, ["controls"])
        asyncio.run(publish_it())
        log.begin(before)
        deadline_s = time.monotonic() + wait_s
        while True:
            for message in log.poll(min(0.2, wait_s)):
                event = seen(message, codec).event
                if isinstance(event, ExperimentStepped) and event.cause_id == order.event_id:
                    return event
            if time.monotonic() >= deadline_s:
                raise Failure(
                    f"It is ordered, but was not answered within {wait_s:g} s.",
                    remedy="The order stands and is carried out as soon as analytics runs; `penstock experiment status` shows it.",
                    status=TIMED_OUT,
                )


def say_what_came(order: "ExperimentOrdered", step: "ExperimentStepped", *, as_json: bool) -> None:
    """Print the answer. ``Failure`` where analytics refused the order."""
    experiment = step.experiment
    if order.experiment is not None and step.state != "running":
        raise Failure(f"Analytics refused {experiment.name}: {step.reason}.")
    if as_json:
        say_json({"order": event_json(order), "step": event_json(step)})
    elif step.state == "running":
        say(
            f"{experiment.name} runs: {step.share:.0%} of the conversations of {experiment.workflow} get {experiment.kind} "
            f"{experiment.version}; {order.tried}"
        )
    else:
        say(
            f"{experiment.name} is {step.state.replace('_', ' ')} after {step.conversations:,} conversations: {step.reason}"
        )


def at_the_moment(deployment: "Deployment", step: "ExperimentStepped") -> dict[str, Any] | None:
    """What the conversations of a running experiment show now, from the public views; None where there are none yet."""
    from analytics.experimenting.monitor import seen_so_far
    from analytics.query import open_public
    from streams.errors import Unconfigured

    try:
        with open_public(deployment) as connection:
            return seen_so_far(connection, step.experiment)
    except Unconfigured:  # analytics of another machine, or it has not written yet
        return None


def _row(step: "ExperimentStepped", now: dict[str, Any] | None) -> tuple[object, ...]:
    experiment = step.experiment
    count = step.conversations if now is None else now["conversations"]
    return (
        experiment.name,
        experiment.workflow,
        f"{experiment.kind} {experiment.version}",
        step.state.replace("_", " "),
        f"{step.share:.0%}",
        f"{count:,}",
        when(step.occurred_at_us),
        step.reason,
    )


def _evidence_row(evidence: dict[str, Any]) -> tuple[str, ...]:
    name = evidence["name"]

    def shown(amount: float | None) -> str:
        if amount is None:
            return "?"
        if name == "cost_usd":
            return f"-{usd(-amount)}" if amount < 0 else usd(amount)
        return f"{amount:,.1f}" if name == "latency_ms" else f"{amount:.3f}"

    about = "new version's quality" if name == "level" else name
    return (
        about,
        shown(evidence["old"]),
        shown(evidence["new"]),
        shown(evidence["estimate"]),
        f"{shown(evidence['lower'])} to {shown(evidence['upper'])}",
    )


def add_to(root: typer.Typer) -> None:
    """Add the commands."""
    root.add_typer(app, name="experiment")
    root.command()(rollout)
