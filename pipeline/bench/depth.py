"""`condset bench depth`: MiDaS dpt_hybrid as controlnet_aux's detector runs it, and as condset does.

Ours has fewer FLOPs than the published form (see `stages.annotators.midas`): each contender's limit is of its own.
"""

import tempfile
from functools import partial
from pathlib import Path

from pipeline.bench.measure import Say, Table, fresh
from pipeline.bench.networks import Contender, Run, Timing, compare, in_both_dtypes, one_by_one, save_random
from stages.annotators.depth import MODEL, DepthConfig
from stages.weights import WeightsStore


def bench_depth(timing: Timing, weights_dir: Path | None, say: Say) -> Table:
    """Compare controlnet_aux's MidasDetector and condset; weights that are not on this machine are random."""
    found = WeightsStore(weights_dir, allow_network=False).find(MODEL)
    with tempfile.TemporaryDirectory(prefix="condset-bench-") as scratch:
        weights = found or fresh(random_midas, Path(scratch) / "random_midas.pt")
        reference = Contender("controlnet_aux MidasDetector", partial(build_reference, weights), "float32")
        ours = in_both_dtypes(lambda dtype: DepthConfig(dtype=dtype, weights=str(weights)))
        return compare(
            "MiDaS dpt_hybrid", found is None, [reference, *ours], DepthConfig(weights=str(weights)), timing, say
        )


def random_midas(path: Path) -> Path:
    """Save random weights in the published layout, a bare state dict."""
    from stages.annotators.midas import published_network

    save_random({name: tensor.shape for name, tensor in published_network().state_dict().items()}, path)
    return path


def build_reference(weights: Path) -> Run:
    """Build the detector as its users do: one image at a time."""
    import warnings

    warnings.simplefilter("ignore")
    from controlnet_aux.midas import MidasDetector

    detector = MidasDetector.from_pretrained(str(weights.parent), filename=weights.name)
    return one_by_one(
        lambda image_hwc: detector(image_hwc, detect_resolution=len(image_hwc), image_resolution=len(image_hwc))
    )
