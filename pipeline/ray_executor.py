"""The Ray executor: the same work on every core and GPU of a laptop or a cluster. The only module that imports ray.

    plans ──map: load (CPU tasks)──> encoded images ──map: annotate + commit (a pool of actors)──> records ──> driver

Ray Data's streaming executor is the engine; one row is one plan from end to end, so that a shard is never split or
mixed with another. Ray starts a lost worker again and gives it its shard again; an exception it does not retry, which
is right: ours mean that the user must change something.
"""

import contextlib
import logging
import os
import pickle
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from pipeline.config import PrepareConfig
from pipeline.layout import Layout, Resources, lay_out
from pipeline.numerics import Numerics, numerics_of
from pipeline.plan import ShardPlan
from pipeline.shards import ShardRecord
from pipeline.work import ShardWorker, Work
from stages.errors import CondsetError, ConfigError, WorkerError

POLL_SECONDS = 0.5


class RayExecutor:
    """Runs the work on a Ray cluster: a local one that it starts, or the one at `address`."""

    def __init__(self, address: str | None = None) -> None:
        self._address = address
        self._layout: Layout | None = None

    def numerics(self, config: PrepareConfig) -> Numerics:
        import ray

        _connect(self._address)
        layout = self._layout = lay_out(config.execution, _cluster_resources(), inline=False)
        arguments = (config.annotators, layout.device, layout.threads_per_worker, layout.batch_size)
        if layout.device == "cpu" and self._address is None:
            return numerics_of(*arguments)
        # Only a worker knows whether its GPU or CPU multiplies bfloat16 natively.
        asked = ray.remote(num_cpus=0.01, num_gpus=layout.gpus_per_worker)(numerics_of)
        with _our_errors():
            numerics: Numerics = ray.get(asked.remote(*arguments))
        return numerics

    def run(self, plans: Sequence[ShardPlan], work: Work, progress: Callable[[int], None]) -> Iterator[ShardRecord]:
        import ray
        from ray.data import ActorPoolStrategy, DataContext

        layout = self._layout
        assert layout is not None, "numerics() has laid out the workers"
        logging.getLogger("ray.data").setLevel(logging.ERROR)  # after the import, which sets it
        context = DataContext.get_current()
        context.enable_progress_bars = False
        context.print_on_execution_start = False
        context.target_max_block_size = None  # a row holds a whole shard and must not be split
        counter = ray.remote(num_cpus=0)(_Counter).remote()
        records = (
            ray.data.from_items([{"plan": pickle.dumps(plan)} for plan in plans], override_num_blocks=len(plans))
            .map(_Load(work), num_cpus=layout.cpus_per_load)
            .map(
                _Annotate,  # type: ignore[arg-type]  # Ray builds the class in each actor
                fn_constructor_args=(work, counter),
                compute=ActorPoolStrategy(size=layout.workers),
                num_cpus=layout.cpus_per_worker,
                num_gpus=layout.gpus_per_worker,
            )
        )
        with _our_errors(), _polled(counter, progress):
            for row in records.iter_rows():
                yield ShardRecord.from_json(row["record"], "a worker's record")

    def close(self) -> None:
        import ray

        ray.shutdown()


class _Load:
    """The load operator: a plan's row becomes a row with the shard's encoded images."""

    def __init__(self, work: Work) -> None:
        self._work = work

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        return {"shard": pickle.dumps(self._work.load(pickle.loads(row["plan"])))}


class _Annotate:
    """The annotate operator: holds every network; a shard's row becomes its record."""

    def __init__(self, work: Work, counter: Any) -> None:
        self._worker = ShardWorker(work, counter.add.remote)

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        return {"record": self._worker(pickle.loads(row["shard"])).to_json()}


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


def _connect(address: str | None) -> None:
    """Join the cluster at `address`, or start a local one; ConfigError if there is none."""
    import ray

    if ray.is_initialized():
        return
    if address is None:
        # Under `uv run` Ray would make each worker build the environment again from a copy of the working directory.
        os.environ.setdefault("RAY_ENABLE_UV_RUN_RUNTIME_ENV", "0")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")  # silences a warning about GPUs on CPU tasks
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")  # its log files have the rest
    try:
        ray.init(
            address=address or "local",
            include_dashboard=False,
            log_to_driver=False,
            logging_level=logging.ERROR,
            configure_logging=True,
        )
    except (ConnectionError, ValueError, RuntimeError) as error:
        first_line = str(error).partition("\n")[0]
        raise ConfigError(
            f"--ray-address must lead to a running Ray cluster, got {address!r} ({first_line}); start one with "
            "`ray start --head`, or use --executor inline"
        ) from error


def _cluster_resources() -> Resources:
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
def _our_errors() -> Iterator[None]:
    """Turn Ray's wrapping of an exception back into our own error; what is none of ours becomes a WorkerError."""
    import ray

    try:
        yield
    except ray.exceptions.RayError as error:
        raise _unwrapped(error) from error


def _unwrapped(error: BaseException) -> CondsetError:
    causes: list[BaseException] = [error]
    for cause in causes:
        if isinstance(cause, CondsetError):
            return cause
        further = (getattr(cause, "cause", None), cause.__cause__, cause.__context__)
        causes += [each for each in further if isinstance(each, BaseException) and each not in causes]
    last_line = str(causes[-1]).strip().rpartition("\n")[2] or repr(causes[-1])
    return WorkerError(f"a Ray worker must finish its shard, got {type(causes[-1]).__name__}: {last_line}")
