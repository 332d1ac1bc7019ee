"""The requests that a diagnosis is made of, from the public views.

In: an open public file, a span, a workflow, the measure. Out: ``Logged``, one a workflow. Keeps nothing. Fails as DuckDB does.

Quality is the reward that holds, and 0 for a request that was planned and failed; one without a reward yet is left out.
Satisfaction takes only rewards with a user's rating in them. A request belongs to the strategy that was chosen and to the model
that answered.
"""

from itertools import groupby

import duckdb
import numpy as np

from agents.deciding.planning import scope_of
from analytics.diagnosing.diagnosis import Logged

DIMENSIONS = ("content type", "strategy", "model", "prompt version", "profile version", "configuration", "sources")
MEASURES = ("quality", "satisfaction")
_READ = """
SELECT * FROM (
    SELECT o.workflow, epoch_us(o.requested_at) AS asked_us,
        CASE WHEN o.answered THEN o.reward ELSE coalesce(o.reward, 0) END AS value,
        coalesce(o.content_type, ''), coalesce(o.chosen_strategy, ''), coalesce(o.model, p.steps[1].model, ''),
        coalesce(p.steps[1].prompt_version, ''), coalesce(o.profile_version, 0)::VARCHAR, coalesce(p.config_hash, ''),
        coalesce(array_to_string(list_sort(p.steps[1].sources), ' + '), ''), o.routing_id
    FROM outcomes o JOIN plans p ON p.event_id = o.routing_id
    WHERE o.requested_at >= make_timestamp($since_us) AND o.answered IS NOT NULL AND (NOT o.answered OR o.reward IS NOT NULL)
        AND ($workflow IS NULL OR o.workflow = $workflow) AND (NOT $rated OR o.rated)
    ORDER BY o.requested_at DESC, o.routing_id DESC LIMIT $most
) ORDER BY workflow, asked_us, routing_id
"""


def read_logged(
    connection: duckdb.DuckDBPyConnection, *, since_us: int, workflow: str | None, measure: str, most: int
) -> list[Logged]:
    """The newest ``most`` requests since a moment (microseconds since 1970-01-01 UTC), by workflow in the order of time."""
    asked = {"since_us": since_us, "workflow": workflow, "rated": measure == "satisfaction", "most": most}
    rows = connection.execute(_READ, asked).fetchall()
    found = []
    for name, of in groupby(rows, key=lambda row: row[0] or ""):
        columns = list(zip(*of, strict=True))
        groups = dict(zip(DIMENSIONS, columns[3:10], strict=True))
        values = np.array(columns[2], dtype=np.float64)
        found.append(Logged(name, scope_of(name), measure, columns[1], values, groups))
    return found
