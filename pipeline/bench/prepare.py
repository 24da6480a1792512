"""`condset bench prepare`: sketch, color and segmentation end to end, beside the loop that people write.

    drawn scenes ──> COCO-Stuff's folders, as files          once
    plain loop, conditions alone, inline, Ray, plain, ...    each in a fresh process; the medians are compared

A run is measured in steady state: from the commit of its first shard, which pays for starting and warming up, to that
of the last but one, during which the executor still loads the last. Commits are timed by the records' files, whoever
wrote them. The invariant: every contender reads the same files and makes the same members of them.
"""

import itertools
import json
import math
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from pipeline.bench.measure import Table, fresh, rows_of
from pipeline.bench.networks import SEED, Contender, Timing, build_annotator, least_seconds
from pipeline.bench.plain_prepare import prepare_plainly
from pipeline.bench.shares import watched
from pipeline.bench.sketch import random_pidinet
from pipeline.config import PrepareConfig, check_config
from pipeline.executor import Executor, InlineExecutor
from pipeline.run import Job, plan_dataset
from pipeline.shards import RECORD_SUFFIX
from pipeline.storage import Directory
from pipeline.work import Work
from stages.annotators.sketch import NETWORK, SketchConfig
from stages.precision import resolve_dtype
from stages.records import StoredSample
from stages.weights import WeightsStore

SPLIT = "val2017"
SAMPLES_PER_SHARD = 8
"""Few, so that a round is short; each shard costs a little besides its samples, so larger ones are no slower."""
UNTIMED_SHARDS = 2
"""The first and the last."""
JPEG_QUALITY = 90
PLAIN, ALONE = "plain loop: controlnet_aux, PIL, webdataset", "condset, the conditions alone"
INLINE, ON_RAY = "condset prepare, inline", "condset prepare, Ray"


@dataclass(frozen=True, slots=True)
class Inputs:
    """What all contenders have in common; picklable."""

    root: Path
    """In COCO-Stuff's layout."""
    size_pixels: int
    """Of the stored image's side; the files have 5/4 of it across and 15/16 down, 640 x 480 for 512."""
    shards: int
    """That are timed."""
    weights: Path

    @property
    def images(self) -> int:
        return self.shards * SAMPLES_PER_SHARD

    @property
    def images_with_untimed(self) -> int:
        return (self.shards + UNTIMED_SHARDS) * SAMPLES_PER_SHARD


def bench_prepare(timing: Timing, weights_dir: Path | None) -> Table:
    """Time the contenders; the images of a round are rounded up to whole shards."""
    import torch

    found = WeightsStore(weights_dir, allow_network=False).find(NETWORK)
    with tempfile.TemporaryDirectory(prefix="condset-bench-") as name:
        scratch = Path(name)
        weights = found or fresh(random_pidinet, scratch / "random_pidinet.pth")
        inputs = Inputs(scratch / "inputs", timing.size_pixels, math.ceil(timing.images / SAMPLES_PER_SHARD), weights)
        fresh(write_inputs, inputs)
        sketch = partial(build_annotator, SketchConfig(weights=str(weights)))
        network = Contender(NETWORK, sketch, resolve_dtype("auto", "cpu"))
        least = least_seconds([network], timing)[NETWORK]
        contenders: dict[str, Callable[[], Sequence[float]]] = {
            PLAIN: partial(fresh, time_plain_loop, inputs),
            ALONE: partial(fresh, time_conditions, inputs),
            INLINE: partial(fresh, time_inline, inputs),
            ON_RAY: partial(fresh, time_on_ray, inputs),
        }
        rows = rows_of(contenders, timing.rounds, dict.fromkeys(contenders, least))
        shares = fresh(time_shares, inputs)
    return Table(
        title=f"sketch, color and segmentation at {timing.size_pixels}x{timing.size_pixels}, "
        f"{torch.get_num_threads()} threads, {'the published' if found else 'random'} weights, "
        f"{timing.rounds} rounds of {inputs.images} images",
        rows=rows,
        time_shares=shares,
    )


def write_inputs(inputs: Inputs) -> None:
    """Draw scenes into COCO-Stuff's folders, one caption each."""
    import numpy as np
    from PIL import Image

    from stages.sources.scenes import draw_scene

    images, maps = inputs.root / SPLIT, inputs.root / "stuffthingmaps" / SPLIT
    for folder in (images, maps, inputs.root / "annotations"):
        folder.mkdir(parents=True)
    width, height = inputs.size_pixels * 5 // 4, inputs.size_pixels * 15 // 16
    listed, captions = [], []
    for number in range(1, inputs.images_with_untimed + 1):
        scene, name = draw_scene(SEED, number, width, height), f"{number:012d}"
        Image.fromarray(scene.image_hwc).save(images / f"{name}.jpg", quality=JPEG_QUALITY)
        Image.fromarray(scene.labels_hw - np.uint8(1)).save(maps / f"{name}.png")
        listed.append({"id": number, "file_name": f"{name}.jpg", "width": width, "height": height})
        captions.append({"id": number, "image_id": number, "caption": scene.captions[0]})
    described = json.dumps({"images": listed, "annotations": captions})
    (inputs.root / "annotations" / f"captions_{SPLIT}.json").write_text(described)


