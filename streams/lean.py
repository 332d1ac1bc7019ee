"""Keeps out of a worker's process what it never uses; imported before anything else that could bring it in.

In: nothing. Out: a process of ``streams.worker`` in which ``rich`` cannot be imported; any other process as it was. Keeps nothing.
Cannot fail.

structlog imports rich wherever it is installed, for tracebacks in colours; the command line draws tables with it. A worker writes
lines of JSON, and without rich it is 3 MiB smaller and ready 60 ms sooner.
"""

import sys

_running = getattr(sys.modules.get("__main__"), "__spec__", None)
if _running is not None and _running.name == "streams.worker":
    sys.modules.setdefault("rich", None)  # type: ignore[arg-type]  # Python's own way to say that there is none
