"""``penstock sql``: one query on the public DuckDB file, or several in a row, while the pipeline writes.

In: SQL as an argument, from a file, from standard input, or typed. Out: a table, JSON lines or CSV. Keeps nothing. Status 1 where
DuckDB refuses the query, 3 where analytics has not written anything yet.
"""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from streams.cli.printing import USAGE, Failure, note, say, say_json, show_table
from streams.cli.surroundings import AsJson, surroundings

if TYPE_CHECKING:
    from analytics.query import Answer
    from streams.deployment import Deployment

_VIEWS = "SELECT view_name AS view, comment FROM duckdb_views() WHERE NOT internal AND schema_name = 'main' ORDER BY view_name"


def add_to(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(sql)


def sql(
    ctx: typer.Context,
    query: Annotated[str | None, typer.Argument(help="One SQL statement; - or nothing reads standard input.")] = None,
    file: Annotated[Path | None, typer.Option(help="Read the statement from a file.")] = None,
    tables: Annotated[bool, typer.Option("--tables", help="List the views and what they hold.")] = False,
    csv: Annotated[bool, typer.Option("--csv", help="Print CSV with a header.")] = False,
    as_json: AsJson = False,
) -> None:
    """Query what analytics has stored; read-only, and it blocks nobody. Without a query at a terminal: a prompt.

    Example: penstock sql "select * from strategy_performance limit 5"
    """
    if sum((query is not None, file is not None, tables)) > 1:
        raise Failure("Give a query, --file or --tables, not several.", status=USAGE)
    deployment = surroundings(ctx).deployment()
    if query is None and file is None and not tables and sys.stdin.isatty():
        _prompt(deployment, as_json=as_json, as_csv=csv)
        return
    _run(deployment, _VIEWS if tables else _statement(query, file), as_json=as_json, as_csv=csv)


def _statement(query: str | None, file: Path | None) -> str:
    if file is not None:
        try:
            text = file.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise Failure(f"{file} cannot be read: {error}.", status=USAGE) from error
    else:
        text = typer.get_text_stream("stdin").read() if query in (None, "-") else str(query)
    if not text.strip():
        raise Failure("There is no query.", remedy='For example: penstock sql "show tables".', status=USAGE)
    return text


def _prompt(deployment: "Deployment", *, as_json: bool, as_csv: bool) -> None:
    from streams.cli.printing import status_of

    note("SQL on the newest state; a line is a statement; Ctrl-D ends. Views: show tables")
    while True:
        try:
            line = input("penstock> ").strip()
        except EOFError:
            note("")
            return
        if line:
            try:
                _run(deployment, line, as_json=as_json, as_csv=as_csv)
            except Exception as error:
                if status_of(error) is None:
                    raise


def _run(deployment: "Deployment", statement: str, *, as_json: bool, as_csv: bool) -> None:
    from analytics.query import rows

    answer = rows(deployment, statement)
    if as_json:
        for row in answer.rows:
            say_json({name: json_value(value) for name, value in zip(answer.columns, row, strict=True)})
    elif as_csv:
        _print_csv(answer)
    elif answer.columns:
        show_table(answer.columns, [["" if value is None else _shown(value) for value in row] for row in answer.rows])
        say(f"{len(answer.rows):,} rows")


def json_value(value: Any) -> Any:
    """Give a value of DuckDB's in JSON's types: NaN and infinities, which JSON does not have, become null."""
    if isinstance(value, float) and (value != value or value in (float("inf"), float("-inf"))):  # noqa: PLR0124 - NaN
        return None
    if isinstance(value, dict):
        return {str(key): json_value(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [json_value(each) for each in value]
    return value


def _shown(value: Any) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _print_csv(answer: "Answer") -> None:
    import csv

    writer = csv.writer(sys.stdout)
    writer.writerow(answer.columns)
    writer.writerows(answer.rows)
