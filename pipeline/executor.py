"""The executor protocol, and the inline executor: one process, no cluster. It is the specification of every other one.

plan n+1 ──load (a thread)──┐
plan n   ──annotate, commit─┴──> record n
"""

import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol

from pipeline.config import PrepareConfig
from pipeline.layout import lay_out, this_machine
from pipeline.numerics import Numerics, numerics_of
from pipeline.plan import ShardPlan
from pipeline.shards import ShardRecord
from pipeline.work import ShardWorker, Work


class Executor(Protocol):
    """Runs plans to committed shards, in any order."""

    def numerics(self, config: PrepareConfig) -> Numerics:
        """Settle device, dtypes, threads and batch size, as the workers will have them.

        Raises ConfigError at once if the configuration asks for what the machine or cluster does not have.
        """
        ...

    def run(self, plans: Sequence[ShardPlan], work: Work, progress: Callable[[int], None]) -> Iterator[ShardRecord]:
        """Yield each shard's record once it is committed; `progress` is told of samples as they are annotated.

        Raises a CondsetError for what the user can mend. KeyboardInterrupt passes through; shards in flight are lost
        and made again by the next run.
        """
        ...

    def close(self) -> None:
        """End every worker; after it nobody writes into the data set any more."""
        ...


class InlineExecutor:
    """Runs everything in this process; the next shard is loaded while the networks work on this one."""

    def numerics(self, config: PrepareConfig) -> Numerics:
        layout = lay_out(config.execution, this_machine(), inline=True)
        return numerics_of(config.annotators, layout.device, layout.threads_per_worker, layout.batch_size)

    def run(self, plans: Sequence[ShardPlan], work: Work, progress: Callable[[int], None]) -> Iterator[ShardRecord]:
        worker = ShardWorker(work, progress)
        stop = threading.Event()
        with ThreadPoolExecutor(1, thread_name_prefix="load") as loader:
            try:
                loading = deque(loader.submit(work.load, plan, stop) for plan in plans[:1])
                for position in range(len(plans)):
                    loaded = loading.popleft().result()
                    loading.extend(loader.submit(work.load, plan, stop) for plan in plans[position + 1 : position + 2])
                    yield worker(loaded)
            finally:
                stop.set()  # after an error or Ctrl-C the shard that is being loaded is not waited for

    def close(self) -> None:
        """There is nothing to end: the loading thread ended with `run`."""
