"""The allocation: how many workers, with how many CPUs, GPUs and threads each, on the machine or cluster at hand.

Working defaults for whatever is 0 in `[execution]`, and an error at once for what can never be scheduled: Ray would
wait for it for ever, without a word.
"""

import math
from dataclasses import dataclass

from pipeline.config import ExecutionConfig
from stages.errors import ConfigError
from stages.hardware.cores import usable_cores
from stages.hardware.precision import resolve_device

MOST_THREADS = 8
"""Of one worker: on a CPU each works on an image of its own, and all of them share one Python interpreter."""
CUDA_BATCH = 16
WORKERS_FED_BY_ONE_LOAD = 4
"""A CPU worker takes at least ten times as long over an image as loading it does."""


@dataclass(frozen=True, slots=True)
class Resources:
    """What a machine or a cluster has."""

    cpus: float
    gpus: float
    node_cpus: float
    """CPUs of the smallest node: all workers have the same number of threads, wherever they run."""


@dataclass(frozen=True, slots=True)
class Allocation:
    """What the workers get."""

    device: str
    workers: int
    threads_per_worker: int
    cpus_per_worker: float
    gpus_per_worker: float
    cpus_per_load: float
    batch_size: int


def this_machine() -> Resources:
    """The resources of this machine."""
    import torch

    cpus = float(usable_cores())
    return Resources(cpus, float(torch.cuda.device_count()), cpus)


def allocate(execution: ExecutionConfig, has: Resources, inline: bool) -> Allocation:
    """Fill in the defaults and check that everything fits; ConfigError says what does not, and what there is."""
    if inline and execution.workers > 1:
        raise ConfigError(
            f"execution.workers must be 1 with the inline executor, got {execution.workers}; use --executor ray"
        )
    device = execution.device
    if inline:
        device = "cuda" if resolve_device(device) == "cuda" else "cpu"
    elif device == "auto":
        device = "cuda" if has.gpus else "cpu"
    threads = execution.threads_per_worker or max(1, min(MOST_THREADS, int(has.node_cpus)))
    gpus_per_worker = (execution.gpus_per_worker or 1.0) if device == "cuda" else 0.0
    by_default = int(has.gpus // gpus_per_worker) if device == "cuda" else int(has.cpus // threads)
    workers = 1 if inline else execution.workers or max(1, by_default)
    allocation = Allocation(
        device=device,
        workers=workers,
        threads_per_worker=threads,
        cpus_per_worker=execution.cpus_per_worker or _share(has, workers, execution.cpus_per_load, device),
        gpus_per_worker=gpus_per_worker,
        cpus_per_load=execution.cpus_per_load,
        batch_size=execution.batch_size or (CUDA_BATCH if device == "cuda" else 1),
    )
    if not inline:
        _check(allocation, has)
    return allocation


def _share(has: Resources, workers: int, cpus_per_load: float, device: str) -> float:
    """CPUs for each worker: half of them next to a GPU, which outruns loading; else what little loading leaves.

    Loading needs its part on one node, so on a CPU it is left on the smallest: parts of several nodes would not do.
    """
    if device == "cuda":
        share = has.cpus / 2 / workers
    else:
        on_a_node = math.ceil(workers * has.node_cpus / has.cpus)
        loads = math.ceil(on_a_node / WORKERS_FED_BY_ONE_LOAD)
        share = (has.node_cpus - cpus_per_load * loads) / on_a_node
    return max(0.01, math.floor(share * 100) / 100)


def _check(allocation: Allocation, has: Resources) -> None:
    cpus = allocation.workers * allocation.cpus_per_worker + allocation.cpus_per_load
    gpus = allocation.workers * allocation.gpus_per_worker
    if gpus > has.gpus:
        raise ConfigError(
            f"{allocation.workers} workers with {allocation.gpus_per_worker:g} GPU each must find {gpus:g} GPUs "
            f"in the cluster, got {has.gpus:g}; use fewer --workers, a smaller gpus_per_worker or --device cpu"
        )
    if cpus > has.cpus:
        raise ConfigError(
            f"{allocation.workers} workers with {allocation.cpus_per_worker:g} CPUs each and "
            f"{allocation.cpus_per_load:g} for loading must find {cpus:g} CPUs in the cluster, got {has.cpus:g}; use "
            "fewer --workers or a smaller execution.cpus_per_worker"
        )
    if allocation.cpus_per_worker > has.node_cpus:
        raise ConfigError(
            f"execution.cpus_per_worker must fit on one node, got {allocation.cpus_per_worker:g} with "
            f"{has.node_cpus:g} CPUs on the smallest; use a smaller one"
        )
