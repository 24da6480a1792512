"""Runs of `prepare` that are timed: what the benches of the whole pipeline share.

    drawn scenes ──> COCO-Stuff's folders, as files ──a run, inline or on Ray──> seconds per image in steady state
                                                    └─the annotators alone─────> seconds per image

A run is measured from the commit of its first shard, which pays for starting and warming up, to that of the last but
one, during which the executor still loads the last. Commits are timed by the records' files, whoever wrote them.
"""

import itertools
import json
import tempfile
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from pipeline.bench.networks import SEED
from pipeline.bench.shares import steady_shares
from pipeline.config import PrepareConfig, check_config
from pipeline.executor import Executor, InlineExecutor
from pipeline.run import Job, plan_dataset
from pipeline.shards import RECORD_SUFFIX
from pipeline.storage import Directory
from pipeline.work import Work
from stages.annotate import annotate_batch
from stages.records import StoredSample
from stages.weights import WeightsStore

SPLIT = "val2017"
SAMPLES_PER_SHARD = 16
"""Few, so that a round is short; at the end of each, cores wait for the last image, so larger ones are faster."""
UNTIMED_SHARDS = 2
"""The first and the last."""
JPEG_QUALITY = 90


@dataclass(frozen=True, slots=True)
class Inputs:
    """What all contenders have in common; picklable."""

    root: Path
    """In COCO-Stuff's layout."""
    size_pixels: int
    """Of the stored image's side; the files have 5/4 of it across and 15/16 down, 640 x 480 for 512."""
    shards: int
    """That are timed."""
    annotators: tuple[Mapping[str, object], ...]
    """The `[[annotators]]` tables."""

    @property
    def images(self) -> int:
        return self.shards * SAMPLES_PER_SHARD

    @property
    def images_with_untimed(self) -> int:
        return (self.shards + UNTIMED_SHARDS) * SAMPLES_PER_SHARD


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


def time_conditions(inputs: Inputs) -> list[float]:
    """Seconds per image of the annotators, an image on each core, with nothing read, encoded or written meanwhile."""
    from stages.members import load_pixels
    from stages.process import settle_process

    with tempfile.TemporaryDirectory(prefix="condset-bench-") as out:
        job, work = plan_work(inputs, Path(out), InlineExecutor())
        outcomes = [outcome for plan in job.plans for outcome in work.load(plan).outcomes]
    settle_process("cpu", work.numerics.threads_per_worker)
    samples = [load_pixels(outcome) for outcome in outcomes if isinstance(outcome, StoredSample)]
    annotators = [each.build("cpu", work.weights) for each in work.annotators]
    with ThreadPoolExecutor(work.numerics.threads_per_worker) as cores:
        annotated = cores.map(lambda sample: annotate_batch(annotators, [sample]), samples)
        return [steady_seconds(annotated, inputs.images)]


def steady_seconds(steps: Iterator[object], images: int) -> float:
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
        return steady_shares(executor.run(job.plans, work, lambda samples: None), inputs.shards)


def plan_work(inputs: Inputs, out: Path, executor: Executor) -> tuple[Job, Work]:
    """Plan the run that `condset prepare` would be told to make."""
    tables = {
        "name": "bench",
        "samples_per_shard": SAMPLES_PER_SHARD,
        "source": {"kind": "coco_stuff", "root": str(inputs.root), "split": SPLIT, "keypoints": False},
        "image": {"size_pixels": inputs.size_pixels},
        "annotators": list(inputs.annotators),
        "execution": {"device": "cpu"},
    }
    config, store = check_config(tables, "bench", PrepareConfig), WeightsStore(allow_network=False)
    directory = Directory(str(out))
    job = plan_dataset(config, directory, store, lambda sentence: None)
    (directory / "shards").make()
    work = Work(directory / "shards", job.origin, config.annotators, "bench", executor.numerics(config), store)
    return job, work
