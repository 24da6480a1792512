"""A scene, and growing disturbances of it, for the tests of the measures."""

import numpy as np
import numpy.typing as npt

from stages.annotators.canny import canny_map
from stages.records import UInt8Array
from stages.sources.synthetic.scenes import draw_scene


def scene(index: int = 3, side: int = 128) -> UInt8Array:
    return draw_scene(0, index, side, side).image_hwc


def edges(image_hwc: UInt8Array) -> npt.NDArray[np.bool_]:
    return canny_map(image_hwc, 100, 200) > 0


def shifted(picture: UInt8Array, pixels: int) -> UInt8Array:
    return np.roll(picture, pixels, axis=1)


def noisy(picture: UInt8Array, strength: float) -> UInt8Array:
    """Blend with one fixed picture of noise."""
    noise = np.random.default_rng(0).integers(0, 256, picture.shape)
    return np.asarray((1 - strength) * picture + strength * noise, np.uint8)


def blurred(picture: UInt8Array, sigma: float) -> UInt8Array:
    import cv2

    return np.asarray(cv2.GaussianBlur(picture, (0, 0), sigma) if sigma else picture, np.uint8)
