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
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from pipeline.bench.measure import Say, Table, a_multiple, flops_of, fresh, matrix_rate, rows_of
from pipeline.bench.shares import time_shares
from stages.annotators.protocol import AnnotatorConfig
from stages.precision import ResolvedDtype, resolve_dtype
from stages.records import Crop, IndexRow, LoadedSample, StoredSample, UInt8Array
from stages.weights import WeightsStore

if TYPE_CHECKING:
    import torch

SEED = 0

Run: TypeAlias = Callable[[Sequence[UInt8Array]], object]
"""Takes a batch of RGB images (height, width, 3) of one size."""


@dataclass(frozen=True, slots=True)
class Timing:
    """How long is measured, and on what."""

    size_pixels: int
    """Of both sides of every image."""
    images: int
    """That are timed, in each round."""
    rounds: int


@dataclass(frozen=True, slots=True)
class Contender:
    """A way to annotate images."""

    name: str
    build: Callable[[], Run]
    """Loads the network; runs in the process that is measured, so it must be picklable."""
    dtype: ResolvedDtype
    """Of its matrix products."""
    batch_size: int = 1
    batch_per_core: bool = False
    """Each core takes batches of its own, as our workers do; else all of them share one."""


def compare(
    network: str,
    is_random: bool,
    contenders: Sequence[Contender],
    annotator: AnnotatorConfig,
    timing: Timing,
    say: Say,
) -> Table:
    """Time the contenders, the reference first, and a run of `prepare` with the annotator."""
    import torch

    say("what this machine can do at most")
    limits = least_seconds(contenders, timing)
    runs = {each.name: partial(fresh, seconds_per_image, each, timing) for each in contenders}
    rows = rows_of(runs, timing.rounds, say, limits)
    say("where the time of a run goes")
    weights = "random weights" if is_random else "the published weights"
    return Table(
        title=f"{network} at {timing.size_pixels}x{timing.size_pixels}, {torch.get_num_threads()} threads, {weights}, "
        f"{timing.rounds} rounds of {timing.images} images",
        rows=rows,
        time_shares=fresh(time_shares, annotator, timing.size_pixels, timing.images),
    )


def least_seconds(contenders: Sequence[Contender], timing: Timing) -> dict[str, float]:
    """Return for each contender what an image would take if all its FLOPs ran at the best rate of matrix products."""
    rates = fresh(best_rates, tuple({each.dtype for each in contenders}), timing.rounds)
    flops = fresh(flops_per_image, contenders, timing.size_pixels)
    return {each.name: flops[each.name] / rates[each.dtype] for each in contenders}


def best_rates(dtypes: Sequence[ResolvedDtype], rounds: int) -> dict[ResolvedDtype, float]:
    """Return FLOP a second of matrix products in each dtype, the best of the rounds."""
    return {dtype: max(matrix_rate(dtype) for _ in range(rounds)) for dtype in dtypes}


def flops_per_image(contenders: Sequence[Contender], size_pixels: int) -> dict[str, int]:
    """Count the FLOPs that each contender spends on an image."""
    images, flops = scenes(size_pixels, 1), {}
    for each in contenders:
        run = each.build()
        flops[each.name] = flops_of(partial(run, images))
    return flops


def seconds_per_image(contender: Contender, timing: Timing) -> list[float]:
    """Time all images, after a batch on each core that warms up; return the mean of one.

    There are a few more images than asked for if that gives every core as many batches.
    """
    import torch

    cores = torch.get_num_threads() if contender.batch_per_core else 1
    run, size = contender.build(), contender.batch_size
    images = scenes(timing.size_pixels, a_multiple(timing.images, cores * size) if cores > 1 else timing.images)
    batches = [images[start : start + size] for start in range(0, len(images), size)]
    with ThreadPoolExecutor(cores) as pool:
        list(pool.map(run, batches[:1] * cores))
        started = time.perf_counter()
        list(pool.map(run, batches))
        return [(time.perf_counter() - started) / len(images)]


def scenes(size_pixels: int, images: int) -> list[UInt8Array]:
    """Draw the images that every contender sees."""
    from stages.sources.scenes import draw_scene

    return [draw_scene(SEED, index, size_pixels, size_pixels).image_hwc for index in range(images)]


def in_both_dtypes(config_of: Callable[[ResolvedDtype], AnnotatorConfig]) -> Iterator[Contender]:
    """Yield condset's contenders in float32 and bfloat16; the one that `dtype = "auto"` picks comes last."""
    best = resolve_dtype("auto", "cpu")
    others: dict[ResolvedDtype, ResolvedDtype] = {"float32": "bfloat16", "bfloat16": "float32"}
    for dtype in (others[best], best):
        emulated = ", emulated by this processor" if (dtype, best) == ("bfloat16", "float32") else ""
        build = partial(build_annotator, config_of(dtype))
        yield Contender(f"condset {dtype}{emulated}", build, dtype, batch_per_core=True)


def build_annotator(config: AnnotatorConfig) -> Run:
    """Build an annotator in this process as a worker does."""
    from stages.process import settle_process

    settle_process("cpu", threads=1)
    annotator = config.build("cpu", WeightsStore(allow_network=False))
    return lambda images_hwc: annotator([_loaded(image_hwc) for image_hwc in images_hwc])


def _loaded(image_hwc: UInt8Array) -> LoadedSample:
    height, width = image_hwc.shape[:2]
    row = IndexRow("scene", "", ("",), "", "", width, height, np.zeros((0, 17, 3), np.float32), "", {}, None)
    stored = StoredSample(row, "", b"", b"", Crop(width, height, (0, 0, width, height), width, height))
    return LoadedSample(stored, image_hwc, None, row.keypoints)


def one_by_one(annotate: Callable[[UInt8Array], object]) -> Run:
    """Make a run of what takes a single image, as the reference implementations do."""
    return lambda images_hwc: [annotate(image_hwc) for image_hwc in images_hwc]


def save_random(shapes: "dict[str, torch.Size]", path: Path) -> None:
    """Save random weights under the published names: norms are the identity, products keep the size of numbers."""
    import torch

    generator = torch.Generator().manual_seed(SEED)
    weights = {}
    for name, shape in shapes.items():
        is_scale = len(shape) == 1 and name.endswith("weight")
        noise = torch.empty(shape).normal_(generator=generator)
        weights[name] = noise / noise[0].numel() ** 0.5 if len(shape) > 1 else torch.full(shape, float(is_scale))
    torch.save(weights, path)
