"""The Ray executor: the same work on every core and GPU of a laptop or a cluster.

The only module that imports ray beside `train/loop/ray.py`.

    plans ──map: load (CPU tasks)──> encoded images ──map: annotate + commit (a pool of actors)──> records ──> driver

Ray Data's streaming executor is the engine; one row is one plan from end to end, so that a shard is never split or
mixed with another. Ray starts a lost worker again and gives it its shard again. Our own errors travel as values.
"""

import contextlib
import logging
import os
import pickle
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from pipeline.config import PrepareConfig
from pipeline.dataset.numerics import Numerics, numerics_of
from pipeline.dataset.plan import ShardPlan
from pipeline.dataset.record import ShardRecord
from pipeline.doctor.finding import Finding, Level
from pipeline.execution.origins import LoadedShard
from pipeline.execution.resources import Allocation, Resources, allocate, this_machine
from pipeline.execution.worker import SHARDS_ANNOTATED, ShardWorker, Work
from stages.errors import CondsetError, ConfigError, WorkerError

POLL_SECONDS = 0.5
KNOCK_SECONDS = 10.0
"""A cluster that is there answers sooner."""


class RayExecutor:
    """Runs the work on a Ray cluster: a local one that it starts, or the one at `address`."""

    def __init__(self, address: str | None = None) -> None:
        self._address = address
        self._allocation: Allocation | None = None

    def numerics(self, config: PrepareConfig) -> Numerics:
        connect(self._address)
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

    def run(self, plans: Sequence[ShardPlan], work: Work, progress: Callable[[int], None]) -> Iterator[ShardRecord]:
        import ray
        from ray.data import ActorPoolStrategy, DataContext

        allocation = self._allocation
        assert allocation is not None, "numerics() has allocated the workers"
        logging.getLogger("ray.data").setLevel(logging.ERROR)  # after the import, which sets it
        context = DataContext.get_current()
        context.enable_progress_bars = False
        context.print_on_execution_start = False
        context.target_max_block_size = None  # a row holds a whole shard and must not be split
        counter = ray.remote(num_cpus=0)(_Counter).remote()
        home = str(Path.cwd())
        records = (
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
        with lost_workers_explained(), _polled(counter, progress):
            for row in records.iter_rows():
                yield _taken(row["record"])

    def close(self) -> None:
        import ray

        ray.shutdown()


def examine_ray() -> Finding:
    """Start a local Ray instance, run a task on it and say what happened: `condset doctor --ray`."""
    try:
        connect(None)
        import ray

        with lost_workers_explained():
            ray.get(ray.remote(num_cpus=0.01)(this_machine).remote())
        resources = cluster_resources()
    except CondsetError as error:
        return Finding("Ray run", Level.PROBLEM, str(error), "use --executor inline until it starts")
    finally:
        RayExecutor().close()
    return Finding("Ray run", Level.OK, f"a task ran; {resources.cpus:g} CPUs, {resources.gpus:g} GPUs")


class _Load:
    """The load operator: a plan's row becomes a row with the shard's encoded images."""

    def __init__(self, work: Work, home: str) -> None:
        self._work = work
        self._home = home

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        import cv2

        use_driver_directory(self._home)
        cv2.setNumThreads(1)  # cores are divided among the tasks already, see `configure_process`
        return {"shard": _outcome(lambda: self._work.load(pickle.loads(row["plan"])))}


class _Annotate:
    """The annotate operator: holds every network; a shard's row becomes its record's row."""

    def __init__(self, work: Work, counter: Any, home: str) -> None:
        use_driver_directory(home)
        try:
            self._worker: Callable[[LoadedShard], ShardRecord] = ShardWorker(work, counter.add.remote)
        except CondsetError as error:
            self._worker = _raising(error)

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        return {"record": _outcome(lambda: self._worker(_taken(row["shard"])))}


def use_driver_directory(home: str) -> None:
    """Work where the driver does: paths are relative to its working directory, which a cluster's nodes may share."""
    with contextlib.suppress(FileNotFoundError):
        os.chdir(home)


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


def connect(address: str | None) -> None:
    """Join the cluster at `address`, or start a local one; ConfigError if there is none."""
    # Ray reads its variables when it is imported, so they are set before.
    if address is None:
        # Under `uv run` Ray would make each worker build the environment again from a copy of the working directory.
        os.environ.setdefault("RAY_ENABLE_UV_RUN_RUNTIME_ENV", "0")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")  # silences a warning about GPUs on CPU tasks
    # Ray Data's own actors trip an error message of Ray's core that no user can act on (its issue 53727).
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")
    import ray

    if ray.is_initialized():
        return
    try:
        _knock(address)
        with _stderr_closed(), _sigterm_kept():
            ray.init(
                address=address or "local",
                include_dashboard=False,
                log_to_driver=False,
                logging_level=logging.ERROR,
            )
    except (OSError, ValueError, RuntimeError) as error:
        first_line = str(error).partition("\n")[0]
        raise ConfigError(
            f"--ray-address must lead to a running Ray cluster, got {address!r} ({first_line}); start one with "
            "`ray start --head`, or use --executor inline"
        ) from error


def _knock(address: str | None) -> None:
    """Connect to a cluster's "host:port" and hang up: Ray itself would wait minutes for one that is not there."""
    host, separator, port = (address or "").removeprefix("ray://").rpartition(":")
    if separator and port.isdecimal():
        socket.create_connection((host.strip("[]"), int(port)), timeout=KNOCK_SECONDS).close()


@contextlib.contextmanager
def _sigterm_kept() -> Iterator[None]:
    """Keep what SIGTERM does in this process: Ray sets a handler that ends it at once, with nothing kept."""
    if threading.current_thread() is not threading.main_thread():  # Ray sets none there
        yield
        return
    kept = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, kept)


@contextlib.contextmanager
def _stderr_closed() -> Iterator[None]:
    """Send what compiled code prints on stderr to nowhere; Ray's core announces its log level there, below Python."""
    sys.stderr.flush()
    kept = os.dup(2)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


def cluster_resources() -> Resources:
    import ray

    total: dict[str, float] = ray.cluster_resources()  # type: ignore[no-untyped-call]
    nodes = ray.nodes()  # type: ignore[no-untyped-call]
    node_cpus = [node["Resources"].get("CPU", 0.0) for node in nodes if node["Alive"]]
    return Resources(
        cpus=total.get("CPU", 0.0),
        gpus=total.get("GPU", 0.0),
        node_cpus=min((cpus for cpus in node_cpus if cpus), default=1),
    )


@contextlib.contextmanager
def lost_workers_explained() -> Iterator[None]:
    """Say in one line that the cluster lost workers for good; an exception out of our code is a bug and passes."""
    import ray

    lost = (ray.exceptions.RayActorError, ray.exceptions.WorkerCrashedError, ray.exceptions.OutOfMemoryError)
    try:
        yield
    except lost as error:
        first_line = str(error).strip().partition("\n")[0]
        raise WorkerError(
            f"a Ray worker must stay alive, got {type(error).__name__}: {first_line}; run again"
        ) from error
