"""Scenes drawn by condset itself: the embedded default, and what tests and the quickstart run on.

Nothing lies on disk: a row's image URI names the scene (`scene:<seed>/<index>/<width>x<height>`), and fetching it draws
it. Captions, label map and keypoints are exact because they come from the drawing.
"""

import io
import itertools
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Literal

import numpy as np
import pyarrow as pa
from pydantic import Field

from stages.records import IndexRow
from stages.settings import Settings
from stages.sources.index.schema import to_batches
from stages.sources.synthetic.composition import compose
from stages.sources.synthetic.scenes import LABELS, Scene, describe_scene, draw_scene

IMAGE_SCHEME = "scene:"
LABEL_SCHEME = "scene-labels:"


class SyntheticSource(Settings):
    """Any number of scenes with shapes and stick figures."""

    kind: Literal["synthetic"] = "synthetic"
    count: int = Field(default=64, ge=1)
    """Number of scenes."""
    first: int = Field(default=0, ge=0)
    """The first scene's number: train and validation take ranges that do not overlap."""
    seed: int = 0
    width_pixels: int = Field(default=512, ge=64)
    height_pixels: int = Field(default=512, ge=64)
    people: bool = True
    """False leaves out the scenes with people, about a third; `count` then counts the others."""
    split: str = "train"

    @property
    def base_uri(self) -> str:
        return ""

    @property
    def label_base_uri(self) -> str:
        return self.base_uri

    @property
    def label_offset(self) -> int:
        return 0

    @property
    def lacks_keypoints(self) -> str:
        return ""

    @property
    def labels(self) -> Mapping[int, str]:
        return LABELS

    def batches(self) -> Iterator[pa.RecordBatch]:
        return to_batches(self._row(index) for index in self.numbers())

    def numbers(self) -> Iterator[int]:
        """List the numbers of the scenes, ascending."""
        numbers: Iterator[int] = itertools.count(self.first)
        if not self.people:
            numbers = (number for number in numbers if not compose(self.seed, number).figures)
        return itertools.islice(numbers, self.count)

    def _row(self, index: int) -> IndexRow:
        scene = describe_scene(self.seed, index, self.width_pixels, self.height_pixels)
        name = f"{self.seed}/{index}/{self.width_pixels}x{self.height_pixels}"
        return IndexRow(
            key=f"{index:09d}",
            image_uri=IMAGE_SCHEME + name,
            captions=scene.captions,
            source_url="",
            license="CC0-1.0",
            width=self.width_pixels,
            height=self.height_pixels,
            keypoints=scene.keypoints,
            label_uri=LABEL_SCHEME + name,
            scores={},
            rejection=None,
        )


def render(uri: str) -> bytes:
    """Draw what a `scene:` or `scene-labels:` URI names, as a PNG file."""
    from PIL import Image

    scheme, _, name = uri.partition(":")
    seed, index, size = name.split("/")
    width, height = size.split("x")
    scene = _drawn(int(seed), int(index), int(width), int(height))
    pixels = scene.image_hwc if scheme + ":" == IMAGE_SCHEME else scene.labels_hw
    file = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(pixels)).save(file, "png", compress_level=1)
    return file.getvalue()


@lru_cache(maxsize=8)
def _drawn(seed: int, index: int, width_pixels: int, height_pixels: int) -> Scene:
    """Draw a scene once for its picture and its labels, which are fetched one after the other."""
    return draw_scene(seed, index, width_pixels, height_pixels)
