"""``penstock dlq``: what the roles gave up on, and how it is sent again.

In: a role, and a place in its dead letters (PARTITION:OFFSET) or an event id. Out: the letters; or their bytes once more on the
topic that they came from, byte for byte, under the key that they had. Keeps nothing. A
stage recognises a repeat by its event id, so a replay
of what was handled meanwhile does nothing. Status 2 for a role or a letter that there is not.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from streams.cli.printing import (
    FAILED,
    USAGE,
    Failure,
    as_text,
    nearest,
    note,
    plain,
    say,
    say_json,
    shortened,
    show_table,
    when,
)
from streams.cli.surroundings import AsJson, reading, surroundings

if TYPE_CHECKING:
    from schemas import DeadLettered

app = typer.Typer(no_args_is_help=True, help="List, show and replay dead letters.")

ALL = "all"
PREVIEW_BYTES = 2_048
_ERROR_SHOWN = 80
_LINE_BYTES = 16

Role = Annotated[str, typer.Argument(help="router, generator, evaluator, analytics, or all.")]
Place = Annotated[
    str | None, typer.Argument(metavar="[PARTITION:OFFSET]", help="Its place in the dead letters, or its event id.")
]
OnlyCode = Annotated[str | None, typer.Option("--code", help="Only those with this error code.")]


@dataclass(frozen=True)
class Letter:
    """A dead letter and where it lies."""

    role: str
    partition: int
    offset: int
    letter: "DeadLettered"

    @property
    def place(self) -> str:
        """PARTITION:OFFSET in the role's dead letters."""
        return f"{self.partition}:{self.offset}"


@app.command("list")
def list_letters(
    ctx: typer.Context,
    role: Role = ALL,
    code: OnlyCode = None,
    limit: Annotated[int, typer.Option(min=1, help="At most so many, the newest.")] = 50,
    as_json: AsJson = False,
) -> None:
    """List dead letters, oldest first.

    Example: penstock dlq list evaluator
    """
    found = [each for each in _letters(ctx, role) if code in (None, each.letter.code)][-limit:]
    if as_json:
        say_json([_summary(each) for each in found])
    elif not found:
        say("no dead letters")
    else:
        rows = [
            (
                each.role,
                each.place,
                when(each.letter.occurred_at_us),
                each.letter.code,
                f"{each.letter.topic} {each.letter.partition}:{each.letter.offset}",
                f"{len(each.letter.value or b''):,}",
                shortened(each.letter.error, _ERROR_SHOWN),
            )
            for each in found
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
    each = _chosen(_letters(ctx, _one_role(role)), role, place)
    letter = each.letter
    value = letter.value or b""
    if raw is not None:
        try:
            raw.write_bytes(value)
        except OSError as error:
            raise Failure(f"{raw} cannot be written: {error.strerror}.") from error
    preview = value[:PREVIEW_BYTES]
    if as_json:
        say_json({**_summary(each), "preview_hex": preview.hex(), "written_to": str(raw) if raw else None})
        return
    say(f"{role}-dlq {each.place}, {when(letter.occurred_at_us)}")
    say(f"came from  {letter.topic} {letter.partition}:{letter.offset}, key {as_text(letter.key)}")
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
    every: Annotated[bool, typer.Option("--all", help="All of them.")] = False,
    code: OnlyCode = None,
    as_json: AsJson = False,
) -> None:
    """Send dead letters again to the topic they came from: the same bytes under the same key.

    Example: penstock dlq replay evaluator --code handler_failed
    """
    if sum((place is not None, every, code is not None)) != 1:
        raise Failure("Say which: PARTITION:OFFSET, --all, or --code CODE.", status=USAGE)
    around = surroundings(ctx)
    letters = _letters(ctx, role)
    if place is not None:
        chosen = [_chosen(letters, _one_role(role), place)]
    else:
        chosen = [each for each in letters if code in (None, each.letter.code)]
    empty = [each for each in chosen if each.letter.value is None and each.letter.key is None]
    chosen = [each for each in chosen if each not in empty]

    async def publish() -> None:
        async with around.open_client(around.deployment(), None) as client:
            await send_again(chosen, client.publish_raw)

    if chosen:
        asyncio.run(publish())
    if as_json:
        say_json({"replayed": [_summary(each) for each in chosen], "left": [_summary(each) for each in empty]})
    else:
        for each in chosen:
            say(f"replayed {each.role} {each.place} to {each.letter.topic}")
        say(f"{len(chosen)} replayed")
    if empty:
        note(f"penstock: {len(empty)} had neither key nor value; Kafka has no such message to send")
        raise typer.Exit(FAILED)


async def send_again(letters: Iterable[Letter], publish_raw: Callable[[str, Any, Any], Awaitable[None]]) -> None:
    """Publish the messages in the letters as they were: (topic, key, value), None where there was none."""
    for each in letters:
        await publish_raw(each.letter.topic, each.letter.key, each.letter.value)


def dump(raw: bytes) -> list[str]:
    """Give bytes as lines of hexadecimal with the printable characters beside."""
    lines = []
    for begin in range(0, len(raw), _LINE_BYTES):
        piece = raw[begin : begin + _LINE_BYTES]
        shown = "".join(chr(byte) if 0x20 <= byte < 0x7F else "." for byte in piece)  # noqa: PLR2004 - ASCII's printable range
        lines.append(f"{begin:08x}  {piece.hex(' '):<{3 * _LINE_BYTES}} {shown}")
    return lines


def _roles(role: str) -> tuple[str, ...]:
    from streams.topics import STAGES

    if role == ALL:
        return STAGES
    if role not in STAGES:
        known = (*STAGES, ALL)
        raise Failure(
            f"There is no role {role!r} with dead letters.{nearest(role, known)}", remedy=", ".join(known), status=USAGE
        )
    return (role,)


def _one_role(role: str) -> str:
    if role == ALL:
        raise Failure("A place is one role's: name the role.", status=USAGE)
    return role


def _letters(ctx: typer.Context, role: str) -> list[Letter]:
    from schemas import DeadLettered
    from streams.following import seen, so_far

    codec = surroundings(ctx).codec()
    topics = {f"{each}-dlq": each for each in _roles(role)}
    found = []
    with reading(surroundings(ctx)) as log:
        for message in so_far(log, topics):
            each = seen(message, codec)
            if isinstance(each.event, DeadLettered):
                found.append(Letter(topics[message.topic], message.partition, message.offset, each.event))
            else:
                note(
                    f"penstock: {message.topic} {message.partition}:{message.offset} is no dead letter ({each.undecodable})"
                )
    return sorted(found, key=lambda each: (each.letter.occurred_at_us, each.role, each.partition, each.offset))


def _chosen(letters: Iterable[Letter], role: str, place: str) -> Letter:
    for each in letters:
        if place in (each.place, each.letter.event_id):
            return each
    raise Failure(
        f"There is no dead letter {place} of the {role}.",
        remedy=f"`penstock dlq list {role}` shows their places.",
        status=USAGE,
    )


def _summary(each: Letter) -> dict[str, Any]:
    fields = plain(each.letter)
    del fields["value"]
    return {
        "role": each.role,
        "place": each.place,
        **fields,
        "key": as_text(each.letter.key),
        "bytes": len(each.letter.value or b""),
    }
