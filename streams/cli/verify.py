"""``penstock verify``: walks the log and says what in it breaks a promise.

In: the topics, from the beginning that the broker still has or from ``--since``, up to where they end now. Out: counts, and for
each broken rule how often and where first. Keeps a file in the var folder while it runs. Status 1 where a rule is broken, 3 where
the broker does not answer.

How it works, also on a pipeline that runs: the ends of all topics are looked up first, those of effects before those of their
causes (``facts.READ``), so that whatever is read has its cause among what is read. Then every message up to there becomes a few
numbers in DuckDB (``facts``, ``store``), and the rules are queries over them (``checks``). What the broker has forgotten
is named, and nothing that hangs on it is called broken.
"""

import os
import shutil
import tempfile
import time
from collections.abc import Iterable, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from streams.cli.moments import moment_us
from streams.cli.printing import FAILED, note, say, say_json, show_table, when
from streams.cli.surroundings import AsJson, Surroundings, surroundings

if TYPE_CHECKING:
    from collections.abc import Iterator

    from agents.deciding.governance import Overrides
    from streams.cli.verifying.facts import Facts
    from streams.cli.verifying.store import Store
    from streams.codec import Codec
    from streams.following import Log, Spot

_GRACE_S = 15.0
_TOLD_EVERY_S = 5.0
_WHOLE = ("profile-history",)
"""Read from its beginning also with ``--since``: a plan may name any version."""


