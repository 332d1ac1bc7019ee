"""``penstock replay``: a part of the log once more, under a scratch prefix, for a role of a new release or a fresh analytics.

In: topics and a range: times, or offsets. Out: the same messages (bytes, keys, headers, times, partitions) on the scratch topics,
never on the live ones, and the command that runs a role over them. Keeps nothing but the copies; the same command again copies
what is missing. Fails with ``Failure``: status 2 for a range or a prefix that cannot be, 1 where what was asked for is gone.

How a range is read: a time is the first message of each partition from then on; ``N`` is an offset of every partition,
``0:N,3:M`` of these partitions only.
"""

import re
import sys
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer

from streams.cli.moments import moment_us
from streams.cli.printing import USAGE, Failure, nearest, note, say, say_json, when
from streams.cli.surroundings import AsJson, Surroundings, surroundings

if TYPE_CHECKING:
    from streams.deployment import Deployment
    from streams.following import Log, Message, Spot

_OFFSETS = re.compile(r"\d+|\d+:\d+(,\d+:\d+)*")
_PREFIX = re.compile(r"[a-z0-9][a-z0-9-]*-")
_TOLD_EVERY_S = 2.0
_US_PER_MS = 1_000
READ_WITH = ("schemas",)
"""What every reader may need to read the others: it always comes along."""
HELD = ("profile-updates", "controls")
"""What a router reads whole before it decides: without it, it decides by the built-in rules."""


