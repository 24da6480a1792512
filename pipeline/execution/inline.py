"""The executor protocol, and the inline executor: one process, no cluster. It is the specification of every other one.

plan n + 2 ──load──┐
plan n + 1 ──annotate──┐
plan n     ──commit────┴──> record n
"""

import threading
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from typing import Protocol

from pipeline.config import PrepareConfig
from pipeline.dataset.numerics import Numerics, numerics_of
from pipeline.dataset.plan import ShardPlan
from pipeline.dataset.record import ShardRecord
from pipeline.execution.origins import LoadedShard
from pipeline.execution.resources import allocate, this_machine
from pipeline.execution.worker import SHARDS_ANNOTATED, ShardWorker, Work
from stages.ahead import in_order
from stages.hardware.process import configured_process


class Executor(Protocol):
    """Runs plans to committed shards, in any order."""

    def numerics(self, config: PrepareConfig) -> Numerics:
        """Settle device, dtypes, threads and batch size, as the workers will have them.

        Raises ConfigError at once if the configuration asks for what the machine or cluster does not have.
        """
        ...

    def run(
        self, plans: Sequence[ShardPlan], work: Work, progress: Callable[[int], None]
    ) -> Generator[ShardRecord, None, None]:
        """Yield each shard's record once it is committed; `progress` is told of samples as they are annotated.

        Raises a CondsetError for what the user can fix. KeyboardInterrupt passes through; shards in flight are lost
        and made again by the next run. Whoever does not take the last record closes the generator, in the thread that
        took the first: threads and what was changed of the process end with it.
        """
        ...

    def close(self) -> None:
        """End every worker; after it nobody writes into the data set any more.

        May be called again, and `numerics` begins anew after it.
        """
        ...


class InlineExecutor:
    """Runs everything in this process; what three neighbouring shards need is done at the same time."""

    def numerics(self, config: PrepareConfig) -> Numerics:
        allocation = allocate(config.execution, this_machine(), inline=True)
        return numerics_of(config.annotators, allocation.device, allocation.threads_per_worker, allocation.batch_size)

    def run(
        self, plans: Sequence[ShardPlan], work: Work, progress: Callable[[int], None]
    ) -> Generator[ShardRecord, None, None]:
        stop = threading.Event()
        with (
            configured_process(work.numerics.device, work.numerics.threads_per_worker),
            closing(ShardWorker(work, progress)) as worker,
            ThreadPoolExecutor(1, "load") as loader,
            ThreadPoolExecutor(SHARDS_ANNOTATED, "shard") as shards,
        ):

            def begin(plan: ShardPlan) -> Future[ShardRecord]:
                return shards.submit(_annotate_loaded, worker, loader.submit(work.load, plan, stop))

            try:
                yield from in_order(begin, plans, SHARDS_ANNOTATED)
            finally:
                # After an error or Ctrl-C nothing else is begun.
                stop.set()
                for pool in (loader, shards):
                    pool.shutdown(wait=False, cancel_futures=True)
                worker.close()

    def close(self) -> None:
        """There is nothing to end: every thread ended with `run`."""


def _annotate_loaded(worker: ShardWorker, loading: Future[LoadedShard]) -> ShardRecord:
    return worker(loading.result())
