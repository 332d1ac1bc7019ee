"""Files of outcomes: what each strategy did with each prompt.

In: a Parquet or CSV file with the columns prompt_id, prompt, strategy, quality, cost_usd (dataset and task may be there; they are
not read). Out: ``Outcomes``. Keeps nothing. Fails with ``BadOutcomes``, which says what is wrong and what to do.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

import duckdb
import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

COLUMNS: Final = ("prompt_id", "prompt", "strategy", "quality", "cost_usd")
LEAST_PROMPTS: Final = 100
_SHOWN: Final = 3
_ALL: Final = 2**62


class BadOutcomes(ValueError):
    """A file that cannot be evaluated: ``path``, ``problem``, ``remedy``."""

    def __init__(self, path: Path, problem: str, remedy: str) -> None:
        super().__init__(f"{path}: {problem}. {remedy}")
        self.path = path
        self.problem = problem
        self.remedy = remedy


@dataclass(frozen=True, eq=False)
class Outcomes:
    """Prompts in the order of their ids: ``quality`` and ``cost_usd`` are (prompts, strategies), strategies in the order of their
    names.
    """

    prompt_ids: tuple[str, ...]
    prompts: tuple[str, ...]
    strategies: tuple[str, ...]
    quality: Floats
    cost_usd: Floats

    def __len__(self) -> int:
        """How many prompts there are."""
        return len(self.prompt_ids)


def read_outcomes(path: Path, *, limit: int | None = None) -> Outcomes:
    """Read a file; ``limit`` takes so many prompts, drawn by a hash of their ids. Raises BadOutcomes."""
    if not path.is_file():
        raise BadOutcomes(path, "there is no such file", "Give a Parquet or CSV file of outcomes")
    with duckdb.connect() as connection:
        try:
            source = connection.read_csv(str(path)) if path.suffix == ".csv" else connection.read_parquet(str(path))
        except duckdb.Error as error:
            reason = str(error).splitlines()[0]
            raise BadOutcomes(
                path, f"it cannot be read ({reason})", "Write it as Parquet, or as CSV ending in .csv"
            ) from error
        missing = [name for name in COLUMNS if name not in source.columns]
        if missing:
            raise BadOutcomes(path, f"the columns {', '.join(missing)} are missing", f"It needs {', '.join(COLUMNS)}")
        connection.register("outcome", source)
        return _checked(connection, path, limit)


def _checked(connection: duckdb.DuckDBPyConnection, path: Path, limit: int | None) -> Outcomes:
    try:
        strategies = [
            str(name) for (name,) in connection.execute("SELECT DISTINCT strategy FROM outcome ORDER BY 1").fetchall()
        ]
        rows = connection.execute(
            "SELECT prompt_id::VARCHAR, any_value(prompt)::VARCHAR, list(strategy::VARCHAR ORDER BY strategy::VARCHAR),"
            " list(quality::DOUBLE ORDER BY strategy::VARCHAR), list(cost_usd::DOUBLE ORDER BY strategy::VARCHAR)"
            " FROM outcome GROUP BY 1 ORDER BY md5(prompt_id::VARCHAR), 1 LIMIT ?",
            [limit if limit is not None else _ALL],
        ).fetchall()
    except duckdb.Error as error:
        reason = str(error).splitlines()[0]
        raise BadOutcomes(path, f"a column has a wrong type ({reason})", "quality and cost_usd are numbers") from error
    if len(strategies) < 2:  # noqa: PLR2004
        raise BadOutcomes(path, f"it has {len(strategies)} strategies", "Choosing needs two or more")
    if len(rows) < LEAST_PROMPTS:
        raise BadOutcomes(
            path, f"it has {len(rows)} prompts", f"At least {LEAST_PROMPTS} are needed to measure anything"
        )
    rows.sort(key=lambda row: row[0] or "")
    uneven = [row[0] for row in rows if row[2] != strategies]
    if uneven:
        raise BadOutcomes(
            path,
            f"{len(uneven):,} prompts have not exactly one row for each of the {len(strategies)} strategies"
            f" ({', '.join(map(str, uneven[:_SHOWN]))} ...)",
            "Take these prompts out, or add what is missing",
        )
    empty = [row[0] for row in rows if row[0] is None or not (row[1] or "").strip()]
    if empty:
        raise BadOutcomes(path, f"{len(empty):,} prompts have no text or no id", "Take them out")
    quality = np.array([row[3] for row in rows], dtype=np.float64)
    cost = np.array([row[4] for row in rows], dtype=np.float64)
    for name, values, wrong in (
        ("quality", quality, ~((quality >= 0.0) & (quality <= 1.0))),
        ("cost_usd", cost, ~((cost >= 0.0) & np.isfinite(cost))),
    ):
        if wrong.any():
            place = tuple(np.argwhere(wrong)[0].tolist())
            raise BadOutcomes(
                path,
                f"{name} of prompt {rows[place[0]][0]} under {strategies[place[1]]} is {values[place]}",
                "quality is from 0 to 1 and cost_usd 0 or more; neither may be missing",
            )
    if not cost.any():
        raise BadOutcomes(path, "every cost_usd is 0", "Without costs there is nothing to trade quality against")
    return Outcomes(tuple(r[0] for r in rows), tuple(r[1] for r in rows), tuple(strategies), quality, cost)