def add_to(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(replay)


def replay(
    ctx: typer.Context,
    topic: Annotated[list[str] | None, typer.Option(help="A topic to copy, without prefix; may be repeated.")] = None,
    begin: Annotated[
        str | None, typer.Option("--from", metavar="TIME|OFFSETS", help="Where to begin: a time, -2h, 7d, or offsets.")
    ] = None,
    end: Annotated[str, typer.Option("--to", metavar="TIME|OFFSETS", help="Where to end, itself left out.")] = "now",
    into: Annotated[str, typer.Option(metavar="PREFIX", help="The scratch topics' prefix.")] = "replay-",
    profiles: Annotated[
        bool, typer.Option("--profiles", help="Copy the profiles and overrides in force, too.")
    ] = False,
    partly: Annotated[bool, typer.Option("--partly", help="Copy what is left where the beginning is gone.")] = False,
    clean: Annotated[bool, typer.Option("--clean", help="Delete the scratch topics, and end.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be copied.")] = False,
    as_json: AsJson = False,
) -> None:
    """Copy a part of the log to topics under a scratch prefix, for roles that are tried out on it.

    Example: penstock replay --from -24h --to -1h --topic requests --profiles --into try-
    """
    around = surroundings(ctx)
    live = around.deployment()
    scratch = _scratch_of(live, into)
    if clean:
        deleted = around.open_scratch(scratch).clean()
        if as_json:
            say_json({"deleted": deleted})
        else:
            say(f"deleted {len(deleted)} topics" if deleted else "there was nothing to delete")
        return
    topics = _checked(topic or [])
    if begin is None or not topics:
        raise Failure("Say what: --topic TOPIC, and --from TIME.", status=USAGE)
    log = around.open_log(live)
    try:
        ranges = _ranges(log, around, topics, begin, end, partly=partly)
        ranges += [_whole(log, each) for each in (*READ_WITH, *(HELD if profiles else ())) if each not in topics]
        copied = {} if dry_run else _copy(around, log, scratch, ranges)
    finally:
        log.close()
    _report(live, scratch, ranges, copied, dry_run=dry_run, as_json=as_json)


@dataclass(frozen=True)
class Range:
    """What of a topic is copied: by partition, the first offset and the one after the last."""

    topic: str
    starts: Mapping[int, int]
    stops: Mapping[int, int]

    @property
    def count(self) -> int:
        """How many offsets it spans."""
        return sum(max(0, self.stops[number] - first) for number, first in self.starts.items())


def _scratch_of(live: "Deployment", prefix: str) -> "Deployment":
    from streams.scratch import names_under

    if not _PREFIX.fullmatch(prefix):
        raise Failure(f"--into is {prefix!r}; small letters, digits and -, with a - at the end: try-.", status=USAGE)
    if set(names_under(prefix)) & set(names_under(live.topic_prefix)):
        raise Failure(f"{prefix!r} is the live pipeline's own prefix.", remedy="Choose another.", status=USAGE)
    folder = live.var / "scratch" / prefix.rstrip("-")
    return live.model_copy(update={"topic_prefix": prefix, "var": folder, "models": live.models_folder})


def _checked(topics: Iterable[str]) -> list[str]:
    from streams.topics import TOPICS

    for each in topics:
        if each not in TOPICS:
            raise Failure(f"There is no topic {each!r}.{nearest(each, TOPICS)}", status=USAGE)
    return list(dict.fromkeys(topics))


def _ranges(
    log: "Log", around: Surroundings, topics: Iterable[str], begin: str, end: str, *, partly: bool
) -> list[Range]:
    found = []
    for topic in topics:
        bounds = log.bounds(topic)
        starts = _offsets(log, topic, bounds, begin, "--from", around.clock_us())
        stops = _offsets(log, topic, bounds, end, "--to", around.clock_us())
        chosen = [number for number in bounds if number in starts and number in stops]
        if not chosen:
            raise Failure(f"{topic} has none of these partitions; it has {len(bounds)}.", status=USAGE)
        gone = _gone(log, topic, bounds, {n: starts[n] for n in chosen}, _time_of(begin, "--from", around.clock_us()))
        if gone and not partly:
            raise Failure(gone, remedy="Begin later, or copy what is left with --partly.")
        if gone:
            note(f"penstock: {gone}")
        first = {number: max(starts[number], bounds[number][0]) for number in chosen}
        last = {number: max(first[number], min(stops[number], bounds[number][1])) for number in chosen}
        found.append(Range(topic, first, last))
    return found


def _whole(log: "Log", topic: str) -> Range:
    bounds = log.bounds(topic)
    return Range(topic, {n: b[0] for n, b in bounds.items()}, {n: b[1] for n, b in bounds.items()})


def _time_of(stated: str, option: str, now_us: int) -> int | None:
    return None if _OFFSETS.fullmatch(stated) else moment_us(stated, option, now_us)


def _offsets(
    log: "Log", topic: str, bounds: Mapping[int, tuple[int, int]], stated: str, option: str, now_us: int
) -> dict[int, int]:
    at_us = _time_of(stated, option, now_us)
    if at_us is not None:
        if stated.strip() == "now":
            return {number: end for number, (_, end) in bounds.items()}
        return log.offsets_at(topic, -(-at_us // _US_PER_MS))
    if ":" not in stated:
        return dict.fromkeys(bounds, int(stated))
    return {int(number): int(offset) for number, offset in (each.split(":") for each in stated.split(","))}


def _gone(
    log: "Log",
    topic: str,
    bounds: Mapping[int, tuple[int, int]],
    starts: Mapping[int, int],
    from_us: int | None,
) -> str | None:
    """Say what of a range the broker has forgotten; None where it has all of it, or all that there ever was."""
    from streams.following import at_places
    from streams.topics import TOPICS

    for number, start in starts.items():
        first, end = bounds[number]
        if from_us is None:
            if start < first:
                return f"{topic} begins at {number}:{first}; what was before it is gone."
            continue
        if first == 0 or start > first:
            continue  # nothing was forgotten, or what was asked for begins later than what is left
        oldest = next(iter(at_places(log, [(topic, number, first)])), None) if first < end else None
        kept = TOPICS[topic].retention
        days = f" (kept for {kept.days} days)" if kept is not None else ""
        if oldest is None:
            return f"{topic} {number} holds nothing any more; all that was before {number}:{end} is gone{days}."
        if (oldest.at_ms or 0) * _US_PER_MS > from_us:
            at = when((oldest.at_ms or 0) * _US_PER_MS)
            return f"{topic} {number} begins at {at}; what was before is gone{days}."
    return None


def _copy(around: Surroundings, log: "Log", scratch: "Deployment", ranges: list[Range]) -> dict[str, int]:
    """Copy what the scratch topics do not have yet; how many messages of each topic."""
    from streams.following import between

    target = around.open_scratch(scratch)
    target.prepare(len(log.bounds("requests")))  # as many as every topic keyed by conversation has
    there = around.open_log(scratch)
    try:
        starts, stops = _missing(there, ranges)
    finally:
        there.close()
    copied = {each.topic: 0 for each in ranges}
    told = _Progress(sum(max(0, stop - starts[spot]) for spot, stop in stops.items()))
    for message in between(log, starts, stops):
        target.put(message)
        copied[message.topic] += 1
        told.one_more()
    target.finish()
    return copied


class _Progress:
    """Says every two seconds how far it is."""

    def __init__(self, total: int) -> None:
        self._total, self._count = total, 0
        self._begun_s = self._told_s = time.monotonic()

    def one_more(self) -> None:
        self._count += 1
        now_s = time.monotonic()
        if now_s - self._told_s >= _TOLD_EVERY_S:
            rate = self._count / (now_s - self._begun_s)
            note(f"{self._count:,} of {self._total:,}, {rate:,.0f} a second")
            self._told_s = now_s


def _missing(there: "Log", ranges: list[Range]) -> tuple[dict["Spot", int], dict["Spot", int]]:
    """Give where to go on: behind the last copy that each scratch partition holds."""
    from streams.topics import TOPICS

    starts: dict[Spot, int] = {}
    stops: dict[Spot, int] = {}
    for each in ranges:
        first, last = _copies(there, each)
        for number, start in each.starts.items():
            if number in first and start < first[number] and not TOPICS[each.topic].compacted:
                raise Failure(
                    f"{each.topic} {number} of the scratch topics begins at {first[number]} of the log, after {start}: "
                    "what is before it cannot be put in front.",
                    remedy="Choose another prefix with --into, or begin anew with --clean.",
                    status=USAGE,
                )
            starts[each.topic, number] = max(start, last.get(number, -1) + 1)
            stops[each.topic, number] = each.stops[number]
    return starts, stops


def _copies(there: "Log", each: Range) -> tuple[dict[int, int], dict[int, int]]:
    """Give the first and the last offset of the log of which the scratch topic holds a copy, by partition."""
    from streams.following import between
    from streams.scratch import copied_from

    bounds = there.bounds(each.topic)
    first: dict[int, int] = {}
    last: dict[int, int] = {}

    def take(message: "Message") -> None:
        origin = copied_from(message)
        if origin is not None:
            first[message.partition] = min(first.get(message.partition, origin.offset), origin.offset)
            last[message.partition] = max(last.get(message.partition, -1), origin.offset)

    for message in between(
        there, {(each.topic, n): b[0] for n, b in bounds.items()}, {(each.topic, n): b[1] for n, b in bounds.items()}
    ):
        take(message)  # all of it: a role that runs over the copies may have written behind the last one
    return first, last


def command_for(live: "Deployment", scratch: "Deployment", role: str) -> str:
    """Give the command line that runs a role over the scratch topics, with a var folder of its own."""
    variables = {
        "PENSTOCK_BOOTSTRAP_SERVERS": live.bootstrap(),
        "PENSTOCK_TOPIC_PREFIX": scratch.topic_prefix,
        "PENSTOCK_VAR": scratch.var,
        "PENSTOCK_MODELS": scratch.models_folder,
    }
    return " ".join([*(f"{name}={value}" for name, value in variables.items()), "penstock worker", role])


def _report(
    live: "Deployment",
    scratch: "Deployment",
    ranges: list[Range],
    copied: Mapping[str, int],
    *,
    dry_run: bool,
    as_json: bool,
) -> None:
    from streams.topics import STAGES, TOPICS

    readers = [role for role in STAGES if any(role in TOPICS[each.topic].read_by for each in ranges)]
    commands = {role: command_for(live, scratch, role) for role in readers}
    if as_json:
        topics = [
            {
                "topic": r.topic,
                "copied": copied.get(r.topic, 0),
                "asked": r.count,
                "starts": {str(n): o for n, o in r.starts.items()},
                "stops": {str(n): o for n, o in r.stops.items()},
            }
            for r in ranges
        ]
        say_json({"into": scratch.topic_prefix, "dry_run": dry_run, "topics": topics, "commands": commands})
        sys.stdout.flush()
        return
    for each in ranges:
        name = scratch.topic(each.topic)
        if dry_run:
            say(f"{each.topic}: {each.count:,} messages would be in {name}")
        else:
            new = copied[each.topic]
            say(
                f"{each.topic}: {new:,} of {each.count:,} copied to {name}"
                + (", the others were there" if new < each.count else "")
            )
    if not dry_run:
        say("run a role over them, with a var folder of its own:")
        for line in commands.values():
            say(f"  {line}")
        say(f"and in the end: penstock replay --into {scratch.topic_prefix} --clean")
