"""`condset bench sketch`: PiDiNet as controlnet_aux's detector runs it, and as condset does.

What prepares a data set adds nothing to the network if the wall time of a run goes to it alone: see `shares`.
"""

import tempfile
from functools import partial
from pathlib import Path

from pipeline.bench.limit import multiplied_dtype
from pipeline.bench.measure import Say, Table
from pipeline.bench.networks import SEED, Contender, Run, Timing, compare, in_both_dtypes, one_by_one
from pipeline.bench.weights import BenchWeights, find_or_make
from stages.annotators.sketch import NETWORK, SketchConfig


def bench_sketch(timing: Timing, weights_dir: Path | None, say: Say) -> Table:
    """Compare controlnet_aux's PidiNetDetector and condset; weights that are not on this machine are random."""
    with tempfile.TemporaryDirectory(prefix="condset-bench-") as scratch:
        weights, device = pidinet_weights(weights_dir, Path(scratch)), timing.device
        build = partial(build_reference, weights.path, device)
        reference = Contender("controlnet_aux PidiNetDetector", build, multiplied_dtype("float32", device))
        ours = in_both_dtypes(lambda dtype: SketchConfig(dtype=dtype, weights=str(weights.path)), device)
        return compare(weights, [reference, *ours], SketchConfig(weights=str(weights.path)), timing, say)


def pidinet_weights(weights_dir: Path | None, scratch: Path) -> BenchWeights:
    """Find PiDiNet's weights, or make random ones in `scratch`."""
    return find_or_make("PiDiNet", NETWORK, weights_dir, random_pidinet, scratch)


def random_pidinet(path: Path) -> Path:
    """Save random weights in the published layout."""
    import torch

    from stages.reference_modules import controlnet_aux_module

    torch.manual_seed(SEED)
    torch.save({"state_dict": controlnet_aux_module("pidi.model").pidinet().state_dict()}, path)
    return path


def build_reference(weights: Path, device: str) -> Run:
    """Build the detector as its users do: one image at a time, weights as published."""
    import warnings

    warnings.simplefilter("ignore")
    from controlnet_aux.pidi import PidiNetDetector

    detector = PidiNetDetector.from_pretrained(str(weights.parent), weights.name).to(device)
    return one_by_one(
        lambda image_hwc: detector(image_hwc, detect_resolution=len(image_hwc), image_resolution=len(image_hwc))
    )
