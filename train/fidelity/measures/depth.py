"""How well depth is met, whose scale and offset mean nothing: an error after the best fit and a rank correlation.

    found ──scale >= 0 and shift, least squares──> fitted ──root mean square──> error, in units of the true map
    ranks of found, ranks of truth ──Pearson──> Spearman's rank correlation

MiDaS' scale-and-shift-invariant error (arXiv 1907.01341, eq. 2-4) with one difference: the scale is not negative,
because a map that takes near for far is not right. Invariant: what is reported is what the fit makes smallest, so noise
cannot lower it (the mean absolute difference after the same fit can fall).
"""

import io
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
from PIL import Image

Float64Array: TypeAlias = npt.NDArray[np.float64]


def read_depth(content: bytes) -> Float64Array:
    """Decode a depth.png of 8 or 16 bits to (height, width) in [0, 1]."""
    with Image.open(io.BytesIO(content), formats=("PNG",)) as image:
        most = 65535 if image.mode.startswith("I;16") else 255
        return np.asarray(image, np.float64) / most


def invariant_error(truth_hw: Float64Array, found_hw: Float64Array) -> float:
    """Return the root mean square of what is left of the truth after the best scale, at least 0, and shift."""
    centred = found_hw - found_hw.mean()
    power = float((centred**2).sum())
    scale = max(0.0, float((centred * (truth_hw - truth_hw.mean())).sum()) / power) if power else 0.0
    return float(np.sqrt(np.mean((truth_hw.mean() + scale * centred - truth_hw) ** 2)))


def rank_correlation(truth_hw: Float64Array, found_hw: Float64Array) -> float:
    """Return Spearman's rank correlation, ties with their mean rank; 0 if one map has no depth at all, 1 if neither."""
    ranks = [_ranks(each) for each in (truth_hw, found_hw)]
    truth, found = (each - each.mean() for each in ranks)
    if not truth.any() or not found.any():
        return float(truth.any() == found.any())
    return float((truth * found).sum() / np.sqrt((truth**2).sum() * (found**2).sum()))


def _ranks(values_hw: Float64Array) -> Float64Array:
    """The rank of each value, flat; equal values share the mean of theirs."""
    _, inverse, counts = np.unique(values_hw, return_inverse=True, return_counts=True)
    means = np.cumsum(counts) - (counts - 1) / 2
    ranks: Float64Array = means[inverse.reshape(-1)]
    return ranks
