"""A diagnosis: whether quality or satisfaction fell in a workflow, since when, what accounts for it, and what to do.

In: ``Logged`` requests of one workflow in the order of time. Out: ``QualityFell``, ready to print or to publish, or None where
nothing fell beyond chance. Keeps nothing, cannot fail. Pure: its event id is computed from the workflow, the measure and the
moment, so the same fall is the same event.

What to do is read off the parts, in this order: a configuration that began with the fall; a model or a strategy that got worse; a
strategy that got more of the traffic though it is worse; a content type that got worse; sources. A part counts as a cause where it
accounts for ``MAINLY`` of the fall or more.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from analytics.diagnosing.accounting import Flags, Floats, Part, account
from analytics.diagnosing.falling import Fall, find_fall
from schemas import Advice, FallPart, QualityFell
from streams.identity import event_id

MAINLY = 0.5
_MOST_SHOWN = 4
_NAME_CHARACTERS = 40


@dataclass(frozen=True)
class Logged:
    """Requests of a workflow in the order of time, (n,) each: when asked, what came of them, and their groups by dimension."""

    workflow: str
    scope: str
    measure: str
    asked_us: tuple[int, ...]
    values: Floats
    groups: Mapping[str, tuple[str, ...]]


def diagnose(log: Logged) -> QualityFell | None:
    """The fall with its parts and what to do; None where nothing fell beyond chance."""
    fall = find_fall(log.values)
    if fall is None:
        return None
    after: Flags = np.arange(len(log.values)) >= fall.at
    parts = {name: account(name, groups, log.values, after) for name, groups in log.groups.items()}
    advice = tuple(_advice(log, fall, parts))
    since_us = log.asked_us[fall.at]
    last = len(log.asked_us) - 1
    return QualityFell(
        event_id=event_id("QualityFell", log.workflow, log.measure, str(since_us)),
        occurred_at_us=log.asked_us[-1],
        workflow=log.workflow,
        measure=log.measure,
        since_us=since_us,
        earliest_us=log.asked_us[fall.earliest],
        latest_us=log.asked_us[min(fall.latest, last)],
        before=fall.before,
        after=fall.after,
        chance=fall.chance,
        requests_before=int((~after).sum()),
        requests_after=int(after.sum()),
        parts=tuple(_told(part) for of in parts.values() for part in of[:_MOST_SHOWN]),
        advice=advice,
        sentence=f"{log.measure} of {log.workflow} fell from {fall.before:.2f} to {fall.after:.2f}; {advice[0].sentence}",
    )


def _told(part: Part) -> FallPart:
    return FallPart(
        dimension=part.dimension,
        group=part.group,
        share_before=part.shares[0],
        share_after=part.shares[1],
        quality_before=part.means[0],
        quality_after=part.means[1],
        within=part.within,
        mix=part.mix,
        error=part.error,
    )


def _advice(log: Logged, fall: Fall, parts: Mapping[str, tuple[Part, ...]]) -> Iterator[Advice]:
    found = [
        *_configuration(log, fall, parts["configuration"]),
        *_worse(log, fall, parts),
        *_moved(log, fall, parts["strategy"]),
    ]
    yield from found
    if not found:
        yield Advice(kind="look", sentence="nothing stands out: what accounts for it is spread over many groups")


def _configuration(log: Logged, fall: Fall, parts: tuple[Part, ...]) -> Iterator[Advice]:
    for part in parts:
        began = log.groups["configuration"].index(part.group) if part.group in log.groups["configuration"] else -1
        if part.is_new and part.shares[1] >= MAINLY and fall.earliest <= began <= fall.latest:
            yield Advice(
                kind="rollback",
                sentence=f"a new workflow, catalogue or settings (configuration {part.group}) answer since then: bring the "
                "earlier file back, and try the new one as an experiment",
            )


def _worse(log: Logged, fall: Fall, parts: Mapping[str, tuple[Part, ...]]) -> Iterator[Advice]:
    """What got worse by itself, and for sure more than all requests together."""

    def mainly(dimension: str) -> Iterator[Part]:
        for part in parts[dimension]:
            if part.within >= MAINLY * fall.size and part.within - part.error > sum(part.shares) / 2 * fall.size:
                yield part

    for part in mainly("model"):
        yield Advice(
            kind="pull_back", sentence=f"the model {part.group} got worse ({_means(part)}): pull its strategies back"
        )
    for part in mainly("strategy"):
        name = f"without_{part.group.replace('-', '_')}"[:_NAME_CHARACTERS]
        yield Advice(
            kind="pull_back",
            sentence=f"the strategy {part.group} got worse ({_means(part)}): pull it back",
            command=f"penstock experiment start {name} --workflow {log.workflow} --strategy {part.group} --share 1"
            f" && penstock experiment stop {name} --keep old",
        )
    for part in mainly("content type"):
        yield Advice(
            kind="prompt",
            sentence=f"{part.group} requests are answered worse ({_means(part)}) whoever answers: try another prompt for them",
        )
    for part in mainly("sources"):
        yield Advice(
            kind="sources",
            sentence=f"answers from {part.group} got worse ({_means(part)}): look at what changed in the documents",
        )


def _moved(log: Logged, fall: Fall, parts: tuple[Part, ...]) -> Iterator[Advice]:
    """Traffic that went to what is worse: the policy's doing, which a rollback of the profile undoes."""
    gained = [p for p in parts if p.shares[1] > p.shares[0] and p.mix > 0]
    if sum(p.mix for p in parts) < MAINLY * fall.size or not gained:
        return
    most = max(gained, key=lambda p: p.mix)
    before = log.groups["profile version"][max(fall.earliest - 1, 0)]
    yield Advice(
        kind="rollback",
        sentence=f"{most.group} answers {most.shares[1]:.0%} instead of {most.shares[0]:.0%} and is worse: bring the profile "
        "from before back",
        command=f"penstock profiles rollback {log.scope} --to {before}",
    )


def _means(part: Part) -> str:
    before, after = part.means
    return f"{0.0 if before is None else before:.2f} before, {0.0 if after is None else after:.2f} now"
