"""The command ``penstock``.

In: arguments and the environment. Out: what the commands do, and an exit status: 0 done, 1 failed, 2 called wrongly, 3 no answer
in time or no broker, 130 interrupted. Keeps nothing. An error that a person can do something about is printed as what went wrong
and what to do; any other is a bug and comes with its traceback, and so does every one under PENSTOCK_DEBUG=1.
"""

from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from streams.cli import (
    dead_letters,
    diagnose,
    doctor,
    drawing,
    evaluate,
    experiment,
    explaining,
    overrides,
    profiles,
    replaying,
    running,
    sending,
    slo,
    sql,
    standing,
    tailing,
    verify,
    whatif,
    workflows,
)
from streams.cli.printing import INTERRUPTED, status_of


class Commands(TyperGroup):
    """The root: whatever command fails, it fails here."""

    def invoke(self, ctx: Any) -> Any:
        """Run the command that was asked for, and turn its error into words and an exit status."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            raise typer.Exit(INTERRUPTED) from None
        except BrokenPipeError:
            raise  # typer ends quietly: `penstock tail ... | head`
        except Exception as error:
            status = status_of(error)
            if status is None:
                raise
            raise typer.Exit(status) from error


app = typer.Typer(
    name="penstock",
    cls=Commands,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _show_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"penstock {version('penstock')}")
        raise typer.Exit


@app.callback()
def penstock(
    _version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version and end.")
    ] = False,
) -> None:
    """A self-tuning request pipeline for language models.

    [bold]penstock up[/bold] starts everything on this machine, [bold]penstock send "..."[/bold] asks it something.
    """


running.add_to(app)
sending.add_to(app)
tailing.add_to(app)
explaining.add_to(app)
drawing.add_to(app)
replaying.add_to(app)
verify.add_to(app)
app.add_typer(profiles.app, name="profiles")
app.add_typer(overrides.app, name="override")
app.add_typer(workflows.app, name="workflow")
app.add_typer(dead_letters.app, name="dlq")
standing.add_to(app)
sql.add_to(app)
slo.add_to(app)
evaluate.add_to(app)
whatif.add_to(app)
diagnose.add_to(app)
experiment.add_to(app)
evaluate.add_to(app)
doctor.add_to(app)


def run() -> None:
    """Run the command line: the entry point of the installed script."""
    app()


if __name__ == "__main__":
    run()
