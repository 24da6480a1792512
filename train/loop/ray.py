"""The same loop on many GPUs: Ray Train starts the workers, torch's DistributedDataParallel averages gradients.

    driver ──TorchTrainer──> worker 0, 1, ... (one GPU each): train(job, Worker(rank, count))
      │ ^                      │
      │ └── progress ── board <┘    an actor; it also tells worker 0 to stop
      └──── Ctrl-C ───────^

Beside `pipeline/execution/ray.py` and `ray_cluster.py` the only module that imports ray. A worker that is lost is
started again, with all others, from the last checkpoint. Invariant: our own errors travel as values, so they arrive
with their type and text.
"""

import math
import pickle
import shutil
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol, TypeAlias

from pipeline.execution.ray_cluster import cluster_resources, connected, driver_directory, lost_workers_explained
from pipeline.execution.resources import Resources
from stages.errors import CondsetError, ConfigError
from train.loop.run import TrainJob, TrainSummary, train
from train.loop.watch import SilentWatcher, StepReport, Watcher
from train.loop.worker import Worker

POLL_SECONDS = 0.5
RESTARTS = 3
"""How often lost workers are started again."""
STORAGE = ".ray"
"""Where Ray Train keeps its own notes, below RUN, which every worker sees."""

Calls: TypeAlias = list[tuple[str, tuple[Any, ...]]]
"""Of a `Watcher`'s methods: name and arguments."""


@dataclass(frozen=True, slots=True)
class Share:
    """What each worker gets of the cluster."""

    device: str
    cpus: float
    gpus: int
    threads: int


def train_on_ray(job: TrainJob, workers: int, address: str | None, watch: Watcher) -> TrainSummary:
    """Train with so many workers on a Ray cluster: a local one that is started, or the one at `address`.

    Raises what `train` raises; ConfigError if the cluster is too small or is not there; WorkerError if workers are lost
    again and again.
    """
    with connected(address):
        try:
            share = share_of(cluster_resources(), workers, job.config.loop.device)
            with lost_workers_explained():
                return _fit(_shared(job, share), workers, share, watch)
        finally:
            shutil.rmtree(job.run / STORAGE, ignore_errors=True)


