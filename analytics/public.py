"""The public file: a DuckDB file that holds only views, replaced as a whole, for any number of readers.

In: the storage. Out: ``penstock.duckdb`` with the views of ``views/*.sql``, over segments and over exports of the
private file, of which only parts that changed are written again: the outcomes, a Parquet file for each slice of 20,000
requests; sums by hour, of tenants and of service levels, one for each day; percentiles of latencies; plans that do not hold.
The new file is a copy of the old one, or of a template that has the views and their comments where the old one is of
another release or cannot be opened; its tables of events are set, and it takes the old one's place by a rename, so that
who has the old one open keeps what it saw, and who opens it next sees the new. Why a copy of the old one: DuckDB reads
a file's head, closes the file, and opens it again for the rest. Who meets the rename in between has the old head and
the new rest, which is still whole then, because what DuckDB writes never lies where the last head points to.
Files that the old one names are deleted after a grace (``upkeep``). Keeps nothing else. A failure leaves the old public
file in place and is raised.

The views name their files by absolute path: they can be read from any working directory, on the machine that wrote
them.
"""

import shutil
from collections import defaultdict
from functools import cache
from hashlib import blake2b
from pathlib import Path

import duckdb

from analytics.columns import COLUMNS
from analytics.judging import CALIBRATED, JUDGED
from analytics.parquet_files import Segment, copy_to_parquet, path_list, sync_folder
from analytics.private_file import registered, transaction
from analytics.storage import EXPORTS, Storage
from analytics.sums import COST_UNITS, DAY_US, LATENCY_UNITS, REWARD_UNITS, SERVICE_SUMS, latency_percentiles
from schemas import RequestRouted
from schemas.generate import snake

NAME = "penstock.duckdb"
VIEWS = Path(__file__).parent / "views"
_BUILDING = "building"
_TEMPLATES = "templates"
_SETTINGS: dict[str, str | bool | int | float | list[str]] = {"threads": "1", "memory_limit": "256MB"}
_EVENTS = "events"
PERCENTILES = "percentiles_now"


SELDOM = ("judged", "calibrated")
"""Exports that are about many requests, and need not follow each of them."""
_COUNTS = ("requests", "answered", "failed", "rewarded", "rated", "fallbacks")
_STRATEGY_HOURS = f"""
    SELECT make_timestamp(window_start_us) AS window_start, workflow, content_type, band, strategy,
        {", ".join(f"sum({name})::BIGINT AS {name}" for name in _COUNTS)},
        sum(reward_units) / {REWARD_UNITS}.0 AS reward_sum,
        sum(reward_square_units) / {REWARD_UNITS}.0 AS reward_square_sum,
        sum(cost_units) / {COST_UNITS}.0 AS cost_usd_sum,
        sum(latency_units) / {LATENCY_UNITS}.0 AS latency_ms_sum,
        max(latency_ms_max) AS latency_ms_max
    FROM strategy_sums WHERE window_start_us // {DAY_US} = {{part}} GROUP BY ALL
"""  # noqa: S608 - names of ours
_TENANT_DAYS = f"""
    SELECT tenant, make_timestamp({DAY_US} * {{part}})::DATE AS day,
        {", ".join(f"sum({name})::BIGINT AS {name}" for name in ("requests", "answered", "failed"))},
        sum(cost_units) / {COST_UNITS}.0 AS cost_usd
    FROM strategy_sums WHERE window_start_us // {DAY_US} = {{part}} GROUP BY ALL
"""  # noqa: S608 - names of ours
_MOMENTS = ("requested_at", "routed_at", "responded_at", "rewarded_at", "window_start")
_OUTCOME = f"""
    SELECT o.* EXCLUDE (request_key, slice, rewarded_strategy, {", ".join(f"{moment}_us" for moment in _MOMENTS)}),
        {", ".join(f"make_timestamp(o.{moment}_us) AS {moment}" for moment in _MOMENTS)},
        p.probabilities, p.pinned, p.features, p.encoder, p.feature_set
    FROM (FROM outcome WHERE slice = {{part}}) o LEFT JOIN (FROM outcome_plan WHERE slice = {{part}}) p USING (request_key)
    ORDER BY requested_at DESC NULLS FIRST
"""  # noqa: S608 - names of ours
_EXPORTED = {
    "outcome": _OUTCOME,
    "strategy_hours": _STRATEGY_HOURS,
    "tenant_days": _TENANT_DAYS,
    "latency_percentiles": f"FROM {PERCENTILES}",
    "service_sums": f"""
        SELECT make_timestamp(window_start_us) AS window_start, workflow, make_timestamp(newest_us) AS newest_at,
            {", ".join(f"{name}::BIGINT AS {name}" for name in SERVICE_SUMS.sums)}
        FROM service_sums WHERE window_start_us // {DAY_US} = {{part}}
    """,  # noqa: S608 - names of ours
    "superseded_plan": "FROM superseded_plan",
    "judged": JUDGED,
    "calibrated": CALIBRATED,
}
"""The tables that views stand on, cut into parts."""
_PIECES = f"""
    CREATE MACRO {_EVENTS}.deviation(times, added, squares) AS
        sqrt(greatest(squares - added ** 2 / nullif(times, 0), 0) / nullif(greatest(times - 1, 0), 0))
"""
"""What several views share: the standard deviation of what was counted, added up, and squared and added up; null below two."""


