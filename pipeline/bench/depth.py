"""`condset bench depth`: MiDaS dpt_hybrid as controlnet_aux's detector runs it, and as condset does.

Ours has fewer FLOPs than the published form (see `stages.annotators.midas`): each contender's limit is of its own.
"""

import tempfile
from functools import partial
from pathlib import Path

from pipeline.bench.limit import multiplied_dtype
from pipeline.bench.measure import Say, Table
from pipeline.bench.networks import SEED, Contender, Run, Timing, compare, in_both_dtypes, one_by_one
from pipeline.bench.weights import BenchWeights, find_or_make
from stages.annotators.depth import MODEL, DepthConfig


def bench_depth(timing: Timing, weights_dir: Path | None, say: Say) -> Table:
    """Compare controlnet_aux's MidasDetector and condset; weights that are not on this machine are random."""
    with tempfile.TemporaryDirectory(prefix="condset-bench-") as scratch:
        weights, device = midas_weights(weights_dir, Path(scratch)), timing.device
        build = partial(build_reference, weights.path, device)
        reference = Contender("controlnet_aux MidasDetector", build, multiplied_dtype("float32", device))
        ours = in_both_dtypes(lambda dtype: DepthConfig(dtype=dtype, weights=str(weights.path)), device)
        return compare(weights, [reference, *ours], DepthConfig(weights=str(weights.path)), timing, say)


def midas_weights(weights_dir: Path | None, scratch: Path) -> BenchWeights:
    """Find MiDaS' weights, or make random ones in `scratch`."""
    return find_or_make("MiDaS dpt_hybrid", MODEL, weights_dir, random_midas, scratch)


def random_midas(path: Path) -> Path:
    """Save random weights in the published layout, a bare state dict under the published names.

    Norms are the identity, and products keep the size of numbers: nothing overflows on the way through the network.
    """
    import torch

    from stages.annotators.midas import published_network

    generator = torch.Generator().manual_seed(SEED)
    weights = {}
    for name, published in published_network().state_dict().items():
        shape = published.shape
        is_scale = len(shape) == 1 and name.endswith("weight")
        noise = torch.empty(shape).normal_(generator=generator)
        weights[name] = noise / noise[0].numel() ** 0.5 if len(shape) > 1 else torch.full(shape, float(is_scale))
    torch.save(weights, path)
    return path


def build_reference(weights: Path, device: str) -> Run:
    """Build the detector as its users do: one image at a time."""
    import warnings

    warnings.simplefilter("ignore")
    from controlnet_aux.midas import MidasDetector

    detector = MidasDetector.from_pretrained(str(weights.parent), filename=weights.name).to(device)
    return one_by_one(
        lambda image_hwc: detector(image_hwc, detect_resolution=len(image_hwc), image_resolution=len(image_hwc))
    )
