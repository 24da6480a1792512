"""Color: the coarse palette of an image, one flat square for every 64 x 64 pixels (T2I-Adapter's spatial palette).

    (H, W) ──cubic──> (H/64, W/64) ──nearest──> (H, W)

The two resizes are OpenCV's, as in the released code: its cubic is not antialiased, so PIL or torch give other colours.
"""

from collections.abc import Sequence
from typing import ClassVar, Literal

from stages.records import Condition, ConditionMembers, ImageMember, LoadedSample, Rejection, UInt8Array
from stages.settings import Settings
from stages.weights import WeightsStore

SQUARE_PIXELS = 64
"""The side of one palette square (T2I-Adapter SD:ldm/modules/extra_condition/api.py:218-222)."""


def color_map(image_hwc: UInt8Array) -> UInt8Array:
    """Reduce an RGB image to its spatial palette.

    Takes and returns (height, width, 3) uint8, both sides at least 64. Source: get_cond_color of T2I-Adapter.
    """
    import cv2
    import numpy as np

    height, width = image_hwc.shape[:2]
    small = cv2.resize(image_hwc, (width // SQUARE_PIXELS, height // SQUARE_PIXELS), interpolation=cv2.INTER_CUBIC)
    return np.asarray(cv2.resize(small, (width, height), interpolation=cv2.INTER_NEAREST), np.uint8)


class ColorConfig(Settings):
    """Settings of the color annotator: it has none."""

    condition: ClassVar[Condition] = Condition.COLOR
    algorithm_version: ClassVar[int] = 1

    kind: Literal["color"] = "color"

    @property
    def extensions(self) -> tuple[str, ...]:
        return ("color.png",)

    @property
    def models(self) -> tuple[tuple[str, str | None], ...]:
        return ()

    def resolved_dtype(self, device: str) -> str:
        return "none"

    def build(self, device: str, weights: WeightsStore) -> "ColorAnnotator":
        return ColorAnnotator()


class ColorAnnotator:
    """Makes `<key>.color.png`."""

    def __call__(self, samples: Sequence[LoadedSample]) -> list[ConditionMembers | Rejection]:
        return [(ImageMember("color.png", color_map(sample.image_hwc)),) for sample in samples]
