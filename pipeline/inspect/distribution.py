"""Four numbers that sum up many: what `condset inspect` prints of sizes, lengths and densities."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, slots=True)
class Distribution:
    """The spread of one number over samples, captions or persons."""

    minimum: float
    median: float
    mean: float
    maximum: float


def distribution(values: Sequence[float]) -> Distribution:
    """Sum up one or more values, in double precision; the median of an even number is the mean of the middle two."""
    array = np.asarray(values, np.float64)
    assert array.size, "nothing to sum up"
    return Distribution(float(array.min()), float(np.median(array)), float(array.mean()), float(array.max()))
