"""Linear algebra in one thread: several add up in another order, and what a replay learns would differ in its last bits.

In: nothing. Out: a context in which BLAS uses one thread. Keeps which libraries there are. Cannot fail.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

import numpy as np  # noqa: F401 - its BLAS must be loaded before libraries are looked for
from threadpoolctl import ThreadpoolController


@contextmanager
def one_thread() -> Iterator[None]:
    """Compute what is learned in here."""
    with _libraries().limit(limits=1, user_api="blas"):
        yield


@cache
def _libraries() -> ThreadpoolController:
    return ThreadpoolController()