def publish(storage: Storage, now_us: int, *, seldom: bool = True) -> Path:
    """Export what changed and replace the public file; its path. Without ``seldom`` the exports of that name wait."""
    (storage.folder / EXPORTS).mkdir(exist_ok=True)
    stale = storage.connection.execute(
        "SELECT name, part, path FROM export WHERE stale AND (? OR name NOT IN ?) ORDER BY name, part", [seldom, SELDOM]
    ).fetchall()
    wanted = "latency_percentiles" in {name for name, *_ in stale}
    with registered(storage.connection, {PERCENTILES: latency_percentiles(storage.connection, empty=not wanted)}):
        fresh = [(name, part, old, _export(storage, name, part)) for name, part, old in stale]
        with transaction(storage.connection):
            for name, part, old, new in fresh:
                if old is not None:
                    storage.connection.execute("INSERT INTO dropped_file VALUES (?, ?)", [old, now_us])
                storage.connection.execute(
                    "UPDATE export SET path = ?, stale = false WHERE name = ? AND part = ?", [new, name, part]
                )
        return _replace(storage)


def _export(storage: Storage, name: str, part: int) -> str:
    (number,) = storage.connection.execute("SELECT nextval('export_number')").fetchall()[0]
    path = f"{EXPORTS}/{name}.{part}.{number}.parquet"
    target = storage.folder / path
    unfinished = target.with_suffix(".unfinished")
    copy_to_parquet(storage.connection, _EXPORTED[name].format(part=part), unfinished)
    unfinished.replace(target)  # not synced: the next start writes again what a power failure tore
    return path


@cache
def _typed_nothing(event: str) -> str:
    """Give a query without rows whose columns are an event's, so that a view is right before the first event."""
    with duckdb.connect(":memory:") as connection:
        connection.register("nothing", COLUMNS[event].stored.empty_table())
        return _nothing(connection, "nothing")


def _nothing(connection: duckdb.DuckDBPyConnection, source: str) -> str:
    described = connection.execute(f"DESCRIBE {source}").fetchall()
    nulls = ", ".join(f'CAST(NULL AS {row[1]}) AS "{row[0]}"' for row in described)
    return f"SELECT {nulls} WHERE false"


def _over_files(nothing: str, selects: list[str]) -> str:
    return " UNION ALL BY NAME ".join(f"({part})" for part in (nothing, *selects))


def _over_segments(storage: Storage, event: str, by_columns: dict[str, list[Segment]]) -> str:
    """Give the query over the segments of an event type; a plain list of files wherever it can be, which DuckDB reads least of."""
    current = COLUMNS[event].name
    if list(by_columns) == [current]:
        return _of_segments(storage, current, current, by_columns[current])
    return _over_files(
        _typed_nothing(event),
        [_of_segments(storage, columns, current, segments) for columns, segments in by_columns.items()],
    )


def _over_plans(storage: Storage, by_columns: dict[str, list[Segment]]) -> str:
    """Give the query over the plans that hold: those that do not are looked for only in the files of their time."""
    event = RequestRouted.__name__
    ((unknown, times),) = storage.connection.execute(
        "SELECT count(*) - count(logged_at_us), list(logged_at_us) FILTER (logged_at_us IS NOT NULL) FROM superseded_plan"
    ).fetchall()
    mixed: dict[str, list[Segment]] = defaultdict(list)
    clean: dict[str, list[Segment]] = defaultdict(list)
    for columns, segments in by_columns.items():
        for segment in segments:
            of_time = any(segment.first_logged_at_us <= at_us <= segment.last_logged_at_us for at_us in times or ())
            (mixed if unknown or of_time else clean)[columns].append(segment)
    held = _over_segments(storage, event, clean)
    if not mixed:
        return held
    looked_through = (
        f"FROM ({_over_segments(storage, event, mixed)}) ANTI JOIN {_EVENTS}.superseded_plan USING (event_id)"
    )
    return _over_files(held, [looked_through])


