"""The change impact report as one page of HTML with its plots drawn in it, for a mail or a ticket: no script, nothing loaded.

In: ``Impact`` and what it is about. Out: the page's text. Keeps nothing, cannot fail. Every text that is not ours is escaped. Pure.
"""

from collections.abc import Iterable, Sequence
from html import escape

from analytics.offpolicy.estimating import Interval
from analytics.offpolicy.gate import VALUE
from analytics.offpolicy.impact import OUTCOMES, Impact
from analytics.offpolicy.words import (
    NAMES,
    TINY_SHARE,
    About,
    between,
    estimate_rows,
    headline,
    kind_rows,
    share_rows,
    shown,
    waiting_rows,
)

_WIDTH, _ROW, _LABEL, _RIGHT = 760, 30, 200, 150
_STYLE = """
body{font:15px/1.5 system-ui,sans-serif;max-width:60em;margin:2em auto;padding:0 1em;color:#1b1f24;background:#fff}
table{border-collapse:collapse;margin:.5em 0 1.5em;font-variant-numeric:tabular-nums}
th,td{padding:.25em .8em .25em 0;text-align:left;border-bottom:1px solid #d7dce1;vertical-align:top}
.scroll{overflow-x:auto}.promote{color:#176b3a}.keep{color:#8a3b12}.log_more{color:#6b5a00}svg{max-width:100%;height:auto}
"""
_GOOD, _BAD, _OPEN, _INK, _LINE = "#1f7a4d", "#b3401f", "#5b6670", "#1b1f24", "#aab3bb"
_SMALLER_IS_BETTER = frozenset({"cost_usd", "latency_ms"})


def page(impact: Impact, about: About) -> str:
    """The page."""
    estimate = impact.estimate
    title = f"What if: {about.policy}"
    scope = "all workflows" if about.workflow is None else about.workflow
    left_out = f" {about.unrewarded:,} without a reward yet are left out." if about.unrewarded else ""
    worth = impact.worth
    parts = (
        f"<h1>{escape(title)}</h1>",
        f'<p><strong class="{impact.verdict.answer}">{escape(headline(impact))}</strong></p>',
        _listed(each.sentence for each in impact.verdict.conditions),
        (
            f"<p>{impact.requests:,} requests of {escape(scope)} since {escape(about.since)}.{left_out} "
            f"Effective sample size {estimate.effective:,.0f}, largest weight {estimate.largest_weight:,.1f}. "
            f"Value is quality less {worth.cost_weight:g} "
            f"for every {worth.unit_usd:.2e} USD and {worth.quality_per_second:g} for every second.</p>"
        ),
        "<h2>Against what is running</h2>",
        "<p>Doubly robust estimates of the difference, with 95 % intervals; each outcome on its own scale.</p>",
        _own_scales([(name, estimate.outcomes[name].difference) for name in OUTCOMES]),
        _table(("", "running", "new, doubly robust", "difference", "SNIPS", "IPS"), estimate_rows(estimate)),
        "<h2>Which content types win and lose</h2>",
        _one_scale([(each.content_type, each.estimate.outcomes[VALUE].difference) for each in impact.kinds]),
        _table(("content type", "requests", "effective", "", "value", "quality", "cost, USD"), kind_rows(impact)),
        "<h2>Who answers</h2>",
        _shares(impact),
        _table(("strategy", "running", "new"), share_rows(impact)),
        "<h2>How long to log until the log can tell</h2>",
        (
            f"<p>At {about.requests_a_day:,.0f} rewarded requests a day, until the effective sample size is 500 and "
            "the value is known to 0.02.</p>"
        ),
        _table(("exploration", "requests", "time"), waiting_rows(impact, about)),
    )
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<title>{escape(title)}</title><style>{_STYLE}</style></head><body>{''.join(parts)}</body></html>\n"
    )


def _listed(sentences: Iterable[str]) -> str:
    return f"<ul>{''.join(f'<li>{escape(each)}</li>' for each in sentences)}</ul>"


