"""Weights to time networks with: the published ones if they are on this machine, else random ones.

A multiplication takes the same time whatever it multiplies, so nothing is downloaded. The invariant: a title says which
weights were random.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from pipeline.bench.measure import fresh
from stages.weights.store import WeightsStore


@dataclass(frozen=True, slots=True)
class BenchWeights:
    """The file of one network."""

    network: str
    """As a title names it."""
    path: Path
    is_random: bool


def find_or_make(
    network: str, model: str, weights_dir: Path | None, make: Callable[[Path], Path], scratch: Path
) -> BenchWeights:
    """Find the weights of `model`, of stages.weights.catalogue.MODELS, or have `make` save random ones into `scratch`.

    `make` takes the path and runs in a process of its own. Raises WeightsError if the file that is found is damaged.
    """
    found = WeightsStore(weights_dir, allow_network=False).find(model)
    return BenchWeights(network, found or fresh(make, scratch / f"random_{model}.pth"), is_random=found is None)


def describe_weights(weights: Sequence[BenchWeights]) -> str:
    """Say for a title which weights are random."""
    random, published = ([each.network for each in weights if each.is_random is wanted] for wanted in (True, False))
    if not random:
        return "the published weights"
    if not published:
        return "random weights"
    return f"random weights of {' and '.join(random)}, the published ones of {' and '.join(published)}"
