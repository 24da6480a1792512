"""How sure a mean over samples is: the percentile bootstrap (Efron 1979).

    values of n samples ──n of them with repetition, 10000 times──> means ──2.5 %, 97.5 %──> interval

Invariant: equal values and seed give equal intervals.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from stages.randomness import random_for

DRAWS = 10_000
BLOCK = 100
"""Draws at once: all of them would take gigabytes for thousands of samples."""
LEVEL = 0.95


@dataclass(frozen=True, slots=True)
class Estimate:
    """A mean over samples, and the interval that holds it with a probability of `LEVEL`."""

    mean: float
    low: float
    high: float


def bootstrap(values: Sequence[float], seed: int, purpose: str) -> Estimate:
    """Estimate the mean of at least one value; of paired samples, give their differences."""
    samples = np.asarray(values, np.float64)
    generator = random_for(seed, "bootstrap", purpose)
    size = (BLOCK, len(samples))
    means = [samples[generator.integers(len(samples), size=size)].mean(axis=1) for _ in range(DRAWS // BLOCK)]
    low, high = np.quantile(means, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Estimate(float(samples.mean()), float(low), float(high))
