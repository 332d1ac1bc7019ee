"""The broker, from wherever this machine has one: given, in a container, or on its Java.

In: `var` (the folder for what is made at run time) and the environment. Out: a RunningBroker with
`bootstrap_servers`. Chosen in this order:

1. `PENSTOCK_BOOTSTRAP_SERVERS`: a broker that is somebody else's; it is asked, never stopped;
2. a container engine whose server answers: testcontainers for an ephemeral broker, compose otherwise;
3. Apache Kafka's Maven artefacts (`make setup`) on Java, in one process of 512 MiB heap.

Keeps: data in `var/kafka/<name>` (in compose's volume, respectively) unless ephemeral; the run file
`var/run/<name>.json`; the log `var/logs/<name>.log`. A broker started here ends with the process that started it, also
when that is killed; what a killed run left is dealt with at the next start. Fails with infra.errors.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import secrets
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from infra import broker_container, broker_jvm, broker_record, processes
from infra.broker_record import BrokerRecord, Kind, record_path
from infra.errors import BrokerUnavailable
from infra.processes import ProcessRunner, run_process
from infra.readiness import answers

ADDRESS_VARIABLE = "PENSTOCK_BOOTSTRAP_SERVERS"
_ROOT = Path(__file__).resolve().parents[1]
_EPHEMERAL = "-ephemeral-"


class RunningBroker:
    """A broker that answers. Leaving it as a context, or `stop()`, ends it if it was started here."""

    def __init__(
        self,
        bootstrap_servers: str,
        kind: Kind,
        *,
        pid: int | None = None,
        release: Callable[[], None] = lambda: None,
    ) -> None:
        self.bootstrap_servers = bootstrap_servers
        self.kind: Kind = kind
        self.pid = pid
        self._release = release
        self._stopped = False

    def stop(self) -> None:
        """Stop what was started for this object; the second time does nothing."""
        if not self._stopped:
            self._stopped = True
            self._release()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()


def provide_broker(
    var: Path,
    *,
    port: int | None = None,
    ephemeral: bool = False,
    name: str = "broker",
    reuse: bool = False,
    libs: Path | None = None,
    environ: Mapping[str, str] | None = None,
    run: ProcessRunner = run_process,
    make_container: Callable[[str], Any] | None = None,
    given_answers_s: float = 15.0,
) -> RunningBroker:
    """A broker that answers within 60 s (a container's image may have to be pulled before).

    `port`: the clients' port; none means a free one. `ephemeral`: its data goes with it, and its
    run file has a name of its own, so that any number of them run side by side. `reuse`: if the
    broker of this name runs for a living process, take part in it instead of failing; stopping
    it stays that process's affair. `libs`: the jars, by default `var/kafka/libs` of this `var` or
    of the project. `given_answers_s`: how long a given broker has to answer.

    Errors: BrokerUnavailable, BrokerInUse, PortTaken, RequirementMissing, BrokerDidNotStart.
    """
    environment = os.environ if environ is None else environ
    if given := environment.get(ADDRESS_VARIABLE, "").strip():
        return _given(given, given_answers_s)
    var = var.resolve()
    with _one_at_a_time(var, name):
        sweep_ephemeral(var)
        own_name = f"{name}{_EPHEMERAL}{secrets.token_hex(4)}" if ephemeral else name
        if own_name == "libs":
            raise ValueError("var/kafka/libs holds the jars: give the broker another name")
        home = var / "kafka" / own_name
        adopted = broker_record.settle(record_path(var, own_name), own_name, home, reuse=reuse)
        if adopted is not None:
            return RunningBroker(adopted.bootstrap_servers, adopted.kind, pid=adopted.pid)
        engine = broker_container.find_engine(run)
        if engine is None:
            java = broker_jvm.find_java(environment)
            jars = libs or _find_libs(var)
            return _on_java(var, own_name, home, jars, java, port=port, ephemeral=ephemeral)
        if ephemeral:
            throwaway = broker_container.throwaway_broker(port or broker_jvm.free_port(), make_container=make_container)
            throwaway.start()
            return RunningBroker(f"localhost:{throwaway.port}", "container", release=throwaway.stop)
        return _in_compose(engine, run, var, own_name, home, port=port)


def stop_left_over(var: Path, *, name: str = "broker", run: ProcessRunner = run_process) -> bool:
    """Stop the broker of this name, whoever started it (`penstock down`). Whether one ran.

    Its data stays. A broker that was given by its address is nobody's to stop.
    """
    var = var.resolve()
    path = record_path(var, name)
    record = broker_record.read_record(path)
    stopped = broker_record.stop_strays(var / "kafka" / name) > 0
    if record is not None and record.kind == "container":
        engine = broker_container.find_engine(run)
        if engine is not None:
            broker_container.ComposeBroker(engine, run, project=f"penstock-{name}", port=record.port).stop()
            stopped = True
    path.unlink(missing_ok=True)
    return stopped


def sweep_ephemeral(var: Path) -> int:
    """Remove what ephemeral brokers of dead processes left behind; how many they were."""
    swept = 0
    for path in sorted((var / "run").glob(f"*{_EPHEMERAL}*.json")):
        record = broker_record.read_record(path)
        if record is not None and record.owner_lives():
            continue
        home = var / "kafka" / path.stem
        broker_record.stop_strays(home)
        shutil.rmtree(home, ignore_errors=True)
        path.unlink(missing_ok=True)
        swept += 1
    return swept


def _given(bootstrap_servers: str, within_s: float) -> RunningBroker:
    failure = answers(bootstrap_servers, within_s=within_s)
    if failure is not None:
        raise BrokerUnavailable(bootstrap_servers, waited_s=within_s, reason=failure)
    return RunningBroker(bootstrap_servers, "given")


def _on_java(
    var: Path, name: str, home: Path, libs: Path, java: str, *, port: int | None, ephemeral: bool
) -> RunningBroker:
    path = record_path(var, name)
    log = home / "broker.log" if ephemeral else var / "logs" / f"{name}.log"
    # The record goes first: who is killed while the node starts leaves a name for what to sweep.
    broker_record.write_record(path, _record("jvm", 0, None, home, ephemeral=ephemeral))

    def remove_traces() -> None:
        path.unlink(missing_ok=True)
        if ephemeral:
            shutil.rmtree(home, ignore_errors=True)

    try:
        node = broker_jvm.start_jvm_broker(libs, home, log, port=port, java=java)
    except BaseException:
        remove_traces()
        raise
    record = _record("jvm", node.port, node.pid, home, ephemeral=ephemeral)
    broker_record.write_record(path, record)

    def release() -> None:
        node.stop()
        remove_traces()

    return RunningBroker(record.bootstrap_servers, "jvm", pid=node.pid, release=release)


def _in_compose(
    engine: broker_container.Engine,
    run: ProcessRunner,
    var: Path,
    name: str,
    home: Path,
    *,
    port: int | None,
) -> RunningBroker:
    path = record_path(var, name)
    broker = broker_container.ComposeBroker(
        engine, run, project=f"penstock-{name}", port=port or broker_container.DEFAULT_PORT
    )
    broker.start()
    record = _record("container", broker.port, None, home, ephemeral=False)
    broker_record.write_record(path, record)

    def release() -> None:
        broker.stop()
        path.unlink(missing_ok=True)

    return RunningBroker(record.bootstrap_servers, "container", release=release)


def _record(kind: Kind, port: int, pid: int | None, home: Path, *, ephemeral: bool) -> BrokerRecord:
    return BrokerRecord(
        kind=kind,
        bootstrap_servers=f"localhost:{port}",
        port=port,
        pid=pid,
        home=str(home),
        ephemeral=ephemeral,
        owner_pid=os.getpid(),
        owner_identity=processes.identity(os.getpid()) or "",
        started_at_ms=time.time_ns() // 1_000_000,
    )


def _find_libs(var: Path) -> Path:
    own = var / "kafka" / "libs"
    return own if broker_jvm.artefacts_present(own) else _ROOT / "var" / "kafka" / "libs"


@contextlib.contextmanager
def _one_at_a_time(var: Path, name: str) -> Iterator[None]:
    """Two starts of one name follow each other; the system frees the lock of who is killed."""
    folder = var / "run"
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / f"{name}.lock").open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