def share_of(has: Resources, workers: int, device: str) -> Share:
    """Divide a cluster among the workers; ConfigError says what it lacks, because Ray would wait for it for ever.

    Each worker must fit on a node with its neighbours there, so the smallest node is divided, not the cluster.
    """
    chosen = ("cuda" if has.gpus else "cpu") if device == "auto" else device
    if chosen == "cuda" and has.gpus < workers:
        raise ConfigError(
            f"--workers {workers} must find as many GPUs in the cluster, got {has.gpus:g}; use fewer, or "
            'loop.device = "cpu"'
        )
    nodes = max(1, int(has.cpus // has.node_cpus))
    cpus = int(has.node_cpus / math.ceil(workers / nodes) * 100) / 100
    if chosen == "cpu" and cpus < 1:
        raise ConfigError(f"--workers {workers} must find as many CPUs in the cluster, got {has.cpus:g}; use fewer")
    whole = int(cpus) if cpus >= 1 else cpus
    return Share(chosen, whole, 1 if chosen == "cuda" else 0, max(1, int(cpus)))


def _shared(job: TrainJob, share: Share) -> TrainJob:
    """The job as the workers get it: with their device, and threads that do not crowd each other out."""
    loop = job.config.loop
    settled = loop.model_copy(update={"device": share.device, "threads": loop.threads or share.threads})
    return replace(job, config=job.config.model_copy(update={"loop": settled}))


def _fit(job: TrainJob, workers: int, share: Share, watch: Watcher) -> TrainSummary:
    import ray
    from ray.train import FailureConfig, RunConfig, ScalingConfig
    from ray.train.torch import TorchTrainer

    board: Any = ray.remote(num_cpus=0)(_Board).remote()
    trainer = TorchTrainer(
        _work,  # type: ignore[arg-type]  # what rank 0 returns comes back as return_value
        train_loop_config={"job": job, "board": board, "home": str(Path.cwd())},
        scaling_config=ScalingConfig(
            num_workers=workers,
            use_gpu=share.gpus > 0,
            resources_per_worker={"CPU": share.cpus, "GPU": share.gpus},
        ),
        run_config=RunConfig(
            name=STORAGE,
            storage_path=str(job.run.absolute() / STORAGE),
            failure_config=FailureConfig(max_failures=RESTARTS),
        ),
    )
    outcome = pickle.loads(
        fit_watched(trainer, lambda: ray.get(board.take.remote()), lambda: board.stop.remote(), watch)
    )
    if isinstance(outcome, BaseException):
        raise outcome
    summary: TrainSummary = outcome
    return summary


class Trainer(Protocol):
    """What `fit_watched` needs of Ray's trainer."""

    def fit(self) -> Any:
        """Train, and return what has a `return_value`."""
        ...


def fit_watched(trainer: Trainer, take: Callable[[], "Calls"], stop: Callable[[], object], watch: Watcher) -> bytes:
    """Run a trainer beside this thread, which passes on what `take` gives and, through `stop`, requests to stop.

    Raises what stopped the trainer: of a lost worker Ray's own error, else the exception itself.
    """
    end: Future[Any] = Future()

    def fit() -> None:
        try:
            end.set_result(trainer.fit())
        except BaseException as error:  # noqa: BLE001  whatever it is, it belongs to the thread that waits for it
            end.set_exception(error)

    thread = threading.Thread(target=fit, daemon=True)
    thread.start()

    def pass_on() -> None:
        for method, arguments in take():
            getattr(watch, method)(*arguments)

    while thread.is_alive():
        thread.join(POLL_SECONDS)
        if thread.is_alive():  # else the board may be gone with the cluster
            pass_on()
        if watch.stop_requested():
            stop()
    if (error := end.exception()) is not None:
        raise next(iter(getattr(error, "worker_failures", {}).values()), error)
    pass_on()
    outcome: bytes = end.result().return_value
    return outcome


def _work(config: dict[str, Any]) -> bytes:
    """What each worker does; returns the summary or the error, packed."""
    import torch
    from ray.train import get_context
    from ray.train.torch import get_device

    job: TrainJob = config["job"]
    if job.config.loop.device == "cuda":
        torch.cuda.set_device(get_device())
    worker = Worker(get_context().get_world_rank(), get_context().get_world_size())
    with driver_directory(config["home"]):
        try:
            return pickle.dumps(train(job, worker, _Remote(config["board"]) if worker.is_first else SilentWatcher()))
        except (CondsetError, KeyboardInterrupt) as error:
            return pickle.dumps(error)


class _Board:
    """The actor between the driver and worker 0: calls of `Watcher` one way, the request to stop the other."""

    def __init__(self) -> None:
        self._calls: Calls = []
        self._stopping = False

    def put(self, method: str, *arguments: Any) -> None:
        self._calls.append((method, arguments))

    def take(self) -> Calls:
        calls, self._calls = self._calls, []
        return calls

    def stop(self) -> None:
        self._stopping = True

    def stopping(self) -> bool:
        return self._stopping


class _Remote:
    """Worker 0's `Watcher`: writes on the board, now and then."""

    def __init__(self, board: Any) -> None:
        self._board = board
        self._reported = self._asked = 0.0

    def say(self, sentence: str) -> None:
        self._board.put.remote("say", sentence)

    def started(self, done: int, steps: int) -> None:
        self._board.put.remote("started", done, steps)

    def stepped(self, report: StepReport) -> None:
        if time.monotonic() - self._reported > POLL_SECONDS:
            self._reported = time.monotonic()
            self._board.put.remote("stepped", report)

    def stop_requested(self) -> bool:
        import ray

        if time.monotonic() - self._asked < POLL_SECONDS:
            return False
        self._asked = time.monotonic()
        return bool(ray.get(self._board.stopping.remote()))
