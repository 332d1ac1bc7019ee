"""The analytics storage with ten million events: taking in, asking the views, and how soon a router acts on feedback.

In: a folder. Out: rows ``ingest``, ``views_ms`` and one for each view, ``memory_mib_analytics_10m``,
``feedback_to_profile_s``. Keeps the storage for the next run (``made_store``), which takes two minutes to make. Fails as its
parts do.

What is measured of a view is what its users do with it, each time as ``penstock sql`` does it: open the public file with
two threads and 1 GiB, ask, fetch every row. A view with a row for each event or request: the newest 100 rows with all
columns, all that is about one request, and their number. A view of sums: all of it. The questions of docs/analytics.md as
well. The figure of a view is the slowest median of its questions, and ``views_ms`` the slowest view's.
"""

import json
import subprocess
import sys
import time
from pathlib import Path
from statistics import median

import duckdb

from analytics.public import NAME, VIEWS
from analytics.query import SETTINGS
from streams.deployment import ROOT
from tests.benchmarks import feedback
from tests.benchmarks.made_store import made_store
from tests.benchmarks.table import Row, alone, beside

LISTS = {
    "requests": "occurred_at",
    "plans": "occurred_at",
    "generations": "occurred_at",
    "responses": "occurred_at",
    "feedback": "occurred_at",
    "rewards": "occurred_at",
    "outcomes": "requested_at",
    "stage_metrics": "occurred_at",
}
"""Views with a row for each event or request, and the time that they are looked at by."""
ASKED: dict[str, tuple[str, ...]] = {
    "strategy_performance": (
        """SELECT strategy, sum(requests) AS requests, sum(cost_usd) / sum(requests),
        sum(mean_reward * rewarded) / sum(rewarded) AS quality FROM strategy_performance GROUP BY strategy ORDER BY quality DESC""",
    ),
    "outcomes": (
        "SELECT response_code, count(*) FROM outcomes WHERE NOT answered GROUP BY response_code ORDER BY 2 DESC",
        """SELECT request_id, strategy, cost_usd FROM outcomes
        WHERE requested_at >= DATE '{today}' ORDER BY cost_usd DESC LIMIT 20""",
        "SELECT avg(CASE WHEN rated THEN 0 ELSE 1 END) FROM outcomes WHERE reward IS NOT NULL",
    ),
    "cost_by_org_day": (
        """SELECT tenant, sum(cost_usd) FROM cost_by_org_day
        WHERE day >= DATE '{today}' - 7 GROUP BY tenant""",
    ),
}
"""More questions: those of docs/analytics.md, on the newest day that there is."""
TIMES = 7
REACH_MS = 100.0
REACH_MIB = 600.0
REACH_S = 3.0


def rows(folder: Path) -> list[Row]:
    """Measure everything."""
    store = made_store()
    by_view = views(store / NAME)
    ingested = _ingested(store, folder)
    took = feedback.measured(folder)
    return [
        beside("ingest", ingested["ours"], "events/s", ingested["bare"], reach=0.5, higher_is_better=True),
        alone("views_ms", max(by_view.values()), "ms", reach=REACH_MS),
        *(alone(f"views_ms_{view}", ms, "ms") for view, ms in sorted(by_view.items())),
        alone("memory_mib_analytics_10m", ingested["memory_mib"], "MiB", reach=REACH_MIB),
        alone("analytics_opened_10m", ingested["opened_s"], "s"),
        alone("feedback_to_profile_s", took["p95"], "s", reach=REACH_S),
        alone("feedback_to_profile_p50_s", took["p50"], "s"),
    ]


def views(public: Path) -> dict[str, float]:
    """Give the milliseconds of each view."""
    one = _ask(public, "SELECT request_id FROM feedback LIMIT 1 OFFSET 50000")[1][0][0]
    today = _ask(public, "SELECT max(requested_at)::DATE::VARCHAR FROM outcomes")[1][0][0]
    found = {}
    for path in sorted(VIEWS.glob("*.sql")):
        view = path.stem[3:]
        questions = [
            *(asked.format(today=today) for asked in ASKED.get(view, ())),
            *(_of_list(view, one) if view in LISTS else (f"FROM {view}",)),
        ]
        found[view] = max(_median_ms(public, question) for question in questions)
    return found


def _of_list(view: str, one: str) -> list[str]:
    questions = [f"FROM {view} ORDER BY {LISTS[view]} DESC LIMIT 100", f"SELECT count(*) FROM {view}"]  # noqa: S608 - names of ours
    return questions if view == "stage_metrics" else [*questions, f"FROM {view} WHERE request_id = '{one}'"]


def _median_ms(public: Path, question: str) -> float:
    took = [_ask(public, question)[0] for _ in range(TIMES + 1)]
    return median(took[1:])


def _ask(public: Path, question: str) -> tuple[float, list[tuple[str, ...]]]:
    """As ``analytics.query.rows`` does it; the milliseconds, and the rows."""
    begun = time.perf_counter()
    with duckdb.connect(str(public), read_only=True, config=SETTINGS) as connection:
        found = connection.execute(question).fetchall()
    return (time.perf_counter() - begun) * 1_000, found


def _ingested(store: Path, folder: Path) -> dict[str, float]:
    where = folder / "ingest"
    where.mkdir()
    command = [sys.executable, "-m", "tests.benchmarks.ingesting", str(store), str(where)]
    done = subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True)
    figures: dict[str, float] = json.loads(done.stdout)
    return figures
