"""``penstock up``, ``restart``, ``down`` and ``worker``: everything on this machine, its end, and one role alone.

In: the deployment. Out: running processes, and what they do on the screen. Keeps the claim on the ``var`` folder for as long as
``up`` runs. Fails with ``AlreadyRunning``, ``WorkerDidNotStart``, infra's errors, and the mistakes of a file.
"""

import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from streams.cli.printing import USAGE, Failure, nearest, note, say, say_json
from streams.cli.surroundings import AsJson, Surroundings, surroundings

if TYPE_CHECKING:
    from infra.broker import RunningBroker
    from streams.deployment import Deployment
    from streams.supervisor import Supervisor
    from streams.workers import Happened

Role = Literal["models", "router", "generator", "evaluator", "analytics"]
_LOOK_EVERY_S = 0.5
_DOWN_WITHIN_S = 60.0


def add_to(app: typer.Typer) -> None:
    """Add the commands."""
    for command in (up, restart, down, worker):
        app.command()(command)


def up(
    ctx: typer.Context,
    workers: Annotated[
        list[str] | None,
        typer.Option(metavar="ROLE=N", help="How many workers of a role, instead of one; may be repeated."),
    ] = None,
    port: Annotated[int | None, typer.Option(help="The broker's port; by default a free one.")] = None,
    as_json: AsJson = False,
) -> None:
    """Start the broker, the topics and every role on this machine, and run until Ctrl-C.

    Example: penstock up --workers generator=2
    """
    from agents.loading.reading import load_catalogue, load_settings
    from infra.broker import provide_broker
    from streams.admin import create_topics
    from streams.restarting import RestartDesk
    from streams.run_files import Claim
    from streams.supervisor import Supervisor

    around = surroundings(ctx)
    deployment = around.deployment()
    counts = parsed_workers(workers or [])
    partitions = load_settings(deployment.settings).operations.partitions
    load_catalogue(deployment.catalogue, os.environ)  # a mistake in a file shows before anything is started
    with _ends_at_a_signal(), suppress(KeyboardInterrupt), Claim(deployment.run_folder) as claim:
        _tell(as_json, "starting", "broker")
        with provide_broker(deployment.var, port=port) as broker:
            deployment = deployment.model_copy(update={"bootstrap_servers": broker.bootstrap_servers})
            _tell(as_json, "ready", "broker", pid=broker.pid, kind=broker.kind, address=broker.bootstrap_servers)
            created = create_topics(deployment, partitions=partitions)
            _tell(as_json, "created", "topics", names=created)
            with (
                Supervisor(deployment, workers=counts, claim=claim, on_event=_teller(as_json=as_json)) as supervisor,
                RestartDesk(deployment.run_folder, supervisor),
            ):
                _show_addresses(deployment, broker, as_json=as_json)
                _show_until_interrupted(around, deployment, broker, supervisor, as_json=as_json)
    _tell(as_json, "stopped", "everything")


