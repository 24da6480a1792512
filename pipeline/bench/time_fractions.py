"""Where the time of a run goes: shards prepared inline, and every 2 ms a look at where its cores, or its GPU, are.

    core 1            decoding ── sketch ── depth ── PNG encoding │ decoding ── sketch ...
    core 2            decoding ── sketch ── depth ── PNG encoding │ idle: nothing is loaded yet
    watching thread      │    │    │    │    │    │    │    │    asks what they do, adds the time since it last did

    GPU               sketch ── depth ── idle: nothing is decoded yet │ sketch ...

Steady state: the first and the last shard do not count, which pay for warming up and for the end. Loading and writing
go on beside; they count only as far as the cores or the GPU wait for them. The shares sum to 1.
"""

import importlib
import itertools
import statistics
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass

from pipeline.bench.measure import a_multiple
from pipeline.config import PrepareConfig, check_config
from pipeline.dataset.ledger import make_folders
from pipeline.dataset.listing import write_index
from pipeline.dataset.plan import plan_shards
from pipeline.dataset.record import ShardRecord
from pipeline.dataset.storage import Directory
from pipeline.execution.inline import InlineExecutor
from pipeline.execution.origins import FromIndex
from pipeline.execution.worker import THREADS, Work
from stages.annotators.protocol import AnnotatorConfig
from stages.hardware.activity import activities
from stages.members import DECODING, ENCODING
from stages.weights.store import WeightsStore

WATCHED_SHARDS = 2
LOOK_SECONDS = 0.002
GPU_LOOK_SECONDS = 0.1
"""The driver counts over a sixth of a second or more."""
PLACES = (DECODING, ENCODING)
"""What a core does besides the annotators; beside a GPU, threads of their own do it."""
IDLE = "idle"


@dataclass(frozen=True, slots=True)
class TimeShares:
    """Where the time of a run in steady state went."""

    places: Mapping[str, float]
    """Shares of the time of all cores, or of the GPU, which sum to 1."""
    gpu_busy: float | None
    """The share in which the GPU computed anything, as its driver counts; None on a CPU, or if it does not tell."""


def time_shares(annotator: AnnotatorConfig, size_pixels: int, samples_per_shard: int, device: str) -> TimeShares:
    """Prepare a few shards of drawn scenes with one annotator; return the shares of the time of all but two.

    A shard has `samples_per_shard` images, rounded up such that every core has as many.
    """
    import torch

    samples_per_shard = a_multiple(samples_per_shard, torch.get_num_threads())
    rows = (1 + WATCHED_SHARDS + 1) * samples_per_shard
    size = {"width_pixels": size_pixels, "height_pixels": size_pixels}
    tables = {
        "name": "bench",
        "samples_per_shard": samples_per_shard,
        "source": {"kind": "synthetic", "count": rows, **size},
        "image": {"size_pixels": size_pixels},
        "annotators": [annotator],
        "execution": {"device": device},
    }
    config, executor = check_config(tables, "bench", PrepareConfig), InlineExecutor()
    with tempfile.TemporaryDirectory(prefix="condset-bench-") as scratch:
        directory = Directory(scratch)
        make_folders(directory)
        index = write_index(directory, config.source, 0)
        work = Work(
            home=directory,
            origin=FromIndex(directory, config, index),
            annotators=config.annotators,
            fingerprint="bench",
            numerics=executor.numerics(config),
            weights=WeightsStore(allow_network=False),
        )
        with closing(executor.run(plan_shards(rows, samples_per_shard), work, lambda samples: None)) as records:
            return steady_shares(records, WATCHED_SHARDS, device)


def steady_shares(records: Iterator[ShardRecord], shards: int, device: str) -> TimeShares:
    """Run to the end; return the shares of the time of so many shards after the first."""
    next(records)
    with watched(device) as seconds, gpu_watched(device) as busy:
        for _ in itertools.islice(records, shards):
            pass
    for _ in records:  # what is left is not watched
        pass
    all_seconds = sum(seconds.values())
    longest_first = sorted(seconds.items(), key=lambda each: each[1], reverse=True)
    places = {place: spent / all_seconds for place, spent in longest_first}
    return TimeShares(places, statistics.fmean(busy) if busy else None)


@contextmanager
def watched(device: str) -> Iterator[dict[str, float]]:
    """Watch this process's worker; the seconds of its cores, or of its GPU, in each place are complete in the end."""
    seconds = defaultdict[str, float](float, dict.fromkeys((*PLACES, IDLE) if device == "cpu" else (IDLE,), 0.0))
    last = time.perf_counter()

    def look() -> None:
        nonlocal last
        now = time.perf_counter()
        for place in places_of_cores() if device == "cpu" else place_of_gpu():
            seconds[place] += now - last
        last = now

    with repeating(look, LOOK_SECONDS):
        yield seconds


def places_of_cores() -> list[str]:
    """Name the place of each of the worker's threads, which are its cores."""
    doing = activities()
    cores = [each.ident or 0 for each in threading.enumerate() if each.name.startswith(THREADS)]
    return [doing.get(core, IDLE) for core in cores]


def place_of_gpu() -> list[str]:
    """Name the network that a thread of the worker is in: one at a time is."""
    inside = [activity for activity in activities().values() if activity not in PLACES]
    return inside[:1] or [IDLE]


@contextmanager
def gpu_watched(device: str) -> Iterator[list[float]]:
    """Ask the driver again and again how busy the GPU is; nothing is added where it does not tell."""
    import torch

    looks: list[float] = []
    with ExitStack() as watching:
        if device == "cuda" and _driver_tells():
            watching.enter_context(repeating(lambda: looks.append(torch.cuda.utilization() / 100), GPU_LOOK_SECONDS))
        yield looks


def _driver_tells() -> bool:
    import torch

    try:
        driver = importlib.import_module("pynvml")  # of the package nvidia-ml-py, which torch does not bring along
    except ModuleNotFoundError:
        return False
    try:
        torch.cuda.utilization()
    except driver.NVMLError:  # a part of a GPU (MIG) has no figure
        return False
    return True


@contextmanager
def repeating(look: Callable[[], None], every_seconds: float) -> Iterator[None]:
    """Call `look` from a thread of its own while the block runs."""
    stop = threading.Event()

    def repeat() -> None:
        while not stop.wait(every_seconds):
            look()

    thread = threading.Thread(target=repeat, name="watch", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