def add_to(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(verify)


def verify(
    ctx: typer.Context,
    since: Annotated[
        str | None, typer.Option(help="Only what was written since then: a time (UTC), or so long ago: 2h, 7d.")
    ] = None,
    grace: Annotated[
        float, typer.Option(min=0, help="For so many seconds after its deadline a request may be without a response.")
    ] = _GRACE_S,
    as_json: AsJson = False,
) -> None:
    """Check every request in the log: its response, its plan's propensities, its profile, its cost; and that nothing is orphaned.

    Example: penstock verify --since 24h --json
    """
    from streams.cli.verifying.store import Store

    around = surroundings(ctx)
    begun_s = time.monotonic()
    now_us = around.clock_us()
    log, codec = around.open_log(around.deployment()), around.codec()
    try:
        reach = _reach(log, None if since is None else moment_us(since, "--since", now_us), now_us)
        with _folder(around.deployment().var) as folder, Store(folder) as store:
            facts = _read(around, log, codec, store, reach)
            findings = _checked(store, facts, now_us=now_us, grace_ms=int(grace * 1_000))
            report = _report(store, facts, reach, findings)
        named = _named(log, codec, [place for each in findings for place in each["examples"]])
    finally:
        log.close()
    for each in findings:
        each["examples"] = [{**place, "request": named.get(_key(place))} for place in each["examples"]]
    report["seconds"] = round(time.monotonic() - begun_s, 3)
    report["messages_per_s"] = round(report["messages"] / max(report["seconds"], 1e-3))
    if as_json:
        say_json(report)
    else:
        _show(report)
    if not report["ok"]:
        raise typer.Exit(FAILED)


@dataclass(frozen=True)
class _Reach:
    """What is read: from where, up to where; and the partitions whose beginning is not there, with its time (ms)."""

    starts: "Mapping[Spot, int]"
    stops: "Mapping[Spot, int]"
    cut: "Mapping[Spot, int]"
    gone: "frozenset[Spot]"


def _reach(log: "Log", since_us: int | None, now_us: int) -> _Reach:
    from streams.cli.verifying.checks import MARGIN_MS
    from streams.cli.verifying.facts import READ
    from streams.following import at_places

    bounds = {}
    for topic in READ:  # in this order: see facts
        bounds.update({(topic, number): span for number, span in log.bounds(topic).items()})
    starts = {spot: first for spot, (first, _) in bounds.items()}
    stops = {spot: end for spot, (_, end) in bounds.items()}
    gone = frozenset(spot for spot, first in starts.items() if first > 0)
    cut = {}
    for topic, number in gone:
        place = (topic, number, starts[topic, number])
        first = next(iter(at_places(log, [place])), None)
        # Nothing is left of it: all that there is now may have had its cause in it.
        cut[topic, number] = first.at_ms or 0 if first is not None else now_us // 1_000
    if since_us is not None:
        from_ms = -(-since_us // 1_000) - MARGIN_MS  # so that all from then on can be judged, whatever the clocks
        for topic in (each for each in READ if each not in _WHOLE and not each.endswith("-dlq")):
            for number, offset in log.offsets_at(topic, from_ms).items():
                spot = (topic, number)
                if offset > starts[spot]:
                    starts[spot] = min(offset, stops[spot])
                    cut[spot] = max(cut.get(spot, 0), from_ms)
    return _Reach(starts, stops, cut, gone)


@contextmanager
def _folder(var: Path) -> "Iterator[Path]":
    """A folder for what does not fit into memory, on the disk that has Penstock's data."""
    var.mkdir(parents=True, exist_ok=True)
    made = Path(tempfile.mkdtemp(prefix="verify-", dir=var))
    try:
        yield made
    finally:
        shutil.rmtree(made)


def _read(around: Surroundings, log: "Log", codec: "Codec", store: "Store", reach: _Reach) -> "Facts":
    from streams.cli.verifying.expected import expected_of
    from streams.cli.verifying.facts import Facts
    from streams.cli.verifying.profiles import Profiles
    from streams.following import between

    expected = expected_of(around.deployment(), os.environ, _overrides(log, codec))
    history_is_gone = any(topic == "profile-history" for topic, _ in reach.gone)
    facts = Facts(codec, expected, store.put, profiles=Profiles(beginning_is_gone=history_is_gone))
    for (topic, number), first_ms in reach.cut.items():
        store.put("cut", (topic, number, first_ms))
    total = sum(reach.stops[spot] - first for spot, first in reach.starts.items())
    begun_s = told_s = time.monotonic()
    for count, message in enumerate(between(log, reach.starts, reach.stops), start=1):
        facts.take(message)
        now_s = time.monotonic()
        if now_s - told_s >= _TOLD_EVERY_S:
            note(f"{count:,} of {total:,} messages, {count / (now_s - begun_s):,.0f} a second")
            told_s = now_s
    return facts


def _overrides(log: "Log", codec: "Codec") -> "Overrides":
    from agents.deciding.held import Held
    from schemas import OverrideSet
    from streams.following import seen, so_far

    held = Held()
    for message in so_far(log, ["controls"]):
        event = seen(message, codec).event
        if isinstance(event, OverrideSet):
            held.set_override(event)
    return held.overrides


def _checked(store: "Store", facts: "Facts", *, now_us: int, grace_ms: int) -> list[dict[str, Any]]:
    """Give what each check found: its name, what it says, how many, the first examples."""
    from streams.cli.verifying.checks import CHECKS, WAITING, parameters
    from streams.cli.verifying.facts import EXAMPLES

    for fault, count in facts.profiles.never_were():
        facts.fault(fault, count)
    numbers = parameters(facts.expected, now_us=now_us, grace_ms=grace_ms)
    store.ask(WAITING.format(**numbers))
    found = []
    for check in CHECKS:
        if check.sql:
            sql = check.sql.format(**numbers)
            rows = store.ask(
                f"SELECT topic, part, off, detail, count(*) OVER () FROM ({sql}) ORDER BY part, off LIMIT {EXAMPLES}"  # noqa: S608 - queries of ours
            )
            count = rows[0][4] if rows else 0
            examples = [dict(zip(("topic", "partition", "offset", "detail"), row, strict=False)) for row in rows]
        else:
            count = facts.faults[check.name]
            examples = [
                {"topic": each.place[0], "partition": each.place[1], "offset": each.place[2], "detail": each.detail}
                for each in facts.examples.get(check.name, [])
            ]
        if count:
            found.append(
                {"check": check.name, "kind": check.kind, "says": check.says, "count": count, "examples": examples}
            )
    return found


def _report(store: "Store", facts: "Facts", reach: _Reach, findings: list[dict[str, Any]]) -> dict[str, Any]:
    from streams.cli.verifying.checks import TOPIC_OF

    repeats = {}
    for table, topic in TOPIC_OF.items():
        ((events, distinct),) = store.ask(f"SELECT count(*), count(DISTINCT id) FROM {table}")  # noqa: S608 - names of ours
        repeats[topic] = events - distinct
    ((requests,),) = store.ask("SELECT count(DISTINCT who) FROM request")
    ended = dict(store.ask("SELECT answered, count(DISTINCT who) FROM response GROUP BY answered"))
    states = dict(store.ask("SELECT state, count(*) FROM waiting GROUP BY state"))
    forgotten = [
        {"topic": topic, "partition": number, "begins_at_ms": reach.cut[topic, number]}
        for topic, number in sorted(reach.gone)
    ]
    return {
        "ok": not any(each["kind"] == "breach" for each in findings),
        "messages": sum(facts.messages.values()),
        "requests": requests,
        "answered": ended.get(True, 0),
        "failed": ended.get(False, 0),
        "open": states.get("open", 0),
        "in_dead_letters": states.get("in_dead_letters", 0),
        "at_the_cut": states.get("cut", 0),
        "repeats": repeats,
        "topics": dict(facts.messages),
        "plans_of_another_configuration": facts.unknown_configuration,
        "forgotten": forgotten,
        "findings": findings,
    }


def _key(place: Mapping[str, Any]) -> tuple[str, int, int]:
    return place["topic"], place["partition"], place["offset"]


def _named(log: "Log", codec: "Codec", places: Iterable[Mapping[str, Any]]) -> dict[tuple[str, int, int], str]:
    """Read the examples again, and give the identity of the request that each is about."""
    from streams.following import at_places, seen

    found = {}
    for message in at_places(log, {_key(place) for place in places}):
        event: Any = seen(message, codec).event
        owner = getattr(event, "request", event)
        if hasattr(owner, "request_id"):
            who = (owner.tenant, owner.conversation_id, owner.request_id)
            found[message.topic, message.partition, message.offset] = " ".join(who)
    return found


def _show(report: Mapping[str, Any]) -> None:
    said = ("requests", "answered", "failed", "open", "in_dead_letters", "at_the_cut")
    show_table(said, [[f"{report[name]:,}" for name in said]])
    repeated = ", ".join(f"{topic} {count:,}" for topic, count in report["repeats"].items() if count)
    say(f"repeats        {repeated or 'none'}")
    say(
        f"read           {report['messages']:,} messages in {report['seconds']:,.1f} s, {report['messages_per_s']:,} a second"
    )
    if report["plans_of_another_configuration"]:
        count = report["plans_of_another_configuration"]
        say(f"configuration  {count:,} plans were made under another one; their floor share was not checked")
    for each in report["forgotten"]:
        begins = when(each["begins_at_ms"] * 1_000)
        say(f"forgotten      {each['topic']} {each['partition']}: all before {begins}")
    for each in report["findings"]:
        say(f"\n{each['kind'].upper()}  {each['check']}: {each['says']} ({each['count']:,})")
        for place in each["examples"]:
            more = "  ".join(str(part) for part in (place["request"], place["detail"]) if part)
            say(f"  {place['topic']} {place['partition']}:{place['offset']}  {more}")
    if report["ok"]:
        say("\nno rule is broken")
