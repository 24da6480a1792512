"""How threads that share the work of one layer wait for each other: asleep, so that others may use the cores.

OpenMP's threads spin for milliseconds before they sleep. With every core to itself that gains next to nothing; beside
other programs the spinning thread holds the core that the thread it waits for should have: on two cores with a load of
7, training took a tenth of the steps a second.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager

CHOSEN_BY = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME")
"""Whoever has set one of them has decided."""
VARIABLE, SPINS = "GOMP_SPINCOUNT", "1000"
"""Of GNU's OpenMP, which torch brings along: some microseconds, in which a layer's threads usually meet."""


@contextmanager
def waiting_asleep() -> Iterator[None]:
    """Have torch, if it is loaded within the block, and processes that are started in it wait so."""
    if any(name in os.environ for name in CHOSEN_BY):
        yield
        return
    os.environ[VARIABLE] = SPINS
    try:
        yield
    finally:
        os.environ.pop(VARIABLE, None)
