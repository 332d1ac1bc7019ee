"""What became of the requests of a load, counted from the topics and the provider's ledger. Pure.

In: entries of the topics, calls of the ledger, what the load sent, when faults came. Out: a ``Verdict``. The rules:

lost            confirmed by the broker, and without a terminal response and in no dead letters
answered twice  terminal responses that a reader who drops repeats by event id would still see as two, or that say different things
paid twice      a call begun after the answer was on the topic; and each call of a request beyond the first and one for each
                fault since. Not: a call that the provider refused, or one after a call whose caller had hung up, which is a
                try within the request's own deadline
repeats         terminal responses beyond one for each time the request was sent
recovery        from a fault, the longest gap between messages of a topic, in any partition, while the load went on
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from tests.chaos_parts.provider import Call
from tests.chaos_parts.reading import Entry, decoded

Identity = tuple[str, str, str]
TERMINAL = ("ResponseReady", "ResponseFailed")
SAID = ("event_id", "text", "code", "routing_id", "cost_usd")
"""In what a response and its repeats are equal."""
US_PER_S = 1_000_000
CLOCK_US = 2_000
"""Kafka's time is in milliseconds: an answer may be so much earlier than it says."""


NOTICED_US = 250_000
"""The provider may notice so late, on a machine that is busy, that its caller has left."""


@dataclass
class Verdict:
    """The counts, and the culprits."""

    requests: int
    lost: list[Identity] = field(default_factory=list)
    answered_twice: list[Identity] = field(default_factory=list)
    paid_twice: list[str] = field(default_factory=list)
    """One entry for each call too many: the request and why."""
    repeats: int = 0
    unrewarded: list[Identity] = field(default_factory=list)
    feedback_lost: list[str] = field(default_factory=list)
    failed: Counter[str] = field(default_factory=Counter)
    """Terminal failures by code."""
    max_recovery_s: float = 0.0

    def wrong(self) -> dict[str, tuple[int, list[object]]]:
        """What must not be: how many, and the first of them; empty where all is in order."""
        counted: dict[str, list[Any]] = {
            "lost": self.lost,
            "answered twice": self.answered_twice,
            "paid twice": self.paid_twice,
            "without a reward": self.unrewarded,
            "feedback lost": self.feedback_lost,
        }
        return {name: (len(found), found[:5]) for name, found in counted.items() if found}

    def figures(self) -> dict[str, float]:
        """As ``var/chaos.json`` has them."""
        return {
            "requests": self.requests,
            "lost": len(self.lost),
            "answered_twice": len(self.answered_twice),
            "paid_twice": len(self.paid_twice),
            "max_recovery_s": round(self.max_recovery_s, 2),
        }


class Ended:
    """Whether everything of a load has its end, for who asks again and again: each entry is looked at once."""

    def __init__(self, confirmed: Collection[Identity], rated: Collection[str]) -> None:
        self._unanswered = set(confirmed)
        self._unrewarded: set[Identity] = set()
        self._rewarded: set[Identity] = set()
        self._unjudged = set(rated)
        self._wanted = frozenset(confirmed)
        self._seen: Counter[str] = Counter()

    def by(self, topics: Mapping[str, Sequence[Entry]]) -> bool:
        """Take in what is new in the topics, and say."""
        for entry in self._new(topics, "rewards"):
            if entry.kind == "RewardComputed":
                self._rewarded.add(entry.identity)
                self._unrewarded.discard(entry.identity)
                self._unjudged.discard(entry.fields["cause_id"])
        for entry in self._new(topics, "responses"):
            if entry.kind in TERMINAL and entry.identity in self._wanted:
                self._unanswered.discard(entry.identity)
                if entry.kind == "ResponseReady" and entry.identity not in self._rewarded:
                    self._unrewarded.add(entry.identity)
        for name in topics:
            if name.endswith("-dlq"):
                letters = _letters({name: list(self._new(topics, name))})
                self._unanswered.difference_update(identity for each in letters for identity in _request_in(each))
                self._unjudged.difference_update(f["event_id"] for kind, f in letters if kind == "FeedbackGiven")
        return not (self._unanswered or self._unrewarded or self._unjudged)

    def _new(self, topics: Mapping[str, Sequence[Entry]], name: str) -> Sequence[Entry]:
        begin = self._seen[name]
        self._seen[name] = len(topics[name])
        return topics[name][begin:]


