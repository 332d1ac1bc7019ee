"""Draws the topic registry: as a picture (mermaid), as a table (markdown), as plain values; and holds a document to it.

In: ``streams.topics.TOPICS`` or another registry of the same shape, and the text of a document. Out: text. Keeps nothing. Pure.
A document carries a drawing between two markers, ``<!-- NAME:begin -->`` and ``<!-- NAME:end -->``; what stands between them is
compared as text and replaced whole. A document without the markers gives None.
"""

import difflib
from collections.abc import Iterable, Mapping
from datetime import timedelta
from typing import Any

from streams.topics import OUTSIDE, STAGES, TOPICS, Topic

PICTURE_MARKER = "topology"
TABLE_MARKER = "topics"

_HOURS_A_DAY = 24


def mermaid(topics: Mapping[str, Topic] = TOPICS) -> str:
    """Give the graph as a mermaid flowchart: who writes a topic points at it, and it points at who reads it.

    Measurements and dead letters are dotted: nothing that happens to a request depends on them. What everybody writes and reads
    on demand has no arrows, and is not in the picture.
    """
    topics = {name: topic for name, topic in topics.items() if not topic.on_demand}
    people = [role for role in OUTSIDE if _occurs(role, topics.values())]
    stages = [role for role in STAGES if _occurs(role, topics.values())]
    lines = ["flowchart LR"]
    lines += [f"    {role}(({role}))" for role in people]
    lines += [f"    {role}[{role}]" for role in stages]
    lines += [f"    {name}([{name}])" for name in topics]
    for topic in topics.values():
        arrow = "-.->" if topic.key in ("stage", "as was") else "-->"
        lines += [f"    {writer} {arrow} {topic.name}" for writer in topic.written_by]
        lines += [f"    {topic.name} {arrow} {reader}" for reader in topic.read_by]
    return "\n".join(lines) + "\n"


def fenced_mermaid(topics: Mapping[str, Topic] = TOPICS) -> str:
    """Give the picture as it stands in a markdown document."""
    return f"```mermaid\n{mermaid(topics)}```\n"


def table(topics: Mapping[str, Topic] = TOPICS) -> str:
    """Give the registry as a markdown table, a line for each topic, in the order in which a request meets them."""
    lines = [
        "| topic | key | events | written by | read by | kept | holds |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for topic in topics.values():
        cells = (
            f"`{topic.name}`",
            topic.key,
            _listed(event.__name__ for event in topic.events),
            _people(topic.written_by),
            _people(topic.read_by),
            kept(topic),
            topic.holds,
        )
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def values(topics: Mapping[str, Topic] = TOPICS) -> list[dict[str, Any]]:
    """Give the registry as plain values, for programs; ``retention_s`` is null where a topic is kept for ever."""
    return [
        {
            "topic": topic.name,
            "key": topic.key,
            "events": [event.__name__ for event in topic.events],
            "written_by": list(topic.written_by),
            "read_by": list(topic.read_by),
            "compacted": topic.compacted,
            "on_demand": topic.on_demand,
            "retention_s": None if topic.retention is None else int(topic.retention.total_seconds()),
            "holds": topic.holds,
        }
        for topic in topics.values()
    ]


def kept(topic: Topic) -> str:
    """Say how long a topic's events are kept."""
    if topic.compacted:
        return "the newest of each key"
    if topic.retention is None:
        return "for ever"
    return _duration(topic.retention)


def with_block(document: str, marker: str, block: str) -> str | None:
    """Give the document with ``block`` between the markers of that name; None where it has no such markers."""
    begin, end = f"<!-- {marker}:begin -->", f"<!-- {marker}:end -->"
    before, found, rest = document.partition(begin)
    _, closed, after = rest.partition(end)
    if not found or not closed:
        return None
    return f"{before}{begin}\n{block}{end}{after}"


def difference(document: str, wanted: str, name: str) -> str:
    """Give the unified diff from a document as it stands to the document as drawn; empty where they are the same."""
    lines = difflib.unified_diff(
        document.splitlines(keepends=True),
        wanted.splitlines(keepends=True),
        fromfile=name,
        tofile=f"{name} (as streams/topics.py declares)",
    )
    return "".join(lines)


def _occurs(role: str, topics: Iterable[Topic]) -> bool:
    return any(role in (*topic.written_by, *topic.read_by) for topic in topics)


def _people(roles: tuple[str, ...]) -> str:
    return "everybody" if set(roles) == {*OUTSIDE, *STAGES} else _listed(roles)


def _listed(names: Iterable[str]) -> str:
    return ", ".join(names)


def _duration(retention: timedelta) -> str:
    if retention.seconds == 0:
        return "1 day" if retention.days == 1 else f"{retention.days} days"
    return f"{retention.days * _HOURS_A_DAY + retention.seconds // 3600} hours"
