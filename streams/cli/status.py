"""The live picture of ``penstock up``: each worker's state and how much it does.

In: the supervisor's states, the stages' measurements, the time. Out: rows. Keeps the last measurement of each worker. Pure.
"""

from collections.abc import Iterable, Sequence

from schemas import StageMeasured
from streams.stage import REPORT_INTERVAL_S
from streams.workers import Status

COLUMNS = ("role", "worker", "pid", "state", "restarts", "handled/s")
_OUTDATED_AFTER_S = 2.2 * REPORT_INTERVAL_S


class Rates:
    """Events handled per second, by role and worker; a worker that reports nothing handles nothing."""

    def __init__(self) -> None:
        self._last: dict[tuple[str, str], tuple[int, float]] = {}

    def take(self, measured: StageMeasured) -> None:
        """Note a stage's report."""
        number, _, _ = measured.worker.partition(":")
        handled = sum(measure.value for measure in measured.measures if measure.name == "handled_total")
        self._last[measured.stage, number] = (measured.occurred_at_us, handled / REPORT_INTERVAL_S)

    def of(self, role: str, number: int, now_us: int) -> float:
        """Give a worker's events per second over its last report."""
        at_us, rate = self._last.get((role, str(number)), (0, 0.0))
        return rate if now_us - at_us <= _OUTDATED_AFTER_S * 1_000_000 else 0.0


def rows(status: Iterable[Status], rates: Rates, now_us: int) -> list[Sequence[object]]:
    """Give a row for each worker, in the order of COLUMNS."""
    return [
        (
            each.role,
            each.number,
            each.pid or "-",
            each.state,
            each.restarts,
            f"{rates.of(each.role, each.number, now_us):.1f}",
        )
        for each in status
    ]
