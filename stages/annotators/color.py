"""Color: the coarse palette of an image, one flat square for every 64 x 64 pixels (T2I-Adapter's spatial palette).

    (H, W) ──cubic──> (H/64, W/64) ──nearest──> (H, W)          64: square_pixels

The two resizes are OpenCV's, as in the released code: its cubic is not antialiased, so PIL or torch give other colours.
"""

from collections.abc import Sequence
from typing import ClassVar, Final, Literal

from stages.annotators.condition import PLAIN_MIRROR, ConditionSpec, Encoding, Exact, Resize, picture_member
from stages.records import Condition, ConditionMembers, ImageMember, LoadedSample, Rejection, UInt8Array
from stages.settings import Settings
from stages.weights.store import WeightsStore

SQUARE_PIXELS: Final = 64
"""The side of one palette square (T2I-Adapter SD:ldm/modules/extra_condition/api.py:218-222)."""

PICTURE = "color.png"


def color_map(image_hwc: UInt8Array, square_pixels: int = SQUARE_PIXELS) -> UInt8Array:
    """Reduce an RGB image to its spatial palette.

    Takes and returns (height, width, 3) uint8, both sides at least `square_pixels`. Source: get_cond_color of
    T2I-Adapter.
    """
    import cv2
    import numpy as np

    height, width = image_hwc.shape[:2]
    small = cv2.resize(image_hwc, (width // square_pixels, height // square_pixels), interpolation=cv2.INTER_CUBIC)
    return np.asarray(cv2.resize(small, (width, height), interpolation=cv2.INTER_NEAREST), np.uint8)


class ColorConfig(Settings):
    """Settings of the color annotator."""

    condition: ClassVar[Condition] = Condition.COLOR
    algorithm_version: ClassVar[int] = 1

    kind: Literal["color"] = "color"
    square_pixels: Literal[8, 16, 32, 64] = SQUARE_PIXELS
    """The side of one palette square. 64 is T2I-Adapter's, for images of 512 pixels; smaller images need less."""

    @property
    def spec(self) -> ConditionSpec:
        return ConditionSpec(
            name=self.condition,
            title="flat squares of colour",
            members=(picture_member(PICTURE, Encoding.PNG_RGB, "the image in flat squares, RGB: its coarse palette"),),
            shown=PICTURE,
            channels=3,
            mirror=PLAIN_MIRROR,
            resize=Resize.NEAREST,
            tolerance=Exact(),
            statistics="colors",
            measure="colors",
        )

    @property
    def models(self) -> tuple[tuple[str, str | None], ...]:
        return ()

    def resolved_dtype(self, device: str) -> str:
        return "none"

    def build(self, device: str, weights: WeightsStore) -> "ColorAnnotator":
        return ColorAnnotator(self.square_pixels)


class ColorAnnotator:
    """Makes `<key>.color.png`."""

    def __init__(self, square_pixels: int) -> None:
        self._square_pixels = square_pixels

    def __call__(self, samples: Sequence[LoadedSample]) -> list[ConditionMembers | Rejection]:
        return [(ImageMember(PICTURE, color_map(sample.image_hwc, self._square_pixels)),) for sample in samples]
