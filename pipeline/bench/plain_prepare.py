"""The loop that people write to prepare adapter data, kept to be measured beside: `condset bench prepare` runs it.

COCO's folders ──PIL──> crop ──controlnet_aux, cv2, PIL──> conditions ──webdataset's ShardWriter──> tars

One image after the other, every library as its documentation shows it. The invariant: the same images, crops and
members as condset's run makes, so that the times compare.
"""

import io
import json
from collections.abc import Generator
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from stages.annotators.color import SQUARE_PIXELS
from stages.annotators.segmentation.palette import palette
from stages.hardware.warning_filters import Ignored, warnings_ignored

JPEG_QUALITY = 95


def prepare_plainly(
    root: Path, split: str, out: Path, size_pixels: int, weights: Path, shard: int, device: str
) -> Generator[str]:
    """Write tars of `shard` samples into `out`; yields each sample's key once it is written, until it is closed."""
    with warnings_ignored(Ignored()):  # controlnet_aux's packages warn of what they lack
        import cv2
        import webdataset
        from controlnet_aux.pidi import PidiNetDetector

    detector = PidiNetDetector.from_pretrained(str(weights.parent), weights.name).to(device)
    described = json.loads((root / "annotations" / f"captions_{split}.json").read_text())
    captions = {f"{entry['image_id']:012d}": entry["caption"] for entry in described["annotations"]}
    size = (size_pixels, size_pixels)
    with webdataset.ShardWriter(str(out / "%06d.tar"), maxcount=shard, verbose=0) as writer:
        for file in sorted((root / split).glob("*.jpg")):
            with Image.open(file) as opened:
                image = ImageOps.fit(opened.convert("RGB"), size, Image.Resampling.BICUBIC)
            with Image.open(root / "stuffthingmaps" / split / f"{file.stem}.png") as opened:
                labels = ImageOps.fit(opened, size, Image.Resampling.NEAREST)
            segmentation = Image.fromarray(np.asarray(labels) + np.uint8(1))
            segmentation.putpalette(palette())
            sketch = detector(image, detect_resolution=size_pixels, image_resolution=size_pixels)
            squares = (size_pixels // SQUARE_PIXELS, size_pixels // SQUARE_PIXELS)
            small = cv2.resize(np.asarray(image), squares, interpolation=cv2.INTER_CUBIC)
            writer.write(
                {
                    "__key__": file.stem,
                    "jpg": _jpeg(image),
                    "txt": captions[file.stem],
                    "json": {"captions": [captions[file.stem]], "width": size_pixels, "height": size_pixels},
                    "sketch.png": sketch.convert("L"),  # which comes as three equal channels
                    "color.png": cv2.resize(small, size, interpolation=cv2.INTER_NEAREST),
                    "segmentation.png": segmentation,
                }
            )
            yield file.stem


def _jpeg(image: Image.Image) -> bytes:
    """As condset stores it: webdataset itself would write quality 100."""
    file = io.BytesIO()
    image.save(file, "JPEG", quality=JPEG_QUALITY)
    return file.getvalue()
