"""What becomes of a stored condition picture before the adapter sees it.

    sketch.png (soft)  ──threshold──> 0 | 255 ──┐
    depth.png, canny.png ──────────grey─────────┼──flip──> (channels, H, W) uint8; the adapter sees it / 255
    keypose, color, segmentation ──RGB──────────┘

Invariant: a flip shows what annotating the flipped image would show; in a keypose left becomes right.
"""

import io
from typing import Literal

import numpy as np
from PIL import Image
from pydantic import Field

from stages.annotators.keypose.skeleton import LEFT, RIGHT
from stages.errors import ShardCorrupt
from stages.records import Condition, UInt8Array
from stages.settings import Settings
from train.data.visit import Visit


class ConditionsConfig(Settings):
    """How conditions are varied in training."""

    flip: float = Field(default=0.0, ge=0, le=1)
    """The share of visits that see image and condition mirrored. Captions that say left or right become wrong."""
    sketch: Literal["fixed", "random", "soft"] = "fixed"
    """Binarise a sketch at `sketch_threshold` (SD:train_sketch.py:325-327), at a random threshold of 0.3 to 0.8 in
    steps of 0.1 (XL:train_sketch.py:377-380, there one a batch, here one a visit), or leave it soft."""
    sketch_threshold: float = Field(default=0.5, gt=0, lt=1)
    """A pixel is an edge if its probability is greater than this."""


def decode_condition(content: bytes, where: str) -> UInt8Array:
    """Decode a condition's PNG to (height, width) grey or (height, width, 3) RGB; 16 bits are rounded to 8.

    Raises ShardCorrupt, naming `where`, if it is no picture.
    """
    try:
        with Image.open(io.BytesIO(content), formats=("PNG",)) as image:
            if image.mode.startswith("I;16"):
                return np.asarray(np.asarray(image, np.float32) / 257 + 0.5, np.uint8)
            return np.asarray(image if image.mode in ("L", "RGB") else image.convert("RGB"))
    except (OSError, SyntaxError, ValueError) as error:
        raise ShardCorrupt(
            f"{where} must be a PNG of 8 or 16 bits, got {len(content)} bytes with {type(error).__name__}; "
            "prepare the shard again"
        ) from None


def condition_of_visit(
    picture: UInt8Array, condition: Condition, config: ConditionsConfig, channels: int, visit: Visit
) -> UInt8Array:
    """Turn a decoded picture into what a visit shows the adapter: (channels, height, width), 255 is 1."""
    if condition is Condition.SKETCH and config.sketch != "soft":
        picture = binarise(picture, sketch_threshold(config, visit))
    if is_flipped(config, visit):
        picture = flip(picture, condition)
    if picture.ndim == 2:
        return np.repeat(picture[None], channels, axis=0)
    return np.ascontiguousarray(picture.transpose(2, 0, 1))


def sketch_threshold(config: ConditionsConfig, visit: Visit) -> float:
    """The threshold of one visit."""
    if config.sketch == "fixed":
        return config.sketch_threshold
    return round(float(visit.random("sketch threshold").uniform(0.3, 0.8)), 1)


def binarise(picture_hw: UInt8Array, threshold: float) -> UInt8Array:
    """255 where the probability, stored as round(255 p), is greater than the threshold, and 0 elsewhere."""
    return np.where(picture_hw > 255 * threshold, np.uint8(255), np.uint8(0))


def is_flipped(config: ConditionsConfig, visit: Visit) -> bool:
    """Whether a visit sees its sample mirrored."""
    return config.flip > 0 and bool(visit.random("flip").random() < config.flip)


def flip(picture: UInt8Array, condition: Condition) -> UInt8Array:
    """Mirror a picture; a keypose's left limbs take the colour of right ones and the other way round."""
    mirrored = np.ascontiguousarray(picture[:, ::-1])
    if condition is not Condition.KEYPOSE:
        return mirrored
    is_left, is_right = ((mirrored == colour).all(axis=2) for colour in (LEFT, RIGHT))
    mirrored[is_left], mirrored[is_right] = RIGHT, LEFT
    return mirrored
