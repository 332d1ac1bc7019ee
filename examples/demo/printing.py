"""Prints the demo's result for a person.

In: what ``var/demo.json`` holds. Out: a table, a few sentences. Keeps nothing, cannot fail.
"""

from typing import Any

from rich.console import Console
from rich.table import Table

from agents.deciding.reasoning import money

MOST_SENTENCES = 8
ASKED_SAVING = 0.30
ASKED_QUALITY = 0.95


def show(console: Console, result: dict[str, Any]) -> None:
    """Print the result."""
    table = Table(
        "", "quality", "price", "95 % within", title="Share of the key facts in the answers, and what they cost"
    )
    for name, title in (
        ("first_quarter", "learning, first quarter"),
        ("last_quarter", "learning, last quarter"),
        ("premium_only", "premium only, last quarter"),
        ("prior_only", "built-in rules, last quarter"),
    ):
        row = result[name]
        table.add_row(title, f"{row['quality']:.3f}", money(row["cost_usd_per_request"]), f"{row['p95_ms']:.0f} ms")
    console.print(table)
    changes = result["optimizations"]
    console.print(f"{len(changes)} optimizations in {result['profile_updates']} profile versions; the last ones:")
    for sentence in changes[-MOST_SENTENCES:]:
        console.print(f"  - {sentence}", highlight=False)
    console.print(_verdict(result), highlight=False)
    console.print(
        f"{result['requests']} requests, {result['answered']} answered, {result['failed']} failed, "
        f"{result['duplicates']} duplicates, {result['seconds']:.0f} s."
    )


def _verdict(result: dict[str, Any]) -> str:
    premium, rules = result["against_premium_only"], result["against_prior_only"]
    share = result["last_quarter"]["quality"] / max(result["premium_only"]["quality"], 1e-9)
    saving = 1.0 - premium["cost_ratio"]
    met = saving >= ASKED_SAVING and share >= ASKED_QUALITY
    low, high = rules["quality_difference_95"]
    return (
        f"Against premium only: {share:.0%} of its quality for {saving:.0%} less (asked for: {ASKED_QUALITY:.0%} for "
        f"{ASKED_SAVING:.0%} less: {'met' if met else 'missed'}). Against the built-in rules: quality "
        f"{rules['quality_difference']:+.3f} (95 % interval {low:+.3f} to {high:+.3f})."
    )
