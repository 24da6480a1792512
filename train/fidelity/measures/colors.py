"""How well colours are met: the mean CIEDE2000 difference of two spatial palettes.

    color.png, flat squares ──one pixel of each──> sRGB ──> L*a*b* (D65) ──> CIEDE2000, mean of the squares

0 is the same palette, about 1 a difference that can just be seen (Sharma et al. 2005, as scikit-image computes it).
"""

import numpy as np

from stages.annotators.color import SQUARE_PIXELS
from stages.records import UInt8Array


def palette_difference(truth_hwc: UInt8Array, found_hwc: UInt8Array, square_pixels: int = SQUARE_PIXELS) -> float:
    """Compare two pictures of the color annotator, (height, width, 3) RGB of one size."""
    from skimage.color import deltaE_ciede2000, rgb2lab

    truth, found = (rgb2lab(_squares(each, square_pixels)) for each in (truth_hwc, found_hwc))
    return float(np.mean(deltaE_ciede2000(truth, found)))  # type: ignore[no-untyped-call]


def _squares(picture_hwc: UInt8Array, square_pixels: int) -> UInt8Array:
    """The colour of each square, (rows, columns, 3)."""
    return picture_hwc[square_pixels // 2 :: square_pixels, square_pixels // 2 :: square_pixels]
