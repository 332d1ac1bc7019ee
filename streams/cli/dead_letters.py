"""``penstock dlq``: what the roles gave up on, and how it is sent again.

In: a role, and which letters: a place (PARTITION:OFFSET), an event id, a code, a topic, a time. Out: the letters; or their bytes
once more on the topic that they came from, byte for byte, under the key that they had, the same bytes once only. Keeps a note of
what was sent (``streams.cli.letters.Sent``): the same replay again sends nothing, unless it is told to. A stage recognises a
repeat by its event id, so a replay of what was handled meanwhile does nothing either. Status 1 where a letter could not be sent,
2 for a role or a letter that there is not.
"""

import asyncio
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any

import typer

from streams.cli.letters import (
    ALL,
    Letter,
    Sent,
    Wanted,
    checked_topic,
    counted,
    letters,
    opened,
    roles_of,
    summary,
)
from streams.cli.moments import moment_us
from streams.cli.printing import (
    FAILED,
    USAGE,
    Failure,
    as_text,
    note,
    say,
    say_json,
    shortened,
    show_table,
    when,
)
from streams.cli.surroundings import AsJson, Surroundings, reading, surroundings

app = typer.Typer(no_args_is_help=True, help="List, show and replay dead letters.")

PREVIEW_BYTES = 2_048
_ERROR_SHOWN = 80
_LINE_BYTES = 16

Role = Annotated[str, typer.Argument(help="router, generator, evaluator, analytics, or all.")]
Place = Annotated[
    str | None, typer.Argument(metavar="[PARTITION:OFFSET]", help="Its place in the dead letters, or its event id.")
]
OnlyCode = Annotated[str | None, typer.Option("--code", help="Only those with this error code.")]
OnlyTopic = Annotated[str | None, typer.Option("--topic", help="Only those that came from this topic.")]
Since = Annotated[str | None, typer.Option(help="Only those written since then: a time (UTC), or so long ago: 2h, 7d.")]


@app.command("list")
def list_letters(
    ctx: typer.Context,
    role: Role = ALL,
    code: OnlyCode = None,
    topic: OnlyTopic = None,
    since: Since = None,
    limit: Annotated[int, typer.Option(min=1, help="At most so many, the newest.")] = 50,
    count: Annotated[bool, typer.Option("--count", help="Only how many, by role, topic and code.")] = False,
    as_json: AsJson = False,
) -> None:
    """List dead letters, oldest first.

    Example: penstock dlq list evaluator --since 2h --count
    """
    around = surroundings(ctx)
    found = _found(around, role, _wanted(around, code, topic, since))
    kinds = counted(found)
    shown = found[-limit:]
    if as_json:
        say_json(kinds if count else [summary(each) for each in shown])
    elif not found:
        say("no dead letters")
    elif count:
        rows = [
            (k["role"], k["topic"], k["code"], f"{k['letters']:,}", when(k["first_at_us"]), when(k["last_at_us"]))
            for k in kinds
        ]
        show_table(("role", "topic", "code", "letters", "first", "last"), rows)
        say(f"{len(found):,} dead letters")
    else:
        _show(shown)
        if len(shown) < len(found):
            note(f"penstock: the newest {len(shown):,} of {len(found):,}; --limit shows more, --count counts them")


def _show(shown: Iterable[Letter]) -> None:
    rows = [
        (
            each.role,
            each.place,
            when(each.letter.occurred_at_us),
            each.letter.code,
            each.origin,
            f"{each.size:,}",
            shortened(each.letter.error, _ERROR_SHOWN),
        )
        for each in shown
    ]
    show_table(("role", "place", "when", "code", "came from", "bytes", "error"), rows)


@app.command()
def show(
    ctx: typer.Context,
    role: Role,
    place: Annotated[
        str, typer.Argument(metavar="PARTITION:OFFSET", help="Its place in the dead letters, or its event id.")
    ],
    raw: Annotated[Path | None, typer.Option(help="Write the message's bytes to this file, all of them.")] = None,
    as_json: AsJson = False,
) -> None:
    """Show one dead letter: its origin, its error, and the beginning of its bytes.

    Example: penstock dlq show evaluator 3:17
    """
    if role == ALL:
        raise Failure("A place is one role's: name the role.", status=USAGE)
    around = surroundings(ctx)
    with reading(around) as log:
        every = opened(log, around.codec(), role)
        each, kept = next(((e, v) for e, v in every if place in (e.place, e.letter.event_id)), (None, None))
    if each is None:
        raise _no_such(role, place)
    letter, value = each.letter, kept or b""
    if raw is not None:
        try:
            raw.write_bytes(value)
        except OSError as error:
            raise Failure(f"{raw} cannot be written: {error.strerror}.") from error
    preview = value[:PREVIEW_BYTES]
    if as_json:
        say_json({**summary(each), "preview_hex": preview.hex(), "written_to": str(raw) if raw else None})
        return
    say(f"{role}-dlq {each.place}, {when(letter.occurred_at_us)}")
    say(f"came from  {each.origin}, key {as_text(letter.key)}")
    say(f"gave up    after {letter.attempts}: {letter.code}")
    say(f"error      {letter.error}")
    say(f"event id   {letter.event_id}")
    say(f"value      {len(value):,} bytes" + (f", written to {raw}" if raw else ""))
    for line in dump(preview):
        say(f"  {line}")
    if len(value) > len(preview):
        say(f"  ... {len(value) - len(preview):,} bytes more; --raw FILE writes them all")


