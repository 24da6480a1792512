"""`condset bench sketch`: PiDiNet as controlnet_aux's detector runs it, and as condset does.

What prepares a data set adds nothing to the network if the wall time of a run goes to it alone: see `shares`.
"""

import tempfile
from functools import partial
from pathlib import Path

from pipeline.bench.measure import Say, Table, fresh
from pipeline.bench.networks import SEED, Contender, Run, Timing, compare, in_both_dtypes, one_by_one
from stages.annotators.sketch import NETWORK, SketchConfig
from stages.weights import WeightsStore


def bench_sketch(timing: Timing, weights_dir: Path | None, say: Say) -> Table:
    """Compare controlnet_aux's PidiNetDetector and condset; weights that are not on this machine are random."""
    found = WeightsStore(weights_dir, allow_network=False).find(NETWORK)
    with tempfile.TemporaryDirectory(prefix="condset-bench-") as scratch:
        weights = found or fresh(random_pidinet, Path(scratch) / "random_pidinet.pth")
        reference = Contender("controlnet_aux PidiNetDetector", partial(build_reference, weights), "float32")
        ours = in_both_dtypes(lambda dtype: SketchConfig(dtype=dtype, weights=str(weights)))
        return compare("PiDiNet", found is None, [reference, *ours], SketchConfig(weights=str(weights)), timing, say)


def random_pidinet(path: Path) -> Path:
    """Save random weights in the published layout."""
    import torch

    from stages.reference_modules import controlnet_aux_module

    torch.manual_seed(SEED)
    torch.save({"state_dict": controlnet_aux_module("pidi.model").pidinet().state_dict()}, path)
    return path


def build_reference(weights: Path) -> Run:
    """Build the detector as its users do: one image at a time, weights as published."""
    import warnings

    warnings.simplefilter("ignore")
    from controlnet_aux.pidi import PidiNetDetector

    detector = PidiNetDetector.from_pretrained(str(weights.parent), weights.name)
    return one_by_one(
        lambda image_hwc: detector(image_hwc, detect_resolution=len(image_hwc), image_resolution=len(image_hwc))
    )
