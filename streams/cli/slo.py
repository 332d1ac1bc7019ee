"""``penstock slo``: how the promises stand: the share that was kept, the error budget that is left, how fast it burns.

In: the public view ``service_levels`` and the objectives in the settings (operations.slo). Out: a row a level, of all workflows
together or of one. Keeps nothing. Status 1 where a budget is gone or burns fast, 3 where analytics has not stored anything yet.
"""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Annotated, Any, get_args

import typer

from streams.cli.moments import span_s, words_of
from streams.cli.printing import FAILED, note, say, say_json, show_table
from streams.cli.surroundings import AsJson, surroundings

if TYPE_CHECKING:
    from agents.deciding.service_levels import ServiceLevels, Standing
    from streams.deployment import Deployment

_WINDOWS = "1h,6h,3d"
_STALE_AFTER_S = 900
_US_PER_S = 1_000_000
_VIEW_WINDOW_US = 300 * _US_PER_S
_ALARMS = ("gone", "burning_fast")


def add_to(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(slo)


def slo(
    ctx: typer.Context,
    window: Annotated[
        str, typer.Option(help="Windows over which the budget's burn is told, each with its twelfth beside it.")
    ] = _WINDOWS,
    workflow: Annotated[str | None, typer.Option(help="Only this workflow's requests.")] = None,
    as_json: AsJson = False,
) -> None:
    """Tell how the service levels stand: answered, latency, quality floor; their error budgets and how fast these burn.

    Example: penstock slo --window 1h,6h,3d --json
    """
    from agents.loading.reading import load_settings

    around = surroundings(ctx)
    deployment = around.deployment()
    levels = load_settings(deployment.settings).operations.slo
    spans = [span_s(each, "--window") for each in window.split(",")]
    now_us = around.clock_us()
    standings = _standings(deployment, levels, spans, workflow, now_us)
    newest_us = _newest_us(deployment)
    ok = not any(each.state in _ALARMS for each in standings)
    if as_json:
        say_json({"ok": ok, "budget_window_d": levels.budget_window_d, "levels": [_plain(each) for each in standings]})
    else:
        _show(standings, levels.budget_window_d)
    if newest_us is None or now_us - newest_us > _STALE_AFTER_S * _US_PER_S:
        note("penstock: no request of the last quarter of an hour is stored; `penstock doctor` shows what is down")
    if not ok:
        raise typer.Exit(FAILED)


def _standings(
    deployment: "Deployment", levels: "ServiceLevels", spans: Iterable[float], workflow: str | None, now_us: int
) -> list["Standing"]:
    from agents.deciding.service_levels import DAY_S, SHORT, Count, Level, standing

    whole_s = float(levels.budget_window_d * DAY_S)
    lengths = sorted({whole_s, *spans, *(each / SHORT for each in spans)})
    counts = _counts(deployment, levels, lengths, workflow, now_us)
    return [
        standing(
            level,
            levels,
            counts.get((level, whole_s), Count()),
            {
                each: (counts.get((level, each), Count()), counts.get((level, each / SHORT), Count()))
                for each in dict.fromkeys(spans)
            },
        )
        for level in get_args(Level)
    ]


def _counts(
    deployment: "Deployment", levels: "ServiceLevels", lengths: list[float], workflow: str | None, now_us: int
) -> dict[tuple[str, float], Any]:
    """Count over all lengths (s) at once, by level and length: one look at the view."""
    from agents.deciding.service_levels import Count
    from analytics.query import rows

    # A window of the view is in a length when it began in it: up to five minutes of rounding at its far end.
    sums = ", ".join(
        f"sum(valid) FILTER (began_us > {now_us - round(each * _US_PER_S) - _VIEW_WINDOW_US}),"
        f" sum(good) FILTER (began_us > {now_us - round(each * _US_PER_S) - _VIEW_WINDOW_US})"
        for each in lengths
    )
    only = "true" if workflow is None else f"workflow = '{workflow.replace(chr(39), chr(39) * 2)}'"
    answer = rows(
        deployment,
        f"""SELECT level, {sums}
        FROM (SELECT *, epoch_us(window_start) AS began_us FROM service_levels)
        WHERE {only} AND began_us > {now_us - round(max(lengths) * _US_PER_S) - _VIEW_WINDOW_US} AND (level = 'answered'
            OR (level = 'latency' AND threshold = {levels.latency.threshold_ms})
            OR (level = 'floor' AND threshold = {levels.floor.quality!r}))
        GROUP BY level""",  # noqa: S608 - numbers of ours, and a text in which quotes are doubled
    )
    return {
        (row[0], length): Count(int(row[1 + 2 * place] or 0), int(row[2 + 2 * place] or 0))
        for row in answer.rows
        for place, length in enumerate(lengths)
    }


def _newest_us(deployment: "Deployment") -> int | None:
    from analytics.query import rows

    ((newest,),) = rows(deployment, "SELECT epoch_us(max(requested_at)) FROM outcomes").rows
    return None if newest is None else int(newest)


def _plain(each: "Standing") -> dict[str, Any]:
    return {
        "level": each.level,
        "state": each.state,
        "objective": each.objective,
        "threshold": each.threshold,
        "valid": each.whole.valid,
        "good": each.whole.good,
        "share": each.share,
        "budget_left": each.budget_left,
        "burns": [
            {
                "window": words_of(burn.window_s),
                "rate": burn.rate,
                "short_rate": burn.short_rate,
                "limit": burn.limit,
                "severity": burn.severity,
                "firing": burn.firing,
            }
            for burn in each.burns
        ],
    }


def _show(standings: list["Standing"], days: int) -> None:
    windows = [words_of(burn.window_s) for burn in standings[0].burns]
    columns = (
        "level",
        "state",
        "objective",
        "kept",
        "requests",
        f"budget left ({days}d)",
        *(f"burn {w}" for w in windows),
    )
    show_table(
        columns,
        [
            (
                each.level,
                each.state.replace("_", " "),
                _promised(each),
                "-" if each.share is None else f"{each.share:.3%}",
                f"{each.whole.valid:,}",
                "-" if each.budget_left is None else f"{each.budget_left:.1%}",
                *(
                    ("-" if burn.rate is None else f"{burn.rate:.2g}") + (f" >= {burn.limit:g}!" if burn.firing else "")
                    for burn in each.burns
                ),
            )
            for each in standings
        ],
    )
    say("a burn of 1 spends the budget in just its time")


def _promised(each: "Standing") -> str:
    unit = {"answered": "", "latency": " ms", "floor": " reward"}[each.level]
    where = "" if each.threshold is None else f" {'<=' if each.level == 'latency' else '>='} {each.threshold:g}{unit}"
    return f"{each.objective:.4g}{where}"
