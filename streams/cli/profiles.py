"""``penstock profiles``: what was learned in each scope, and the way back.

In: a scope and a version. Out: profiles; RollbackOrdered or LearningResumed on ``controls``, and what analytics makes of it. Keeps
nothing. Status 2 for a scope or a version that there is not, 3 where a rollback was not carried out in time (the order stands).
"""

import asyncio
import time
from collections.abc import Iterable
from typing import TYPE_CHECKING, Annotated, Any

import typer

from streams.cli.printing import (
    TIMED_OUT,
    USAGE,
    Failure,
    event_json,
    nearest,
    note,
    say,
    say_json,
    show_table,
    usd,
    when,
)
from streams.cli.surroundings import AsJson, Surroundings, reading, surroundings

if TYPE_CHECKING:
    from schemas import ProfileUpdated, Record
    from streams.following import Log

app = typer.Typer(no_args_is_help=True, help="List, show and roll back what was learned.")

Scope = Annotated[str, typer.Argument(help="A scope of `penstock profiles list`; quote it where it holds an asterisk.")]
Wait = Annotated[float, typer.Option(min=0, help="How long to wait for the effect, in seconds.")]


@app.command("list")
def list_profiles(ctx: typer.Context, as_json: AsJson = False) -> None:
    """List every scope with its newest profile.

    Example: penstock profiles list
    """
    newest: dict[str, ProfileUpdated] = {}
    around = surroundings(ctx)
    with reading(around) as log:
        for profile in _profiles(around, log, "profile-updates"):
            if profile.scope not in newest or profile.version > newest[profile.scope].version:
                newest[profile.scope] = profile
        held = _held(around, log)
    ordered = [newest[scope] for scope in sorted(newest)]
    if as_json:
        say_json([{**event_json(profile), "held": profile.scope in held} for profile in ordered])
    elif not ordered:
        say("nothing was learned yet: the built-in rules answer")
    else:
        rows = [
            (
                p.scope,
                p.version,
                p.kind + (", held" if p.scope in held else ""),
                p.evidence.requests,
                p.evidence.rated,
                p.sentence,
            )
            for p in ordered
        ]
        show_table(("scope", "version", "kind", "requests", "rated", "what is new"), rows)


@app.command()
def show(
    ctx: typer.Context,
    scope: Scope,
    version: Annotated[int | None, typer.Option(min=1, help="By default the newest.")] = None,
    as_json: AsJson = False,
) -> None:
    """Show a profile: what is believed of each strategy, who answers what, and the evidence.

    Example: penstock profiles show customer_support --version 12
    """
    around = surroundings(ctx)
    with reading(around) as log:
        history = _history(around, log, scope)
    profile = history[max(history)] if version is None else history.get(version)
    if profile is None:
        raise _no_version(scope, version or 0, history)
    if as_json:
        say_json(event_json(profile))
        return
    _print_profile(profile)


@app.command()
def rollback(
    ctx: typer.Context,
    scope: Scope,
    to: Annotated[int, typer.Option(min=0, help="The version that returns; 0 is the built-in rules.")],
    reason: Annotated[str, typer.Option(help="Why; it is stored with your login.")] = "",
    wait: Wait = 5.0,
    as_json: AsJson = False,
) -> None:
    """Bring an earlier profile back as a new version, and hold learning in its scope until it is resumed.

    Example: penstock profiles rollback customer_support --to 11 --reason "worse answers"
    """
    from schemas import RollbackOrdered
    from streams.identity import event_id

    around = surroundings(ctx)
    now_us = around.clock_us()
    order = RollbackOrdered(
        event_id=event_id("RollbackOrdered", scope, str(to), str(now_us)),
        occurred_at_us=now_us,
        subject=f"learning:{scope}",
        scope=scope,
        to_version=to,
        reason=reason,
        ordered_by=around.login(),
    )
    with reading(around) as log:
        history = _history(around, log, scope)
        if to and to not in history:
            raise _no_version(scope, to, history)
        effect = _order(
            around, log, order, wait_s=wait, is_effect=lambda p: p.scope == scope and p.restored_version == to
        )
    _report(order, effect, as_json=as_json)
    if effect is None:
        raise Failure(
            f"The rollback is ordered, but was not carried out within {wait:g} s.",
            remedy="The order stands and is carried out as soon as analytics runs; `penstock profiles list` shows it.",
            status=TIMED_OUT,
        )


