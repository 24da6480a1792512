"""What each thread of this process is doing, for whoever measures where the time goes.

    a thread   with doing("decoding"): ...     with doing("sketch"): ...
    a watcher       activities() ───> {thread id: "sketch"}

Threads say it themselves. To look at another thread's stack instead (`sys._current_frames`, `f_back`) crashed one
measurement in twenty on CPython 3.11: the frames may be gone while they are read.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

_doing: dict[int, str] = {}
"""By the thread's id. A thread writes its own entry alone; nobody decides anything by it."""


@contextmanager
def doing(activity: str) -> Iterator[None]:
    """Say what this thread does within the block; afterwards it does what it did before."""
    thread = threading.get_ident()
    before = _doing.get(thread)
    _doing[thread] = activity
    try:
        yield
    finally:
        if before is None:
            del _doing[thread]
        else:
            _doing[thread] = before


def activities() -> dict[int, str]:
    """Return what the threads of this process do now, by their ids; threads that did not say are absent."""
    return _doing.copy()
