"""Sums by hour, and which exported hours are stale.

In: ``outcome`` and the temporary table ``touched_window``, inside the caller's transaction. Out: ``strategy_sums``
of those hours, computed from scratch, and the hours marked stale in ``outcome_slice``. Keeps nothing. A failure
leaves the transaction to the caller.
"""

import duckdb

from analytics.outcomes import statement


def recompute_sums(connection: duckdb.DuckDBPyConnection) -> None:
    """Recompute the sums of every touched hour, and mark those hours for export."""
    touched = "(SELECT window_start_us FROM touched_window)"
    connection.execute(f"DELETE FROM strategy_sums WHERE window_start_us IN {touched}")  # noqa: S608 - a constant
    connection.execute(f"INSERT INTO strategy_sums BY NAME {statement('sum_windows')}")
    connection.execute(f"UPDATE outcome_slice SET stale = true WHERE window_start_us IN {touched}")  # noqa: S608 - a constant
    connection.execute("""
        INSERT INTO outcome_slice
        SELECT window_start_us, NULL, true FROM touched_window
        WHERE window_start_us NOT IN (SELECT window_start_us FROM outcome_slice)
    """)
