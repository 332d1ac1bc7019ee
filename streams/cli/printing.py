"""How the command line speaks: results on standard output, everything else on standard error, errors with their remedy.

In: values and errors. Out: text, or one JSON value a line. Keeps nothing. Numbers that a person reads are short, those for programs
are whole; bytes are shown as text where they are text, else in hexadecimal.
"""

import json
import os
import sys
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import typer

FAILED = 1
USAGE = 2
TIMED_OUT = 3
INTERRUPTED = 130

ON_THE_SCREEN = Path("-")

_NAMES_SHOWN = 3


class Failure(Exception):
    """A command that cannot do what was asked: what, what to do about it, and the exit status."""

    def __init__(self, what: str, *, remedy: str = "", status: int = FAILED) -> None:
        super().__init__(what)
        self.what = what
        self.remedy = remedy
        self.status = status


def say(text: str) -> None:
    """Print a line of the result."""
    typer.echo(text)


def note(text: str) -> None:
    """Print a line about the work: progress, warnings, errors."""
    typer.echo(text, err=True)


def write(place: Path, text: str) -> None:
    """Write a result into a file, or print it where the place is ``-``; ``Failure`` where it cannot be written."""
    if place == ON_THE_SCREEN:
        say(text)
        return
    try:
        place.write_text(text + "\n", encoding="utf-8")
    except OSError as error:
        raise Failure(
            f"{place} cannot be written: {error.strerror}.",
            remedy="Name a file in a folder that is there and that you may write to.",
            status=USAGE,
        ) from error


def say_json(value: Any) -> None:
    """Print a value as one line of JSON; records become objects."""
    typer.echo(as_json(value))


def as_json(value: Any) -> str:
    """Give a value as one line of JSON."""
    return json.dumps(plain(value), ensure_ascii=False, default=str)


def plain(value: Any) -> Any:
    """Give a value in JSON's types: records and dataclasses as objects, bytes as text or as ``{"hex": ...}``, times in ISO 8601."""
    import msgspec

    return msgspec.to_builtins(_without_bytes(msgspec.to_builtins(value, builtin_types=(bytes, datetime))))


def event_json(event: Any) -> dict[str, Any]:
    """Give an event as an object that names its type first."""
    return {"event": type(event).__name__, **plain(event)}


def as_text(raw: bytes | None) -> str:
    """Show bytes to a person: as text where they are text, else in hexadecimal."""
    if raw is None:
        return "(none)"
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError:
        return f"0x{raw.hex()}"
    return text if text.isprintable() else f"0x{raw.hex()}"


def when(at_us: int) -> str:
    """Show a time (microseconds since 1970-01-01 UTC), to the millisecond."""
    return datetime.fromtimestamp(at_us / 1_000_000, UTC).strftime("%Y-%m-%d %H:%M:%S.%f")[:-3] + "Z"


def usd(amount: float) -> str:
    """Show a price: to four digits that count, because an answer often costs a thousandth of a cent."""
    return f"${amount:.4g}" if amount < 1 else f"${amount:,.2f}"


def shortened(text: str, characters: int) -> str:
    """Show a text in one line of at most so many characters."""
    line = " ".join(text.split())
    return line if len(line) <= characters else line[: characters - 1] + "…"


def show_table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Print a table; to a terminal within its width, else as wide as it is."""
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    drawn = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for column in columns:
        drawn.add_column(column, overflow="fold")
    for row in rows:
        drawn.add_row(*(Text(str(cell)) for cell in row))
    wide = None if sys.stdout.isatty() else 10_000
    Console(file=sys.stdout, width=wide, soft_wrap=False).print(drawn)


def nearest(name: str, known: Iterable[str]) -> str:
    """Give ``; did you mean A or B?`` for a name that is not known, or nothing where no name is similar."""
    from agents.deciding.mistakes import nearest_names

    found = nearest_names(name, known, limit=_NAMES_SHOWN)
    return f" Did you mean {' or '.join(found)}?" if found else ""


def status_of(error: BaseException) -> int | None:
    """Print an error that a person can do something about, and give the exit status; None for every other error."""
    from streams.errors import PenstockError

    if os.environ.get("PENSTOCK_DEBUG") == "1":
        return None
    if isinstance(error, Failure):
        _complain(error.what, error.remedy)
        return error.status
    if isinstance(error, PenstockError):
        _complain(error.what, error.remedy)
        return TIMED_OUT if _broker_is_away(error) else FAILED
    if isinstance(error, TimeoutError):
        _complain(
            str(error) or "It took too long.",
            "Ask again with a longer --timeout; `penstock doctor` shows what is down.",
        )
        return TIMED_OUT
    return _status_of_others(error)


def _status_of_others(error: BaseException) -> int | None:
    # By name, because a command that needs none of these libraries should not load them to fail.
    names = {kind.__name__ for kind in type(error).__mro__}
    if "InfraError" in names:
        _complain(str(getattr(error, "message", error)), str(getattr(error, "remedy", "")))
        return FAILED
    if "InvalidFile" in names:
        note(str(error))
        return FAILED
    if names & {"KafkaError", "KafkaConnectionError", "KafkaException"}:
        _complain(
            f"The broker does not answer: {error}.", "Start it (`penstock up`), or correct PENSTOCK_BOOTSTRAP_SERVERS."
        )
        return TIMED_OUT
    if "ValidationError" in names and type(error).__module__.startswith("pydantic"):
        _complain(
            f"A PENSTOCK_ variable has a wrong value: {error}", "Correct it; the page on configuration lists them all."
        )
        return USAGE
    return None


def _broker_is_away(error: BaseException) -> bool:
    from streams.errors import Unconfigured

    return isinstance(error, Unconfigured)


def _complain(what: str, remedy: str) -> None:
    note(f"penstock: {what}")
    if remedy:
        note(f"  {remedy}")


def _without_bytes(value: Any) -> Any:
    if isinstance(value, bytes):
        try:
            return value.decode("utf-8")
        except UnicodeDecodeError:
            return {"hex": value.hex()}
    if isinstance(value, dict):
        return {str(key): _without_bytes(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_without_bytes(each) for each in value]
    return value
