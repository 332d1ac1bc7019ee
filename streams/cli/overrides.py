"""``penstock override``: the operator's emergency switches.

In: a name and a value. Out: OverrideSet on ``controls``, or what is in force. Keeps nothing. Status 2 for a name or a value that
there is not.
"""

import asyncio
from typing import TYPE_CHECKING, Annotated, Any

import typer

from streams.cli.printing import USAGE, Failure, event_json, nearest, say, say_json, show_table, when
from streams.cli.surroundings import AsJson, Surroundings, reading, surroundings

if TYPE_CHECKING:
    from schemas import OverrideSet

app = typer.Typer(no_args_is_help=True, help="Set, clear and list emergency overrides.")

SWITCHES = ("force_simple_agents", "disable_graph_queries")
SIZES = ("max_chunk_size",)
NAMES = (*SWITCHES, *SIZES)

Name = Annotated[str, typer.Argument(help=f"{', '.join(NAMES)}.")]
Reason = Annotated[str, typer.Option(help="Why; it is stored with your login.")]


@app.command("set")
def set_override(
    ctx: typer.Context,
    name: Name,
    value: Annotated[str, typer.Argument(help="true or false; a number of characters for max_chunk_size.")],
    reason: Reason = "",
    as_json: AsJson = False,
) -> None:
    """Set an override; it holds within a second for every request decided after.

    Example: penstock override set force_simple_agents true --reason "provider is down"
    """
    publish(surroundings(ctx), checked_name(name), checked_value(name, value), reason, as_json=as_json)


@app.command()
def clear(ctx: typer.Context, name: Name, reason: Reason = "", as_json: AsJson = False) -> None:
    """Clear an override.

    Example: penstock override clear force_simple_agents
    """
    publish(surroundings(ctx), checked_name(name), None, reason, as_json=as_json)


@app.command("list")
def list_overrides(ctx: typer.Context, as_json: AsJson = False) -> None:
    """List the overrides in force, who set them, when and why.

    Example: penstock override list
    """
    in_force = [event for event in read_overrides(surroundings(ctx)).values() if event.value is not None]
    if as_json:
        say_json([event_json(event) for event in in_force])
    elif not in_force:
        say("no override is in force")
    else:
        rows = [(e.name, e.value, when(e.occurred_at_us), e.set_by, e.reason) for e in in_force]
        show_table(("override", "value", "since", "by", "reason"), rows)


def checked_name(name: str) -> str:
    """Give the name back. ``Failure`` (status 2) where there is no such override."""
    if name not in NAMES:
        raise Failure(
            f"There is no override {name!r}.{nearest(name, NAMES)}",
            remedy=f"There are {', '.join(NAMES)}.",
            status=USAGE,
        )
    return name


def checked_value(name: str, value: str) -> str:
    """Give the value as it goes on the wire. ``Failure`` (status 2) where the override cannot have it."""
    if name in SWITCHES:
        if value.lower() not in ("true", "false"):
            raise Failure(f"{name} is true or false, not {value!r}.", status=USAGE)
        return value.lower()
    if not (value.isascii() and value.isdigit()) or int(value) < 1:
        raise Failure(f"{name} is a whole number of characters from 1, not {value!r}.", status=USAGE)
    return str(int(value))


def read_overrides(around: Surroundings) -> dict[str, "OverrideSet"]:
    """Give the newest word about each override, by name."""
    from schemas import OverrideSet
    from streams.following import seen, so_far

    codec = around.codec()
    found: dict[str, OverrideSet] = {}
    with reading(around) as log:
        for message in so_far(log, ["controls"]):
            event = seen(message, codec).event
            if isinstance(event, OverrideSet):
                found[event.name] = event
    return found


def publish(around: Surroundings, name: str, value: str | None, reason: str, *, as_json: bool) -> None:
    """Publish the word and say so."""

    async def set_it() -> Any:
        async with around.open_client(around.deployment(), None) as client:
            return await client.set_override(name, value, reason=reason, set_by=around.login())

    event = asyncio.run(set_it())
    if as_json:
        say_json(event_json(event))
    else:
        say(f"{name} {'cleared' if value is None else f'set to {value}'}; every stage heeds it within a second")
