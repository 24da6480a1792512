"""What a call must not leave behind in its process: open files, threads, unfinished tasks."""

import asyncio
import gc
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.misbehaving_server import MisbehavingServer

SERVER_SECONDS = 60.0
"""For the server, which is in the same process, to close its ends of connections."""


@contextmanager
def nothing_left(server: MisbehavingServer) -> Iterator[None]:
    """Fail if the block leaves more than there was before it."""
    before = _open_files(), threading.active_count(), _unfinished_tasks(server)
    yield
    gone_by = time.monotonic() + SERVER_SECONDS
    while _open_files() > before[0] and time.monotonic() < gone_by:
        time.sleep(0.02)
    assert (_open_files(), threading.active_count(), _unfinished_tasks(server)) == before


def _open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def _unfinished_tasks(server: MisbehavingServer) -> int:
    tasks = (each for each in gc.get_objects() if type(each) is asyncio.Task)
    return sum(not task.done() and task.get_loop() is not server.loop for task in tasks)