@app.command()
def resume(ctx: typer.Context, scope: Scope, wait: Wait = 2.0, as_json: AsJson = False) -> None:
    """Let a scope learn again after a rollback.

    Example: penstock profiles resume customer_support
    """
    from schemas import LearningResumed
    from streams.identity import event_id

    around = surroundings(ctx)
    now_us = around.clock_us()
    order = LearningResumed(
        event_id=event_id("LearningResumed", scope, str(now_us)),
        occurred_at_us=now_us,
        subject=f"learning:{scope}",
        scope=scope,
        ordered_by=around.login(),
    )
    with reading(around) as log:
        _history(around, log, scope)
        effect = _order(around, log, order, wait_s=wait, is_effect=lambda p: p.scope == scope)
    _report(order, effect, as_json=as_json)
    if effect is None and not as_json:
        say(f"{scope} learns again; its next profile comes with the next evidence")


def _profiles(around: Surroundings, log: "Log", topic: str) -> Iterable["ProfileUpdated"]:
    from schemas import ProfileUpdated
    from streams.following import seen, so_far

    codec = around.codec()
    for message in so_far(log, [topic]):
        each = seen(message, codec)
        if isinstance(each.event, ProfileUpdated):
            yield each.event
        else:
            note(f"penstock: {topic} {message.partition}:{message.offset} is no profile ({each.undecodable})")


def _history(around: Surroundings, log: "Log", scope: str) -> dict[int, "ProfileUpdated"]:
    known = set()
    history: dict[int, ProfileUpdated] = {}
    for profile in _profiles(around, log, "profile-history"):
        known.add(profile.scope)
        if profile.scope == scope:
            history[profile.version] = profile
    if not history:
        listed = ", ".join(sorted(known)) or "none: nothing was learned yet"
        raise Failure(f"There is no scope {scope!r}.{nearest(scope, known)}", remedy=f"Scopes: {listed}.", status=USAGE)
    return history


def _no_version(scope: str, version: int, history: dict[int, "ProfileUpdated"]) -> Failure:
    return Failure(
        f"{scope} has no version {version}.",
        remedy=f"It has {min(history)} to {max(history)}; 0 is the built-in rules.",
        status=USAGE,
    )


def _held(around: Surroundings, log: "Log") -> set[str]:
    from schemas import LearningResumed, RollbackOrdered
    from streams.following import seen, so_far

    codec, held = around.codec(), set()
    for message in so_far(log, ["controls"]):
        event = seen(message, codec).event
        if isinstance(event, RollbackOrdered):
            held.add(event.scope)
        elif isinstance(event, LearningResumed):
            held.discard(event.scope)
    return held


def _order(
    around: Surroundings, log: "Log", order: "Record", *, wait_s: float, is_effect: Any
) -> "ProfileUpdated | None":
    """Publish the order, and wait for the first profile after it that is its effect."""
    from schemas import ProfileUpdated
    from streams.following import ends, seen

    before = ends(log, ["profile-updates"])

    async def publish() -> None:
        async with around.open_client(around.deployment(), None) as client:
            await client.publish("controls", order)

    asyncio.run(publish())
    codec = around.codec()
    log.begin(before)
    deadline_s = time.monotonic() + wait_s
    while True:
        for message in log.poll(min(0.2, wait_s)):
            event = seen(message, codec).event
            if isinstance(event, ProfileUpdated) and is_effect(event):
                return event
        if time.monotonic() >= deadline_s:
            return None


def _report(order: "Record", effect: "ProfileUpdated | None", *, as_json: bool) -> None:
    if as_json:
        say_json({"order": event_json(order), "profile": event_json(effect) if effect is not None else None})
    elif effect is not None:
        say(f"{effect.scope} is at version {effect.version} now ({effect.kind}): {effect.sentence}")


def _print_profile(profile: "ProfileUpdated") -> None:
    evidence = profile.evidence
    say(
        f"{profile.scope} version {profile.version} ({profile.kind}, parent {profile.parent}), {when(profile.occurred_at_us)}"
    )
    say(profile.sentence)
    say(f"evidence: {evidence.requests} requests, {evidence.rated} rated; learner {profile.learner}")
    for change in profile.optimizations:
        say(f"changed: {change.sentence}")
    for switch in profile.graph_off:
        say(
            f"graph lookups off for {switch.content_type}: gain {switch.gain:.3f} at {switch.latency_ratio:.2f} times the latency"
        )
    since = {(each.content_type, each.band, each.strategy): each.since_version for each in profile.incumbents}
    rows = []
    for b in profile.beliefs:
        key = (b.content_type, b.band, b.strategy)
        answers = f"since {since[key]}" if key in since else ""
        quality = f"{b.quality:.3f} ± {b.quality_sd:.3f}"
        rows.append(
            (b.content_type, b.band, b.strategy, b.requests, quality, usd(b.cost_usd), f"{b.latency_ms:.0f}", answers)
        )
    show_table(("content type", "band", "strategy", "requests", "quality", "cost", "ms", "answers"), rows)