def restart(
    ctx: typer.Context,
    roles: Annotated[
        list[str] | None, typer.Argument(metavar="[ROLE]...", help="Which roles; without any, all that run.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Replace every worker that `penstock up` runs on this var folder by a fresh one, one after the other.

    Example: penstock restart generator
    """
    from streams import restarting, run_files
    from streams.supervisor import READY_WITHIN_S, ROLES

    for role in roles or []:
        if role not in ROLES:
            raise Failure(f"There is no role {role!r}; {', '.join(ROLES)}.{nearest(role, ROLES)}", status=USAGE)
    folder = surroundings(ctx).deployment().run_folder
    if not run_files.is_claimed(folder):
        raise Failure("Nothing runs on this var folder.", remedy="Start it with `penstock up`.")
    identifier = restarting.order(folder, [role for role in ROLES if not roles or role in roles])
    deadline_s = time.monotonic() + READY_WITHIN_S * len(ROLES)
    while (said := restarting.answer(folder, identifier)) is None:
        if not run_files.is_claimed(folder) or time.monotonic() > deadline_s:
            raise Failure("The restart was not finished.", remedy="`penstock up` shows what runs, and var/logs why.")
        time.sleep(_LOOK_EVERY_S)
    if said["error"] is not None:
        raise Failure(
            said["error"], remedy="The worker that was to be replaced still runs, unless it was stopped first."
        )
    if as_json:
        say_json({"replaced": said["replaced"]})
        return
    for each in said["replaced"]:
        say(f"replaced {each}")


def down(ctx: typer.Context, as_json: AsJson = False) -> None:
    """Stop what `penstock up` runs on this var folder, or clear away what a killed one left.

    Example: penstock down
    """
    from infra import processes
    from infra.broker import stop_left_over
    from streams import run_files

    deployment = surroundings(ctx).deployment()
    folder = deployment.run_folder
    pid = run_files.holder(folder)
    stopped_pid = None
    if run_files.is_claimed(folder):
        if pid is None:
            raise Failure("Penstock is just starting or stopping.", remedy="Try again in a few seconds.")
        _stop_and_wait(pid, lambda: run_files.is_claimed(folder))
        stopped_pid = pid
    removed = run_files.remove_stale(folder, lambda each: processes.identity(each) is not None)
    broker_stopped = stop_left_over(deployment.var)
    with suppress(FileNotFoundError):
        (folder / run_files.UP_FILE).unlink()
        removed.append(run_files.UP_FILE)
    if as_json:
        say_json({"stopped_pid": stopped_pid, "broker_stopped": broker_stopped, "removed": removed})
        return
    if stopped_pid is not None:
        say(f"stopped process {stopped_pid} and all that it ran")
    if broker_stopped:
        say("stopped a broker that was left over")
    if removed:
        say(f"removed stale files: {', '.join(removed)}")
    if stopped_pid is None and not broker_stopped and not removed:
        say("nothing was running")


def worker(
    ctx: typer.Context,
    role: Annotated[Role, typer.Argument(help="Which role.")],
    _as_json: AsJson = False,
) -> None:
    """Run one worker of a role in the foreground, until SIGTERM. Its log on standard error is JSON with or without --json.

    PENSTOCK_WORKER names the worker where several run on one machine.

    Example: PENSTOCK_WORKER=1 penstock worker generator
    """
    from agents.loading.reading import load_settings
    from streams.admin import create_topics
    from streams.worker import main

    deployment = surroundings(ctx).deployment()
    if role != "models":
        create_topics(deployment, partitions=load_settings(deployment.settings).operations.partitions)
    raise typer.Exit(main([role]))


def parsed_workers(stated: list[str]) -> dict[str, int]:
    """Read ``ROLE=N`` words. ``Failure`` (status 2) for an unknown role or a number below 1."""
    from streams.topics import STAGES

    counts = {}
    for each in stated:
        role, _, number = each.partition("=")
        if role not in STAGES:
            raise Failure(
                f"There is no role {role!r} to scale; {', '.join(STAGES)}.{nearest(role, STAGES)}", status=USAGE
            )
        if not number.isdigit() or int(number) < 1:
            raise Failure(f"{each!r} should be {role}=N, with N from 1.", status=USAGE)
        if role == "analytics" and int(number) > 1:
            raise Failure("There is one analytics worker only: the storage belongs to one process.", status=USAGE)
        counts[role] = int(number)
    return counts


@contextmanager
def _ends_at_a_signal() -> Iterator[None]:
    """Make the first SIGINT or SIGTERM a KeyboardInterrupt, and ignore more while things are stopped in order."""
    numbers = (signal.SIGINT, signal.SIGTERM)

    def end(_number: int, _frame: FrameType | None) -> None:
        for number in numbers:
            signal.signal(number, signal.SIG_IGN)
        raise KeyboardInterrupt

    before = {number: signal.signal(number, end) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _tell(as_json: bool, what: str, about: str, **more: Any) -> None:
    if as_json:
        say_json({"what": what, "about": about, **more})
        sys.stdout.flush()
        return
    said = ", ".join(f"{name} {value}" for name, value in more.items() if value not in (None, [], ""))
    note(f"{about}: {what}" + (f" ({said})" if said else ""))


def _teller(*, as_json: bool) -> "Callable[[Happened], None]":
    def tell(happened: "Happened") -> None:
        about = f"{happened.role}-{happened.number}"
        _tell(
            as_json, happened.what, about, pid=happened.pid, restarts=happened.restarts or None, detail=happened.detail
        )

    return tell


def _show_addresses(deployment: "Deployment", broker: "RunningBroker", *, as_json: bool) -> None:
    from streams.errors import Unconfigured

    models = None
    with suppress(Unconfigured):
        models = deployment.embedded_models_url()
    if as_json:
        more = {"broker": broker.bootstrap_servers, "models": models, "logs": str(deployment.logs_folder)}
        _tell(as_json, "ready", "everything", **more)
        return
    say(f"broker   {broker.bootstrap_servers}")
    if models is not None:
        say(f"models   {models}")
    say(f"logs     {deployment.logs_folder}")
    say('ready: penstock send "How are dead letters replayed?"   (Ctrl-C stops everything)')


def _show_until_interrupted(
    around: Surroundings,
    deployment: "Deployment",
    broker: "RunningBroker",
    supervisor: "Supervisor",
    *,
    as_json: bool,
) -> None:
    from rich.console import Console
    from rich.live import Live

    from streams.cli.status import Rates

    rates = Rates()
    if as_json or not sys.stdout.isatty():
        while True:
            _check_broker(broker, deployment)
            time.sleep(_LOOK_EVERY_S)
    measured = _measurements(around, deployment)
    with Live(console=Console(), auto_refresh=False) as live:
        while True:
            _check_broker(broker, deployment)
            for report in next(measured):
                rates.take(report)
            live.update(_status_table(supervisor, rates, around.clock_us()), refresh=True)


def _check_broker(broker: "RunningBroker", deployment: "Deployment") -> None:
    from infra.processes import identity

    if broker.pid is not None and identity(broker.pid) is None:
        raise Failure(
            "The broker ended by itself; everything is stopped.",
            remedy=f"Its log is {deployment.logs_folder / 'broker.log'}. Then `penstock up` again: nothing is lost.",
        )


def _measurements(around: Surroundings, deployment: "Deployment") -> Iterator[list[Any]]:
    """Give the stages' new reports again and again, each time within half a second."""
    from schemas import StageMeasured
    from streams.errors import PenstockError
    from streams.following import ends, seen

    codec, log = around.codec(), around.open_log(deployment)
    try:
        log.begin(ends(log, ["metrics"]))
        while True:
            try:
                events = [seen(message, codec).event for message in log.poll(_LOOK_EVERY_S)]
            except PenstockError:  # the picture goes on without rates; the workers report the broker
                events = []
                time.sleep(_LOOK_EVERY_S)
            yield [event for event in events if isinstance(event, StageMeasured)]
    finally:
        log.close()


def _status_table(supervisor: "Supervisor", rates: Any, now_us: int) -> Any:
    from rich import box
    from rich.table import Table

    from streams.cli.status import COLUMNS, rows

    table = Table(*COLUMNS, box=box.SIMPLE_HEAD, pad_edge=False)
    for row in rows(supervisor.status(), rates, now_us):
        table.add_row(*map(str, row))
    return table


def _stop_and_wait(pid: int, still_runs: Callable[[], bool]) -> None:
    try:
        os.kill(pid, signal.SIGTERM)
    except ProcessLookupError:
        pass
    except PermissionError:
        raise Failure(f"Process {pid} belongs to another user.", remedy="Let that user run `penstock down`.") from None
    deadline_s = time.monotonic() + _DOWN_WITHIN_S
    while still_runs():
        if time.monotonic() > deadline_s:
            raise Failure(
                f"Process {pid} has not ended within {_DOWN_WITHIN_S:g} s.",
                remedy=f"`kill -9 {pid}` ends it and all that it started; nothing is lost.",
            )
        time.sleep(0.1)