def _table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    head = "".join(f"<th>{escape(each)}</th>" for each in columns)
    body = "".join(f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in row)}</tr>" for row in rows)
    return f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def _colour(name: str, interval: Interval) -> str:
    if interval.lower <= 0 <= interval.upper:
        return _OPEN
    return _GOOD if (interval.mean > 0) != (name in _SMALLER_IS_BETTER) else _BAD


def _reach(intervals: Iterable[Interval]) -> float:
    return max((max(abs(each.lower), abs(each.upper)) for each in intervals), default=0.0) * 1.05 or 1.0


def _own_scales(differences: Sequence[tuple[str, Interval]]) -> str:
    rows = [
        _whisker(place, NAMES[name], each, _reach([each]), _colour(name, each), between(name, each, signed=True))
        for place, (name, each) in enumerate(differences)
    ]
    return _drawn(rows, "differences to the running policy")


def _one_scale(differences: Sequence[tuple[str, Interval]]) -> str:
    reach = _reach(each for _, each in differences)
    rows = [
        _whisker(place, name, each, reach, _colour(VALUE, each), shown(VALUE, each.mean, signed=True))
        for place, (name, each) in enumerate(differences)
    ]
    return _drawn(rows, "differences in value by content type")


def _whisker(place: int, label: str, interval: Interval, reach: float, colour: str, hint: str) -> str:
    middle, half = (_LABEL + _WIDTH - _RIGHT) / 2, (_WIDTH - _RIGHT - _LABEL) / 2
    y = place * _ROW + _ROW / 2
    low, mean, high = (middle + each / reach * half for each in (interval.lower, interval.mean, interval.upper))
    zero, label_at, value_at = f"{middle:.1f}", _LABEL - 12, _WIDTH - _RIGHT + 12
    return (
        f"<g><title>{escape(hint)}</title>"
        f'<text x="{label_at}" y="{y + 5}" text-anchor="end" fill="{_INK}">{escape(label)}</text>'
        f'<line x1="{zero}" y1="{y - _ROW / 2}" x2="{zero}" y2="{y + _ROW / 2}" stroke="{_LINE}"/>'
        f'<line x1="{low:.1f}" y1="{y}" x2="{high:.1f}" y2="{y}" stroke="{colour}" stroke-width="3"/>'
        f'<circle cx="{mean:.1f}" cy="{y}" r="5" fill="{colour}"/>'
        f'<text x="{value_at}" y="{y + 5}" fill="{colour}">{escape(hint.split(" (", maxsplit=1)[0])}</text></g>'
    )


def _shares(impact: Impact) -> str:
    rows = []
    names = [name for name, shares in impact.shares.items() if max(shares) >= TINY_SHARE]
    width = _WIDTH - _RIGHT - _LABEL
    for place, name in enumerate(names):
        was, will = impact.shares[name]
        y = place * _ROW
        rows.append(
            f"<g><title>{escape(name)}: {was:.1%} now, {will:.1%} then</title>"
            f'<text x="{_LABEL - 12}" y="{y + 20}" text-anchor="end" fill="{_INK}">{escape(name)}</text>'
            f'<rect x="{_LABEL}" y="{y + 5}" width="{was * width:.1f}" height="8" fill="{_LINE}"/>'
            f'<rect x="{_LABEL}" y="{y + 15}" width="{will * width:.1f}" height="8" fill="{_GOOD}"/>'
            f'<text x="{_WIDTH - _RIGHT + 12}" y="{y + 20}" fill="{_INK}">{was:.0%} to {will:.0%}</text></g>'
        )
    return _drawn(rows, "shares of the strategies now (grey) and then (green)")


def _drawn(rows: Sequence[str], label: str) -> str:
    height = max(len(rows), 1) * _ROW
    return (
        f'<svg role="img" aria-label="{escape(label)}" viewBox="0 0 {_WIDTH} {height}" width="{_WIDTH}" height="{height}" '
        f'font-size="14">{"".join(rows)}</svg>'
    )
