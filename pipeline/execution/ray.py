"""The Ray executor: the same work on every core and GPU of a laptop or a cluster.

Beside `ray_cluster` and `train/loop/ray.py` the only module that imports ray.

    plans ──map: load (CPU tasks)──> encoded images ──map: annotate + commit (a pool of actors)──> records ──> driver

Ray Data's streaming executor is the engine; one row is one plan from end to end, so that a shard is never split or
mixed with another. Ray starts a lost worker again and gives it its shard again. Our own errors travel as values.
"""

import contextlib
import logging
import pickle
import threading
from collections.abc import Callable, Generator, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.config import PrepareConfig
from pipeline.dataset.numerics import Numerics, numerics_of
from pipeline.dataset.plan import ShardPlan
from pipeline.dataset.record import ShardRecord
from pipeline.execution.origins import LoadedShard
from pipeline.execution.ray_cluster import cluster_resources, connected, driver_directory, lost_workers_explained
from pipeline.execution.resources import Allocation, allocate
from pipeline.execution.worker import SHARDS_ANNOTATED, ShardWorker, Work
from stages.errors import CondsetError
from stages.hardware.process import configured_process, opencv_threads

if TYPE_CHECKING:
    from ray.data import Dataset

POLL_SECONDS = 0.5


class RayExecutor:
    """Runs the work on a Ray cluster: a local one that it starts, or the one at `address`."""

    def __init__(self, address: str | None = None) -> None:
        self._address = address
        self._connection = contextlib.ExitStack()
        self._allocation: Allocation | None = None

    def numerics(self, config: PrepareConfig) -> Numerics:
        self._connection.enter_context(connected(self._address))
        import ray

        allocation = self._allocation = allocate(config.execution, cluster_resources(), inline=False)
        arguments = (config.annotators, allocation.device, allocation.threads_per_worker, allocation.batch_size)
        if allocation.device == "cpu" and self._address is None:
            return numerics_of(*arguments)
        # Only a worker knows whether its GPU or CPU multiplies bfloat16 natively.
        asked = ray.remote(num_cpus=0.01, num_gpus=allocation.gpus_per_worker)(numerics_of)
        with lost_workers_explained():
            numerics: Numerics = ray.get(asked.remote(*arguments))
        return numerics

    def run(
        self, plans: Sequence[ShardPlan], work: Work, progress: Callable[[int], None]
    ) -> Generator[ShardRecord, None, None]:
        import ray

        counter = ray.remote(num_cpus=0)(_Counter).remote()
        with data_settings(), lost_workers_explained(), _polled(counter, progress):
            for row in self._records(plans, work, counter).iter_rows():
                yield _taken(row["record"])

    def _records(self, plans: Sequence[ShardPlan], work: Work, counter: Any) -> "Dataset":
        """The data set of the packed records; nothing runs before its rows are asked for."""
        import ray
        from ray.data import ActorPoolStrategy

        allocation, home = self._allocation, str(Path.cwd())
        assert allocation is not None, "numerics() has allocated the workers"
        return (
            ray.data.from_items([{"plan": pickle.dumps(plan)} for plan in plans], override_num_blocks=len(plans))
            .map(_Load(work, home), num_cpus=allocation.cpus_per_load)
            .map(
                _Annotate,  # type: ignore[arg-type]  # Ray builds the class in each actor
                fn_constructor_args=(work, counter, home),
                compute=ActorPoolStrategy(
                    size=min(allocation.workers, len(plans)),
                    max_tasks_in_flight_per_actor=SHARDS_ANNOTATED,
                    max_concurrent_calls_per_actor=SHARDS_ANNOTATED,
                    enable_true_multi_threading=True,
                ),
                num_cpus=allocation.cpus_per_worker,
                num_gpus=allocation.gpus_per_worker,
            )
        )

    def close(self) -> None:
        self._connection.close()


@contextlib.contextmanager
def data_settings() -> Iterator[None]:
    """Keep Ray Data quiet, and a row in one piece, which holds a whole shard, while the block runs."""
    from ray.data import DataContext

    logger = logging.getLogger("ray.data")  # after the import, which sets its level
    level, context = logger.level, DataContext.get_current()
    settings = {"enable_progress_bars": False, "print_on_execution_start": False, "target_max_block_size": None}
    former = {name: getattr(context, name) for name in settings}
    logger.setLevel(logging.ERROR)
    for name, value in settings.items():
        setattr(context, name, value)
    try:
        yield
    finally:
        logger.setLevel(level)
        for name, value in former.items():
            setattr(context, name, value)


class _Load:
    """The load operator: a plan's row becomes a row with the shard's encoded images."""

    def __init__(self, work: Work, home: str) -> None:
        self._work = work
        self._home = home

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        with driver_directory(self._home), opencv_threads(1):  # cores are divided among the tasks already
            return {"shard": _outcome(lambda: self._work.load(pickle.loads(row["plan"])))}


class _Annotate:
    """The annotate operator: holds every network; a shard's row becomes its record's row."""

    def __init__(self, work: Work, counter: Any, home: str) -> None:
        # Entered and never left: the process of an actor annotates for as long as it lives.
        self._for_life = contextlib.ExitStack()
        self._for_life.enter_context(driver_directory(home))
        self._for_life.enter_context(configured_process(work.numerics.device, work.numerics.threads_per_worker))
        try:
            self._worker: Callable[[LoadedShard], ShardRecord] = ShardWorker(work, counter.add.remote)
        except CondsetError as error:
            self._worker = _raising(error)

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        return {"record": _outcome(lambda: self._worker(_taken(row["shard"])))}


def _outcome(run: Callable[[], Any]) -> bytes:
    """Pack the result of something, or our own error, as a value: Ray's wrapping of exceptions loses their type."""
    try:
        return pickle.dumps(run())
    except CondsetError as error:
        return pickle.dumps(error)


def _taken(outcome: bytes) -> Any:
    """Unpack what `_outcome` packed: return the result or raise the error."""
    result = pickle.loads(outcome)
    if isinstance(result, CondsetError):
        raise result
    return result


def _raising(error: CondsetError) -> Callable[[LoadedShard], ShardRecord]:
    def fail(shard: LoadedShard) -> ShardRecord:
        raise error

    return fail


class _Counter:
    """Counts annotated samples over all workers, for the progress display."""

    def __init__(self) -> None:
        self._samples = 0

    def add(self, samples: int) -> None:
        self._samples += samples

    def take(self) -> int:
        taken, self._samples = self._samples, 0
        return taken


@contextlib.contextmanager
def _polled(counter: Any, progress: Callable[[int], None]) -> Iterator[None]:
    """Pass on what the counter counted, from a thread, while the block runs."""
    import ray

    done = threading.Event()

    def poll() -> None:
        while not done.wait(POLL_SECONDS):
            with contextlib.suppress(ray.exceptions.RayError):  # the progress display is never worth a failed run
                progress(ray.get(counter.take.remote()))

    thread = threading.Thread(target=poll, daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()