@app.command()
def replay(
    ctx: typer.Context,
    role: Role,
    place: Place = None,
    every: Annotated[bool, typer.Option("--all", help="All of them, or all that the other options leave.")] = False,
    code: OnlyCode = None,
    topic: OnlyTopic = None,
    since: Since = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be sent.")] = False,
    again: Annotated[bool, typer.Option("--again", help="Also what was sent from here before.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    as_json: AsJson = False,
) -> None:
    """Send dead letters again to the topic they came from: the same bytes under the same key, each message once.

    At a terminal it asks before it sends several.

    Example: penstock dlq replay evaluator --code handler_failed --since 2h --dry-run
    """
    narrowed = any(each is not None for each in (code, topic, since))
    if (place is not None) == (every or narrowed):
        raise Failure("Say which: PARTITION:OFFSET, or --all, --code, --topic, --since.", status=USAGE)
    around = surroundings(ctx)
    if place is not None and role == ALL:
        raise Failure("A place is one role's: name the role.", status=USAGE)
    found = _found(around, role, _wanted(around, code, topic, since))
    if place is not None:
        found = [each for each in found if place in (each.place, each.letter.event_id)]
        if not found:
            raise _no_such(role, place)
        again = True  # who names a letter means it
    sent = Sent(around.deployment().var / "dlq" / f"{around.deployment().topic_prefix}sent.jsonl")
    parcel = _sorted_out(found, sent, again=again)
    if parcel["replayed"] and not dry_run:
        _confirm(around, parcel["replayed"], asked=not (yes or as_json))
        asyncio.run(_send(around, role, {each.place_of_role: each for each in parcel["replayed"]}, sent))
    _report(parcel, dry_run=dry_run, as_json=as_json)
    if parcel["left"]:
        raise typer.Exit(FAILED)


def _sorted_out(found: Iterable[Letter], sent: Sent, *, again: bool) -> dict[str, list[Letter]]:
    """Tell apart what is sent, what is the same message as one that is, what was sent before, and what cannot be sent."""
    parcel: dict[str, list[Letter]] = {"replayed": [], "same_message": [], "sent_before": [], "left": []}
    taken: set[str] = set()
    for each in found:
        if not each.can_be_sent:
            kind = "left"
        elif each in sent and not again:
            kind = "sent_before"
        elif each.digest in taken:
            kind = "same_message"
        else:
            kind = "replayed"
            taken.add(each.digest)
        parcel[kind].append(each)
    return parcel


def _confirm(around: Surroundings, chosen: list[Letter], *, asked: bool) -> None:
    if len(chosen) > 1 and asked and around.at_terminal():
        for kind in counted(chosen):
            note(f"{kind['letters']:,} of {kind['role']}, {kind['code']}, to {kind['topic']}")
        if not typer.confirm(f"Send {len(chosen):,} messages again?", err=True):
            raise Failure("Nothing was sent.")


async def _send(around: Surroundings, role: str, chosen: dict[tuple[str, str], Letter], sent: Sent) -> None:
    """Publish the messages in the letters, in the order of the dead letters; each is noted once the broker has it."""
    with reading(around) as log:
        async with around.open_client(around.deployment(), None) as client:
            for each, value in opened(log, around.codec(), role):
                if each.place_of_role in chosen:
                    await client.publish_raw(each.letter.topic, each.letter.key, value, each.headers)
                    sent.add(each, around.clock_us())


def _report(parcel: dict[str, list[Letter]], *, dry_run: bool, as_json: bool) -> None:
    if as_json:
        found: dict[str, Any] = {kind: [summary(each) for each in parcel[kind]] for kind in parcel}
        say_json({"dry_run": dry_run, **found})
    else:
        word = "would be replayed" if dry_run else "replayed"
        for each in parcel["replayed"]:
            say(f"{word}: {each.role} {each.place} to {each.letter.topic}")
        say(f"{len(parcel['replayed']):,} {word}")
    if parcel["same_message"]:
        note(f"penstock: {len(parcel['same_message']):,} hold the same message as another, which is sent once")
    if parcel["sent_before"]:
        note(f"penstock: {len(parcel['sent_before']):,} were sent from here before; --again sends them once more")
    for each in parcel["left"]:
        note(f"penstock: {each.role} {each.place} holds no message to send: {shortened(each.letter.error, 160)}")
    if parcel["left"]:
        note("  What was too large for a letter still lies where it came from; as it is it would be given up on again.")


def dump(raw: bytes) -> list[str]:
    """Give bytes as lines of hexadecimal with the printable characters beside."""
    lines = []
    for begin in range(0, len(raw), _LINE_BYTES):
        piece = raw[begin : begin + _LINE_BYTES]
        shown = "".join(chr(byte) if 0x20 <= byte < 0x7F else "." for byte in piece)  # noqa: PLR2004 - ASCII's printable range
        lines.append(f"{begin:08x}  {piece.hex(' '):<{3 * _LINE_BYTES}} {shown}")
    return lines


def _found(around: Surroundings, role: str, wanted: Wanted) -> list[Letter]:
    roles_of(role)  # a wrong name is told before anything is read
    with reading(around) as log:
        return [each for each in letters(log, around.codec(), role) if each in wanted]


def _wanted(around: Surroundings, code: str | None, topic: str | None, since: str | None) -> Wanted:
    begin_us = None if since is None else moment_us(since, "--since", around.clock_us())
    return Wanted(code, checked_topic(topic), begin_us)


def _no_such(role: str, place: str) -> Failure:
    return Failure(
        f"There is no dead letter {place} of the {role}.",
        remedy=f"`penstock dlq list {role}` shows their places.",
        status=USAGE,
    )
