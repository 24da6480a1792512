"""The files that every contender of `condset bench prepare` reads: drawn scenes in COCO-Stuff's folders.

(seed, number) ──draw──> scene ──> SPLIT/<number>.jpg, stuffthingmaps/SPLIT/<number>.png, captions of SPLIT
"""

import json
import math
from dataclasses import dataclass
from pathlib import Path

from pipeline.bench.networks import SEED, Timing
from pipeline.config import ExecutionConfig
from pipeline.execution.resources import Resources, allocate
from stages.annotators.protocol import AnnotatorConfig

SPLIT = "val2017"
SAMPLES_PER_SHARD = {"cpu": 16, "cuda": 128}
"""Few, so that a round is short; a GPU's are eight batches, of which the neighbours overlap. Fewer if a round has."""
UNTIMED_SHARDS = 2
"""The first and the last of each worker."""
JPEG_QUALITY = 90


@dataclass(frozen=True, slots=True)
class BenchInputs:
    """What all contenders have in common; picklable."""

    root: Path
    """In COCO-Stuff's layout."""
    size_pixels: int
    """Of the stored image's side; the files have 5/4 of it across and 15/16 down, 640 x 480 for 512."""
    samples_per_shard: int
    shards: int
    """That one worker makes and that are timed."""
    annotators: tuple[AnnotatorConfig, ...]
    device: str
    workers: int = 1
    """That Ray has on this machine; each makes as many shards as the worker of the others."""

    @property
    def images(self) -> int:
        """That one worker makes and that are timed."""
        return self.shards * self.samples_per_shard

    @property
    def images_with_untimed(self) -> int:
        """That one worker makes."""
        return (self.shards + UNTIMED_SHARDS) * self.samples_per_shard


def inputs_for(timing: Timing, root: Path, annotators: tuple[AnnotatorConfig, ...], machine: Resources) -> BenchInputs:
    """Describe as many whole shards as hold the images of a round, and as many workers as Ray has on a machine."""
    samples = min(timing.images, SAMPLES_PER_SHARD[timing.device])
    shards = math.ceil(timing.images / samples)
    execution = ExecutionConfig.model_validate({"device": timing.device})
    workers = allocate(execution, machine, inline=False).workers
    return BenchInputs(root, timing.size_pixels, samples, shards, annotators, timing.device, workers)


def write_inputs(inputs: BenchInputs) -> None:
    """Draw scenes into COCO-Stuff's folders, one caption each."""
    import numpy as np
    from PIL import Image

    from stages.sources.synthetic.scenes import draw_scene

    images, maps = inputs.root / SPLIT, inputs.root / "stuffthingmaps" / SPLIT
    for folder in (images, maps, inputs.root / "annotations"):
        folder.mkdir(parents=True)
    width, height = inputs.size_pixels * 5 // 4, inputs.size_pixels * 15 // 16
    listed, captions = [], []
    for number in range(1, inputs.workers * inputs.images_with_untimed + 1):
        scene, name = draw_scene(SEED, number, width, height), f"{number:012d}"
        Image.fromarray(scene.image_hwc).save(images / f"{name}.jpg", quality=JPEG_QUALITY)
        Image.fromarray(scene.labels_hw - np.uint8(1)).save(maps / f"{name}.png")
        listed.append({"id": number, "file_name": f"{name}.jpg", "width": width, "height": height})
        captions.append({"id": number, "image_id": number, "caption": scene.captions[0]})
    described = json.dumps({"images": listed, "annotations": captions})
    (inputs.root / "annotations" / f"captions_{SPLIT}.json").write_text(described)
