"""What accounts for how much of a fall: each group's part, split into what got worse and what there is more of.

In: one number a request, which of them came after the fall, and for a dimension (content type, strategy ...) each request's group.
Out: a ``Part`` a group. Keeps nothing, cannot fail. Pure.

With p the share of a group and m its mean, 0 before and 1 after, and M the mean of all, the fall M_0 - M_1 is exactly the sum of

    within_g = (p_0 + p_1) / 2 (m_0 - m_1)            the group itself got worse
    mix_g    = (p_0 - p_1) ((m_0 + m_1) / 2 - C)      there is more of what is worse, or less of what is better

with C = (M_0 + M_1) / 2, which takes nothing from the sum because the shares sum to one (Kitagawa 1955; Oaxaca 1973). A group
that is only there on one side has no mean of its own on the other: its whole part is mix. Intervals are normal, from the
variances of means and shares, and wide enough for all groups of a dimension at once (Bonferroni). They do not know that the place
of the fall was searched for.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]

OTHERS = "(others)"
MOST_GROUPS = 12
"""The groups with the most requests; the others are one."""


@dataclass(frozen=True)
class Part:
    """What a group accounts for, with its shares and means before and after (a mean is None where there is none).

    ``error``: half the width of the interval of ``within`` and ``mix`` together.
    """

    dimension: str
    group: str
    shares: tuple[float, float]
    means: tuple[float | None, float | None]
    within: float
    mix: float
    error: float

    @property
    def total(self) -> float:
        """Its part of the fall."""
        return self.within + self.mix

    @property
    def is_sure(self) -> bool:
        """Whether it accounts for some of the fall beyond chance."""
        return self.total - self.error > 0

    @property
    def is_new(self) -> bool:
        """Whether there was nothing of it before."""
        return self.means[0] is None


def account(dimension: str, groups: Sequence[str], values: Floats, after: Flags) -> tuple[Part, ...]:
    """The parts of a dimension, the largest first; they sum to the fall."""
    names = _names(groups)
    found = np.unique(names)
    center = (values[~after].mean() + values[after].mean()) / 2
    z = NormalDist().inv_cdf(1 - 0.025 / len(found))
    parts = [_part(dimension, str(name), names == name, values, after, center=float(center), z=z) for name in found]
    return tuple(sorted(parts, key=lambda each: (-each.total, each.group)))


def _names(groups: Sequence[str]) -> npt.NDArray[np.str_]:
    names = np.array(groups, dtype=np.str_)
    found, counts = np.unique(names, return_counts=True)
    if len(found) <= MOST_GROUPS:
        return names
    kept = found[np.argsort(-counts, kind="stable")[: MOST_GROUPS - 1]]
    return np.where(np.isin(names, kept), names, OTHERS)


def _part(dimension: str, group: str, of: Flags, values: Floats, after: Flags, *, center: float, z: float) -> Part:
    sides = (values[of & ~after], values[of & after])
    sizes = (int((~after).sum()), int(after.sum()))
    p0, p1 = (len(side) / size for side, size in zip(sides, sizes, strict=True))
    m0, m1 = (float(side.mean()) if len(side) else None for side in sides)
    mean0 = m0 if m0 is not None else (m1 or 0.0)
    mean1 = m1 if m1 is not None else mean0
    middle = (mean0 + mean1) / 2 - center
    of_means = sum(float(side.var()) / len(side) * w**2 for side, w in zip(sides, (p0, p1), strict=True) if len(side))
    of_shares = middle**2 * (p0 * (1 - p0) / sizes[0] + p1 * (1 - p1) / sizes[1])
    return Part(
        dimension=dimension,
        group=group,
        shares=(p0, p1),
        means=(m0, m1),
        within=(p0 + p1) / 2 * (mean0 - mean1),
        mix=(p0 - p1) * middle,
        error=z * float(np.sqrt(of_means + of_shares)),
    )
