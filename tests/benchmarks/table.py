"""The benchmark's table: a row for each figure, with the baseline that was measured beside it in the same run.

In: figures. Out: ``Row``, the table as text, and ``var/bench.json``, a list of rows. Keeps nothing. Fails with ``ValueError`` for a
figure or a baseline that cannot be one.

    ratio = value / baseline
    met   = (ratio where there is a baseline, else value) is at least the reach, or at most, as ``higher_is_better`` says
"""

import json
import math
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path


@dataclass(frozen=True)
class Row:
    """One figure. ``reach`` is of the ratio where there is a baseline, else of the value; None where nothing was asked for."""

    name: str
    value: float
    unit: str
    baseline: float | None
    ratio: float | None
    reach: float | None
    higher_is_better: bool
    met: bool | None


def alone(name: str, value: float, unit: str, *, reach: float | None = None, higher_is_better: bool = False) -> Row:
    """Give the row of a figure without a baseline."""
    return Row(
        name, _real(name, value), unit, None, None, reach, higher_is_better, _met(value, reach, higher_is_better)
    )


def beside(
    name: str, value: float, unit: str, baseline: float, *, reach: float | None = None, higher_is_better: bool = False
) -> Row:
    """Give the row of a figure and the baseline that was measured in the same run, in the same unit."""
    if not baseline > 0:
        raise ValueError(f"{name}: a baseline of {baseline} cannot be divided by.")
    ratio = _real(name, value) / _real(name, baseline)
    return Row(name, value, unit, baseline, ratio, reach, higher_is_better, _met(ratio, reach, higher_is_better))


def drawn(rows: Iterable[Row]) -> str:
    """Give the rows as a table in plain text, a line each."""
    titles = ("what", "value", "unit", "baseline", "ratio", "reach", "met")
    lines = [titles, *(_cells(row) for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(titles))]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if column in (0, 2, 6) else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    )


def write(rows: Iterable[Row], path: Path) -> None:
    """Write the rows to ``path`` as a JSON list of objects with the fields of ``Row``."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps([asdict(row) for row in rows], indent=1) + "\n", encoding="utf-8")


def _cells(row: Row) -> tuple[str, ...]:
    bound = "" if row.reach is None else f"{'>=' if row.higher_is_better else '<='} {_short(row.reach)}"
    met = "" if row.met is None else "yes" if row.met else "NO"
    return (row.name, _short(row.value), row.unit, _short(row.baseline), _short(row.ratio), bound, met)


def _short(number: float | None) -> str:
    if number is None:
        return ""
    return f"{number:,.0f}" if abs(number) >= 1_000 or number == int(number) else f"{number:.3g}"


def _met(measured: float, reach: float | None, higher_is_better: bool) -> bool | None:
    if reach is None:
        return None
    return measured >= reach if higher_is_better else measured <= reach


def _real(name: str, number: float) -> float:
    if not math.isfinite(number):
        raise ValueError(f"{name}: {number} is no figure.")
    return number