def time_plain_loop(inputs: Inputs) -> list[float]:
    """Seconds per image of the loop that people write, after as many images as a shard has."""
    with tempfile.TemporaryDirectory(prefix="condset-bench-") as out:
        keys = prepare_plainly(inputs.root, SPLIT, Path(out), inputs.size_pixels, inputs.weights, SAMPLES_PER_SHARD)
        seconds = _seconds(keys, inputs.images)
        for _ in keys:  # to the end, so that the last tar is closed
            pass
    return [seconds]


def time_conditions(inputs: Inputs) -> list[float]:
    """Seconds per image of the annotators on decoded images, with nothing read, encoded or written meanwhile."""
    import cv2
    import torch

    from stages.allocator import keep_large_blocks
    from stages.members import load_pixels

    with tempfile.TemporaryDirectory(prefix="condset-bench-") as out:
        job, work = plan_work(inputs, Path(out), InlineExecutor())
        outcomes = [outcome for plan in job.plans for outcome in work.load(plan).outcomes]
    torch.set_num_threads(work.numerics.threads_per_worker)
    cv2.setNumThreads(1)
    keep_large_blocks()
    samples = [load_pixels(outcome) for outcome in outcomes if isinstance(outcome, StoredSample)]
    annotators = [each.build("cpu", work.weights) for each in work.annotators]
    return [_seconds(([annotate([sample]) for annotate in annotators] for sample in samples), inputs.images)]


def _seconds(steps: Iterator[object], images: int) -> float:
    """Seconds per image of `images` steps, after a shard's worth of them."""
    for _ in itertools.islice(steps, SAMPLES_PER_SHARD):
        pass
    started = time.perf_counter()
    for _ in itertools.islice(steps, images):
        pass
    return (time.perf_counter() - started) / images


def time_inline(inputs: Inputs) -> list[float]:
    """Seconds per image of a run in one process."""
    return time_run(inputs, InlineExecutor())


def time_on_ray(inputs: Inputs) -> list[float]:
    """Seconds per image of a run on a local Ray instance; starting it is not counted."""
    from pipeline.ray_executor import RayExecutor

    return time_run(inputs, RayExecutor())


def time_run(inputs: Inputs, executor: Executor) -> list[float]:
    """Prepare the inputs; return the mean seconds per image between the timed commits."""
    with tempfile.TemporaryDirectory(prefix="condset-bench-") as out:
        job, work = plan_work(inputs, Path(out), executor)
        try:
            for _ in executor.run(job.plans, work, lambda samples: None):
                pass
        finally:
            executor.close()
        commits = sorted(path.stat().st_mtime for path in Path(str(work.shards)).glob(f"*{RECORD_SUFFIX}"))
    return [(commits[-UNTIMED_SHARDS] - commits[0]) / inputs.images]


def time_shares(inputs: Inputs) -> dict[str, float]:
    """Prepare the inputs inline; return the shares of the wall time between the timed commits."""
    executor = InlineExecutor()
    with tempfile.TemporaryDirectory(prefix="condset-bench-") as out:
        job, work = plan_work(inputs, Path(out), executor)
        records = executor.run(job.plans, work, lambda samples: None)
        next(records)
        with watched() as seconds:
            for _ in itertools.islice(records, inputs.shards):
                pass
        for _ in records:  # the last shard is being loaded
            pass
    return {place: spent / sum(seconds.values()) for place, spent in seconds.items()}


def plan_work(inputs: Inputs, out: Path, executor: Executor) -> tuple[Job, Work]:
    """Plan the run that `condset prepare` would be told to make."""
    tables = {
        "name": "bench",
        "samples_per_shard": SAMPLES_PER_SHARD,
        "source": {"kind": "coco_stuff", "root": str(inputs.root), "split": SPLIT, "keypoints": False},
        "image": {"size_pixels": inputs.size_pixels},
        "annotators": [
            {"kind": "sketch", "weights": str(inputs.weights)},
            {"kind": "color"},
            {"kind": "segmentation"},
        ],
        "execution": {"device": "cpu"},
    }
    config, store = check_config(tables, "bench", PrepareConfig), WeightsStore(allow_network=False)
    directory = Directory(str(out))
    job = plan_dataset(config, directory, store, lambda sentence: None)
    (directory / "shards").make()
    work = Work(directory / "shards", job.origin, config.annotators, "bench", executor.numerics(config), store)
    return job, work
