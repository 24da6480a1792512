"""Keeps Pillow's warnings about bad files off the terminal, from any number of threads.

Pillow warns of broken EXIF data, malformed animations and more through Python's `warnings`. A data set has its own
place for what was wrong with a file, its shard's record. `warnings.catch_warnings` swaps a list that belongs to the
whole process, so threads that use it at once restore each other's state; here the first one in sets the filter and the
last one out restores it. The invariant: while nobody is inside, the process's filters are what they were.
"""

import threading
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

_lock = threading.Lock()
_restore = ExitStack()
_inside = 0


@contextmanager
def pillow_warnings_ignored() -> Iterator[None]:
    """Ignore, neither print nor raise, the warnings that Pillow's modules give in the meantime."""
    global _inside
    with _lock:
        if _inside == 0:
            _restore.enter_context(warnings.catch_warnings())
            warnings.filterwarnings("ignore", module=r"PIL\.")
        _inside += 1
    try:
        yield
    finally:
        with _lock:
            _inside -= 1
            if _inside == 0:
                _restore.close()
