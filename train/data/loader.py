"""Batches in their order, read ahead by threads while the device works.

    indices of batch n+3 ─┐
    indices of batch n+2 ─┼─threads: read, decode, draw─> samples ──stack──> batch n, n+1, ...
    indices of batch n+1 ─┘

Threads, not processes: what takes time (storage, JPEG, PNG, NumPy) releases the interpreter's lock, an error keeps its
type, and nothing is pickled. The invariant: the batches are those of `batches`, whatever finishes first.
"""

import itertools
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Annotated

from pydantic import Field

from stages.settings import Mark, Settings
from train.data.batch import Batch, VisitedSample, VisitReader, stack


class LoaderConfig(Settings):
    """How samples are read."""

    shuffle_window: int = Field(default=4096, ge=1)
    """Number of samples of neighbouring shards that are shuffled together; shards themselves are shuffled too."""
    workers: Annotated[int, Mark.MANNER] = Field(default=4, ge=1)
    """Number of threads that read and decode."""
    ahead: Annotated[int, Mark.MANNER] = Field(default=4, ge=1)
    """Number of batches that are read ahead."""


@contextmanager
def loading(read: VisitReader, batches: Iterable[range], config: LoaderConfig, pin: bool) -> Iterator[Iterator[Batch]]:
    """Yield the batches of `batches`, ranges of global sample indices; the threads end with the block.

    What reading raises is raised when its batch is due.
    """
    with ThreadPoolExecutor(config.workers, thread_name_prefix="read") as threads:
        try:
            yield _batches(read, iter(batches), config.ahead, threads, pin)
        finally:
            threads.shutdown(wait=False, cancel_futures=True)


def _batches(
    read: VisitReader, batches: Iterator[range], ahead: int, threads: ThreadPoolExecutor, pin: bool
) -> Iterator[Batch]:
    def submit(indices: range) -> list[Future[VisitedSample]]:
        return [threads.submit(read, index) for index in indices]

    waiting = deque(submit(indices) for indices in itertools.islice(batches, ahead))
    while waiting:
        samples = [future.result() for future in waiting.popleft()]
        waiting.extend(submit(indices) for indices in itertools.islice(batches, 1))
        yield stack(samples, pin)