def judge(
    confirmed: Collection[Identity],
    rated: Collection[str],
    topics: Mapping[str, Sequence[Entry]],
    calls: Iterable[Call],
    faults_us: Sequence[int],
) -> Verdict:
    """Count. ``rated``: the event ids of confirmed feedback."""
    wanted = set(confirmed)
    responses = by_identity(topics["responses"], wanted, TERMINAL)
    sent = by_identity(topics["requests"], wanted, ("RequestReceived",))
    letters = _letters(topics)
    dead = {identity for letter in letters for identity in _request_in(letter)}
    rewards = [entry for entry in topics["rewards"] if entry.kind == "RewardComputed"]
    rewarded = {entry.identity for entry in rewards}
    ready = {i for i, found in responses.items() if any(entry.kind == "ResponseReady" for entry in found)}
    causes = {entry.fields["cause_id"] for entry in rewards}
    dead_feedback = {fields["event_id"] for kind, fields in letters if kind == "FeedbackGiven"}
    return Verdict(
        requests=len(wanted),
        lost=sorted(wanted - responses.keys() - dead),
        answered_twice=sorted(i for i, found in responses.items() if contradict(found)),
        paid_twice=paid_twice(wanted, responses, calls, faults_us),
        repeats=sum(max(0, len(found) - max(1, len(sent.get(i, ())))) for i, found in responses.items()),
        unrewarded=sorted(ready - rewarded),
        feedback_lost=sorted(set(rated) - causes - dead_feedback),
        failed=Counter(found[0].fields["code"] for found in responses.values() if found[0].kind == "ResponseFailed"),
    )


def by_identity(
    entries: Iterable[Entry], wanted: Collection[Identity], kinds: Collection[str]
) -> dict[Identity, list[Entry]]:
    """The entries of these kinds that are about the wanted requests, by request."""
    found: dict[Identity, list[Entry]] = defaultdict(list)
    for entry in entries:
        if entry.kind in kinds and entry.identity in wanted:
            found[entry.identity].append(entry)
    return dict(found)


def contradict(responses: Sequence[Entry]) -> bool:
    """Whether the terminal responses of one request are more than one response and its repeats."""
    said = {(entry.kind, *(entry.fields.get(name) for name in SAID)) for entry in responses}
    return len(said) > 1


def paid_twice(
    wanted: Collection[Identity],
    responses: Mapping[Identity, Sequence[Entry]],
    calls: Iterable[Call],
    faults_us: Sequence[int],
) -> list[str]:
    """One sentence for each call that should not have been made."""
    by_token: dict[str, list[Call]] = defaultdict(list)
    for call in calls:
        if call.mode == "answer":
            by_token[call.token].append(call)
    wrong = []
    for identity in sorted(wanted):
        paid = by_token.get("/".join(identity), [])
        answered_us = min((entry.at_us for entry in responses.get(identity, ())), default=None)
        for number, call in enumerate(paid):
            allowed = sum(paid[0].begun_us < at_us < call.begun_us for at_us in faults_us)
            if answered_us is not None and call.begun_us > answered_us + CLOCK_US:
                late_ms = (call.begun_us - answered_us) / 1_000
                wrong.append(f"{'/'.join(identity)} called {late_ms:.0f} ms after its answer was published")
            elif number > allowed and not _hung_up(paid[number - 1], call):
                wrong.append(
                    f"{'/'.join(identity)} called {number + 1} times with {allowed} faults in between: {_told(paid, answered_us)}"
                )
    return wrong


def _told(calls: Sequence[Call], answered_us: int | None) -> str:
    """When each call began and ended, and when the answer was published, in milliseconds from the first."""

    def at(us: int | None) -> str:
        return "never" if us is None else f"{(us - calls[0].begun_us) / 1_000:.0f}"

    each = (f"{at(call.begun_us)} to {at(call.ended_us)}{' (whole)' if call.whole else ''}" for call in calls)
    return f"{', '.join(each)}; answered at {at(answered_us)} ms"


def _hung_up(before: Call, after: Call) -> bool:
    return before.ended_us is not None and not before.whole and before.ended_us <= after.begun_us + NOTICED_US


def longest_gap_s(
    entries: Iterable[Entry], partitions: Iterable[int], kinds: Collection[str], *, since_us: int, until_us: int
) -> float:
    """The longest time without a message of these kinds in any of the partitions, between two moments."""
    times: dict[int, list[int]] = {number: [] for number in partitions}
    for entry in entries:
        if entry.kind in kinds and since_us < entry.at_us < until_us:
            times[entry.partition].append(entry.at_us)
    longest = 0
    for came in times.values():
        marks = [since_us, *sorted(came), until_us]
        longest = max(longest, *(after - before for before, after in pairwise(marks)))
    return longest / US_PER_S


def _letters(topics: Mapping[str, Sequence[Entry]]) -> list[tuple[str, dict[str, object]]]:
    """What is in the dead letters, decoded."""
    return [
        decoded(entry.fields["value"])
        for name, entries in topics.items()
        if name.endswith("-dlq")
        for entry in entries
        if entry.kind == "DeadLettered"
    ]


def _request_in(letter: tuple[str, dict[str, object]]) -> list[Identity]:
    kind, fields = letter
    owner = fields.get("request") if kind == "RequestRouted" else fields
    if kind not in ("RequestRouted", "RequestReceived") or not isinstance(owner, dict):
        return []
    return [(owner["tenant"], owner["conversation_id"], owner["request_id"])]
