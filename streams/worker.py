"""The one entry point with effects: runs a role in this process until SIGTERM.

In: the role's name and the environment. Out: a running worker. Keeps nothing. Fails with exit status 2 and a sentence for an
unknown role or a mistake in a file, before it touches the broker. ``python -m streams.worker ROLE`` or ``penstock worker ROLE``.
"""

import asyncio
import ctypes
import gc
import os
import signal
import sys
import threading
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from streams import lean, tracing  # noqa: F401 - before whatever would bring in what lean keeps out
from streams.deployment import Deployment
from streams.errors import PenstockError
from streams.exposition import exposition
from streams.logs import configure
from streams.observed import OfAnalytics, OfAStage, OfTheModels
from streams.yielding import step_back

if TYPE_CHECKING:
    from streams.stage import Stage

UNUSABLE = 2
MALLOC_OPTIONS = {-1: 128 * 1024, -3: 64 * 1024, -8: 2}
"""M_TRIM_THRESHOLD and M_MMAP_THRESHOLD in bytes, M_ARENA_MAX."""
GARBAGE_LOOKED_FOR_AFTER = 3_000
"""New objects in cycles or under way before Python looks for garbage; its 700 are two events."""


def run_router(deployment: Deployment, environ: Mapping[str, str]) -> None:
    """Run the router."""
    from agents.encoding.static import StaticEncoder
    from agents.router import build_router

    _run_stage(deployment, lambda: build_router(deployment, StaticEncoder(deployment.models_folder), environ))


def run_generator(deployment: Deployment, environ: Mapping[str, str]) -> None:
    """Run the generator."""
    from agents.generator import build_generator

    _run_stage(deployment, lambda: build_generator(deployment, environ))


def run_evaluator(deployment: Deployment, environ: Mapping[str, str]) -> None:
    """Run the evaluator."""
    from agents.encoding.static import StaticEncoder
    from agents.evaluator import build_evaluator

    del environ
    _run_stage(deployment, lambda: build_evaluator(deployment, StaticEncoder(deployment.models_folder)))


def run_analytics(deployment: Deployment, environ: Mapping[str, str]) -> None:
    """Run the analytics consumer with its learner."""
    from analytics.worker import build_analytics

    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    give_memory_back()
    consumer = build_analytics(deployment, environ)
    _look_for_garbage_seldom()
    with exposition(OfAnalytics(consumer), deployment):
        # who reads the public file waits while this process starts: it steps back once it has shown what came meanwhile
        consumer.run(stop, when_shown=lambda: step_back("analytics"))


def run_models(deployment: Deployment, environ: Mapping[str, str]) -> None:
    """Run the embedded model server."""
    from agents.model_server.server import serve

    del environ
    with exposition(OfTheModels(), deployment):
        serve("127.0.0.1", 0, deployment.models_folder, run_file=deployment.run_folder / "models.json")


Run = Callable[[Deployment, Mapping[str, str]], None]
ROLES: dict[str, Run] = {
    "models": run_models,
    "router": run_router,
    "generator": run_generator,
    "evaluator": run_evaluator,
    "analytics": run_analytics,
}
"""Every role by name, in the order in which they are started."""


def _run_stage(deployment: Deployment, build: "Callable[[], Stage]") -> None:
    import faust
    import uvloop

    from streams.rebalancing import App

    asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    give_memory_back()
    stage = build()
    _look_for_garbage_seldom()
    if isinstance(stage.app, App):
        signal.signal(signal.SIGCONT, stage.app.end_if_lapsed)
    worker = faust.Worker(stage.app, loop=loop, override_logging=False, quiet=True, redirect_stdouts=False)
    stage.watchdog.when_first_ready = lambda: step_back(stage.role)
    worker.spinner = None  # it writes a terminal's control characters between the lines of the log
    with exposition(OfAStage(stage, loop), deployment):
        worker.execute_from_commandline()


def _look_for_garbage_seldom() -> None:
    """Pass over modules, schemas, catalogues and encoders, which stay: going over them again pauses for 50 ms each time."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(GARBAGE_LOOKED_FOR_AFTER)


def give_memory_back() -> None:
    """Have glibc give freed memory back and not keep a heap for each thread: 7 MiB of a generator's 200. Elsewhere nothing."""
    allocator = getattr(ctypes.CDLL(None), "mallopt", None)
    if allocator is not None:
        for option, number in MALLOC_OPTIONS.items():
            allocator(option, number)


def _is_for_the_operator(error: Exception) -> bool:
    """Whether the error's own sentence says what to do, so that a traceback would only hide it."""
    from agents.encoding.artefacts import EncodingError
    from agents.loading.problems import InvalidFile

    return isinstance(error, PenstockError | InvalidFile | EncodingError)


def main(arguments: list[str]) -> int:
    """Run the role that the arguments name; the exit status."""
    role = arguments[0] if arguments else ""
    if role not in ROLES:
        sys.stderr.write(f"There is no role {role!r}. Known: {', '.join(ROLES)}.\n")
        return UNUSABLE
    os.environ.setdefault(
        "OPENBLAS_NUM_THREADS", "1"
    )  # before numpy is imported: small matrices gain nothing from more
    deployment = Deployment()
    configure(deployment.log_level)
    try:
        tracing.start(role, deployment.worker, os.environ)
        ROLES[role](deployment, dict(os.environ))
    except Exception as error:
        if not _is_for_the_operator(error):
            raise
        sys.stderr.write(f"{error}\n")
        return UNUSABLE
    finally:
        tracing.stop()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