def _of_segments(storage: Storage, columns: str, current: str, segments: list[Segment]) -> str:
    paths = [segment.path for segment in segments]
    files = f"read_parquet({path_list(storage.folder, paths)})"
    if columns == current:
        return f"SELECT * FROM {files}"  # noqa: S608 - paths are ours, quoted
    # an older set of columns may hold moments as numbers
    described = storage.connection.execute(
        f"DESCRIBE SELECT * FROM read_parquet({path_list(storage.folder, paths[:1])})"  # noqa: S608 - paths are ours, quoted
    ).fetchall()
    numbers = [row[0] for row in described if row[0].endswith("_at_us") and row[1] == "BIGINT"]
    if not numbers:
        return f"SELECT * FROM {files}"  # noqa: S608 - paths are ours, quoted
    moments = ", ".join(f"make_timestamp({name}) AS {name.removesuffix('_us')}" for name in numbers)
    return f"SELECT * EXCLUDE ({', '.join(numbers)}), {moments} FROM {files}"  # noqa: S608 - paths are ours, quoted


def _sources(storage: Storage) -> dict[str, str]:
    """Give the query behind each table that the views stand on. Files stand newest first, as most questions ask for the newest."""
    by_columns: dict[str, dict[str, list[Segment]]] = defaultdict(lambda: defaultdict(list))
    for segment in reversed(storage.segments()):
        by_columns[segment.event][segment.columns].append(segment)
    sources = {snake(event): _over_segments(storage, event, by_columns[event]) for event in COLUMNS}
    exported: dict[str, list[str]] = defaultdict(list)
    rows = storage.connection.execute(
        "SELECT name, path FROM export WHERE path IS NOT NULL ORDER BY part DESC"
    ).fetchall()
    for name, path in rows:
        exported[name].append(path)
    for name, select in _EXPORTED.items():
        files = exported[name]
        sources[name] = (
            f"SELECT * FROM read_parquet({path_list(storage.folder, files)})"  # noqa: S608 - paths are ours, quoted
            if files
            else _nothing(storage.connection, f"({select.format(part=-1)})")
        )
    sources["holding_plan"] = _over_plans(storage, by_columns[RequestRouted.__name__])
    return sources


@cache
def _views() -> tuple[str, ...]:
    return tuple(path.read_text(encoding="utf-8") for path in sorted(VIEWS.glob("*.sql")))


@cache
def _template_name() -> str:
    """Name the views and the columns that they stand on."""
    told = repr(
        (duckdb.__version__, _PIECES, _views(), sorted((event, columns.name) for event, columns in COLUMNS.items()))
    )
    return f"template-{blake2b(told.encode(), digest_size=6).hexdigest()}"


def _template(storage: Storage) -> Path:
    """Give a public file with all views and their comments, made once: its tables of events are replaced in each copy of it."""
    made = storage.folder / _TEMPLATES / _template_name() / NAME
    if not made.exists():
        shutil.rmtree(storage.folder / _TEMPLATES, ignore_errors=True)
        unfinished = storage.folder / _TEMPLATES / "unfinished" / NAME
        unfinished.parent.mkdir(parents=True)
        with duckdb.connect(str(unfinished), config=_SETTINGS) as connection, transaction(connection):
            connection.execute(f"CREATE SCHEMA {_EVENTS}")
            connection.execute(f"CREATE MACRO {_EVENTS}.template() AS '{_template_name()}'")
            for name, query in _sources(storage).items():
                connection.execute(f"CREATE VIEW {_EVENTS}.{name} AS {query}")
            for statements in (_PIECES, *_views()):
                connection.execute(statements)
        unfinished.parent.replace(made.parent)
    return made


def _replace(storage: Storage) -> Path:
    # The same file name in another folder: DuckDB calls a database by its file's name.
    building = storage.folder / _BUILDING / NAME
    building.parent.mkdir(exist_ok=True)
    for leftover in building.parent.iterdir():
        leftover.unlink()
    target = storage.folder / NAME
    if not (target.exists() and _filled(storage, target, building)):
        _filled(storage, _template(storage), building)
    building.replace(target)
    sync_folder(storage.folder)
    return target


def _filled(storage: Storage, begin: Path, building: Path) -> bool:
    """Make the new file from one that has the views; whether that one was what it should be."""
    shutil.copyfile(begin, building)
    try:
        with duckdb.connect(str(building), config=_SETTINGS) as connection:
            if connection.execute(f"SELECT {_EVENTS}.template()").fetchall() != [(_template_name(),)]:
                return False
            with transaction(connection):
                for name, query in _sources(storage).items():
                    connection.execute(f"CREATE OR REPLACE VIEW {_EVENTS}.{name} AS {query}")
    except duckdb.Error:
        if begin.parent != storage.folder:  # the template itself
            raise
        return False
    with (
        begin.open("rb") as old,
        building.open("ab") as new,
    ):  # DuckDB cuts off what it needs no more, and old heads point to
        old.seek(new.tell())
        shutil.copyfileobj(old, new)
    return True
