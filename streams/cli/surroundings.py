"""What a command reaches out to: the deployment, the broker, the clock, the terminal. One object, so that tests bring their own.

In: typer's context. Out: the ``Surroundings`` that ``main`` or a test put there, by default the real ones. Keeps nothing.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractAsyncContextManager, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from streams.codec import Codec
    from streams.deployment import Deployment
    from streams.following import Log
    from streams.scratch import Scratch

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]
"""The option that every command has."""

BROKER_WITHIN_S = 5.0


def _deployment() -> "Deployment":
    from streams.deployment import Deployment

    return Deployment()


def _log(deployment: "Deployment") -> "Log":
    from streams.following import KafkaLog

    return KafkaLog(deployment)


def _client(deployment: "Deployment", on_chunk: Callable[[Any], None] | None) -> AbstractAsyncContextManager[Any]:
    from infra.readiness import answers
    from streams.client import Client
    from streams.errors import Unconfigured

    servers = deployment.bootstrap()
    failure = answers(servers, within_s=BROKER_WITHIN_S)
    if failure is not None:  # asked first, because the client itself would wait and log for long
        raise Unconfigured(
            f"The broker at {servers} does not answer: {failure}.",
            remedy="Start it (`penstock up`), or correct PENSTOCK_BOOTSTRAP_SERVERS.",
        )
    return Client(deployment, on_chunk=on_chunk)


def _scratch(deployment: "Deployment") -> "Scratch":
    from streams.scratch import KafkaScratch

    return KafkaScratch(deployment)


def _login() -> str:
    import getpass

    try:
        return getpass.getuser()
    except (OSError, KeyError):  # a user id without a name, as in some containers
        return "unknown"


def _at_terminal() -> bool:
    import sys

    return sys.stdin.isatty()


@dataclass(frozen=True)
class Surroundings:
    """The world of a command. Times are in microseconds since 1970-01-01 UTC."""

    deployment: Callable[[], "Deployment"] = _deployment
    open_log: Callable[["Deployment"], "Log"] = _log
    open_client: Callable[["Deployment", Callable[[Any], None] | None], AbstractAsyncContextManager[Any]] = _client
    open_scratch: Callable[["Deployment"], "Scratch"] = _scratch
    clock_us: Callable[[], int] = lambda: time.time_ns() // 1_000
    login: Callable[[], str] = _login
    at_terminal: Callable[[], bool] = _at_terminal

    def codec(self) -> "Codec":
        """Give a codec that also reads what other releases write."""
        from streams.codec import Codec
        from streams.lookup import SchemaLookUp

        codec = Codec()
        codec.look_up = SchemaLookUp(codec, lambda: self.open_log(self.deployment()))
        return codec


def surroundings(ctx: typer.Context) -> Surroundings:
    """Give the surroundings of this call."""
    return ctx.obj if isinstance(ctx.obj, Surroundings) else Surroundings()


@contextmanager
def reading(around: Surroundings) -> Iterator["Log"]:
    """Open the log of the deployment, and close it again."""
    log = around.open_log(around.deployment())
    try:
        yield log
    finally:
        log.close()
