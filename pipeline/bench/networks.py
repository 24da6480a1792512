"""What the benches of the networks share: contenders on the same images, their limit, and the table that comes out.

    contender ──build, in a fresh process──> takes batches of drawn scenes ──warm-up, then timed──> seconds an image
    its FLOPs / the rate of matrix products here, in its dtype ──> the least seconds an image could take

Images are drawn scenes: a network takes the same time over any pixels. Ours is the whole annotator, from pixels to the
picture. The invariant: all contenders see the same images with the same weights; what `dtype = "auto"` picks is last,
and the estimate for many images is made with it.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import partial
from typing import TypeAlias

import numpy as np

from pipeline.bench.device import device_name, finish, worker_allocation
from pipeline.bench.limit import Bottleneck, Limit, best_rates, flops_of
from pipeline.bench.measure import Say, Table, a_multiple, fresh, rows_of
from pipeline.bench.time_fractions import time_shares
from pipeline.bench.weights import BenchWeights, describe_weights
from stages.annotators.protocol import AnnotatorConfig
from stages.hardware.precision import ResolvedDtype, resolve_dtype
from stages.hardware.process import configured_process
from stages.records import Crop, IndexRow, LoadedSample, StoredSample, UInt8Array
from stages.weights.store import WeightsStore

SEED = 0

Run: TypeAlias = Callable[[Sequence[UInt8Array]], object]
"""Takes a batch of RGB images (height, width, 3) of one size."""


@dataclass(frozen=True, slots=True)
class Timing:
    """What is measured, how long and where."""

    size_pixels: int
    """Of both sides of every image."""
    images: int
    """That are timed, in each round."""
    rounds: int
    device: str
    """"cpu" or "cuda"."""

    def title(self, what: str, weights: Sequence[BenchWeights], images: int) -> str:
        """Write the title of a table; `images` are those of a round."""
        size, where = f"{self.size_pixels}x{self.size_pixels}", device_name(self.device)
        return f"{what} at {size}, {where}, {describe_weights(weights)}, {self.rounds} rounds of {images} images"


@dataclass(frozen=True, slots=True)
class Contender:
    """A way to annotate images."""

    name: str
    build: Callable[[], AbstractContextManager[Run]]
    """Loads the network, for the time of a block; runs in the process that is measured, so it must be picklable."""
    dtype: str
    """Of its matrix products; see `limit.matrix_rate`."""
    batch_size: int = 1
    threads: int = 1
    """Each takes batches of its own, as those of our workers do on a CPU."""


def compare(
    weights: BenchWeights, contenders: Sequence[Contender], annotator: AnnotatorConfig, timing: Timing, say: Say
) -> Table:
    """Time the contenders, the reference first, and a run of `prepare` with the annotator."""
    say("what this machine can do at most")
    seconds = least_seconds(contenders, timing)
    limits = {name: Limit(least, Bottleneck.MATRIX_PRODUCTS) for name, least in seconds.items()}
    runs = {each.name: partial(fresh, seconds_per_image, each, timing) for each in contenders}
    rows = rows_of(runs, timing.rounds, say, limits)
    say("where the time of a run goes")
    shares = fresh(time_shares, annotator, timing.size_pixels, timing.images, timing.device)
    return Table(timing.title(weights.network, [weights], timing.images), rows, shares.places, shares.gpu_busy)


def least_seconds(contenders: Sequence[Contender], timing: Timing) -> dict[str, float]:
    """Return for each contender what an image would take if all its FLOPs ran at the best rate of matrix products."""
    rates = fresh(best_rates, tuple({each.dtype for each in contenders}), timing.rounds, timing.device)
    flops = fresh(flops_per_image, contenders, timing.size_pixels)
    return {each.name: flops[each.name] / rates[each.dtype] for each in contenders}


def flops_per_image(contenders: Sequence[Contender], size_pixels: int) -> dict[str, int]:
    """Count the FLOPs that each contender spends on an image."""
    images, flops = scenes(size_pixels, 1), {}
    for each in contenders:
        with each.build() as run:
            flops[each.name] = flops_of(partial(run, images))
    return flops


def seconds_per_image(contender: Contender, timing: Timing, clock: Callable[[], float] = time.perf_counter) -> float:
    """Time all images, after a batch in each thread that warms up; return the mean of one.

    There are a few more images than asked for if that gives every thread as many, and whole batches.
    """
    threads, size = contender.threads, contender.batch_size
    images = scenes(timing.size_pixels, a_multiple(timing.images, threads * size))
    batches = [images[start : start + size] for start in range(0, len(images), size)]
    with contender.build() as run, ThreadPoolExecutor(threads) as pool:
        list(pool.map(run, batches[:1] * threads))
        finish(timing.device)
        started = clock()
        list(pool.map(run, batches))
        finish(timing.device)
        return (clock() - started) / len(images)


def scenes(size_pixels: int, images: int) -> list[UInt8Array]:
    """Draw the images that every contender sees."""
    from stages.sources.synthetic.scenes import draw_scene

    return [draw_scene(SEED, index, size_pixels, size_pixels).image_hwc for index in range(images)]


def in_native_dtypes(config_of: Callable[[ResolvedDtype], AnnotatorConfig], device: str) -> Iterator[Contender]:
    """Yield condset's contender in float32 and, where `device` multiplies it natively, in bfloat16.

    What `dtype = "auto"` picks comes last. Emulated bfloat16 is left out: nobody wants it, and on a processor without
    AVX-512 an image of depth takes minutes.
    """
    dtypes: tuple[ResolvedDtype, ...] = ("float32", "bfloat16")
    for dtype in dtypes[: dtypes.index(resolve_dtype("auto", device)) + 1]:
        yield as_worker(f"condset {dtype}", config_of(dtype), device)


def as_worker(name: str, config: AnnotatorConfig, device: str, batch_size: int = 0) -> Contender:
    """Make a contender of our annotator as a worker runs it; a batch size of 0 is the worker's own."""
    import torch

    return Contender(
        name,
        partial(build_annotator, config, device),
        config.resolved_dtype(device),
        batch_size or worker_allocation(device).batch_size,
        threads=torch.get_num_threads() if device == "cpu" else 1,
    )


@contextmanager
def build_annotator(config: AnnotatorConfig, device: str) -> Iterator[Run]:
    """Build an annotator in this process as a worker does."""
    with configured_process(device, worker_allocation(device).threads_per_worker):
        annotator = config.build(device, WeightsStore(allow_network=False))
        yield lambda images_hwc: annotator([_loaded(image_hwc) for image_hwc in images_hwc])


def _loaded(image_hwc: UInt8Array) -> LoadedSample:
    height, width = image_hwc.shape[:2]
    row = IndexRow("scene", "", ("",), "", "", width, height, np.zeros((0, 17, 3), np.float32), "", {}, None)
    stored = StoredSample(row, "", b"", b"", Crop(width, height, (0, 0, width, height), width, height))
    return LoadedSample(stored, image_hwc, None, row.keypoints)


def one_by_one(annotate: Callable[[UInt8Array], object]) -> Run:
    """Make a run of what takes a single image, as the reference implementations do."""
    return lambda images_hwc: [annotate(image_hwc) for image_hwc in images_hwc]
