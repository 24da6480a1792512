"""Keeps warnings that nobody can act upon off the terminal, from any number of threads.

    first thread in ──> the process's filters are kept ──> each adds its own ──> last thread out ──> they are restored

`warnings.catch_warnings` swaps a list that belongs to the whole process, so threads that use it at once restore each
other's state. The invariant: while nobody is inside, the process's filters are what they were.
"""

import threading
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Ignored:
    """Which warnings, in the terms of `warnings.filterwarnings`; without any, all of them."""

    message: str = ""
    """A regular expression that the text begins with."""
    category: type[Warning] = Warning
    module: str = ""
    """A regular expression that the name of the module that warns begins with."""


_lock = threading.Lock()
_restore = ExitStack()
_active: set[Ignored] = set()
_inside = 0


@contextmanager
def warnings_ignored(*ignored: Ignored) -> Iterator[None]:
    """Neither print nor raise such warnings while the block runs, and possibly while another thread's block does."""
    global _inside
    with _lock:
        if _inside == 0:
            _restore.enter_context(warnings.catch_warnings())
        _inside += 1
        for each in ignored:
            if each not in _active:
                warnings.filterwarnings("ignore", each.message, each.category, each.module)
                _active.add(each)
    try:
        yield
    finally:
        with _lock:
            _inside -= 1
            if _inside == 0:
                _active.clear()
                _restore.close()
