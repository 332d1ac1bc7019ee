"""``penstock tail``: a topic's events, decoded, as they are or as they arrive.

In: a topic of the registry and where to begin. Out: a line for each message; one that is no event is shown as such. Keeps a
position. Fails with status 2 for a topic that is not declared, 3 where no broker answers.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any

import typer

from streams.cli.printing import USAGE, Failure, as_text, nearest, plain, say, say_json, when
from streams.cli.surroundings import AsJson, reading, surroundings

if TYPE_CHECKING:
    from streams.following import Log, Message, Seen

_WAIT_S = 0.5
_PREVIEW_BYTES = 32
_NEWEST_WITHOUT_FOLLOW = 10


def add_to(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(tail)


def tail(
    ctx: typer.Context,
    topic: Annotated[str, typer.Argument(help="A topic of `penstock topology`, without prefix.")],
    begin: Annotated[
        str | None,
        typer.Option(
            "--from", metavar="beginning|end|-N", help="Where to begin; -N is N events before the end. [default: end]"
        ),
    ] = None,
    follow: Annotated[bool, typer.Option("--follow/--no-follow", help="Whether to wait for more.")] = True,
    limit: Annotated[int | None, typer.Option(min=1, help="End after so many events.")] = None,
    as_json: AsJson = False,
) -> None:
    """Print a topic's events, decoded: the new ones as they arrive, until Ctrl-C.

    With --no-follow and without --from: the newest ten.

    Example: penstock tail responses --from -5 --limit 5
    """
    from streams.following import seen
    from streams.topics import TOPICS

    if topic not in TOPICS:
        raise Failure(
            f"There is no topic {topic!r}.{nearest(topic, TOPICS)}",
            remedy=f"The topics are {', '.join(TOPICS)}.",
            status=USAGE,
        )
    newest = parsed_begin(begin, follow=follow)
    codec = surroundings(ctx).codec()
    with reading(surroundings(ctx)) as log:
        for count, message in enumerate(messages(log, topic, newest, follow=follow), start=1):
            each = seen(message, codec)
            if as_json:
                say_json(as_object(each))
            else:
                say(line(each))
            if count == limit:
                return


def parsed_begin(stated: str | None, *, follow: bool) -> int | None:
    """Read ``--from``: how many events before the end, None for the beginning. ``Failure`` (status 2) for anything else."""
    if stated is None:
        return 0 if follow else _NEWEST_WITHOUT_FOLLOW
    if stated == "beginning":
        return None
    if stated == "end":
        return 0
    if stated.startswith("-") and stated[1:].isdigit():
        return int(stated[1:])
    raise Failure(f"--from is {stated!r}; it should be beginning, end, or -N such as -10.", status=USAGE)


def messages(log: "Log", topic: str, newest: int | None, *, follow: bool) -> Iterator["Message"]:
    """Give the messages of a topic from so many before the end (None: all), and with ``follow`` those that come, for ever."""
    from streams.following import ends, so_far

    stops = ends(log, [topic])
    if newest is None:
        yield from (m for m in so_far(log, [topic]) if m.offset < stops[m.topic, m.partition])
    elif newest:
        taken = [m for m in so_far(log, [topic], newest=newest) if m.offset < stops[m.topic, m.partition]]
        taken.sort(key=lambda m: (m.at_ms or 0, m.partition, m.offset))
        yield from taken[-newest:]
    if follow:
        log.begin(stops)
        while True:
            yield from log.poll(_WAIT_S)


def line(each: "Seen") -> str:
    """Give a message in one line: when, where, key, event, what it says."""
    from streams.cli.gist import gist

    message = each.message
    at = when(message.at_ms * 1_000) if message.at_ms is not None else "no time"
    place = f"{message.partition}:{message.offset}"
    if each.event is None:
        preview = (message.value or b"")[:_PREVIEW_BYTES]
        size = f"{len(message.value or b''):,} bytes"
        return f"{at}  {place:<10}  UNDECODABLE  {each.undecodable} ({size}, beginning {as_text(preview)})"
    return f"{at}  {place:<10}  {type(each.event).__name__}  {gist(each.event)}"


def as_object(each: "Seen") -> dict[str, Any]:
    """Give a message as JSON's types; ``event`` is null and ``undecodable`` says why where it is no event."""
    message = each.message
    found: dict[str, Any] = {
        "topic": message.topic,
        "partition": message.partition,
        "offset": message.offset,
        "at_ms": message.at_ms,
        "key": as_text(message.key),
    }
    if each.event is None:
        return {**found, "event": None, "undecodable": each.undecodable, "value_hex": (message.value or b"").hex()}
    return {**found, "event": type(each.event).__name__, "fields": plain(each.event)}
