"""Whether profiles are in order: versions rise in each scope, parents are known, and no plan names one that never was.

In: profiles in the order of their topic, and the version that each plan names. Out: ``Breach``. Keeps one entry for each version of
each scope. Fails with nothing. Pure.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

Place = tuple[str, int, int]
"""(topic, partition, offset)."""


@dataclass(frozen=True)
class Fault:
    """A check that failed at a place, and how."""

    check: str
    place: Place
    detail: str


class Profiles:
    """The versions of each scope as they come."""

    def __init__(self, *, beginning_is_gone: bool = False) -> None:
        self._gone = beginning_is_gone
        self._versions: dict[str, dict[int, int]] = {}
        self._named: dict[tuple[str, int], tuple[Place, int]] = {}
        self.repeats = 0

    def take(self, profile: Mapping[str, Any], digest: int, place: Place) -> Iterator[Fault]:
        """Take in the next profile of the history; what is wrong with it."""
        scope, version, parent = profile["scope"], profile["version"], profile["parent"]
        known = self._versions.setdefault(scope, {})
        if version in known:
            if known[version] != digest:
                yield Fault("profile_order", place, f"{scope} has version {version} twice, with different content")
            self.repeats += 1
            return
        if known and version < max(known):
            yield Fault("profile_order", place, f"{scope} has version {version} after {max(known)}")
        if parent and parent not in known and (known or not self._gone):
            yield Fault("profile_parent", place, f"{scope} {version} replaces {parent}, which there is not")
        if parent >= version:
            yield Fault("profile_parent", place, f"{scope} {version} replaces {parent}")
        known[version] = digest

    def name(self, scope: str, version: int, place: Place) -> None:
        """Note that a plan names a version; 0 is that nothing was learned yet."""
        if version:
            first, count = self._named.get((scope, version), (place, 0))
            self._named[scope, version] = (min(first, place), count + 1)

    def never_were(self) -> Iterator[tuple[Fault, int]]:
        """Give the versions that plans name and that never existed, with how many plans."""
        for (scope, version), (place, count) in sorted(self._named.items()):
            known = self._versions.get(scope, {})
            forgotten = self._gone and version < min(known, default=version + 1)
            if version not in known and not forgotten:
                yield Fault("profile_never_was", place, f"{scope} {version}, named by {count:,} plans"), count
